"""One phase: a deployment of its own, load, faults of one kind or of all, healing, the
verdict; then rewinds, and the verdict again. Each phase is judged by itself, so that hours
of campaign need no more memory or disk than minutes.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
import random
import shutil
import subprocess
import sys
import time

from harness.deployment import Deployment
from harness.product import TOP
from harness.topics import delete_topics, forget_group

from . import dump
from .journal import Journal
from .load import Commands, Load
from .logs import generations
from .nemesis import Nemesis
from .observers import Observers, lag_is_zero
from .world import World

LAG_ZERO_S = 60
REWINDS = ("earliest", "time", "deleted")
SAMPLES_PER_S = 0.5  # at least, however much of the time the servers are away

_BOOKS = ("SELECT * FROM postonce.account ORDER BY account_id",
          "SELECT * FROM postonce.transfer ORDER BY payment_id",
          "SELECT key, operation, client, fingerprint, outcome, code, payment_id, result"
          " FROM postonce.inbox ORDER BY key")


@dataclasses.dataclass
class Plan:
    """What a phase is made of."""

    number: int
    seed: int
    faults: list
    at_once: int
    seconds: float
    consumers: int
    per_second: float
    rewinds: tuple
    partitions: int = 6


@dataclasses.dataclass
class Outcome:
    """What came of it: counters, and sentences about what must not be."""

    counters: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    attempted: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    effective: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    no_occasion: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    maxima: dict = dataclasses.field(default_factory=dict)
    violations: list = dataclasses.field(default_factory=list)

    def highest(self, name, value):
        self.maxima[name] = max(value, self.maxima.get(name, 0))


def books_digest(deployment):
    """I7: SHA-256 over accounts, transfers and inbox outcomes."""
    digest = hashlib.sha256()
    for statement in _BOOKS:
        for row in deployment.query(statement):
            digest.update(repr(list(row.values())).encode())
    return digest.hexdigest()


class Phase:
    def __init__(self, ground, directory, plan):
        self.plan = plan
        self.outcome = Outcome()
        self._directory = directory / f"phase-{plan.number}"
        shutil.rmtree(self._directory, ignore_errors=True)
        self._ground = ground
        self._random = random.Random(plan.seed)
        self._deployment = Deployment(ground.postgres, ground.kafka, self._directory,
                                      "campaign", plan.partitions).migrate()
        self._journal = Journal(self._directory / "journal.jsonl")
        self._observers = Observers(self._deployment, ground.kafka_to_observe,
                                    lambda: self._world.processes())
        self._world = World(ground, self._deployment, self._observers, plan.seed,
                            plan.consumers)
        self._load = Load(self._deployment, Commands(plan.seed, plan.partitions),
                          plan.per_second, self._journal)

    @property
    def directory(self):
        return self._directory

    # ---- the course of it ----

    def run(self):
        """The outcome. Raises only for what is no fault of the product."""
        opening = self._load.send_opening(self._deployment)
        self._world.start()
        self._observers.start()
        if self._wait_lag_zero() is None:
            raise AssertionError("the consumers did not get to work")
        self._load.start()
        nemesis = Nemesis(self._world, self.plan.faults, self.plan.at_once, self._random,
                          self._directory / "faults.txt")
        nemesis.run(self.plan.seconds)
        nemesis.finish()
        self._heal()
        healed = time.monotonic()
        self._load.stop()
        self._require_lag_zero(healed)
        self._take(nemesis, opening)
        self._world.stop_consumers()
        self._judge("after the faults", "--never-rewound")
        for kind in self.plan.rewinds:
            self._rewind(kind)
        if self.plan.rewinds:
            self._judge("after the rewinds")
        self._observers.stop()
        self._take_the_rest()
        return self.outcome

    def close(self, keep=False):
        """Ends and removes all of it; `keep`: but for the files that tell what happened."""
        self._observers.stop()
        forget_group(self._ground.kafka_to_observe, self._deployment.group)
        self._world.close()
        self._journal.close()
        if self._ground.postgres.running:
            self._deployment.close()
        names = [self._deployment.commands, self._deployment.results,
                 self._deployment.dead_letters]
        if all(broker.running for broker in self._ground.kafka.brokers):
            delete_topics(self._ground.kafka, names)
        if not keep:
            shutil.rmtree(self._directory, ignore_errors=True)

    def abandon(self):
        """The servers go away next: nothing on them needs to be removed."""
        self._world.close()
        self._journal.close()

    def keep_evidence(self):
        """The tables and topics as they are now, for whoever reads the logs."""
        dump.write(self._deployment, self._directory)

    def _heal(self):
        """Every fault has healed its own; this makes sure."""
        for actor in self._world.everybody:
            if actor.proxy is not None:
                actor.proxy.well()
        self._world.poll()

    def _require_lag_zero(self, healed):
        """I12: the load ends meanwhile, so that zero can be seen; no time is given for that."""
        took = self._wait_lag_zero(since=healed)
        if took is None:
            self._violate(f"I12: lag was not 0 within {LAG_ZERO_S} s of the last heal: "
                          f"{self._deployment.committed()}")
            self._wait_lag_zero(120)
        self.outcome.highest("lag_zero_s", took or LAG_ZERO_S)

    def _wait_lag_zero(self, seconds=LAG_ZERO_S, since=None):
        """Looks after the consumers meanwhile: one that ends with 70 is started again."""
        began = time.monotonic() if since is None else since
        while time.monotonic() < began + seconds:
            self._world.poll()
            if lag_is_zero(self._deployment):
                return time.monotonic() - began
            time.sleep(0.1)
        return None

    def _violate(self, sentence):
        self.outcome.violations.append(f"phase {self.plan.number} (seed {self.plan.seed}): "
                                       f"{sentence}")

    # ---- the verdict ----

    def _judge(self, when, *audit_options):
        """By the oracle, as a program of its own, and by what an operator would run."""
        self._audit(when, audit_options)
        self._journal.mark_end()
        dump.write(self._deployment, self._directory)
        done = subprocess.run([sys.executable, "-m", "campaign.judge", self._directory],
                              cwd=TOP / "tests", capture_output=True, text=True)
        lines = done.stdout.splitlines()
        (self._directory / "verdict.txt").write_text(done.stdout + done.stderr)
        verdict = lines[-1] if lines else "unknown"
        self.outcome.counters[f"verdicts {verdict}"] += 1
        if verdict != "valid" or done.returncode != 0:
            self._violate(f"{when} the oracle says {verdict}: {lines[:20]} {done.stderr[-500:]}")
        if len(lines) > 1:
            self._verdict_counts = json.loads(lines[-2])

    def _audit(self, when, options):
        done = self._deployment.verb("audit", "--topic", *options)
        self.outcome.counters["audits without a finding"] += done.returncode == 0
        if done.returncode != 0:
            self._violate(f"{when} postonce audit ends with {done.returncode}: "
                          f"{done.stdout[-1000:]} {done.stderr[-500:]}")

    # ---- rewinds ----

    def _rewind(self, kind):
        before, epoch = books_digest(self._deployment), self._deployment.epoch()
        again = self._move(kind)
        if again is None:
            return
        self.outcome.attempted[f"rewind_{kind}"] += 1
        self._world.start()
        self._kill_while_it_replays()
        if self._wait_lag_zero() is None:
            self._violate(f"I12: lag was not 0 within {LAG_ZERO_S} s of a rewind ({kind})")
            self._wait_lag_zero(180)
        claimed = self._deployment.epoch() > epoch
        self._world.stop_consumers()
        if books_digest(self._deployment) != before:
            self._violate(f"I7: the books are others after a rewind ({kind})")
            return
        self.outcome.effective[f"rewind_{kind}"] += bool(claimed and again > 0)
        self.outcome.counters["records_rewound"] += again if kind != "deleted" else 0

    def _move(self, kind):
        """How many records come again (for a deleted group: are left alone, rightly); None
        when it could not be done. What comes again is written into the journal."""
        if kind == "deleted":
            return self._delete_group()
        arguments = ["--to-earliest"]
        if kind == "time":
            arguments = ["--to-time", self._some_time()]
        done = self._when_the_group_is_empty(
            lambda: self._deployment.verb("rewind", *arguments, "--execute", "--json"),
            lambda done: "member(s)" not in done.stderr)
        if done.returncode != 0:
            self._violate(f"rewind {arguments} ended with {done.returncode}: {done.stderr}")
            return None
        ranges = dump.rewound_ranges(done.stdout)
        self._journal.rewound(ranges)
        return sum(committed - target for target, committed in ranges.values())

    @staticmethod
    def _when_the_group_is_empty(act, was_empty):
        """Who was killed stays a member until its session is over."""
        end = time.monotonic() + 30
        while True:
            done = act()
            if was_empty(done) or time.monotonic() > end:
                return done
            time.sleep(0.3)

    def _some_time(self):
        """A time within the phase, as the command line takes it."""
        row = self._deployment.query("SELECT min(command_time) AS first, max(command_time) AS"
                                     " last FROM postonce.inbox")[0]
        at = row["first"] + (row["last"] - row["first"]) * self._random.uniform(0.1, 0.8)
        return at.astimezone(tz=None).strftime("%Y-%m-%dT%H:%M:%S%z")[:-2] + ":00"

    def _delete_group(self):
        """Everything is answered, so nothing is lost: they start at next_offset."""
        decided = self._deployment.decided()
        group, admin = self._deployment.group, self._ground.kafka.admin
        error = self._when_the_group_is_empty(
            lambda: admin.delete_consumer_groups([group])[group].exception(20),
            lambda error: error is None)
        if error is not None:
            raise error
        if self._deployment.committed():
            self._violate("the group was deleted and still has offsets")
        return decided

    def _kill_while_it_replays(self):
        """One of the consumers dies in the middle of it, as soon as it reads."""
        victim = self._random.choice(self._world.actors)
        end = time.monotonic() + 20
        while not victim.reads and time.monotonic() < end:
            self._world.poll()
            time.sleep(0.02)
        if not victim.reads:
            return
        time.sleep(self._random.uniform(0, 0.5))
        victim.down = True
        victim.consumer.kill()
        victim.start()
        self.outcome.attempted["kill"] += 1
        self.outcome.effective["kill"] += 1

    # ---- counters ----

    def _take(self, nemesis, opening):
        outcome = self.outcome
        outcome.attempted += nemesis.attempted
        outcome.effective += nemesis.effective
        outcome.no_occasion += nemesis.no_occasion
        outcome.counters["faults_overlapping"] += nemesis.overlaps
        if self._load.sent <= opening:
            self._violate("there was no load")

    def _take_the_rest(self):
        outcome, observers, world = self.outcome, self._observers, self._world
        world.poll()
        outcome.counters.update(self._verdict_counts)
        outcome.counters["i4_samples"] += observers.i4_samples
        outcome.counters["i16_samples"] += observers.i16_samples
        outcome.highest("rss_mb", observers.rss_max_mb)
        outcome.highest("descriptors", observers.descriptors_max)
        logs = [actor.log for actor in world.everybody]
        outcome.counters["rebalances"] += generations(logs)
        for log in logs:
            self._take_log(log)
        outcome.counters["exits with 70"] += world.exits[70]
        for sentence in itertools.chain(world.violations, observers.violations):
            self._violate(sentence)
        wanted = SAMPLES_PER_S * self.plan.seconds
        if min(observers.i4_samples, observers.i16_samples) < wanted:
            self._violate(f"only {observers.i4_samples} and {observers.i16_samples} samples of"
                          f" I4 and I16; at least {wanted:.0f} are wanted")

    def _take_log(self, log):
        counters = self.outcome.counters
        for name in ("posting_failed:in_doubt", "posting_failed:fenced", "watchdog",
                     "start_over", "kafka_transaction_failed"):
            counters[f"log {name}"] += log.count(name)
        for name in ("halted", "poison", "database_went_back", "instance_not_unique"):
            if log.count(name):
                self._violate(f"{log.path.name} says {name}: "
                              f"{[each for each in log.events if each['event'] == name][:2]}")
        for line in log.leaks[:3]:
            self._violate(f"I13: {log.path.name} shows what no log may show: {line[:300]}")
        for line in log.foreign[:3]:
            self._violate(f"{log.path.name} holds a line that is no event: {line[:300]}")
