"""Who is measured: postonce, the ceiling, a row at a time, a batched peer.

Each run has a database, a group and a result topic of its own. Its speed is taken from the
times at which the broker appended the results (LogAppendTime), so that it is the same clock
for everybody and starting up does not count; and it is told only if the books are right.
"""

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys

from confluent_kafka import Consumer as KafkaConsumer
from confluent_kafka import TopicPartition
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from harness import topics
from harness.postgres import connect
from harness.process import Process
from harness.product import Consumer, Programs, binary
from harness.wait import wait_until

from .ground import PARTITIONS, peak_rss_mb

HERE = pathlib.Path(__file__).resolve().parent
WARM = 0.1  # the part of the results that is not timed: the caches are cold, too


@dataclasses.dataclass
class Figures:
    """Of one run; costs a command."""

    per_second: float
    consumer_us: float = 0.0
    postgres_us: float = 0.0
    broker_us: float = 0.0
    wal_bytes: float = 0.0
    rss_mb: float = 0.0
    statements_per_batch: float = 0.0
    round_trips_per_batch: float = 0.0


class WrongBooks(Exception):
    pass


class Room:
    """What one run has for itself, on commands that are on a topic already."""

    def __init__(self, ground, template, commands, stem):
        self.ground = ground
        self.commands = commands
        self.name = ground.fresh_name(stem)
        self.database = self.name.replace("-", "_")
        self.url = ground.database(self.database, template)
        self.results = ground.topic(f"{self.name}-results",
                                    **{"message.timestamp.type": "LogAppendTime"})
        self.dead_letters = ground.topic(f"{self.name}-dead-letters", 1)
        ground.checkpoint()

    def close(self):
        topics.forget_group(self.ground.kafka, self.name)
        topics.delete_topics(self.ground.kafka, [self.results, self.dead_letters])
        self.ground.drop(self.database)

    @property
    def settings(self):
        return {"postgres": self.url, "group": self.name, "admin.listen": "",
                "kafka.bootstrap.servers": self.ground.kafka.bootstrap,
                "topics.commands": self.commands, "topics.results": self.results,
                "topics.dead_letters": self.dead_letters}

    def log(self, name):
        return self.ground.directory / f"{self.name}-{name}.log"

    def consumer(self, instance="a", **settings):
        consumer = Consumer(instance, {**self.settings, "instance": instance,
                                       "log.level": "warning", **settings}, self.log(instance))
        return consumer.start()

    # ---- how far it is ----

    def wait_drained(self, processes, seconds=600):
        ends = topics.end_offsets(self.ground.kafka, self.commands)

        def drained():
            for process in processes:
                process.must_run()
            found = topics.committed_offsets(self.ground.kafka, self.name, self.commands)
            return all(found.get(partition, 0) >= end for partition, end in ends.items())
        wait_until(drained, seconds, "the topic is drained", every=0.1)

    def result_times(self, start=None):
        """When the broker appended each result, in milliseconds, ascending."""
        topics.wait_visible(self.ground.kafka, self.results)
        ends = topics.end_offsets(self.ground.kafka, self.results)
        reader = KafkaConsumer({
            "bootstrap.servers": self.ground.kafka.bootstrap, "group.id": "bench-times",
            "enable.auto.commit": False, "enable.partition.eof": True})
        reader.assign([TopicPartition(self.results, partition, (start or {}).get(partition, 0))
                       for partition in ends])
        times, at_end = [], 0
        while at_end < len(ends):
            for message in reader.consume(10000, 1.0):
                if message.error() is None:
                    times.append(message.timestamp()[1])
                else:
                    at_end += 1
        reader.close()
        return sorted(times)


def rate_of(times, wanted):
    """Commands a second behind the warm part."""
    if len(times) != wanted:
        raise WrongBooks(f"{len(times)} results to {wanted} commands")
    first = int(WARM * wanted)
    return (wanted - first) / max(0.001, (times[-1] - times[first]) / 1000)


# ---- the books -------------------------------------------------------------------------

def check_balances(url, statement, expected):
    with connect(url) as connection:
        found = {name: balance for name, balance in connection.execute(statement) if balance}
    wanted = {name: balance for name, balance in expected.items() if balance}
    if found != wanted:
        raise WrongBooks("the balances are not what the commands make of them")


def check_product(room, expected):
    check_balances(room.url, "SELECT name, balance_minor FROM postonce.account", expected)
    done = Programs(room.settings).verb("audit", seconds=900)
    if done.returncode != 0:
        raise WrongBooks(f"postonce audit: {done.stdout[-2000:]} {done.stderr[-500:]}")


_INBOX = """
SELECT count(*) FILTER (WHERE outcome = 'applied'), count(*)
  FROM postonce.inbox WHERE topic = %s"""
# With the names that the columns have in the product's schema, or in the peers'.
_WRONG_SUMS = """
SELECT count(*) FROM {schema}account a
  LEFT JOIN (SELECT account_id, sum(moved) AS moved, count(*) AS movements
               FROM (SELECT debit_account_id AS account_id, -amount{minor} AS moved
                       FROM {schema}transfer
                     UNION ALL SELECT credit_account_id, amount{minor}
                       FROM {schema}transfer) AS legs
              GROUP BY account_id) AS sums USING (account_id)
 WHERE a.balance{minor} <> coalesce(sums.moved, 0) OR a.version <> coalesce(sums.movements, 0)"""


def wrong_sums(connection, schema="", minor=""):
    statement = _WRONG_SUMS.format(schema=schema, minor=minor)
    return connection.execute(statement).fetchone()[0]


def check_new_books(room, expected):
    """Of this run only: where millions of old rows lie, the whole audit takes a minute."""
    check_balances(room.url, "SELECT name, balance_minor FROM postonce.account", expected)
    with connect(room.url) as connection:
        applied, kept = connection.execute(_INBOX, (room.commands,)).fetchone()
        transfers = connection.execute("SELECT count(*) FROM postonce.transfer").fetchone()[0]
        wrong = wrong_sums(connection, "postonce.", "_minor")
    ends = topics.end_offsets(room.ground.kafka, room.commands)
    if wrong or applied != transfers or kept != sum(ends.values()):
        raise WrongBooks(f"{wrong} wrong sums, {applied} applied, {transfers} transfers, "
                         f"{kept} kept of {sum(ends.values())}")


def check_peer(room, expected):
    check_balances(room.url, "SELECT name, balance FROM account", expected)
    with connect(room.url) as connection:
        wrong = wrong_sums(connection)
    if wrong:
        raise WrongBooks(f"{wrong} balances of the peer are not the sums of its transfers")


# ---- who -------------------------------------------------------------------------------

class Contender:
    template = "opened"
    of_database = {}  # settings of PostgreSQL, for its database only
    check = staticmethod(check_product)

    def run(self, ground, load):
        """The figures of one drain of `load`; raises WrongBooks."""
        room = Room(ground, self.template, load.topic, self.stem)
        ground.configure(room.database, self.of_database)
        try:
            figures = self.drain(room, load)
            self.check(room, load.expected)
            return figures
        finally:
            room.close()

    def drain(self, room, load, results_from=None):
        before = room.ground.cost([])
        processes = self.start(room)
        room.wait_drained(processes)
        pids = [process.pid for process in processes]
        spent = room.ground.cost(pids) - before
        rss = max(map(peak_rss_mb, pids))
        for process in processes:
            process.stop(number=signal.SIGTERM)
        times = room.result_times(results_from)
        return figures_of(rate_of(times, load.count), spent, load.count, rss)


def figures_of(per_second, spent, count, rss_mb):
    return Figures(per_second, *(1e6 * each / count for each in (
        spent.consumers, spent.postgres, spent.broker)), spent.wal_bytes / count, rss_mb)


class Postonce(Contender):
    def __init__(self, name="postonce", processes=1, template="opened", check=check_product,
                 of_database=None, **settings):
        self.name = name
        self.check = check
        self.of_database = of_database or {}
        self.stem = "postonce"
        self.template = template
        self._processes = processes
        self._settings = {name.replace("__", "."): value for name, value in settings.items()}

    def start(self, room):
        return [room.consumer(f"c{number}", **self._settings)
                for number in range(self._processes)]


class Rewind(Postonce):
    """Everything once more: timed is the second time."""

    def drain(self, room, load):
        super().drain(room, load)
        start = topics.end_offsets(room.ground.kafka, room.results)
        done = Programs(room.settings).verb("rewind", "--to-earliest", "--execute")
        assert done.returncode == 0, done.stderr
        return super().drain(room, load, start)


class Ceiling(Contender):
    """The same SQL from memory; see ceiling.c."""

    name = stem = "ceiling"

    def __init__(self, batch=2000):
        self._batch = batch

    def drain(self, room, load):
        program = subprocess.Popen(
            [binary("tests/bench_ceiling"), room.url, load.topic, str(PARTITIONS),
             str(self._batch), load.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert program.stdout.readline() == "ready\n"
            before = room.ground.cost([])
            program.stdin.write("\n")
            program.stdin.flush()
            told = json.loads(program.stdout.readline())
            spent = room.ground.cost([]) - before
        finally:
            program.kill()
            program.wait()
        figures = figures_of(told["commands"] / told["took_us"] * 1e6, spent, load.count, 0.0)
        figures.statements_per_batch = told["statements"] / told["batches"]
        figures.round_trips_per_batch = told["round_trips"] / told["batches"]
        return figures


class Peer(Contender):
    name, stem, template = "batched peer", "peer", "peer"
    check = staticmethod(check_peer)

    def __init__(self, program):
        self._program = program

    def start(self, room):
        where = conninfo_to_dict(room.url)
        where.pop("gssencmode", None)  # which pgx does not know
        process = Process("peer", [self._program, room.ground.kafka.bootstrap, room.commands,
                                   room.results, room.name, make_conninfo(**where)],
                          room.log("peer"))
        return [process.start()]


class RowAtATime(Peer):
    name, stem = "row at a time", "row"

    def __init__(self):
        super().__init__(None)

    def start(self, room):
        process = Process("row", [sys.executable, HERE / "row_at_a_time.py",
                                  room.ground.kafka.bootstrap, room.commands, room.results,
                                  room.name, room.url], room.log("row"))
        return [process.start()]
