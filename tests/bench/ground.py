"""Servers as a deployment would have them, and what the runs cost there."""

import dataclasses
import os
import pathlib

from psycopg import sql

from harness import topics
from harness.kafka import VERSION, Kafka
from harness.postgres import OWNER, Postgres, connect
from harness.process import children_of
from harness.product import Programs

from .load import key_of, opening_lines

PARTITIONS = 4
TICKS = os.sysconf("SC_CLK_TCK")
POSTGRES = {
    "shared_buffers": "2GB",
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",  # segments of the WAL are used again, not made, as after a day
    "checkpoint_timeout": "15min",
    "unix_socket_directories": "",
    "track_commit_timestamp": "on",  # for the latencies
    "shared_preload_libraries": "pg_stat_statements",  # for the profile
    "pg_stat_statements.track": "none",
}
# What the peers keep: the same books, without what only postonce promises.
PEER_SCHEMA = """
CREATE TABLE account (account_id bigserial PRIMARY KEY, balance bigint NOT NULL,
    version bigint NOT NULL, currency text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL UNIQUE) WITH (fillfactor = 50);
CREATE TABLE inbox (key text COLLATE "C" PRIMARY KEY, fingerprint bytea NOT NULL,
    result bytea NOT NULL, decided_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE transfer (transfer_id bigserial PRIMARY KEY, debit_account_id bigint NOT NULL,
    credit_account_id bigint NOT NULL, amount bigint NOT NULL CHECK (amount > 0),
    debit_balance bigint NOT NULL, credit_balance bigint NOT NULL, key text NOT NULL);
INSERT INTO account (balance, version, currency, name)
    SELECT 0, 0, 'USD', 'acct-' || lpad(n::text, 6, '0') FROM generate_series(0, %d) n;
VACUUM ANALYZE account;
"""


def ticks(pid, with_ended_children=False):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15 if with_ended_children else 13]))


def peak_rss_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclasses.dataclass
class Cost:
    """CPU seconds of everybody, and bytes of WAL."""

    consumers: float
    postgres: float
    broker: float
    wal_bytes: int

    def __sub__(self, other):
        return Cost(self.consumers - other.consumers, self.postgres - other.postgres,
                    self.broker - other.broker, self.wal_bytes - other.wal_bytes)


class Ground:
    def __init__(self, directory, young_mb=700):
        self.directory = pathlib.Path(directory).absolute()
        self.postgres = Postgres(self.directory / "postgres", settings=POSTGRES)
        # Most of what a broker allocates is garbage at once: with a young generation of 700 MB
        # it stands still every few seconds of a load, with one of 2500 MB every twenty.
        heap_mb = young_mb + 324
        self.kafka = Kafka(self.directory / "kafka", heap_mb=heap_mb,
                           jvm=(f"-Xms{heap_mb}m", f"-Xmn{young_mb}m"))
        self._names = 0

    def start(self):
        self.kafka.begin()
        self.postgres.start()
        self.kafka.finish()

    def close(self):
        self.kafka.close()
        self.postgres.close()

    def fresh_name(self, stem):
        self._names += 1
        return f"{stem}-{self._names}"

    # ---- topics ----

    def topic(self, name, partitions=PARTITIONS, **settings):
        topics.create_topics(self.kafka, {name: partitions}, {"retention.ms": "-1", **settings})
        return name

    def send(self, topic, lines, partitions=PARTITIONS):
        """Line i goes to partition i modulo `partitions`."""
        sender = topics.Sender(self.kafka, **{"linger.ms": 20, "batch.size": 1000000})
        errors = []

        def delivered(error, _message):
            if error is not None:
                errors.append(error)

        for number, line in enumerate(lines):
            sender.post(topic, topics.Record(
                line.encode(), None, [("idempotency-key", key_of(line))],
                number % partitions), delivered)
        sender.flush(120)
        assert not errors, errors[0]

    # ---- databases ----

    def admin(self):
        return connect(self.postgres.admin_url)

    def database(self, name, template=None):
        """A fresh one; its connection string."""
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(OWNER),
                    sql.Identifier(template or "template1")))
        return self.postgres.url(name)

    def configure(self, name, settings):
        with self.admin() as connection:
            for setting, value in settings.items():
                connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)))

    def opened(self):
        """The template in which all accounts are open, by the product itself."""
        name = "opened"
        url = self.database(name)
        topic = self.topic("opening", 1)
        self.topic("opening-results", 1)
        self.topic("opening-dead-letters", 1)
        self.send(topic, opening_lines(), 1)
        programs = Programs({
            "postgres": url, "kafka.bootstrap.servers": self.kafka.bootstrap, "group": name,
            "topics.commands": topic, "topics.results": "opening-results",
            "topics.dead_letters": "opening-dead-letters", "admin.listen": ""})
        for verb in (["migrate"], ["consume", "--until-end"]):
            done = programs.verb(*verb, seconds=120)
            assert done.returncode == 0, done.stderr[-2000:]
        self.settle(url)
        return name

    def peer_template(self, accounts):
        name = "peer"
        url = self.database(name)
        with connect(url) as connection:
            for statement in (PEER_SCHEMA % (accounts - 1)).split(";\n")[:-1]:
                connection.execute(statement)
        return name

    def settle(self, url):
        """Vacuumed and analyzed, as a database that has stood for a day is."""
        with connect(url) as connection:
            connection.execute("VACUUM ANALYZE")

    def checkpoint(self):
        with self.admin() as connection:
            connection.execute("CHECKPOINT")

    def drop(self, name):
        self.postgres.drop_database(name)

    # ---- costs ----

    def cost(self, pids):
        with self.admin() as connection:
            wal = connection.execute(
                "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()[0]
        postgres = ticks(self.postgres.pid, True) + sum(map(ticks,
                                                            children_of(self.postgres.pid)))
        return Cost(sum(map(ticks, pids)) / TICKS, postgres / TICKS,
                    ticks(self.kafka.brokers[0].process.pid) / TICKS, int(wal))

    def versions(self):
        with self.admin() as connection:
            found = connection.execute("SHOW server_version").fetchone()[0]
        return {"PostgreSQL": found.split()[0], "Kafka": VERSION}
