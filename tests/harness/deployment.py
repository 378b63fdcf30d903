"""One postonce of its own on shared servers: a database, three topics and a group.

Tests make one each, so that they are independent while the servers start only once.
"""

import itertools
import pathlib
import signal
import uuid

import psycopg

from . import topics
from .postgres import connect
from .product import Consumer, Programs, dotted
from .wait import wait_until

# Small time-outs, so that a dead member is noticed within a test's patience.
QUICK = {
    "admin.listen": "",
    "kafka.session.timeout.ms": "6000",
    "kafka.heartbeat.interval.ms": "500",
}
_numbers = itertools.count(1)


class Deployment:
    def __init__(self, postgres, kafka, directory, name="t", partitions=1, settings=None,
                 results=True, plain=False):
        """`name` is the stem of all names, made unique; `plain`: the contract's own default
        names instead, for servers that serve nobody else."""
        stem = f"{name}-{next(_numbers)}-{uuid.uuid4().hex[:6]}"
        self.postgres = postgres
        self.kafka = kafka
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.partitions = partitions
        self.group = "postonce" if plain else stem
        topic = "payment" if plain else stem
        self.commands = f"{topic}-commands"
        self.results = f"{topic}-results" if results else ""
        self.dead_letters = f"{topic}-dead-letters"
        self.database = self.group.replace("-", "_")
        self.url = postgres.create_database(self.database)
        wanted = {self.commands: partitions, self.results: partitions, self.dead_letters: 1}
        # Without a limit: many tests set the records' time, and the broker deletes the old.
        topics.create_topics(kafka, {topic: count for topic, count in wanted.items() if topic},
                             {"retention.ms": "-1"})
        self.sender = topics.Sender(kafka)
        self.settings = {
            "postgres": self.url,
            "kafka.bootstrap.servers": kafka.bootstrap,
            "group": self.group,
            "topics.commands": self.commands,
            "topics.results": self.results,
            "topics.dead_letters": self.dead_letters,
            **QUICK, **(settings or {})}
        self._consumers = []

    def close(self):
        """Ends its processes and removes its database (a full disk helps nobody)."""
        for consumer in self._consumers:
            if consumer.running:
                consumer.kill()
        topics.forget_group(self.kafka, self.group)
        self.postgres.drop_database(self.database)

    # ---- the programs ----

    @property
    def programs(self):
        return Programs(self.settings)

    def verb(self, verb, *arguments, **options):
        """`postonce VERB` with this deployment's settings."""
        return self.programs.verb(verb, *arguments, **options)

    def migrate(self):
        done = self.verb("migrate")
        assert done.returncode == 0, done.stderr
        return self

    def consumer(self, instance="a", *arguments, start=True, env=None, **settings):
        """A running `postonce consume`; keyword settings have dots as `__`."""
        merged = {**self.settings, "instance": instance, "kafka.client.id": instance,
                  **dotted(settings)}
        consumer = Consumer(instance, merged, self.directory / f"consumer-{instance}.log",
                            arguments, env)
        self._consumers.append(consumer)
        return consumer.start() if start else consumer

    def stop_all(self):
        """Ends what consumers are left, each as it will."""
        for consumer in self._consumers:
            if consumer.running:
                consumer.send(signal.SIGTERM)
        for consumer in self._consumers:
            if consumer.running:
                consumer.wait(40)

    def consume_to_end(self, instance="a", seconds=60, **settings):
        """`postonce consume --until-end`, which must end well."""
        self.consumer(instance, "--until-end", **settings).exits(0, seconds)

    # ---- Kafka ----

    def send(self, records, seconds=60):
        """Sends commands; [(partition, offset)] in their order."""
        return self.sender.send(self.commands, records, seconds)

    def reader(self):
        return topics.Reader(self.kafka, self.results)

    def read(self, topic, committed=True):
        return topics.read_topic(self.kafka, topic, committed)

    def committed(self, stable=True):
        return topics.committed_offsets(self.kafka, self.group, self.commands, stable)

    def members(self):
        return topics.members(self.kafka, self.group)

    def wait_members(self, *instances, seconds=40):
        """Waits until exactly these have joined and share all partitions."""
        def joined():
            found = self.members()
            owned = sorted(itertools.chain.from_iterable(found.values()))
            return set(found) == set(instances) and owned == list(range(self.partitions))
        wait_until(joined, seconds, lambda: f"members {instances}; there are {self.members()}",
                   every=0.1)

    def wait_no_members(self, seconds=40):
        wait_until(lambda: not self.members(), seconds, "the group is empty", every=0.1)

    def wait_caught_up(self, seconds=60, consumers=()):
        """Waits until the group has committed the end of the command topic."""
        ends = topics.end_offsets(self.kafka, self.commands)

        def reached():
            for consumer in consumers:
                consumer.must_run()
            found = self.committed()
            return all(found.get(partition, 0) >= end for partition, end in ends.items())
        wait_until(reached, seconds, lambda: f"offsets {ends}; committed {self.committed()}",
                   every=0.1)

    # ---- Postgres ----

    def query(self, statement, *parameters):
        """Rows as dictionaries."""
        with connect(self.url, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(statement, parameters).fetchall()

    def next_offsets(self):
        rows = self.query("SELECT partition, next_offset FROM postonce.stream_position "
                          "WHERE topic = %s", self.commands)
        return {row["partition"]: row["next_offset"] for row in rows}

    def decided(self):
        """How far the database is, as one number that only grows."""
        return sum(self.next_offsets().values())

    def epoch(self):
        """The epochs of all partitions as one number; it grows with each assignment."""
        return self.query("SELECT coalesce(sum(epoch), -1)::bigint AS epoch "
                          "FROM postonce.stream_position WHERE topic = %s",
                          self.commands)[0]["epoch"]
