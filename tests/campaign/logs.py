"""What a consumer says, as events: the evidence for faults, and I13 over every byte."""

import collections
import itertools
import json


class Log:
    """Follows the log of one consumer over its restarts. Events are kept as dictionaries in
    their order, each with the `run` of the process that wrote it."""

    def __init__(self, path, planted):
        self.path = path
        self.events = []
        self.run = 0
        self.leaks = []    # lines that hold what no log may hold
        self.foreign = []  # lines that are no events
        self._planted = [text.encode() for text in planted]
        self._at = 0
        self._counts = collections.Counter()

    def poll(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self._at)
                data = file.read()
        except OSError:
            return
        whole = data.rpartition(b"\n")[0]
        if not whole:
            return
        self._at += len(whole) + 1
        for line in whole.split(b"\n"):
            self._take(line)

    def _take(self, line):
        if any(text in line for text in self._planted):
            self.leaks.append(line.decode("utf-8", "replace"))
        try:
            event = json.loads(line)
            name = event["event"]
        except (ValueError, KeyError, TypeError):
            self.foreign.append(line.decode("utf-8", "replace"))
            return
        event["run"] = self.run
        self.events.append(event)
        self._counts[name] += 1
        if name == "posting_failed":
            self._counts[f"posting_failed:{event.get('status')}"] += 1
            self._counts[f"sqlstate:{event.get('sqlstate')}"] += 1

    def count(self, name):
        """How often an event was seen; also "posting_failed:STATUS", "sqlstate:STATE"."""
        return self._counts[name]

    def trouble(self):
        """A number that grows when the consumer has noticed anything wrong with Postgres."""
        return self._counts["posting_failed"] + self._counts["claim_failed"]

    def seen_in_run(self, name):
        """Whether the process that runs now has said this."""
        return any(event["event"] == name for event in self._of_run())

    def reads(self):
        """Whether the process that runs now has claimed partitions and still has them."""
        for event in self._of_run():
            if event["event"] in ("reading", "revoked", "lost"):
                return event["event"] == "reading"
        return False

    def _of_run(self):
        """The youngest first."""
        return itertools.takewhile(lambda event: event["run"] == self.run,
                                   reversed(self.events))


def generations(logs):
    """At least so many generations of the group assigned partitions: an instance that is
    assigned a second time begins a new one."""
    told = sorted((event["time"], number) for number, log in enumerate(logs)
                  for event in log.events if event["event"] == "assigned")
    count, inside = 0, set()
    for _, number in told:
        if number in inside or not inside:
            count, inside = count + 1, set()
        inside.add(number)
    return count
