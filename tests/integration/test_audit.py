"""`postonce audit`: clean books are right, also beside a consumer at work, and each damage
planted by SQL is found as what it is."""

import json
import os
import re
import subprocess
import sys

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from harness import topics
from harness.commands import open_account, record, transfer
from harness.generated import generate, publish, refuse
from harness.postgres import connect, with_database
from harness.product import TOP, Load, binary, clean_environment, options_of
from harness.topics import Record, end_offsets
from harness.wait import wait_until
from harness.workload import Workload


def audit(deployment, *arguments, **settings):
    """The findings as a list, the summary, and the exit code."""
    done = deployment.verb("audit", "--json", *arguments, **settings)
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "right" in lines[-1] and lines[-1]["right"] == (done.returncode == 0)
    assert sum(lines[-1]["checks"].values()) == lines[-1]["findings"]
    return lines[:-1], lines[-1], done.returncode


def clean(deployment, *arguments, **settings):
    findings, summary, code = audit(deployment, *arguments, **settings)
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
        {"chain_broken": 1, "version_gap": 1, "version_twice": 1, "running_balance": ...,
         "out_of_order": ...}),
    "a version far away": (
        f"UPDATE transfer SET credit_version = 9223372036854775807 WHERE payment_id = {_PAYMENT}",
        {"chain_broken": 1, "version_gap": 2, "last_balance": 1, "out_of_order": ...}),
    "the other account debited": (
        "UPDATE transfer SET debit_account_id ="
        " (SELECT account_id FROM account WHERE name = 'w-acct-7')"
        f" WHERE payment_id = {_PAYMENT}",
        {"balance_not_sum": 2, "version_not_count": 2, "chain_broken": 2, "version_gap": None,
         "version_twice": 1, "running_balance": ..., "last_balance": ..., "fingerprint_differs": 1,
         "result_differs": 1, "out_of_order": ...}),
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
         "version_twice": 1, "running_balance": ..., "last_balance": ..., "out_of_order": ...}),
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
    "the places of two commands exchanged": (
        "UPDATE inbox SET \"offset\" = CASE key WHEN 'w-open-25' THEN 26 ELSE 25 END"
        " WHERE key IN ('w-open-25', 'w-open-26')", {"out_of_order": 1}),
    "two rows of one record": (
        "UPDATE inbox SET \"offset\" = 0 WHERE key = 'yen'", {"coordinates_twice": 1}),
    "two rows of each of two records": (
        "UPDATE inbox SET \"offset\" = CASE key WHEN 'yen' THEN 0 ELSE 31 END"
        " WHERE key IN ('yen', 'w-open-25')",
        {"coordinates_twice": 2, "out_of_order": ...}),
    "a row in the place of a letter": (
        f"UPDATE inbox SET \"offset\" = {_LETTER} WHERE key = 'yen'", {"coordinates_twice": 1}),
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
        "UPDATE stream_position SET next_offset = 1, last_offset = 0 WHERE partition = 0",
        {"offset_not_below_next": None}),
    "a position that is gone": (
        "DELETE FROM stream_position WHERE partition = 1", {"offset_not_below_next": None}),
    "a position that is none": (
        "ALTER TABLE stream_position DROP CONSTRAINT stream_position_not_negative;"
        "UPDATE stream_position SET epoch = -1 WHERE partition = 1",
        {"guard_missing": 1, "position_invalid": 1}),
    "half of a last record": (
        "ALTER TABLE stream_position DROP CONSTRAINT stream_position_witness;"
        "UPDATE stream_position SET last_timestamp_ms = NULL WHERE partition = 1",
        {"guard_missing": 1, "position_invalid": 1}),
    "a trigger switched off": (
        "ALTER TABLE transfer DISABLE TRIGGER transfer_refunds_within_payment",
        {"guard_missing": 1}),
    "a constraint that was not validated": (
        "ALTER TABLE transfer DROP CONSTRAINT transfer_amount_positive;"
        "ALTER TABLE transfer ADD CONSTRAINT transfer_amount_positive CHECK (amount_minor > 0)"
        " NOT VALID", {"guard_missing": 1}),
    "a check that checks nothing": (
        "ALTER TABLE account DROP CONSTRAINT account_balance_above_minimum;"
        "ALTER TABLE account ADD CONSTRAINT account_balance_above_minimum CHECK (true)",
        {"guard_altered": 1}),
    "a trigger that does nothing": (
        "CREATE OR REPLACE FUNCTION refunds_within_payment() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN NULL; END $$", {"guard_altered": 1}),
    "a trigger that never fires": (
        "DROP TRIGGER transfer_refunds_within_payment ON transfer;"
        "CREATE CONSTRAINT TRIGGER transfer_refunds_within_payment AFTER INSERT ON transfer"
        " FOR EACH ROW WHEN (false) EXECUTE FUNCTION refunds_within_payment()",
        {"guard_altered": 1}),
    "a fence that lets everybody pass": (
        "CREATE OR REPLACE FUNCTION must_hit(hit bigint, wanted bigint, state text)"
        " RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$",
        {"guard_altered": 1}),
    "a fence that is gone": (
        "DROP FUNCTION must_hit(bigint, bigint, text)", {"guard_missing": 1}),
    "a key of more columns": (
        "ALTER TABLE inbox DROP CONSTRAINT inbox_pkey;"
        "ALTER TABLE inbox ADD CONSTRAINT inbox_pkey PRIMARY KEY (key, client)",
        {"guard_altered": 1}),
    "a key that is only an index": (
        "ALTER TABLE inbox DROP CONSTRAINT inbox_pkey; CREATE INDEX inbox_pkey ON inbox (key)",
        {"guard_missing": 1}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(copy, damage):
    statement, expected = DAMAGES[damage]
    assert copy.execute(statement) != 0, "nothing was damaged"
    expect(audit(copy), expected)


# Findings about a payment, and what they call the payment.
_OF_A_PAYMENT = {"an amount": ("running_balance", _PAYMENT),
                 "an amount of nothing": ("transfer_invalid", _PAYMENT),
                 "a refund of nothing": ("refund_of_nothing", _REFUND),
                 "a refund of itself": ("refund_of_refund", _REFUND),
                 "refunds above their payment": ("refunds_exceed_payment", f"(SELECT refunds"
                                                 f" FROM transfer WHERE payment_id = {_REFUND})")}


@pytest.mark.parametrize("damage", _OF_A_PAYMENT)
def test_a_finding_names_the_record_of_the_command(copy, damage):
    check, payment = _OF_A_PAYMENT[damage]
    with connect(copy.admin) as connection:
        connection.execute("SET search_path = postonce")
        wanted = connection.execute("SELECT payment_id::text, key, topic, partition, \"offset\""
                                    f" FROM inbox WHERE payment_id = {payment}").fetchone()
    assert copy.execute(DAMAGES[damage][0]) != 0
    findings, *_ = audit(copy)
    told = [each for each in findings if each["finding"] == check]
    names = ("payment_id", "key", "topic", "partition", "offset")
    assert tuple(told[0].get(name) for name in names) == wanted


def test_a_command_that_is_there_twice_doubles_no_finding(copy):
    copy.execute(DAMAGES["a refund of nothing"][0])
    copy.execute("INSERT INTO inbox SELECT \"offset\", command_time, decided_at, partition,"
                 " payment_id, 'twin', operation, client, outcome, code, topic, fingerprint, result"
                 f" FROM inbox WHERE payment_id = {_REFUND}")
    findings, summary, _ = audit(copy)
    assert summary["checks"]["refund_of_nothing"] == 1
    assert [each["finding"] for each in findings].count("refund_of_nothing") == 1


def expect(audited, expected):
    findings, summary, code = audited
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


def test_beside_consumers_at_work(deploy):
    """No finding that the next moment would take back, however often one looks."""
    deployment = deploy(partitions=2)
    work = Workload(seed=31, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    with Load(deployment.sender, deployment.commands, work.next, per_second=400) as load:
        consumers = [deployment.consumer(name, batch__records=20) for name in "ab"]
        for turn in range(6):
            load.wait_sent(150 * (turn + 1))
            clean(deployment, "--topic", "--never-rewound")
        consumers[0].kill()
        clean(deployment, "--topic", "--never-rewound")
    deployment.wait_caught_up(consumers=consumers[1:])
    assert consumers[1].stop() == 0
    deployment.wait_no_members()
    rewind(deployment)
    again = deployment.consumer("c", batch__records=5)
    while sum(deployment.committed().values()) < deployment.decided():
        again.must_run()
        clean(deployment, "--topic")
    assert again.stop() == 0
    clean(deployment, "--topic")


_YEN = "(SELECT \"offset\" FROM inbox WHERE key = 'yen')"
_IDLE = ("(SELECT key FROM inbox WHERE operation = 'transfer' AND outcome = 'rejected'"
         " AND partition = 0 AND key NOT IN (SELECT key FROM dead_letter WHERE key IS NOT NULL)"
         " ORDER BY \"offset\" LIMIT 1)")

# What only the topics tell; {replay} is where a command stands that came a second time.
TOPIC_DAMAGES = {
    "a row that is gone": (
        f"DELETE FROM inbox WHERE key = {_IDLE}", {"record_undecided": None,
                                                   "result_unknown": None}),
    "a letter that is gone": (
        f"DELETE FROM dead_letter WHERE \"offset\" = {_LETTER} AND partition = 0",
        {"record_undecided": 1, "result_unknown": 1}),
    "a conflict that is gone": (
        f"DELETE FROM dead_letter WHERE \"offset\" = {_CONFLICT} AND partition = 0",
        {"conflict_undecided": 1, "result_bytes": 1, "result_headers": 1,
         "result_not_replayed": 1}),
    "a conflict with itself": (
        "INSERT INTO dead_letter SELECT {replay}, command_time, decided_at, 0, topic,"
        " 'conflict', 'key_reused', key, convert_to('{{\"idempotency_key\":\"' || key"
        " || '\",\"operation\":\"' || operation || '\",\"client\":\"' || client"
        " || '\",\"outcome\":\"conflict\",\"code\":\"key_reused\",\"detail\":\"no\"}}', 'UTF8')"
        " FROM inbox WHERE key = '{key}'",
        {"conflict_with_itself": 1, "letter_of_other_key": ..., "result_bytes": 1,
         "result_headers": 1}),
    "the time of a letter": (
        "UPDATE dead_letter SET command_time = NULL"
        f" WHERE \"offset\" = {_LETTER} AND partition = 0", {"letter_of_other_key": 1}),
    "the time of a refusal": (
        "UPDATE inbox SET command_time = command_time - interval '1 ms' WHERE key = 'yen'",
        {"row_of_other_record": 1}),
    "a row at the place of another record": (
        f"UPDATE inbox SET \"offset\" = {{replay}} WHERE key = 'yen'",
        {"row_without_record": 1, "result_not_replayed": 1}),
    "a letter of no record": (
        "INSERT INTO dead_letter SELECT \"offset\", command_time, decided_at, 5, topic, outcome,"
        f" code, key, result FROM dead_letter WHERE \"offset\" = {_LETTER} AND partition = 0;"
        "INSERT INTO stream_position SELECT 1000000, 1, now(), 5, topic FROM stream_position"
        " WHERE partition = 0", {"row_without_record": 1}),
    "a result": (
        "UPDATE inbox SET result = result || '\\x20'::bytea WHERE key = 'yen'",
        {"result_differs": 1, "result_bytes": 1, "account_unopened": 1}),
    "a position set back": (
        "UPDATE stream_position SET next_offset = next_offset - 1, last_offset = NULL,"
        " last_timestamp_ms = NULL WHERE partition = 0",
        {"committed_above_next": 1, "offset_not_below_next": ...}),
    "the time of the last record": (
        "UPDATE stream_position SET last_timestamp_ms = last_timestamp_ms + 1"
        " WHERE partition = 0", {"witness_differs": 1}),
    "another last record": (
        "UPDATE stream_position SET last_offset = 0", {"witness_differs": 2}),
    "a position set forward": (
        "UPDATE stream_position SET next_offset = next_offset + 1000",
        {"log_ends_below_next": 2}),
}


@pytest.fixture(scope="module")
def replay(books):
    """(offset in partition 0, key) of a record that was a replay."""
    for each in books.read(books.results):
        if (each.header("idempotent-replayed") == "true"
                and each.header("command-partition") == "0"
                and each.header("outcome") in ("applied", "rejected")):
            return int(each.header("command-offset")), each.header("idempotency-key")
    raise AssertionError("no replay")


@pytest.mark.parametrize("damage", TOPIC_DAMAGES)
def test_damage_against_the_topic_is_found(copy, replay, damage):
    statement, expected = TOPIC_DAMAGES[damage]
    assert copy.execute(statement.format(replay=replay[0], key=replay[1])) != 0
    expect(audit(copy, "--topic"), expected)


# ---- results that nobody should have sent ----

def decided(deployment):
    """0 and 1: accounts, 2: a transfer, 3: the same again, 4: without a key, 5: garbage."""
    pay = transfer("house", "a", "5.00")
    deployment.send([record("h", open_account("house", None), 0),
                     record("a", open_account("a"), 0), record("pay", pay, 0),
                     record("pay", pay, 0), record(None, pay, 0), record("bad", b"{", 0)])
    deployment.consume_to_end()
    clean(deployment, "--topic", "--never-rewound")
    return {int(each.header("command-offset")): each
            for each in deployment.read(deployment.results)}


def forge(result, value=None, key=None, **headers):
    """The result as somebody else would send it; a header that is None is left out."""
    changed = {name.replace("_", "-"): text for name, text in headers.items()}
    kept = [(name, changed.pop(name).encode() if name in changed and changed[name] is not None
             else text) for name, text in result.headers
            if name not in changed or changed[name] is not None]
    return Record(value or result.value, key or result.key, kept, 0)


FORGED = {
    "other bytes": (2, dict(value=b"{}", idempotent_replayed="true"), {"result_bytes": 1}),
    "bytes beyond any limit": (2, dict(value=b"x" * 50000, idempotent_replayed="true"),
                               {"result_bytes": 1}),
    "of another command": (2, dict(key=b"nobody", idempotency_key="nobody",
                                   idempotent_replayed="true"), {"result_unknown": 1}),
    "a key that is none": (2, dict(key=b"\xff\x00", idempotent_replayed="true"),
                           {"result_headers": 1}),
    "another key in the header": (2, dict(idempotency_key="x", idempotent_replayed="true"),
                                  {"result_headers": 1}),
    "no outcome": (2, dict(outcome=None, idempotent_replayed="true"), {"result_headers": 1}),
    "another outcome": (2, dict(outcome="rejected", idempotent_replayed="true"),
                        {"result_headers": 1}),
    "replayed or not": (2, dict(idempotent_replayed="maybe"), {"result_headers": 1}),
    "no coordinates": (2, dict(command_offset=None), {"result_headers": 1}),
    "coordinates that are none": (2, dict(command_partition="-1"), {"result_headers": 1}),
    "no topic": (2, dict(command_topic=None), {"result_headers": 1}),
    "decided twice": (2, dict(), {"result_first_twice": 1}),
    "a replay that decided": (3, dict(idempotent_replayed="false"), {"result_not_replayed": 1}),
    "for a record without a key": (2, dict(command_offset="4", idempotent_replayed="true"),
                                   {"result_unwanted": 1, "result_bytes": 1,
                                    "result_headers": 1}),
    "twice, and never rewound": (2, dict(idempotent_replayed="true"), {"result_twice": 1}),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_result_is_found(deploy, forged):
    offset, changes, expected = FORGED[forged]
    deployment = deploy()
    result = forge(decided(deployment)[offset], **changes)
    deployment.sender.send(deployment.results, [result])
    arguments = ["--never-rewound"] if "result_twice" in expected else []
    expect(audit(deployment, "--topic", *arguments), expected)


def test_what_is_said_of_other_topics_is_not_ours(deploy):
    deployment = deploy()
    results = decided(deployment)
    deployment.sender.send(deployment.results, [forge(results[2], command_topic="x", value=b"x"),
                                                forge(results[2], command_offset="1000")])
    clean(deployment, "--topic", "--never-rewound")


def test_a_result_for_no_record(deploy):
    """The end of a sender's Kafka transaction has an offset, but is no record."""
    deployment = deploy()
    results = decided(deployment)
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap,
                         "transactional.id": f"{deployment.group}-sender"})
    producer.init_transactions(30)
    producer.begin_transaction()
    sent = record("b", open_account("b"), 0)
    producer.produce(deployment.commands, sent.value, sent.key, 0, headers=sent.headers)
    producer.commit_transaction(30)
    # The end is written after the commit was answered.
    wait_until(lambda: end_offsets(deployment.kafka, deployment.commands)[0] == 8,
               what="the end of the transaction in the log")
    deployment.send([record("c", open_account("c"), 0)])
    deployment.consume_to_end()
    clean(deployment, "--topic", "--never-rewound")
    deployment.sender.send(deployment.results, [
        forge(results[2], command_offset="7", idempotent_replayed="true")])
    findings, *_ = audited = audit(deployment, "--topic")
    expect(audited, {"result_without_record": 1})
    assert (findings[0]["partition"], findings[0]["offset"]) == (0, 7)


def test_what_an_open_transaction_hides_is_waited_for(deploy):
    """Results that are committed may still be hidden behind somebody else's transaction."""
    deployment = deploy()
    decided(deployment)
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap,
                         "transactional.id": f"{deployment.group}-other"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(deployment.results, b"junk", b"junk", 0)
    assert producer.flush(30) == 0
    deployment.send([record("b", open_account("b"), 0)])
    deployment.consume_to_end()
    with started(deployment, "--topic") as process:
        wait_until(lambda: process.poll() is not None or deployment.query(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'postonce audit' AND state = 'idle in transaction'"
            " AND query LIKE '%%ORDER BY p.partition'"
            " AND state_change < now() - interval '2 s'"), 30, "the audit waits for results")
        producer.abort_transaction(30)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors


def test_results_that_were_never_sent(deploy):
    deployment = deploy()
    decided(deployment)
    deployment.send([record("b", open_account("b"), 0), record("bad", b"[", 0),
                     record(None, b"{", 0)])
    deployment.consume_to_end(topics__results="")
    findings, *_ = audited = audit(deployment, "--topic")
    expect(audited, {"result_missing": 2})
    assert [(each["offset"], each["key"]) for each in findings] == [(6, "b"), (7, "bad")]
    clean(deployment, "--topic", topics__results="")


def test_a_committed_offset_beyond_an_unanswered_record(deploy):
    deployment = deploy()
    decided(deployment)
    deployment.send([record("b", open_account("b"), 0)])
    moved = TopicPartition(deployment.commands, 0, 7)
    for future in deployment.kafka.admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(deployment.group, [moved])]).values():
        future.result(10)
    expect(audit(deployment, "--topic"), {"committed_above_next": 1, "record_undecided": 1,
                                          "result_missing": 1})


@pytest.mark.parametrize("topic", ["results", "commands"])
def test_what_retention_has_deleted_is_not_missed(deploy, topic):
    deployment = deploy()
    decided(deployment)
    topics.delete_records(deployment.kafka, getattr(deployment, topic), 0, 3)
    deployment.send([record("b", open_account("b"), 0)])
    deployment.consume_to_end()
    clean(deployment, "--topic")


# ---- the digest ----

def digest(deployment, code=0):
    _, summary, ended = audit(deployment, "--digest")
    assert ended == code and re.fullmatch("[0-9a-f]{64}", summary["digest"])
    return summary["digest"]


def test_the_digest_survives_a_rewind(deploy):
    deployment = deploy(partitions=2)
    work = Workload(seed=41, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    empty = digest(deployment)
    deployment.send(work.take(200))
    deployment.consume_to_end()
    before = digest(deployment)
    assert before != empty
    rewind(deployment)
    deployment.consume_to_end()
    assert digest(deployment) == before
    text = deployment.verb("audit", "--digest").stdout.splitlines()[-1]
    assert text.startswith("books are right: ") and text.endswith(f"; digest {before}")


def swapped(table, column, one, other):
    """Two rows of a table exchange a value: no sum of a column tells."""
    return (f"UPDATE {table} t SET {column} = o.{column} FROM {table} o"
            f" WHERE (t.ctid, o.ctid) IN (SELECT a.ctid, b.ctid FROM {table} a, {table} b"
            f" WHERE ({one.format('a')} AND {other.format('b')})"
            f" OR ({other.format('a')} AND {one.format('b')}))")


_TWO_ACCOUNTS = ("{}.name = 'w-acct-1'", "{}.name = 'w-acct-2'")
_TWO_TRANSFERS = (f"{{}}.payment_id = {_PAYMENT}", f"{{}}.payment_id = {_REFUND}")
_TWO_COMMANDS = ("{}.key = 'yen'", "{}.key = 'dinar'")
OTHER_BOOKS = {
    "a balance": DAMAGES["a balance"][0],
    "a reference that is gone": DAMAGES["a reference that is gone"][0],
    "a client": DAMAGES["a client"][0],
    "the row of an account gone": DAMAGES["the row of an account gone"][0],
    "balances": swapped("account", "balance_minor", *_TWO_ACCOUNTS),
    "amounts": swapped("transfer", "amount_minor", *_TWO_TRANSFERS),
    "fingerprints": swapped("inbox", "fingerprint", *_TWO_COMMANDS),
    "results": swapped("inbox", "result", *_TWO_COMMANDS),
}


@pytest.mark.parametrize("change", OTHER_BOOKS)
def test_other_books_have_another_digest(books, copy, change):
    assert copy.execute(OTHER_BOOKS[change]) != 0
    assert digest(copy, 1) != digest(books)
    done = copy.verb("audit", "--digest")
    assert re.search(r" findings?: .*; digest [0-9a-f]{64}$", done.stdout.splitlines()[-1])


def test_the_digest_does_not_depend_on_how_rows_lie(books, copy):
    for statement in ("UPDATE transfer SET client = client WHERE amount_minor % 2 = 0",
                      "UPDATE inbox SET decided_at = decided_at - interval '1 s'"
                      " WHERE partition = 0",
                      "ALTER DATABASE \"%s\" SET bytea_output = 'escape'" % copy.name):
        assert copy.execute(statement) != 0
    assert digest(copy) == digest(books)


# ---- the session ----

def started(deployment, *arguments, **options):
    """An audit that runs on its own."""
    return subprocess.Popen([binary("postonce"), "audit", *arguments,
                             *options_of({**deployment.settings, **options})], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=clean_environment())


def test_a_table_that_is_rewritten_just_before_the_snapshot(deploy):
    """An old snapshot would see an empty table; and the wait for the lock may be long."""
    deployment = deploy()
    decided(deployment)
    with connect(deployment.postgres.url(deployment.database)) as connection:
        connection.execute("ALTER DATABASE \"%s\" SET lock_timeout = '1ms'" % deployment.database)
        connection.execute("BEGIN; LOCK TABLE postonce.account IN ACCESS EXCLUSIVE MODE")
        with started(deployment) as process:
            wait_until(lambda: process.poll() is not None or deployment.query(
                "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted"
                " AND a.datname = current_database() AND a.application_name = 'postonce audit'"),
                30, "the audit waits for the lock")
            connection.execute("ALTER TABLE postonce.account SET UNLOGGED")
            connection.execute("ALTER TABLE postonce.account SET LOGGED; COMMIT")
            output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors


# ---- the command line ----

def test_text(copy):
    copy.execute("UPDATE account SET balance_minor = balance_minor + 5"
                 " WHERE name IN ('w-acct-1', 'w-acct-2')")
    done = copy.verb("audit", "--limit", "1")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and done.stderr == ""
    assert re.fullmatch(r"balance_not_sum account=w-acct-1 currency=USD balance_minor=-?\d+ "
                        r"entries_minor=-?\d+ .*: the balance is not the sum of its entries",
                        [line for line in lines if line.startswith("balance_not")][0])
    assert lines[-1] == ("7 findings: currency_sum 1, balance_not_sum 2 (1 more), "
                         "chain_broken 2 (1 more), last_balance 2 (1 more)")
    assert len(lines) == 5


@pytest.mark.parametrize("arguments", [
    ["--limit", "0"], ["--limit", "x"], ["--limit", "10001"], ["--never-rewound"], ["--topics"],
    ["word"]])
def test_wrong_usage(deploy, arguments):
    done = deploy(migrated=False).verb("audit", *arguments)
    assert done.returncode == 2 and done.stderr.startswith("postonce audit: "), done.stderr


def test_without_a_schema_or_with_another(deploy):
    deployment = deploy(migrated=False)
    done = deployment.verb("audit")
    assert done.returncode == 3 and "migrate" in done.stderr
    deployment.migrate()
    deployment.query("INSERT INTO postonce.schema_version (version, name, sha256)"
                     " VALUES (1000, 'x', 'x') RETURNING 1")
    done = deployment.verb("audit")
    assert done.returncode == 3 and "newer" in done.stderr


def test_servers_that_are_not_there(deploy):
    deployment = deploy()
    done = deployment.verb("audit", postgres="postgresql://127.0.0.1:9/x")
    assert done.returncode == 69, done.stderr
    done = deployment.verb("audit", "--topic", kafka__bootstrap__servers="127.0.0.1:9")
    assert done.returncode == 69, done.stderr
    done = deployment.verb("audit", "--topic", topics__commands="nobody-made-it")
    assert done.returncode == 2 and "nobody-made-it" in done.stderr


def test_an_auditor_needs_only_to_read(copy):
    """As the README says it; and nothing an auditor does can change anything."""
    role = f"{copy.name}_auditor"
    with connect(copy.admin) as connection:
        connection.execute(f'CREATE ROLE "{role}" LOGIN PASSWORD \'x\'')
        for statement in AUDITOR_RIGHTS:
            connection.execute(statement.replace("ROLE", f'"{role}"'))
    url = psycopg.conninfo.make_conninfo(**{**psycopg.conninfo.conninfo_to_dict(copy.admin),
                                            "user": role, "password": "x"})
    try:
        done = copy.books.verb("audit", "--topic", postgres=url)
        assert done.returncode == 0, done.stdout + done.stderr
        copy.execute("SELECT setval('account_id', 3)")
        assert copy.books.verb("audit", postgres=url).returncode == 1
    finally:
        with connect(copy.admin) as connection:
            connection.execute(f'DROP OWNED BY "{role}"')
            connection.execute(f'DROP ROLE "{role}"')


AUDITOR_RIGHTS = ("GRANT USAGE ON SCHEMA postonce TO ROLE",
                  "GRANT SELECT ON ALL TABLES IN SCHEMA postonce TO ROLE",
                  "GRANT SELECT ON ALL SEQUENCES IN SCHEMA postonce TO ROLE")


def test_the_readme_names_these_rights():
    readme = " ".join((TOP / "README.md").read_text().split())
    assert all(statement in readme for statement in AUDITOR_RIGHTS)


def test_the_guards_are_those_of_the_migrations(books):
    """What a later migration makes is what audit has to look for, too."""
    lines = (TOP / "consumer" / "postgres_audit_guards.h").read_text().splitlines()
    source = "".join(part for line in lines
                     for part in re.findall(r'^ +"(.*)" *\\?$', line)).replace('\\"', '"')
    connection = connect(books.url, options="-c search_path=pg_catalog",  # as the product's
                         row_factory=psycopg.rows.dict_row)
    guards = connection.execute(
        "SELECT c.relname AS relation, k.conname AS name, regexp_replace(coalesce("
        " pg_get_triggerdef(t.oid), pg_get_constraintdef(k.oid)), '\\s+', ' ', 'g') AS definition"
        "  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
        "  LEFT JOIN pg_trigger t ON t.tgconstraint = k.oid"
        " WHERE k.connamespace = 'postonce'::regnamespace AND k.contype <> 'n'"
        "   AND c.relname <> 'schema_version'"
        " UNION ALL SELECT NULL, proname, md5(prosrc) FROM pg_proc"
        " WHERE pronamespace = 'postonce'::regnamespace AND proname <> 'grant_consumer'"
        " ORDER BY 1, 2").fetchall()
    connection.close()
    for guard in guards:
        relation = f"'{guard['relation']}'" if guard["relation"] else "NULL"
        definition = guard["definition"].replace("'", "''")
        assert f"({relation}, '{guard['name']}',  '{definition}')" in source, guard
    assert source.count("',  '") == len(guards)


def test_every_finding_has_a_damage():
    """docs/audit.md lists the findings; a test of its own sees that it lists all of them."""
    page = (TOP / "docs" / "audit.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    expected = [more[-1] for more in (*DAMAGES.values(), *TOPIC_DAMAGES.values(),
                                      *FORGED.values())]
    planted = {check for each in expected for check, count in each.items() if count is not ...}
    assert listed - planted == {"result_missing", "result_without_record"}  # tests of their own


# ---- progress ----

def on_a_terminal(deployment, *arguments):
    """What an audit that finds nothing prints: (stdout, what the terminal got on stderr)."""
    ours, its = os.openpty()
    command = [binary("postonce"), "audit", *arguments, *options_of(deployment.settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its,
                          env=clean_environment()) as process:
        os.close(its)
        told = b""
        try:
            while more := os.read(ours, 65536):
                told += more
        except OSError:  # Linux says so when the other side is closed
            pass
        os.close(ours)
        output = process.stdout.read().decode()
    assert process.returncode == 0, told
    return output, told.decode()


def test_progress_is_for_a_terminal(books):
    output, told = on_a_terminal(books, "--topic", "--digest")
    assert output.startswith("books are right: ") and output.count("\n") == 1
    for what in (r"1 of \d+: guards of the schema", r"(\d+) of \1: coordinates", "digest",
                 "results", "commands", "rows"):
        assert re.search(rf"\r\x1b\[Kaudit: {what}\r\x1b\[K", told), what
    assert told.endswith("\r\x1b[K") and "\n" not in told
    assert books.verb("audit", "--topic", "--digest").stderr == ""


@pytest.fixture(scope="module")
def long_topics(module_deploy):
    deployment = module_deploy()
    url = with_database(deployment.postgres.admin_url, deployment.database)
    generate(url, deployment.commands, 110_000)
    publish(deployment, url)
    return deployment


def test_progress_in_a_long_topic_moves(long_topics):
    _, told = on_a_terminal(long_topics, "--topic", "--never-rewound")
    assert "audit: results: 100000 read\r" in told and "audit: commands: 100000 read\r" in told


# ---- memory ----

def peak_kib(deployment, *arguments, **settings):
    """The most memory that an audit, which must find nothing, has had."""
    command = [sys.executable, "-c",
               "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss);"
               "sys.exit(done.returncode)",
               str(binary("postonce")), "audit", *arguments,
               *options_of({**deployment.settings, **settings})]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, (done.stdout, done.stderr)
    return int(done.stdout.splitlines()[-1])


def test_memory_does_not_grow_with_the_books(deploy):
    peaks = []
    for count in (10_000, 300_000):
        deployment = deploy()
        url = with_database(deployment.postgres.admin_url, deployment.database)
        generate(url, deployment.commands, count)
        refuse(url, deployment.commands, count)
        peaks.append(peak_kib(deployment))
    assert peaks[1] < peaks[0] + 2048, peaks


# Small buffers of the Kafka client: what is left is the audit's own.
_LEAN = {"kafka.queued.max.messages.kbytes": "3072", "kafka.fetch.max.bytes": "262144",
         "kafka.message.max.bytes": "200000", "kafka.max.partition.fetch.bytes": "131072"}


def test_memory_does_not_grow_with_the_topics(deploy, long_topics):
    """Three bits a record are 29 KiB of what there are more in the long ones."""
    short = deploy()
    url = with_database(short.postgres.admin_url, short.database)
    generate(url, short.commands, 30_000)
    publish(short, url)
    peaks = [peak_kib(each, "--topic", **_LEAN) for each in (short, long_topics)]
    assert peaks[1] < peaks[0] + 2048, peaks
