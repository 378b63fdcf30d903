"""tests/campaign/report FILE…: one Markdown page from the reports of one run or of several.
Exit 1 if anything went wrong, proves nothing, or is less than what is wanted.

Only counters are printed, so that no number is ever typed by hand.
"""

import collections
import json
import subprocess
import sys

import confluent_kafka
import psycopg

from harness import kafka
from harness.postgres import connect
from harness.product import TOP

NEVER_IN_VAIN = 5  # a fault attempted so often must have taken effect at least once
# The least parts of all commands that a load must have to prove anything.
SHARES = (("duplicate", 0.10), ("conflict", 0.02), ("malformed", 0.02), ("rejected", 0.10))
# What all runs together must have shown before the promise counts as tested.
GOALS = {
    "kill -9 of consumers": 1000, "zombies": 100, "of these stopped by the fence": 50,
    "PostgreSQL crashes": 200, "of these with a COMMIT in doubt": 50, "broker kills": 50,
    "rebalances (generations seen, at least)": 300, "rewinds with equal books": 20}
_TABLES = ("counters", "attempted", "effective", "no_occasion")


class Total:
    """The counters of all phases of a run."""

    def __init__(self, seed):
        self.seeds = [seed]
        self.commits = [_commit()]
        self.versions = {}
        self.minutes = 0.0
        self.phases = 0
        self.broken = 0  # phases that ended by an error of the machinery
        self.violations = []
        self.maxima = {}
        self.counters = collections.Counter()
        self.attempted = collections.Counter()
        self.effective = collections.Counter()
        self.no_occasion = collections.Counter()

    def note_versions(self, ground):
        with connect(ground.postgres.admin_url) as connection:
            postgres = connection.execute("SHOW server_version").fetchone()[0]
        self.versions = {
            "PostgreSQL": postgres, "Kafka": kafka.VERSION,
            "librdkafka (consumers)": _linked_librdkafka(),
            "librdkafka (load)": confluent_kafka.libversion()[0],
            "brokers": len(ground.kafka.brokers), "psycopg": psycopg.__version__}

    def add(self, outcome):
        self.phases += 1
        for name in _TABLES:
            getattr(self, name).update(getattr(outcome, name))
        for name, value in outcome.maxima.items():
            self.maxima[name] = max(value, self.maxima.get(name, 0))
        self.violations += outcome.violations

    def add_up(self, other):
        """Another run's report, as read from its file."""
        self.seeds += other["seeds"]
        self.commits = sorted(set(self.commits) | set(other["commits"]))
        for name, value in other["versions"].items():
            if self.versions.setdefault(name, value) != value:
                self.versions[name] = f"{self.versions[name]}, {value}"
        self.minutes += other["minutes"]
        self.phases += other["phases"]
        self.broken += other["broken"]
        self.violations += other["violations"]
        for name in _TABLES:
            getattr(self, name).update(other[name])
        for name, value in other["maxima"].items():
            self.maxima[name] = max(value, self.maxima.get(name, 0))

    # ---- judged ----

    def void(self):
        """Why the run proves nothing; empty when it does prove something."""
        reasons = [f"{name} was attempted {count} times and never took effect"
                   for name, count in sorted(self.attempted.items())
                   if count >= NEVER_IN_VAIN and not self.effective[name]]
        if not sum(self.effective.values()):
            reasons.append("no fault took effect")
        if not self.counters["commands"]:
            reasons.append("no command was judged")
        return reasons + [f"{name}: only {self.share(name):.1%} of the commands, wanted are"
                          f" {least:.0%}" for name, least in SHARES if self.share(name) < least]

    def share(self, name):
        return self.counters[name] / max(1, self.counters["commands"])

    def short_of(self):
        """The goals that are not reached."""
        return [f"{name}: {count} of {GOALS[name]}" for name, count in self.sums().items()
                if count < GOALS.get(name, 0)]

    def exit_code(self):
        if self.violations or self.broken or not self.counters["verdicts valid"]:
            return 1
        return 4 if self.void() else 0

    # ---- told ----

    def as_json(self):
        return json.dumps({
            "seeds": self.seeds, "commits": self.commits, "versions": self.versions,
            "minutes": self.minutes, "phases": self.phases, "broken": self.broken,
            "violations": self.violations, "maxima": self.maxima,
            **{name: dict(sorted(getattr(self, name).items())) for name in _TABLES}}, indent=1)

    def sums(self):
        """The kinds of faults that the promise is about, added up over the ways to make
        them."""
        effective = self.effective

        def of(*names):
            return sum(effective[name] for name in names)
        crashes = ("postgres_immediate", "postgres_kill", "postgres_crash_in_commit",
                   "backend_kill")
        return {
            "kill -9 of consumers": of("kill"),
            "zombies": of("zombie", "long_zombie", "fenced_zombie"),
            "of these stopped by the fence": of("fenced_zombie"),
            "PostgreSQL crashes": of(*crashes),
            "of these with a COMMIT in doubt": of("postgres_crash_in_commit"),
            "broker kills": of("broker_kill", "coordinator_kill",
                                "transaction_coordinator_kill"),
            "rebalances (generations seen, at least)": self.counters["rebalances"],
            "rewinds with equal books": of("rewind_earliest", "rewind_time"),
            "groups deleted, with equal books": of("rewind_deleted")}

    def as_text(self):
        lines = [f"{name}: {count}" for name, count in self.sums().items()]
        lines += [f"void: {reason}" for reason in self.void()]
        counters = " ".join(f"{name}={count}" for name, count in sorted(self.counters.items()))
        passed = 0 if self.exit_code() else self.phases
        return "\n".join([*lines, counters, f"{self.minutes:.1f} minutes, {self.phases} phases, "
                          f"{len(self.violations)} violations",
                          f"{passed} passed, {self.phases - passed} failed"])

    def as_markdown(self):
        facts = [("commit", ", ".join(self.commits)),
                 ("seeds", ", ".join(map(str, self.seeds))),
                 *sorted(self.versions.items()), ("minutes", f"{self.minutes:.0f}"),
                 ("phases, each judged by the oracle", self.phases),
                 *((f"{name}, of all commands", f"{self.share(name):.1%}")
                   for name, _ in SHARES),
                 ("violations", len(self.violations)), ("phases broken off", self.broken)]
        return "\n".join([
            "# The campaign's report", "",
            "Printed by `tests/campaign/report` from the counters of `tests/campaign/run`.", "",
            *_table(("run", ""), facts), "", "## What took effect", "",
            *_table(("fault", "times", "wanted"), (
                (name, count, GOALS.get(name, "")) for name, count in self.sums().items())),
            "", "## Every kind of fault", "",
            "No occasion: nobody was at work, so nothing was attempted.", "",
            *_table(("fault", "attempted", "took effect", "no occasion"), (
                (name, self.attempted[name], self.effective[name], self.no_occasion[name])
                for name in sorted(set(self.attempted) | set(self.no_occasion)))),
            "", "## What was seen", "", *_table(("counter", ""), sorted(self.counters.items())),
            "", *_table(("highest", ""), ((name, f"{value:.1f}") for name, value
                                          in sorted(self.maxima.items()))),
            *[f"\nNOT ENOUGH: {goal}" for goal in self.short_of()],
            *[f"\nVOID: {reason}" for reason in self.void()],
            *[f"\nVIOLATION: {sentence}" for sentence in self.violations]])


def _table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def _commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"],
                          cwd=TOP, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _linked_librdkafka():
    """Of the library that the programs under test are linked with."""
    done = subprocess.run(["pkg-config", "--modversion", "rdkafka"], capture_output=True,
                          text=True)
    return done.stdout.strip() or "unknown"


def main(files):
    if not files or files[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if files else 2
    total = Total(0)
    total.seeds, total.commits = [], []
    for file in files:
        with open(file) as opened:
            total.add_up(json.load(opened))
    print(total.as_markdown())
    return 1 if total.exit_code() or total.short_of() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
