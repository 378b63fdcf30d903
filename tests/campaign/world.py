"""What a fault may touch: consumers (most of them behind a proxy of ours), the servers, and
the numbers that observers keep. Everything here is used from the main thread only, because
children die with the thread that started them.
"""

import collections
import os
import pathlib
import random
import shutil
import subprocess
import tempfile

import psycopg

from harness.kafka import ExternalKafka, Kafka
from harness.postgres import Postgres, connect
from harness.process import children_of
from harness.proxy import in_front_of

from .logs import Log

PLANTED_PASSWORD = "planted-password-51d0"
VOLUME_MB = 1500
SESSION_S = 3.0


class Volume:
    """A small file system that Postgres lives on, so that its disk can be full. Needs root;
    where it cannot be made, `path` is an ordinary directory and `limited` is false."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="postonce-campaign-"))
        self.path.chmod(0o711)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={VOLUME_MB}m,mode=0711",
                               "tmpfs", self.path], capture_output=True)
        self.limited = done.returncode == 0
        self._ballast = self.path / "ballast"

    def fill(self):
        """Takes all that is free, down to the last page."""
        with open(self._ballast, "wb") as file:
            step, at = 1 << 26, 0
            while step >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), at, step)
                    at += step
                except OSError:
                    step //= 2

    def free(self):
        self._ballast.unlink(missing_ok=True)

    def close(self):
        if self.limited:
            subprocess.run(["umount", "-l", self.path], capture_output=True)
            self.limited = False
        shutil.rmtree(self.path, ignore_errors=True)


class Ground:
    """The servers of a whole run."""

    def __init__(self, directory, brokers):
        self.volume = Volume()
        self.postgres = Postgres(self.volume.path / "postgres", password=PLANTED_PASSWORD)
        self.kafka = Kafka(directory / "kafka", brokers)
        # Clients of their own, so that one that waits keeps nobody else waiting.
        self.kafka_to_observe = ExternalKafka(self.kafka.bootstrap)

    def start(self):
        self.kafka.begin()
        self.postgres.start()
        self.kafka.finish()
        return self

    def heal(self):
        """After a phase that broke off: everything runs again, or this raises."""
        self.volume.free()
        self.postgres.resume()
        if not self.postgres.running:
            self.postgres.launch()
        self.postgres.wait_ready()
        for broker in self.kafka.brokers:
            if not broker.running:
                self.kafka.start_again(broker)

    def close(self):
        self.kafka.close()
        self.volume.free()
        self.postgres.close()
        self.volume.close()

    def postgres_log(self, text):
        """How often a text stands in the server's log."""
        try:
            return self.postgres.process.log.read_text(errors="replace").count(text)
        except OSError:
            return 0


class Actor:
    """One consumer process, its proxy and its log. `down`: it is meant not to run."""

    def __init__(self, deployment, number, settings):
        self.name = f"c{number}"
        self.down = False
        self.took = None  # the fault that has it
        self.proxy = None
        if number > 0:
            self.proxy, settings["postgres"] = in_front_of(deployment.url)
        self.consumer = deployment.consumer(self.name, start=False, log__format="json",
                                            **settings)
        self.log = Log(self.consumer.log, [PLANTED_PASSWORD, "planted-reference"])

    def start(self):
        self.log.poll()
        self.log.run += 1
        self.down = False
        self.consumer.start()

    @property
    def reads(self):
        """It has claimed partitions and gets records."""
        self.log.poll()
        return self.consumer.running and self.log.reads()

    def close(self):
        if self.consumer.running:
            self.consumer.resume()
            self.consumer.kill()
        if self.proxy is not None:
            self.proxy.close()


class World:
    """One phase's deployment with all that belongs to it."""

    def __init__(self, ground, deployment, observers, seed, consumers):
        self.ground = ground
        self.deployment = deployment
        self.observers = observers
        self.random = random.Random(seed)
        self.violations = []
        self.exits = collections.Counter()  # by exit code, of those not asked for
        self.busy = set()  # "postgres", "kafka", "group": one fault at a time each
        self.actors = [Actor(deployment, number, self._settings())
                       for number in range(consumers)]
        self.extra = Actor(deployment, consumers, self._settings())
        self.extra.down = True

    def _settings(self):
        return {"batch__records": self.random.choice([10, 25, 60, 200]),
                "posters": self.random.choice([1, 1, 2]),
                "kafka__session__timeout__ms": int(1000 * SESSION_S),
                "kafka__heartbeat__interval__ms": 500}

    @property
    def everybody(self):
        return [*self.actors, self.extra]

    def processes(self):
        return [(each.name, each.consumer.pid) for each in self.everybody
                if each.consumer.running]

    def start(self):
        for actor in self.actors:
            actor.start()

    def violate(self, sentence):
        self.violations.append(sentence)

    def poll(self):
        """Logs are read; what has ended by itself is judged and started again."""
        for actor in self.everybody:
            actor.log.poll()
            if actor.down or actor.consumer.running or actor.consumer.returncode is None:
                continue
            code = actor.consumer.wait(1)
            self.exits[code] += 1
            if code != 70:  # the contract: it stopped itself, a restart is safe
                self.violate(f"{actor.name} ended with {code}; its log ends: "
                             f"{actor.log.events[-3:]} {actor.log.foreign[-3:]}")
            actor.start()

    def stop_consumers(self, seconds=45):
        """All stop as asked; what does not is a violation."""
        for actor in self.everybody:
            self.poll()
            actor.down = True
            actor.consumer.resume()
            actor.consumer.send(15)
        for actor in self.everybody:
            try:
                code = actor.consumer.wait(seconds)
            except AssertionError as error:
                self.violate(f"SIGTERM: {error}")
                actor.consumer.kill()
                continue
            self.judge_stop(actor, code)

    def judge_stop(self, actor, code):
        """SIGTERM ends it with 0, or with 70 when the watchdog was faster; a process that
        has not said a word yet has no handler yet."""
        actor.log.poll()
        self.exits[code] += code == 70
        too_early = code == -15 and not actor.log.seen_in_run("started")
        if code not in (0, 70, None, -9) and not too_early:
            self.violate(f"{actor.name} ended with {code} after SIGTERM")

    def close(self):
        for actor in self.everybody:
            actor.close()

    # ---- Postgres ----

    def postgres_answers(self):
        postgres = self.ground.postgres
        if not postgres.running:
            return False
        try:
            with connect(self.deployment.url) as connection:
                connection.execute("SELECT 1")
            return True
        except psycopg.Error:
            return False

    def backends(self):
        """The backends of our consumers: [(pid, state)]."""
        with connect(self.ground.postgres.admin_url) as connection:
            rows = connection.execute(
                "SELECT pid, state FROM pg_stat_activity WHERE datname = %s AND"
                " application_name LIKE 'postonce poster%%'",
                (self.deployment.database,)).fetchall()
        ours = set(children_of(self.ground.postgres.pid))
        return [(pid, state) for pid, state in rows if pid in ours]

    # ---- Kafka ----

    def leaders(self):
        """{(topic, partition): node} as the cluster tells it now; {} when it does not."""
        try:
            found = self.ground.kafka.admin.list_topics(timeout=2)
        except Exception:  # any trouble here means that nothing is known
            return {}
        return {(name, number): each.leader for name, topic in found.topics.items()
                for number, each in topic.partitions.items()}

    def in_sync(self):
        """Whether every partition has all its replicas in sync."""
        try:
            found = self.ground.kafka.admin.list_topics(timeout=2)
        except Exception:
            return False
        return all(len(each.isrs) == len(each.replicas) and each.leader >= 0
                   for topic in found.topics.values() for each in topic.partitions.values())

    def coordinator(self):
        """The node that coordinates our group."""
        return self._leader_for("__consumer_offsets", self.deployment.group)

    def transaction_coordinator(self):
        """The node that coordinates the Kafka transactions of one of the consumers."""
        name = self.random.choice(self.actors).name
        return self._leader_for("__transaction_state", f"{self.deployment.group}-{name}")

    def _leader_for(self, topic, name):
        """Kafka places a group or a transactional id by the hash of its name."""
        leaders = self.leaders()
        count = sum(each == topic for each, _ in leaders)
        return leaders.get((topic, _java_hash(name) % count)) if count else None


def _java_hash(text):
    value = 0
    for each in text.encode():
        value = (31 * value + each) & 0xFFFFFFFF
    return value & 0x7FFFFFFF

