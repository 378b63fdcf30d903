"""The campaign's oracle must be able to say all three of its words: a real run is valid, each
planted damage is invalid, and what cannot be seen completely is unknown. And its report must
be able to say that a run proves nothing.
"""

import collections
import copy
import dataclasses
import json
import shutil
import types

import pytest

from campaign import books, dump, judge, report
from campaign.journal import Journal, Read, digest
from campaign.load import MIX, Commands
from campaign.logs import Log, generations
from harness.topics import Record


@pytest.fixture(scope="module")
def judged(module_deploy, tmp_path_factory):
    """The files of a run over several partitions that was rewound once."""
    directory = tmp_path_factory.mktemp("judged")
    deployment = module_deploy(partitions=3)
    commands, journal = Commands(5, 3, accounts=6), Journal(directory / "journal.jsonl")
    for records in (commands.opening(), [commands.next() for _ in range(600)]):
        for each, place in zip(records, deployment.send(records)):
            journal.sent(*place, digest(each.value, each.headers))
        deployment.consume_to_end()
    done = deployment.verb("rewind", "--to-earliest", "--execute", "--json")
    assert done.returncode == 0, done.stderr
    journal.rewound(dump.rewound_ranges(done.stdout))
    deployment.consume_to_end(batch__records=50)
    journal.mark_end()
    journal.close()
    dump.write(deployment, directory)
    return directory


@pytest.fixture(scope="module")
def evidence(judged):
    return judge.read(judged)


def test_what_really_happened_is_valid(judged):
    verdict = judge.judge_files(judged)
    assert (verdict.verdict, verdict.findings) == (judge.VALID, [])
    counts = verdict.counts
    assert counts["deliveries"] == 2 * counts["commands"] == 2 * counts["acknowledged"]
    for outcome in ("applied", "rejected", "conflict", "malformed", "duplicate"):
        assert counts[outcome] > 0, counts


def test_the_load_is_as_mixed_as_it_must_be():
    shares = dict(MIX)
    assert shares["duplicate"] >= 10 and shares["refusal"] >= 10
    assert shares["conflict"] >= 2 and shares["malformed"] >= 2


# ---- planted damage --------------------------------------------------------------------

def row(evidence, table, **wanted):
    return next(each for each in evidence.tables[table]
                if all(each[name] == value for name, value in wanted.items()))


def an_acknowledged_send_is_gone(evidence):
    """As when a broker has lost its tail: nothing of the record is anywhere."""
    place = evidence.commands.pop().place
    for name, prefix in (("results", "command"), ("dead_letters", "dead-letter")):
        kept = [each for each in getattr(evidence, name)
                if (int(each.header(f"{prefix}-partition")),
                    int(each.header(f"{prefix}-offset"))) != place]
        setattr(evidence, name, kept)


def another_record_than_was_sent(evidence):
    evidence.commands[-1] = dataclasses.replace(evidence.commands[-1], headers=())


def a_record_that_nobody_sent(evidence):
    last = evidence.commands[-1]
    evidence.commands.append(dataclasses.replace(last, offset=last.offset + 1,
                                                 headers=(*last.headers, ("x", b"1"))))
    evidence.facts["committed"][last.partition] += 1


def two_acknowledgements_for_one_place(evidence):
    evidence.journal.twice.append(evidence.commands[0].place)


def a_commit_beyond_the_database(evidence):
    evidence.tables["stream_position"][0]["next_offset"] -= 1


def a_key_was_never_decided(evidence):
    evidence.tables["inbox"].pop()


def a_key_was_decided_by_another_record(evidence):
    row(evidence, "inbox", outcome="applied")["offset"] += 1


def a_refusal_became_applied(evidence):
    row(evidence, "inbox", outcome="rejected").update(outcome="applied", code=None)


def a_refusal_that_was_never_true(evidence):
    refused = row(evidence, "inbox", code="source_unknown")
    refused["code"] = "insufficient_funds"


def two_balances_are_off(evidence):
    """The sum is still right."""
    one, other = evidence.tables["account"][:2]
    one["balance_minor"] += 1
    other["balance_minor"] -= 1


def a_movement_is_gone(evidence):
    evidence.tables["transfer"].pop()


def a_movement_is_there_twice(evidence):
    again = dict(evidence.tables["transfer"][-1], payment_id="0192f0c1-0000-7000-8000-0000000000ff")
    evidence.tables["transfer"].append(again)


def an_amount_is_off(evidence):
    evidence.tables["transfer"][-1]["amount_minor"] += 1


def two_movements_have_changed_places(evidence):
    """Within one partition: sums and versions are right, the order is not."""
    offsets = {each["payment_id"]: each for each in evidence.tables["inbox"]
               if each["partition"] == 0 and each["payment_id"]}
    one, other = sorted(offsets.values(), key=lambda each: each["offset"])[:2]
    one["payment_id"], other["payment_id"] = other["payment_id"], one["payment_id"]


def an_answer_is_missing(evidence):
    evidence.results.pop()


def an_answer_too_many(evidence):
    evidence.results.append(evidence.results[-1])


def an_answer_has_other_bytes(evidence):
    evidence.results[-1] = dataclasses.replace(evidence.results[-1], value=b"{}")


def an_answer_to_no_record(evidence):
    last = evidence.results[-1]
    headers = tuple((name, b"99999" if name == "command-offset" else value)
                    for name, value in last.headers)
    evidence.results.append(dataclasses.replace(last, headers=headers))


def two_first_answers(evidence):
    """Both answers to one record say that they are no replay."""
    for at, each in enumerate(evidence.results):
        headers = tuple((name, b"false" if name == "idempotent-replayed" else value)
                        for name, value in each.headers)
        evidence.results[at] = dataclasses.replace(each, headers=headers)


def a_dead_letter_is_missing(evidence):
    evidence.dead_letters.pop()


def a_dead_letter_was_changed(evidence):
    evidence.dead_letters[-1] = dataclasses.replace(evidence.dead_letters[-1], value=b"other")


def a_dead_row_is_missing(evidence):
    evidence.tables["dead_letter"].pop()


def poison_for_a_valid_command(evidence):
    kept = row(evidence, "inbox", outcome="applied")
    evidence.tables["dead_letter"].append({
        **evidence.tables["dead_letter"][0], "partition": kept["partition"],
        "offset": kept["offset"], "outcome": "poison", "code": "refused_by_database"})


DAMAGES = [
    an_acknowledged_send_is_gone, another_record_than_was_sent, a_record_that_nobody_sent,
    two_acknowledgements_for_one_place, a_commit_beyond_the_database, a_key_was_never_decided,
    a_key_was_decided_by_another_record, a_refusal_became_applied,
    a_refusal_that_was_never_true, two_balances_are_off, a_movement_is_gone,
    a_movement_is_there_twice, an_amount_is_off, two_movements_have_changed_places,
    an_answer_is_missing, an_answer_too_many, an_answer_has_other_bytes,
    an_answer_to_no_record, two_first_answers, a_dead_letter_is_missing,
    a_dead_letter_was_changed, a_dead_row_is_missing, poison_for_a_valid_command]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_invalid(evidence, damage):
    damaged = copy.deepcopy(evidence)
    damage(damaged)
    verdict = judge.judge(damaged)
    assert verdict.verdict == judge.INVALID and verdict.findings


def test_a_rewind_that_is_not_in_the_journal_is_seen(evidence):
    damaged = copy.deepcopy(evidence)
    damaged.journal.rewound.clear()
    assert judge.judge(damaged).verdict == judge.INVALID


def test_a_send_that_was_not_acknowledged_may_be_there(evidence):
    """A failed send is one that may have arrived all the same, but only once."""
    allowed = copy.deepcopy(evidence)
    record = unique(allowed)
    content = allowed.journal.sent.pop(record.place)
    assert judge.judge(allowed).verdict == judge.INVALID
    allowed.journal.failed[content] = 1
    assert judge.judge(allowed).verdict == judge.VALID


def test_an_acknowledgement_without_an_offset_is_one_of_a_record_somewhere(evidence, tmp_path):
    allowed = copy.deepcopy(evidence)
    record = unique(allowed)
    written = Journal(tmp_path / "journal.jsonl")
    written.sent(0, None, allowed.journal.sent.pop(record.place))
    written.mark_end()
    allowed.journal.somewhere = Read(tmp_path / "journal.jsonl").somewhere
    assert judge.judge(allowed).verdict == judge.VALID
    allowed.commands.remove(record)
    assert ("acknowledged without an offset, and not on the topic"
            in judge.judge(allowed).findings)


def unique(evidence):
    """A record whose content was sent once."""
    times = collections.Counter(evidence.journal.sent.values())
    return next(record for record in reversed(evidence.commands)
                if times[evidence.journal.sent[record.place]] == 1)


def test_a_record_that_kafka_wrote_twice_is_one_more_duplicate(evidence):
    """Without an acknowledgement of its own; of one that was never sent, more than that."""
    copied = copy.deepcopy(evidence)
    times = collections.Counter(copied.journal.sent.values())
    record = next(each for each in copied.commands
                  if times[copied.journal.sent[each.place]] > 1)
    copied.journal.sent.pop(record.place)
    verdict = judge.judge(copied)
    assert verdict.verdict == judge.VALID and verdict.counts["written twice by Kafka"] == 1


# ---- refusals: whether there was a moment at which they were true ----------------------

def books_of_one_refund():
    """Opened at 0/0 and 0/1, paid at 0/2, and refunded in part at 0/6."""
    def decided(offset, operation, payment_id=None, outcome="applied", **fields):
        record = types.SimpleNamespace(place=(0, offset), partition=0, offset=offset)
        return ({"payment_id": payment_id, "outcome": outcome}, record,
                types.SimpleNamespace(operation=operation, fields={"currency": "USD", **fields}))

    def moved(payment_id, debit, credit, amount, balance, version, refunds=None):
        return {"payment_id": payment_id, "debit_account_id": debit, "credit_account_id": credit,
                "amount_minor": amount, "debit_balance_minor": -balance,
                "credit_balance_minor": balance, "debit_version": version,
                "credit_version": version, "refunds": refunds}
    accounts = [{"account_id": number, "name": name, "currency": "USD",
                 "minimum_balance_minor": None, "balance_minor": balance, "version": 2}
                for number, name, balance in ((1, "a", -40), (2, "b", 40))]
    found = books.Books(accounts, [moved("pay", 1, 2, 100, 100, 1),
                                   moved("back", 2, 1, 60, -40, 2, "pay")], {
        "a": decided(0, "open_account", account="a", minimum=None),
        "b": decided(1, "open_account", account="b", minimum=None),
        "pay": decided(2, "transfer", "pay"), "back": decided(6, "refund", "back")})
    assert not [*found._opened(), *found._histories(), *found._refunds()]
    return found


@pytest.mark.parametrize("offset, code, fields, right", [
    (7, "refund_exceeds_payment", {"payment_id": "pay", "amount": 41}, True),
    (7, "refund_exceeds_payment", {"payment_id": "pay", "amount": 40}, False),
    (5, "refund_exceeds_payment", {"payment_id": "pay", "amount": 41}, False),
    (5, "refund_exceeds_payment", {"payment_id": "pay", "amount": 101}, True),
    (3, "account_exists", {"account": "b"}, True),
    (0, "account_exists", {"account": "b"}, False),
    (0, "account_exists", {"account": "c"}, False)])
def test_a_refusal_was_true_when_it_was_decided_or_never(offset, code, fields, right):
    record = types.SimpleNamespace(place=(0, offset), partition=0, offset=offset)
    command = types.SimpleNamespace(operation="refund", fields={"currency": "USD", **fields})
    problem = books_of_one_refund()._refusal(code, record, command)
    assert (problem is None) == right


# ---- what cannot be known --------------------------------------------------------------

def without_its_last_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def without_a_line_in_the_middle(path):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[4:]))


def without_half_of_its_last_line(path):
    text = path.read_text()
    path.write_text(text[:-4])


@pytest.mark.parametrize("name", ["journal.jsonl", "commands.jsonl", "results.jsonl",
                                  "inbox.jsonl", "account.jsonl"])
@pytest.mark.parametrize("cut", [
    without_its_last_line, without_a_line_in_the_middle, without_half_of_its_last_line,
    lambda path: path.unlink(), lambda path: path.write_text("")],
    ids=["last line", "middle", "half a line", "file", "all"])
def test_incomplete_files_are_unknown(judged, tmp_path, name, cut):
    shutil.copytree(judged, tmp_path, dirs_exist_ok=True)
    cut(tmp_path / name)
    assert judge.judge_files(tmp_path).verdict == judge.UNKNOWN


def test_records_that_are_not_decided_yet_are_unknown(judged, tmp_path):
    shutil.copytree(judged, tmp_path, dirs_exist_ok=True)
    facts = json.loads((tmp_path / "facts.json").read_text())
    facts["committed"]["0"] -= 1
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    assert judge.judge_files(tmp_path).verdict == judge.UNKNOWN


def test_the_exit_code_tells_the_verdict(judged, tmp_path, capsys):
    assert judge.main([str(judged)]) == 0
    counts, verdict = capsys.readouterr().out.splitlines()[-2:]
    assert verdict == "valid" and json.loads(counts)["applied"] > 0
    assert judge.main([str(tmp_path)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "unknown"
    assert judge.main([]) == 2


# ---- the report ------------------------------------------------------------------------

@pytest.fixture
def total():
    found = report.Total(1)
    found.counters = collections.Counter({
        "commands": 10, "verdicts valid": 1, "duplicate": 1, "conflict": 1, "malformed": 1,
        "rejected": 1})
    found.attempted["kill"] = found.effective["kill"] = 10
    return found


def test_a_run_without_violations_whose_faults_took_effect_passes(total):
    assert total.exit_code() == 0 and total.void() == []


def test_a_run_whose_faults_had_no_effect_is_void(total):
    total.attempted["cut"] = report.NEVER_IN_VAIN
    assert total.exit_code() == 4 and "cut" in total.void()[0]
    total.effective.clear()
    assert len(total.void()) == 3


def test_a_load_that_is_not_mixed_enough_is_void(total):
    total.counters["duplicate"] = 0
    assert total.exit_code() == 4 and "duplicate" in total.void()[0]


def test_a_violation_fails_whatever_took_effect(total):
    total.violations.append("I4: …")
    assert total.exit_code() == 1 and "VIOLATION: I4" in total.as_markdown()


def test_reports_are_added_up(total, tmp_path, capsys):
    file = tmp_path / "one.json"
    file.write_text(total.as_json())
    assert report.main([str(file), str(file)]) == 1
    shown = capsys.readouterr().out
    assert "| kill -9 of consumers | 20 | 1000 |" in shown
    assert "NOT ENOUGH: kill -9 of consumers: 20 of 1000" in shown


def test_a_report_that_reaches_its_goals_passes(total, tmp_path, capsys):
    for name in ("kill", "fenced_zombie", "postgres_crash_in_commit", "broker_kill",
                 "rewind_time"):
        total.effective[name] = total.attempted[name] = 1000
    total.counters["rebalances"] = 300
    file = tmp_path / "one.json"
    file.write_text(total.as_json())
    assert report.main([str(file)]) == 0
    assert "NOT ENOUGH" not in capsys.readouterr().out


def test_a_digest_tells_records_apart():
    one = Record(b"x", headers=[("idempotency-key", b"k")])
    others = [Record(b"x"), Record(b"y", headers=one.headers), Record(None, headers=one.headers),
              Record(b"x", headers=[("idempotency-key", None)]),
              Record(b"x", headers=[*one.headers, ("a", b"b")])]
    names = {digest(each.value, each.headers) for each in [one, *others]}
    assert len(names) == 1 + len(others)


# ---- what consumers say ----------------------------------------------------------------

def said(path, *events):
    with open(path, "a") as file:
        for number, (event, more) in enumerate(events):
            file.write(json.dumps({"time": f"2026-01-01T00:00:{number:02}Z", "event": event,
                                   **more}) + "\n")


def test_a_log_tells_who_reads_what_was_said_and_what_it_may_not_show(tmp_path):
    log = Log(tmp_path / "log", ["secret"])
    log.poll()
    assert not log.reads() and not log.events
    said(log.path, ("reading", {}), ("posting_failed", {"status": "in_doubt"}))
    log.poll()
    assert log.reads() and log.count("posting_failed:in_doubt") == 1 == log.trouble()
    said(log.path, ("lost", {}))
    log.poll()
    assert not log.reads() and log.seen_in_run("reading")
    log.run += 1
    assert not log.seen_in_run("reading")
    with open(log.path, "a") as file:
        file.write("WARNING: not ours\n" + json.dumps({"event": "x", "text": "a secret"}) + "\n")
    log.poll()
    assert len(log.foreign) == 1 and len(log.leaks) == 1


def test_generations_are_counted_from_who_is_assigned_again(tmp_path):
    logs = []
    for name, times in (("a", (0, 1, 2)), ("b", (0, 2)), ("c", (2,))):
        log = Log(tmp_path / name, [])
        for time in times:
            log.events.append({"event": "assigned", "time": f"{time}", "run": 1})
        logs.append(log)
    assert generations(logs) == 3
    assert generations([]) == 0
