"""The oracle: valid, invalid or unknown, from the files of one phase (journal, dump).

An independent program: it shares no code with the product, and it asks nobody. What it
cannot see completely makes the verdict unknown, and unknown fails like invalid.
"""

import collections
import dataclasses
import json
import pathlib
import sys
import types

from harness import oracle, verify

from . import dump, journal
from .books import Books
from .journal import Incomplete

FINDINGS_SHOWN = 40
VALID, INVALID, UNKNOWN = "valid", "invalid", "unknown"


@dataclasses.dataclass
class Evidence:
    """All there is to judge, read once."""

    journal: journal.Read
    facts: dict
    commands: list
    results: list
    dead_letters: list
    tables: dict


@dataclasses.dataclass
class Verdict:
    verdict: str
    findings: list
    counts: dict


def read(directory):
    directory = pathlib.Path(directory)
    facts = dump.read_facts(directory)
    try:
        sent = journal.Read(directory / "journal.jsonl")
    except OSError as error:
        raise Incomplete(f"the journal: {error.strerror}") from None
    topics = {name: dump.read_records(directory / f"{name}.jsonl", facts[name])
              for name in dump.TOPICS}
    tables = {name: dump.read_lines(directory / f"{name}.jsonl") for name in dump.TABLES}
    return Evidence(sent, facts, *(topics[name] for name in dump.TOPICS), tables)


class Case:
    """The checks; each adds to the findings."""

    def __init__(self, evidence):
        self.evidence = evidence
        self.findings = []
        self.by_place = {record.place: record for record in evidence.commands}
        self.parsed = {record.place: oracle.read_command(record)
                       for record in evidence.commands}
        self.inbox = {row["key"]: row for row in evidence.tables["inbox"]}
        self.dead = {(row["partition"], row["offset"]): row
                     for row in evidence.tables["dead_letter"]}
        self.outcomes = {}  # place -> (outcome, code, the answer's bytes or None)
        self.counts = {}
        self.copies = 0  # records that Kafka wrote twice

    def judge(self):
        self._everything_was_decided()
        self._acknowledged_is_there()
        self._decided_by_whom()
        self._outcomes()
        self._answers()
        self._letters()
        self._count()
        return Verdict(INVALID if self.findings else VALID, self.findings, self.counts)

    def _find(self, sentence):
        self.findings.append(sentence)

    # ---- what Kafka had promised ----

    def _everything_was_decided(self):
        facts = self.evidence.facts
        last = {}
        for partition, offset in self.by_place:
            last[partition] = max(offset, last.get(partition, -1))
        behind = [partition for partition, offset in last.items()
                  if facts["committed"].get(partition, 0) <= offset]
        if behind:
            raise Incomplete(f"partitions {behind} are not decided to their end")
        rows = {row["partition"]: row["next_offset"]
                for row in self.evidence.tables["stream_position"]}
        for partition, committed in facts["committed"].items():
            if rows.get(partition, -1) < committed:
                self._find(f"I4: partition {partition} is committed up to {committed}, the "
                           f"database knows {rows.get(partition)}")
            if rows.get(partition, 0) > facts["ends"][partition]:
                self._find(f"partition {partition}: next_offset is beyond the log's end")

    def _acknowledged_is_there(self):
        sent = self.evidence.journal
        for place in sent.twice:
            self._find(f"two sends were acknowledged at {place}")
        for place, content in sent.sent.items():
            record = self.by_place.get(place)
            if record is None:
                self._find(f"acknowledged at {place}, and not on the topic")
            elif journal.digest(record.value, record.headers) != content:
                self._find(f"another record than was acknowledged stands at {place}")
        self._others({place: journal.digest(record.value, record.headers)
                      for place, record in self.by_place.items() if place not in sent.sent})

    def _others(self, contents):
        """Records that no acknowledgement points at. A copy of what was acknowledged elsewhere
        is Kafka's own: an idempotent producer may still write a record twice when its leader
        dies. It is one more duplicate."""
        sent = self.evidence.journal
        there = collections.Counter(contents.values())
        for content, times in sent.somewhere.items():
            if there[content] < times:
                self._find("acknowledged without an offset, and not on the topic")
        acknowledged = {*sent.sent.values(), *sent.somewhere}
        left = collections.Counter(sent.failed) + collections.Counter(sent.somewhere)
        for place, content in contents.items():
            left[content] -= 1
            if left[content] >= 0:
                continue
            if content in acknowledged:
                self.copies += 1
            else:
                self._find(f"nobody sent the record at {place}")

    # ---- one outcome for each record ----

    def _decided_by_whom(self):
        decided = {}
        for key, row in self.inbox.items():
            place = row["partition"], row["offset"]
            command = self.parsed.get(place)
            if command is None or command.code is not None or command.key != key:
                self._find(f"{key} was decided by {place}, which is no such command")
            else:
                decided[key] = (row, self.by_place[place], command)
        books = Books(self.evidence.tables["account"], self.evidence.tables["transfer"], decided)
        self.findings += books.findings()

    def _outcomes(self):
        unkept = oracle.Books()
        for place, command in self.parsed.items():
            verdict = None
            if command.code is not None:
                verdict = unkept.unkept(command, "malformed", command.code)
            elif self._is_conflict(place, command):
                verdict = unkept.unkept(command, "conflict", "key_reused")
            if verdict is None:
                self._kept(place, command)
            else:
                self._unkept(place, verdict)
        for place in set(self.dead) - set(self.outcomes):
            self._find(f"a dead_letter row for {place}, which is no record")

    def _is_conflict(self, place, command):
        row = self.inbox.get(command.key)
        first = row and self.parsed.get((row["partition"], row["offset"]))
        return first is not None and first.fingerprint != command.fingerprint

    def _kept(self, place, command):
        row = self.inbox.get(command.key)
        if place in self.dead:
            self._find(f"{place}: {self.dead[place]['outcome']} {self.dead[place]['code']} for "
                       "a command that is valid and no conflict")
        if row is None:
            self._find(f"I3: {command.key} at {place} was never decided")
            return
        if place[0] == row["partition"] and place[1] < row["offset"]:
            self._find(f"{command.key}: decided at {row['offset']}, after {place}")
        self.outcomes[place] = (row["outcome"], row["code"], bytes.fromhex(row["result"][2:]))

    def _unkept(self, place, verdict):
        row = self.dead.get(place)
        if row is None:
            self._find(f"I3: {verdict.outcome} at {place} left no dead_letter row")
            return
        found = row["outcome"], row["code"], row["key"], row["result"] is None
        if found != (verdict.outcome, verdict.code, verdict.key, verdict.result is None):
            self._find(f"{place} is {found} instead of {verdict.outcome} {verdict.code}")
        answer = row["result"] and bytes.fromhex(row["result"][2:])
        if answer and verdict.result:
            problem = oracle.result_differs(verdict.result, answer)
            if problem is not None:
                self._find(f"answer to {place}: {problem}")
        self.outcomes[place] = (verdict.outcome, verdict.code, answer)

    # ---- what was answered ----

    def _deliveries(self, place):
        """How often the record had to be answered: once, and once more for each rewind."""
        partition, offset = place
        return 1 + sum(target <= offset < committed
                       for ranges in self.evidence.journal.rewound
                       for target, committed in [ranges.get(partition, (0, 0))])

    def _grouped(self, records, prefix):
        found = {}
        for each in records:
            if each.header(f"{prefix}-topic") != self.evidence.facts["commands"]:
                self._find(f"{each.topic} {each.place} is about another topic")
            place = int(each.header(f"{prefix}-partition")), int(each.header(f"{prefix}-offset"))
            found.setdefault(place, []).append(each)
        for place in sorted(set(found) - set(self.by_place)):
            self._find(f"{prefix}: an answer to {place}, which is no record")
        return found

    def _answers(self):
        found = self._grouped(self.evidence.results, "command")
        for place, (outcome, _, answer) in self.outcomes.items():
            wanted = 0 if answer is None else self._deliveries(place)
            answers = found.get(place, [])
            if len(answers) != wanted:
                self._find(f"I17: {len(answers)} visible answers to {place}, due are {wanted}")
            for each in answers:
                self._answer(place, outcome, answer, each)
            fresh = sum(each.header("idempotent-replayed") == "false" for each in answers)
            if fresh > (1 if self._is_decider(place) else 0):
                self._find(f"{fresh} answers to {place} say that they are no replay")

    def _is_decider(self, place):
        command = self.parsed[place]
        row = self.inbox.get(command.key) if command.code is None else None
        return row is None or place in self.dead or (row["partition"], row["offset"]) == place

    def _answer(self, place, outcome, answer, found):
        record, key = self.by_place[place], self.parsed[place].key
        if found.value != answer:
            self._find(f"I5: an answer to {place} has other bytes than the stored one")
        try:
            verify.check_answer_headers(
                record, found, types.SimpleNamespace(key=key, outcome=outcome),
                types.SimpleNamespace(commands=self.evidence.facts["commands"]))
        except AssertionError as error:
            self._find(f"headers of an answer to {place}: {error}")

    def _letters(self):
        found = self._grouped(self.evidence.dead_letters, "dead-letter")
        topic = types.SimpleNamespace(commands=self.evidence.facts["commands"])
        for place, (outcome, code, _) in self.outcomes.items():
            wanted = self._deliveries(place) if place in self.dead else 0
            letters = found.get(place, [])
            if len(letters) != wanted:
                self._find(f"{len(letters)} dead letters of {place}, due are {wanted}")
            for each in letters:
                try:
                    verify.check_dead_letter(self.by_place[place], each, outcome, code, topic)
                except AssertionError as error:
                    self._find(f"dead letter of {place}: {error}")

    # ---- what there was ----

    def _count(self):
        counts = self.counts
        sent = self.evidence.journal
        counts["acknowledged"] = len(sent.sent) + sum(sent.somewhere.values())
        counts["commands"] = len(self.by_place)
        counts["deliveries"] = sum(map(self._deliveries, self.by_place))
        counts["answers"] = len(self.evidence.results)
        counts["written twice by Kafka"] = self.copies
        for place, (outcome, _, _) in self.outcomes.items():
            if outcome in ("applied", "rejected") and not self._is_decider(place):
                outcome = "duplicate"
            counts[outcome] = counts.get(outcome, 0) + 1


def judge(evidence):
    return Case(evidence).judge()


def judge_files(directory):
    try:
        return judge(read(directory))
    except Incomplete as why:
        return Verdict(UNKNOWN, [str(why)], {})


def main(arguments):
    if len(arguments) != 1:
        print("usage: tests/campaign/oracle DIRECTORY", file=sys.stderr)
        return 2
    verdict = judge_files(arguments[0])
    for finding in verdict.findings[:FINDINGS_SHOWN]:
        print(finding)
    if len(verdict.findings) > FINDINGS_SHOWN:
        print(f"… and {len(verdict.findings) - FINDINGS_SHOWN} more")
    print(json.dumps(verdict.counts, sort_keys=True))
    print(verdict.verdict)
    return {VALID: 0, INVALID: 1, UNKNOWN: 3}[verdict.verdict]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
