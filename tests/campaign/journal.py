"""The journal of a phase: what Kafka has acknowledged and which rewinds were made, one JSON
object a line, appended while it happens. The oracle believes it before it believes a topic.

    {"sent": [partition, offset], "digest": …}    acknowledged, and where; no offset: Kafka
                                                  had it already and does not say where
    {"failed": digest}                            not acknowledged: may be on the topic or not
    {"rewound": {partition: [target, committed]}} these records are answered once more
    {"end": count}                                closed in order, after so many lines
"""

import hashlib
import json
import threading


def digest(value, headers):
    """Names a record by its content: the value and all headers."""
    found = hashlib.sha1(b"-" if value is None else b"+" + value)
    for name, text in headers:
        found.update(b"\0" + name.encode() + b"\0" + (b"-" if text is None else b"+" + text))
    return found.hexdigest()


class Journal:
    def __init__(self, path):
        self._file = open(path, "a", buffering=1 << 16)
        self._lock = threading.Lock()
        self._lines = 0

    def _write(self, line):
        with self._lock:
            self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
            self._lines += 1

    def sent(self, partition, offset, content):
        self._write({"sent": [partition, offset], "digest": content})

    def failed(self, content):
        self._write({"failed": content})

    def rewound(self, ranges):
        """{partition: (target, committed)}, of a group that nobody was in."""
        self._write({"rewound": {str(each): list(ends) for each, ends in ranges.items()}})
        self.flush()

    def flush(self):
        with self._lock:
            self._file.flush()

    def mark_end(self):
        """Says that nothing is missing up to here; more may follow."""
        self._write({"end": self._lines})
        self.flush()

    def close(self):
        self._file.close()


class Incomplete(Exception):
    """What was read does not tell everything: no verdict can rest on it."""


class Read:
    """A journal that was closed in order."""

    def __init__(self, path):
        self.sent = {}     # (partition, offset) -> digest
        self.somewhere = {}  # digest -> how often acknowledged without an offset
        self.failed = {}   # digest -> how often
        self.rewound = []  # {partition: (target, committed)}
        self.twice = []    # places that were acknowledged more than once
        ended = False
        with open(path) as file:
            for number, line in enumerate(file):
                ended = self._take(number, line)
        if not ended:
            raise Incomplete("the journal has no end")

    def _take(self, number, line):
        try:
            entry = json.loads(line)
        except ValueError:
            raise Incomplete(f"line {number + 1} of the journal is broken") from None
        if "sent" in entry:
            self._take_sent(tuple(entry["sent"]), entry["digest"])
        elif "failed" in entry:
            self.failed[entry["failed"]] = self.failed.get(entry["failed"], 0) + 1
        elif "rewound" in entry:
            self.rewound.append({int(partition): tuple(ends)
                                 for partition, ends in entry["rewound"].items()})
        elif entry.get("end") != number:
            raise Incomplete(f"line {number + 1} of the journal: lines are missing before it")
        return "end" in entry

    def _take_sent(self, place, content):
        if place[1] is None:
            self.somewhere[content] = self.somewhere.get(content, 0) + 1
            return
        if place in self.sent:
            self.twice.append(place)
        self.sent[place] = content
