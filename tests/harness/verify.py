"""The product's books, answers and dead letters against the oracle's.

With one partition everything is predicted exactly. With several, Kafka leaves the order
between partitions open: then what was decided is taken from the inbox, and everything that
must follow from it, whatever the order was, is checked.
"""

import dataclasses
import json

from . import oracle


@dataclasses.dataclass
class State:
    """All there is to compare, read once."""

    commands: list
    results: list
    dead_letters: list
    accounts: dict
    transfers: dict
    inbox: dict
    dead_rows: dict
    entries: list


def read_state(deployment):
    tables = {}
    for table, order in (("account", "account_id"), ("transfer", "payment_id"), ("inbox", "key"),
                         ("dead_letter", "topic, partition, \"offset\""),
                         ("entry", "account_id, version")):
        tables[table] = deployment.query(f"SELECT * FROM postonce.{table} ORDER BY {order}")
    return State(
        commands=deployment.read(deployment.commands),
        results=deployment.read(deployment.results) if deployment.results else [],
        dead_letters=deployment.read(deployment.dead_letters),
        accounts={row["name"]: row for row in tables["account"]},
        transfers={str(row["payment_id"]): row for row in tables["transfer"]},
        inbox={row["key"]: row for row in tables["inbox"]},
        dead_rows={(row["partition"], row["offset"]): row for row in tables["dead_letter"]},
        entries=tables["entry"])


def books_balance(state):
    """I2: sums, running balances, versions; nothing here depends on what was asked for."""
    sums, per_account = {}, {}
    for account in state.accounts.values():
        sums[account["currency"]] = sums.get(account["currency"], 0) + account["balance_minor"]
    assert not any(sums.values()), f"money came or went: {sums}"
    for entry in state.entries:
        per_account.setdefault(entry["account_id"], []).append(entry)
    for account in state.accounts.values():
        entries = per_account.get(account["account_id"], [])
        running = 0
        for version, entry in enumerate(entries, 1):
            running += entry["amount_minor"]
            assert entry["version"] == version, f"{account['name']}: versions have a gap"
            assert entry["balance_minor"] == running, f"{account['name']}: balance {version}"
            minimum = account["minimum_balance_minor"]
            assert entry["amount_minor"] > 0 or minimum is None or running >= minimum
        assert account["balance_minor"] == running, account["name"]
        assert account["version"] == len(entries), account["name"]
    assert len(state.entries) == 2 * len(state.transfers)


def exactly_one_answer(state):
    """I17: one visible result for each record with a valid key, and none for the others.
    Returns {(partition, offset): result}."""
    answers = {}
    for result in state.results:
        place = int(result.header("command-partition")), int(result.header("command-offset"))
        assert place not in answers, f"two visible answers to the record at {place}"
        answers[place] = result
    wanted = {record.place for record in state.commands
              if oracle.read_command(record).key is not None}
    assert set(answers) == wanted, (
        f"{len(wanted - set(answers))} records without an answer, first "
        f"{sorted(wanted - set(answers))[:3]}; {len(set(answers) - wanted)} answers too many")
    return answers


PASSED_ON_MAX = 4096  # bytes of names and values
_PASSED_ON = ("correlation-id", "kafka_correlationId", "traceparent", "tracestate")


def passed_on(record):
    """What goes through as it came, as far as there is room for it in the answer."""
    room = PASSED_ON_MAX
    for name, value in record.headers:
        size = len(name) + len(value or b"")
        if name in _PASSED_ON and size <= room:
            room -= size
            yield name, value


def check_answer_headers(record, result, verdict, deployment):
    headers = [
        ("idempotency-key", verdict.key), ("outcome", verdict.outcome),
        ("idempotent-replayed", None), ("command-topic", deployment.commands),
        ("command-partition", str(record.partition)), ("command-offset", str(record.offset))]
    passed = list(passed_on(record))
    names = [name for name, _ in headers + passed]
    assert sorted(names) == sorted(name for name, _ in result.headers), result.headers
    for name, value in headers:
        found = result.header(name)
        assert found == value or (value is None and found in ("true", "false")), (name, found)
    for pair in passed:
        assert pair in result.headers, pair
    assert result.key == verdict.key.encode(), result.key


def check_dead_letter(record, letter, outcome, code, deployment):
    """§4: the original unchanged, and eight headers that tell why."""
    assert (letter.key, letter.value) == (record.key, record.value)
    own = dict(pair for pair in letter.headers if pair[0].startswith("dead-letter-"))
    original = [pair for pair in letter.headers if not pair[0].startswith("dead-letter-")]
    assert original == [pair for pair in record.headers
                        if not pair[0].startswith("dead-letter-")], letter.headers
    attempts = [value for name, value in record.headers if name == "dead-letter-attempt"]
    detail = own.pop("dead-letter-detail").decode()
    assert detail.strip()
    assert {name: value.decode() for name, value in own.items()} == {
        "dead-letter-outcome": outcome, "dead-letter-code": code,
        "dead-letter-topic": deployment.commands,
        "dead-letter-partition": str(record.partition),
        "dead-letter-offset": str(record.offset),
        "dead-letter-timestamp": str(record.timestamp_ms),
        "dead-letter-attempt": str(int(attempts[0]) + 1 if attempts else 1)}
    assert len([name for name, _ in letter.headers if name.startswith("dead-letter-")]) == 8


def letter_place(letter):
    return int(letter.header("dead-letter-partition")), int(letter.header("dead-letter-offset"))


def verify(deployment, rewound=False, poison=()):
    """Everything that can be told from outside; what was seen, for the test's own questions.
    `rewound`: records were delivered again on purpose, so there are several answers to each;
    then only the books are compared. `poison`: see oracle.Books."""
    state = read_state(deployment)
    compare(deployment, state, rewound, poison)
    return state


def compare(deployment, state, rewound=False, poison=()):
    books_balance(state)
    if deployment.partitions == 1:
        books = oracle.Books(poison)
        for record in state.commands:
            books.post(record)
        _same_books(state, books)
        verdicts = books.verdicts
    else:
        verdicts = _consistent_books(state)
    if rewound:
        return
    if deployment.results:
        _same_answers(deployment, state, verdicts, exactly_one_answer(state))
    _same_dead_letters(deployment, state, verdicts)


# ---- one partition: all of it ----

def _same_books(state, books):
    assert {name: (row["currency"], row["balance_minor"], row["minimum_balance_minor"],
                   row["version"]) for name, row in state.accounts.items()} == \
        {name: (account.currency, account.balance, account.minimum, account.version)
         for name, account in books.accounts.items()}
    assert set(state.transfers) == set(books.payments)
    names = {account["account_id"]: name for name, account in state.accounts.items()}
    for payment_id, payment in books.payments.items():
        _same_transfer(names, state.transfers[payment_id], payment)
    assert set(state.inbox) == set(books.inbox)
    for key, kept in books.inbox.items():
        row = state.inbox[key]
        found = (row["outcome"], row["code"], row["payment_id"] and str(row["payment_id"]),
                 (row["partition"], row["offset"]), row["operation"], row["client"])
        assert found == (kept.verdict.outcome, kept.verdict.code, kept.payment_id, kept.place,
                         kept.command.operation, kept.command.client), key
        problem = oracle.result_differs(kept.verdict.result, bytes(row["result"]))
        assert problem is None, f"{key}: {problem}"


def _same_transfer(accounts, row, payment):
    assert (accounts[row["debit_account_id"]], accounts[row["credit_account_id"]],
            row["amount_minor"], row["client"], row["refunds"] and str(row["refunds"]),
            row["reference"]) == \
        (payment.source, payment.destination, payment.amount, payment.client, payment.refunds,
         payment.reference)


def _same_answers(deployment, state, verdicts, answers):
    for record in state.commands:
        verdict = verdicts[record.place]
        if verdict.result is None:
            continue
        answer = answers[record.place]
        check_answer_headers(record, answer, verdict, deployment)
        problem = oracle.result_differs(verdict.result, answer.value)
        assert problem is None, f"answer to {record.place}: {problem}"
        if verdict.replayed:
            assert answer.header("idempotent-replayed") == "true"
        kept = state.inbox.get(verdict.key)
        if verdict.outcome in ("applied", "rejected"):
            assert answer.value == bytes(kept["result"]), f"{verdict.key}: other bytes"


def _same_dead_letters(deployment, state, verdicts):
    by_place = {record.place: record for record in state.commands}
    wanted = {place: verdict for place, verdict in verdicts.items() if verdict.dead}
    found = [letter_place(letter) for letter in state.dead_letters]
    assert sorted(found) == sorted(wanted)
    for letter in state.dead_letters:
        verdict = wanted[letter_place(letter)]
        check_dead_letter(by_place[letter_place(letter)], letter, verdict.outcome,
                          verdict.code, deployment)
    assert set(state.dead_rows) == set(wanted)
    for place, row in state.dead_rows.items():
        verdict = wanted[place]
        assert (row["outcome"], row["code"], row["key"]) == \
            (verdict.outcome, verdict.code, verdict.key)
        assert (row["result"] is None) == (verdict.result is None)


# ---- several partitions: what must hold in any order ----

def _consistent_books(state):
    """Each valid key was decided once, by a record that carried it; every movement is that
    of its command; each partition's order is kept. Returns the verdicts."""
    by_place = {record.place: record for record in state.commands}
    commands = {place: oracle.read_command(record) for place, record in by_place.items()}
    keys = {command.key for command in commands.values() if command.code is None}
    assert set(state.inbox) == keys
    verdicts, applied = {}, set()
    names = {account["account_id"]: name for name, account in state.accounts.items()}
    for key, row in state.inbox.items():
        place = row["partition"], row["offset"]
        command = commands[place]
        assert command.code is None and command.key == key, f"{key} was decided by {place}"
        assert row["outcome"] in ("applied", "rejected")
        assert (row["operation"], row["client"]) == (command.operation, command.client)
        if row["outcome"] == "applied" and command.operation != "open_account":
            assert str(row["payment_id"]) == oracle.payment_id_of(
                by_place[place].timestamp_ms, key)
            applied.add(str(row["payment_id"]))
            _transfer_is_of(state, names, state.transfers[str(row["payment_id"])], command)
    assert applied == set(state.transfers), "movements without a command, or the reverse"
    books = oracle.Books()
    for place, command in sorted(commands.items()):
        verdicts[place] = _verdict_in_any_order(books, command, place, state, commands)
    _refunds_stay_below_their_payments(state)
    _accounts_were_opened(state, commands)
    _order_is_kept(state, applied)
    return verdicts


def _verdict_in_any_order(books, command, place, state, commands):
    if command.code is not None:
        return books.unkept(command, "malformed", command.code)
    row = state.inbox[command.key]
    first = row["partition"], row["offset"]
    if commands[first].fingerprint != command.fingerprint:
        return books.unkept(command, "conflict", "key_reused")
    if first != place and first[0] == place[0]:
        assert first[1] < place[1], f"{command.key}: a later record was decided first"
    pairs = json.loads(bytes(row["result"]), object_pairs_hook=list)
    fixed = [("idempotency_key", command.key), ("operation", command.operation),
             ("client", command.client), ("outcome", row["outcome"])]
    assert [tuple(pair) for pair in pairs[:4]] == fixed
    return oracle.Verdict(row["outcome"], row["code"], command.key,
                          [tuple(pair) for pair in pairs], replayed=first != place)


def _transfer_is_of(state, names, row, command):
    debit, credit = names[row["debit_account_id"]], names[row["credit_account_id"]]
    fields = command.fields
    assert row["amount_minor"] == fields["amount"] and row["client"] == command.client
    assert row["reference"] == fields.get("reference")
    if command.operation == "transfer":
        assert (debit, credit, row["refunds"]) == (fields["source"], fields["destination"], None)
        return
    assert str(row["refunds"]) == fields["payment_id"]
    payment = state.transfers[fields["payment_id"]]
    assert (row["debit_account_id"], row["credit_account_id"]) == \
        (payment["credit_account_id"], payment["debit_account_id"])
    assert payment["client"] == command.client and payment["refunds"] is None


def _refunds_stay_below_their_payments(state):
    refunded = {}
    for row in state.transfers.values():
        if row["refunds"] is not None:
            refunded[row["refunds"]] = refunded.get(row["refunds"], 0) + row["amount_minor"]
    for payment_id, amount in refunded.items():
        assert amount <= state.transfers[str(payment_id)]["amount_minor"], payment_id


def _accounts_were_opened(state, commands):
    opened = {}
    for row in state.inbox.values():
        command = commands[(row["partition"], row["offset"])]
        if command.operation == "open_account" and row["outcome"] == "applied":
            assert command.fields["account"] not in opened, "an account was opened twice"
            opened[command.fields["account"]] = command.fields
    assert {name: (row["currency"], row["minimum_balance_minor"])
            for name, row in state.accounts.items()} == \
        {name: (fields["currency"], fields["minimum"]) for name, fields in opened.items()}


def _order_is_kept(state, applied):
    """I9: what one partition did to an account happened in the partition's order."""
    places = {str(row["payment_id"]): (row["partition"], row["offset"])
              for row in state.inbox.values() if str(row["payment_id"]) in applied}
    last = {}
    for entry in state.entries:  # by account and version
        partition, offset = places[str(entry["payment_id"])]
        seen = last.get((entry["account_id"], partition), -1)
        assert offset > seen, f"account {entry['account']}: {partition}/{offset} after {seen}"
        last[(entry["account_id"], partition)] = offset
