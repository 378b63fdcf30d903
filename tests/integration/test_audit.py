"""`postonce audit`: clean books are right, also beside a consumer at work, and each damage
planted by SQL is found as what it is."""

import json
import re

import pytest

from harness.commands import open_account, record, refund, transfer
from harness.postgres import connect, with_database
from harness.product import run
from harness.workload import Workload


def audit(deployment, *arguments, **settings):
    """The findings as a list, the summary, and the exit code."""
    done = deployment.verb("audit", "--json", *arguments, **settings)
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "right" in lines[-1] and lines[-1]["right"] == (done.returncode == 0)
    assert sum(lines[-1]["checks"].values()) == lines[-1]["findings"]
    return lines[:-1], lines[-1], done.returncode


def clean(deployment, *arguments):
    findings, summary, code = audit(deployment, *arguments)
    assert code == 0 and findings == [], findings
    return summary


@pytest.fixture(scope="module")
def books(module_deploy):
    """A day of commands of all kinds, decided; nobody changes these books."""
    deployment = module_deploy(partitions=2)
    work = Workload(seed=11, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.send(work.take(800))
    deployment.send([record("yen", open_account("yen", None, "JPY"), 0),
                     record("dinar", open_account("dinar", "-1.500", "BHD"), 0)])
    deployment.consume_to_end()
    return deployment


class Copy:
    """A copy of the books' database, to be damaged."""

    def __init__(self, books, name):
        self.books, self.name = books, name
        self.admin = with_database(books.postgres.admin_url, name)
        with connect(books.postgres.admin_url) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{books.database}"')

    def verb(self, *arguments, **options):
        return self.books.verb(*arguments, postgres=self.admin, **options)

    def execute(self, statement):
        """As a stray hand with all rights: no trigger, no foreign key stops it."""
        with connect(self.admin) as connection:
            connection.execute("SET search_path = postonce")
            connection.execute("SET session_replication_role = replica")
            done = connection.execute(statement)
            return done.rowcount


@pytest.fixture
def copy(books, request):
    made = Copy(books, f"{books.database}_{abs(hash(request.node.name)) % 10 ** 8}")
    yield made
    books.postgres.drop_database(made.name)


def test_clean_books(books):
    summary = clean(books)
    assert summary["accounts"] == 23 and summary["transfers"] > 300
    assert summary["commands"] > 500 and summary["dead_letters"] > 30
    done = books.verb("audit")
    assert done.returncode == 0 and done.stdout.startswith("books are right: 23 accounts, ")


# A transfer, an applied refund, a refusal, an account: one of each, always the same ones.
_PAYMENT = ("(SELECT payment_id FROM transfer t WHERE refunds IS NULL AND reference IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM transfer r WHERE r.refunds = t.payment_id)"
            " AND NOT EXISTS (SELECT FROM inbox i JOIN dead_letter d USING (key)"
            "                  WHERE i.payment_id = t.payment_id)"
            " ORDER BY payment_id LIMIT 1)")
_REFUND = "(SELECT payment_id FROM transfer WHERE refunds IS NOT NULL ORDER BY payment_id LIMIT 1)"
_REFUSED = ("(SELECT key FROM inbox WHERE code = 'insufficient_funds' AND operation = 'transfer'"
            " AND key NOT IN (SELECT key FROM dead_letter WHERE key IS NOT NULL)"
            " ORDER BY key LIMIT 1)")
_LETTER = ("(SELECT \"offset\" FROM dead_letter WHERE partition = 0 AND code = 'json_invalid'"
           " ORDER BY 1 LIMIT 1)")
_CONFLICT = ("(SELECT \"offset\" FROM dead_letter WHERE partition = 0 AND outcome = 'conflict'"
             " ORDER BY 1 LIMIT 1)")
_LAST = "(SELECT payment_id FROM entry WHERE account = 'w-acct-1' ORDER BY version DESC LIMIT 1)"
_FREE = "'ffffffff-ffff-7fff-bfff-ffffffffffff'"

# {name: (damage, {check: how many findings; None: some; ...: some or none, as it comes})}
DAMAGES = {
    # account
    "a balance": (
        "UPDATE account SET balance_minor = balance_minor + 1 WHERE name = 'w-acct-1'",
        {"currency_sum": 1, "balance_not_sum": 1, "chain_broken": 1, "last_balance": 1}),
    "two balances, so that the sum is right": (
        "UPDATE account SET balance_minor = balance_minor"
        " + CASE name WHEN 'w-acct-1' THEN 1 ELSE -1 END WHERE name IN ('w-acct-1', 'w-acct-2')",
        {"balance_not_sum": 2, "chain_broken": 2, "last_balance": 2}),
    "a version": (
        "UPDATE account SET version = version + 1 WHERE name = 'w-acct-1'",
        {"version_not_count": 1, "chain_broken": 1}),
    "a minimum": (
        "UPDATE account SET minimum_balance_minor = -1 WHERE name = 'w-acct-1'",
        {"account_differs": 1}),
    "a minimum that is gone": (
        "UPDATE account SET minimum_balance_minor = NULL WHERE name = 'w-acct-1'",
        {"account_differs": 1}),
    "a minimum above the balance": (
        "ALTER TABLE account DROP CONSTRAINT account_minimum_not_positive;"
        "ALTER TABLE account DROP CONSTRAINT account_balance_above_minimum;"
        "UPDATE account SET minimum_balance_minor = 1000000000 WHERE name = 'w-acct-1'",
        {"guard_missing": 2, "account_invalid": 1, "below_minimum": 1, "account_differs": 1,
         "debit_below_minimum": None}),
    "an unknown currency": (
        "UPDATE account SET currency = 'XXX' WHERE name = 'yen'",
        {"account_invalid": 1, "account_differs": 1}),
    "another currency": (
        "UPDATE account SET currency = 'KRW' WHERE name = 'yen'", {"account_differs": 1}),
    "another name": (
        "UPDATE account SET name = 'yes' WHERE name = 'yen'",
        {"account_unopened": 1, "applied_without_account": 1}),
    "a name that is none": (
        "UPDATE account SET name = E'y\\n' WHERE name = 'yen'",
        {"account_unopened": 1, "applied_without_account": 1, "account_invalid": 1}),
    "an account that nobody opened": (
        "INSERT INTO account (account_id, balance_minor, version, currency, name)"
        " VALUES (nextval('account_id'), 0, 0, 'USD', 'slush')", {"account_unopened": 1}),
    "an account that is gone": (
        "DELETE FROM account WHERE name = 'yen'", {"applied_without_account": 1}),
    "an account that has moved and is gone": (
        "DELETE FROM account WHERE name = 'w-acct-1'",
        {"applied_without_account": 1, "account_missing": None, "currency_sum": 1}),
    "a sequence restored from an old dump": (
        "SELECT setval('account_id', 3)", {"account_id_ahead": 1}),
    # transfer
    "an amount": (
        f"UPDATE transfer SET amount_minor = amount_minor + 1 WHERE payment_id = {_PAYMENT}",
        {"balance_not_sum": 2, "chain_broken": 2, "running_balance": 2,
         "fingerprint_differs": 1, "result_differs": 1}),
    "an amount of nothing": (
        "ALTER TABLE transfer DROP CONSTRAINT transfer_amount_positive;"
        f"UPDATE transfer SET amount_minor = 0 WHERE payment_id = {_PAYMENT}",
        {"guard_missing": 1, "transfer_invalid": 1, "balance_not_sum": 2, "chain_broken": 2,
         "running_balance": 2, "fingerprint_differs": 1, "result_differs": 1}),
    "a balance after a debit": (
        "UPDATE transfer SET debit_balance_minor = debit_balance_minor + 1"
        f" WHERE payment_id = {_PAYMENT}",
        {"chain_broken": 1, "running_balance": 2, "result_differs": 1}),
    "a balance after a credit": (
        "UPDATE transfer SET credit_balance_minor = credit_balance_minor + 1"
        f" WHERE payment_id = {_PAYMENT}", {"chain_broken": 1, "running_balance": 2}),
    "a balance at the end of the range": (
        "UPDATE transfer SET credit_balance_minor = -9223372036854775808"
        f" WHERE payment_id = {_PAYMENT}", {"chain_broken": 1, "running_balance": 2}),
    "a balance after the last entry": (
        "UPDATE transfer SET credit_balance_minor = credit_balance_minor + 1, debit_balance_minor"
        f" = debit_balance_minor + 1 WHERE payment_id = {_LAST}",
        {"chain_broken": 2, "running_balance": None, "last_balance": None, "result_differs": 1}),
    "a version of an entry": (
        f"UPDATE transfer SET debit_version = debit_version + 1 WHERE payment_id = {_PAYMENT}",
        {"chain_broken": 1, "version_gap": 1, "version_twice": 1, "running_balance": ...}),
    "a version far away": (
        f"UPDATE transfer SET credit_version = 9223372036854775807 WHERE payment_id = {_PAYMENT}",
        {"chain_broken": 1, "version_gap": 2, "last_balance": 1}),
    "the other account debited": (
        "UPDATE transfer SET debit_account_id ="
        " (SELECT account_id FROM account WHERE name = 'w-acct-7')"
        f" WHERE payment_id = {_PAYMENT}",
        {"balance_not_sum": 2, "version_not_count": 2, "chain_broken": 2, "version_gap": None,
         "version_twice": 1, "running_balance": ..., "last_balance": ..., "fingerprint_differs": 1,
         "result_differs": 1}),
    "an account of another currency debited": (
        "UPDATE transfer SET credit_account_id ="
        " (SELECT account_id FROM account WHERE name = 'yen')"
        f" WHERE payment_id = {_PAYMENT}",
        {"balance_not_sum": 2, "version_not_count": 2, "chain_broken": 2, "version_gap": None,
         "currencies_differ": 1, "fingerprint_differs": 1, "result_differs": 1,
         "last_balance": 1}),
    "an account that is not there": (
        f"UPDATE transfer SET credit_account_id = 0 WHERE payment_id = {_PAYMENT}",
        {"account_missing": 1, "balance_not_sum": 1, "version_not_count": 1, "chain_broken": 1,
         "version_gap": 1}),
    "a transfer that is gone": (
        f"DELETE FROM transfer WHERE payment_id = {_PAYMENT}",
        {"balance_not_sum": 2, "version_not_count": 2, "chain_broken": 2, "version_gap": 2,
         "applied_without_transfer": 1}),
    "the last transfer of an account gone": (
        f"DELETE FROM transfer WHERE payment_id = {_LAST}",
        {"balance_not_sum": 2, "version_not_count": 2, "chain_broken": 2, "version_gap": None,
         "last_balance": None, "applied_without_transfer": 1}),
    "a transfer by nobody": (
        "INSERT INTO transfer (debit_account_id, credit_account_id, amount_minor,"
        " debit_balance_minor, credit_balance_minor, debit_version, credit_version, payment_id,"
        " client) SELECT d.account_id, c.account_id, 1, d.balance_minor - 1, c.balance_minor + 1,"
        f" d.version + 1, c.version + 1, {_FREE}, 'x' FROM account d, account c"
        " WHERE d.name = 'w-settlement' AND c.name = 'w-acct-1';"
        "UPDATE account SET version = version + 1, balance_minor = balance_minor"
        " + CASE name WHEN 'w-acct-1' THEN 1 ELSE -1 END"
        " WHERE name IN ('w-settlement', 'w-acct-1')",
        {"transfer_without_command": 1}),
    "a payment id": (
        f"UPDATE transfer SET payment_id = {_FREE} WHERE payment_id = {_PAYMENT}",
        {"transfer_without_command": 1, "applied_without_transfer": 1}),
    "the client of a transfer": (
        f"UPDATE transfer SET client = 'x' WHERE payment_id = {_PAYMENT}",
        {"transfer_differs": 1}),
    "the client of a refund": (
        f"UPDATE transfer SET client = 'x' WHERE payment_id = {_REFUND}",
        {"transfer_differs": 1, "refund_of_other_client": 1}),
    "a reference": (
        f"UPDATE transfer SET reference = 'x' WHERE payment_id = {_PAYMENT}",
        {"fingerprint_differs": 1, "result_differs": 1}),
    "a reference that is gone": (
        f"UPDATE transfer SET reference = NULL WHERE payment_id = {_PAYMENT}",
        {"fingerprint_differs": 1, "result_differs": 1}),
    "a refund that is none any more": (
        f"UPDATE transfer SET refunds = NULL WHERE payment_id = {_REFUND}",
        {"transfer_differs": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "a refund of nothing": (
        f"UPDATE transfer SET refunds = {_FREE} WHERE payment_id = {_REFUND}",
        {"refund_of_nothing": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "a refund of itself": (
        f"UPDATE transfer SET refunds = payment_id WHERE payment_id = {_REFUND}",
        {"refund_of_refund": 1, "refund_not_mirrored": 1, "fingerprint_differs": 1,
         "result_differs": 1}),
    "a refund of another payment": (
        "UPDATE transfer r SET refunds = (SELECT p.payment_id FROM transfer p WHERE"
        " p.refunds IS NULL AND p.client = r.client AND p.amount_minor > 4000"
        " AND p.debit_account_id NOT IN (r.debit_account_id, r.credit_account_id)"
        " AND p.credit_account_id NOT IN (r.debit_account_id, r.credit_account_id)"
        " AND p.payment_id <> r.refunds AND NOT EXISTS (SELECT FROM transfer o"
        "   WHERE o.refunds = p.payment_id) ORDER BY 1 LIMIT 1)"
        f" WHERE r.payment_id = {_REFUND}",
        {"refund_not_mirrored": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "a refund before its payment": (
        "UPDATE transfer t SET debit_version = CASE t.payment_id WHEN r.payment_id THEN"
        " p.credit_version ELSE r.debit_version END FROM transfer r JOIN transfer p"
        f" ON p.payment_id = r.refunds WHERE r.payment_id = {_REFUND}"
        " AND t.payment_id = r.payment_id",
        {"refund_before_payment": 1, "chain_broken": 1, "version_gap": ...,
         "version_twice": 1, "running_balance": ..., "last_balance": ...}),
    "refunds above their payment": (
        "UPDATE transfer SET amount_minor = 1 WHERE payment_id ="
        f" (SELECT refunds FROM transfer WHERE amount_minor > 1 AND payment_id = {_REFUND})",
        {"refunds_exceed_payment": 1, "balance_not_sum": 2, "chain_broken": 2,
         "running_balance": 2, "fingerprint_differs": 1, "result_differs": 1}),
    # inbox
    "the row of a payment gone": (
        f"DELETE FROM inbox WHERE payment_id = {_PAYMENT}",
        {"transfer_without_command": 1}),
    "the row that others are in conflict with gone": (
        "DELETE FROM inbox WHERE key = (SELECT d.key FROM dead_letter d JOIN inbox i USING (key)"
        " WHERE d.outcome = 'conflict' AND i.outcome = 'rejected' ORDER BY 1 LIMIT 1)",
        {"conflict_without_first": None}),
    "the row of an account gone": (
        "DELETE FROM inbox WHERE key = 'yen'", {"account_unopened": 1}),
    "an account opened twice": (
        "INSERT INTO inbox SELECT next_offset, command_time, decided_at, 0, payment_id, 'again',"
        " operation, client, outcome, code, topic, fingerprint, convert_to(replace(convert_from("
        " result, 'UTF8'), 'key\":\"yen', 'key\":\"again'), 'UTF8')"
        " FROM inbox JOIN stream_position USING (topic) WHERE key = 'yen'"
        "  AND stream_position.partition = 0;"
        "UPDATE stream_position SET next_offset = next_offset + 1", {"account_opened_twice": 1}),
    "a key": (
        f"UPDATE inbox SET key = 'other' WHERE payment_id = {_PAYMENT}",
        {"payment_id_not_derived": 1, "result_differs": 1}),
    "the key of a refusal": (
        f"UPDATE inbox SET key = 'ключ' WHERE key = {_REFUSED}",
        {"result_differs": 1}),
    "a client": (
        f"UPDATE inbox SET client = 'x' WHERE payment_id = {_PAYMENT}",
        {"transfer_differs": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "the client of a refusal": (
        f"UPDATE inbox SET client = 'x' WHERE key = {_REFUSED}",
        {"fingerprint_differs": 1, "result_differs": 1}),
    "an operation": (
        f"UPDATE inbox SET operation = 'refund' WHERE payment_id = {_PAYMENT}",
        {"transfer_differs": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "an operation that is none": (
        f"UPDATE inbox SET operation = 'gift' WHERE payment_id = {_PAYMENT}",
        {"row_invalid": 1, "fingerprint_differs": 1, "result_differs": 1}),
    "a refusal that is applied": (
        "ALTER TABLE inbox DROP CONSTRAINT inbox_outcome;"
        f"UPDATE inbox SET outcome = 'applied' WHERE key = {_REFUSED}",
        {"guard_missing": 1, "row_invalid": 1, "result_differs": 1,
         "applied_without_account": 1}),
    "an applied payment that is refused": (
        "ALTER TABLE inbox DROP CONSTRAINT inbox_outcome; UPDATE inbox SET outcome = 'rejected',"
        f" code = 'insufficient_funds' WHERE payment_id = {_PAYMENT}",
        {"guard_missing": 1, "row_invalid": 1}),
    "a code": (
        f"UPDATE inbox SET code = 'source_unknown' WHERE key = {_REFUSED}",
        {"result_differs": 1}),
    "a code of another operation": (
        f"UPDATE inbox SET code = 'account_exists' WHERE key = {_REFUSED}",
        {"row_invalid": 1, "result_differs": 1}),
    "the payment id of a row": (
        f"UPDATE inbox SET payment_id = {_FREE} WHERE payment_id = {_PAYMENT}",
        {"payment_id_not_derived": 1, "applied_without_transfer": 1,
         "transfer_without_command": 1}),
    "a time": (
        "UPDATE inbox SET command_time = command_time + interval '1 ms'"
        f" WHERE payment_id = {_PAYMENT}", {"payment_id_not_derived": 1}),
    "a time that is gone": (
        f"UPDATE inbox SET command_time = NULL WHERE payment_id = {_PAYMENT}",
        {"payment_id_not_derived": 1}),
    "a fingerprint": (
        "UPDATE inbox SET fingerprint = set_byte(fingerprint, 3, 255 - get_byte(fingerprint, 3))"
        f" WHERE payment_id = {_PAYMENT} OR key IN ('yen', {_REFUSED})",
        {"fingerprint_differs": 3}),
    "a result": (
        "UPDATE inbox SET result = overlay(result PLACING 'X' FROM octet_length(result) - 3)"
        f" WHERE payment_id = {_PAYMENT}", {"result_differs": 1}),
    "results that are no JSON": (
        "UPDATE inbox SET result = CASE WHEN operation = 'transfer' THEN '\\xff00fe'::bytea"
        f" ELSE '{{\"a\":' END WHERE key IN ('dinar', {_REFUSED})",
        {"result_differs": 2, "account_unopened": 1}),
    "amounts in the results of refusals": (
        "UPDATE inbox SET result = convert_to(replace(convert_from(result, 'UTF8'),"
        f" '.00\"', '.01\"'), 'UTF8') WHERE key = {_REFUSED}", {"fingerprint_differs": 1}),
    "white space in a result": (
        "UPDATE inbox SET result = convert_to(replace(convert_from(result, 'UTF8'),"
        f" '.00\"', '\"'), 'UTF8') WHERE key = {_REFUSED}",
        {"fingerprint_differs": 1, "result_differs": 1}),
    "another partition": (
        "UPDATE inbox SET partition = 7 WHERE key = 'yen'", {"offset_not_below_next": 1}),
    "another topic": (
        "UPDATE inbox SET topic = 'x' WHERE key = 'yen'", {"offset_not_below_next": 1}),
    "an offset beyond": (
        "UPDATE inbox SET \"offset\" = 1000000 WHERE key IN ('w-open-9', 'yen')",
        {"offset_not_below_next": 2, "coordinates_twice": 1}),
    "two rows of one record": (
        "UPDATE inbox SET \"offset\" = 0 WHERE key = 'yen'", {"coordinates_twice": 1}),
    "decided tomorrow": (
        "UPDATE inbox SET decided_at = now() + interval '1 day' WHERE key IN ('yen', 'w-open-30')",
        {"decided_in_future": 2}),
    # dead_letter
    "the code of a letter": (
        f"UPDATE dead_letter SET code = 'field_invalid' WHERE \"offset\" = {_LETTER}"
        " AND partition = 0", {"result_differs": 1}),
    "a code that is none": (
        f"UPDATE dead_letter SET code = 'bad' WHERE \"offset\" = {_LETTER} AND partition = 0",
        {"letter_invalid": 1, "result_differs": 1}),
    "the outcome of a letter": (
        f"UPDATE dead_letter SET outcome = 'poison' WHERE \"offset\" = {_LETTER}"
        " AND partition = 0", {"letter_invalid": 1, "result_differs": 1}),
    "the key of a letter": (
        f"UPDATE dead_letter SET key = 'x' WHERE \"offset\" = {_LETTER} AND partition = 0",
        {"result_differs": 1}),
    "the key of a conflict": (
        f"UPDATE dead_letter SET key = 'x' WHERE \"offset\" = {_CONFLICT} AND partition = 0",
        {"result_differs": 1, "conflict_without_first": 1}),
    "the result of a letter gone": (
        f"UPDATE dead_letter SET result = NULL WHERE \"offset\" = {_LETTER} AND partition = 0",
        {"letter_invalid": 1}),
    "the result of a letter": (
        "UPDATE dead_letter SET result = result || '\\x20'::bytea"
        f" WHERE \"offset\" = {_LETTER} AND partition = 0", {"result_differs": 1}),
    "a letter decided tomorrow": (
        "UPDATE dead_letter SET decided_at = now() + interval '1 day'"
        f" WHERE \"offset\" = {_LETTER} AND partition = 0", {"decided_in_future": 1}),
    "a letter of another topic": (
        f"UPDATE dead_letter SET topic = 'x' WHERE \"offset\" = {_LETTER} AND partition = 0",
        {"offset_not_below_next": 1}),
    # stream_position, and the schema itself
    "a position set back": (
        "UPDATE stream_position SET next_offset = 1 WHERE partition = 0",
        {"offset_not_below_next": None}),
    "a position that is gone": (
        "DELETE FROM stream_position WHERE partition = 1", {"offset_not_below_next": None}),
    "a position that is none": (
        "ALTER TABLE stream_position DROP CONSTRAINT stream_position_not_negative;"
        "UPDATE stream_position SET epoch = -1 WHERE partition = 1",
        {"guard_missing": 1, "position_invalid": 1}),
    "a trigger switched off": (
        "ALTER TABLE transfer DISABLE TRIGGER transfer_refunds_within_payment",
        {"guard_missing": 1}),
    "a constraint that was not validated": (
        "ALTER TABLE transfer DROP CONSTRAINT transfer_amount_positive;"
        "ALTER TABLE transfer ADD CONSTRAINT transfer_amount_positive CHECK (amount_minor > 0)"
        " NOT VALID", {"guard_missing": 1}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(copy, damage):
    statement, expected = DAMAGES[damage]
    assert copy.execute(statement) != 0, "nothing was damaged"
    findings, summary, code = audit(copy)
    assert code == 1
    found = summary["checks"]
    assert set(found) <= set(expected), findings
    for check, count in expected.items():
        assert found.get(check) == count or (count is None and found.get(check)) or count is ..., (
            check, findings)


# ---- --topic ----

def rewind(deployment, *arguments):
    done = deployment.verb("rewind", *(arguments or ["--to-earliest"]), "--execute")
    assert done.returncode == 0, done.stderr


def test_the_topics_of_clean_books(books):
    summary = clean(books, "--topic", "--never-rewound")
    records = books.read(books.commands)
    assert summary["records"] == len(records)
    assert summary["results"] == len(books.read(books.results))


def test_after_a_crash_and_a_rewind(deploy):
    deployment = deploy(partitions=2)
    work = Workload(seed=21, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.send(work.take(400))
    consumer = deployment.consumer(batch__records=10)
    deployment.reader().wait_count(150, check=consumer.must_run)
    consumer.kill()
    clean(deployment, "--topic", "--never-rewound")
    deployment.consume_to_end()
    clean(deployment, "--topic", "--never-rewound")
    rewind(deployment)
    clean(deployment, "--topic")
    deployment.consume_to_end(batch__records=50)
    clean(deployment, "--topic")
    findings, summary, _ = audit(deployment, "--topic", "--never-rewound", "--limit", "3")
    answered = sum(1 for each in deployment.read(deployment.results)) // 2
    assert summary["checks"] == {"result_twice": answered} and len(findings) == 3
