"""What a command costs where, in microseconds of CPU: a drain with perf(1) at the consumer and
at the broker, and with pg_stat_statements in the database.

perf samples from the first commit on, when all threads are there; its shares are scaled to
the CPU time that the kernel counted in the same run. A statement's time is the server's own,
from its beginning to its end; the flush of the WAL comes after COMMIT has ended and is in none.
"""

import collections
import pathlib
import re
import shutil
import signal
import subprocess

from harness.postgres import connect, with_database
from harness.wait import wait_until

from .contenders import Room
from .latency import room_decided

THREADS = {"postonce": "reader", "rdk:main": "librdkafka", "rdk:broker": "librdkafka"}
JVM = (("data-plane-kafk", "requests and network"), ("C1 Comp", "compiler"),
       ("C2 Comp", "compiler"), ("G1 ", "garbage collection"), ("GC ", "garbage collection"))
_STATEMENTS = """
SELECT s.query, s.calls, s.total_exec_time * 1000
  FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
 WHERE d.datname = current_database() AND s.toplevel"""


def measure(ground, load):
    """(whose, what, {us}) of each part; nothing of a process without perf."""
    room = Room(ground, "opened", load.topic, "profile")
    try:
        _watch_statements(room)
        before = ground.cost([])
        consumer = room.consumer()
        wait_until(lambda: room_decided(room), 60, "something is decided", every=0.02)
        broker = ground.kafka.brokers[0].process.pid
        with Perf(room, "consumer", consumer.pid) as ours, Perf(room, "broker", broker) as its:
            room.wait_drained([consumer])
            spent = ground.cost([consumer.pid]) - before
        consumer.stop()
        yield from _scaled("consumer", ours.shares(_thread), spent.consumers, load.count)
        yield from _scaled("broker", its.shares(_jvm_thread), spent.broker, load.count)
        yield from _statements(room, load.count)
    finally:
        room.close()


class Perf:
    """perf record on a process, as a context; without perf it finds nothing."""

    def __init__(self, room, name, pid):
        self._path = pathlib.Path(room.ground.directory) / f"{room.name}-{name}.perf"
        self._pid = pid
        self._process = None

    def __enter__(self):
        if shutil.which("perf"):
            self._process = subprocess.Popen(
                ["perf", "record", "-F", "999", "-o", self._path, "-p", str(self._pid)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def shares(self, name):
        """{what: part of all samples}"""
        found = collections.Counter()
        if self._process is None:
            return found
        done = subprocess.run(
            ["perf", "report", "-i", self._path, "--stdio", "-t", ";", "--sort", "comm,dso"],
            capture_output=True, text=True, timeout=120)
        for line in done.stdout.splitlines():
            parts = [part.strip() for part in line.split(";")]
            if len(parts) >= 3 and parts[0].endswith("%"):
                found[name(parts[1], parts[2])] += float(parts[0][:-1]) / 100
        return found


def _thread(comm, library):
    thread = THREADS.get(re.sub(r"-?\d+$", "", comm), comm)
    library = re.sub(r"\.so.*", "", library).strip("[]").split(".")[0]
    return f"{thread}: {library}"


def _jvm_thread(comm, _library):
    return next((name for start, name in JVM if comm.startswith(start)), "the rest")


def _scaled(whose, shares, seconds, count):
    for what, share in shares.most_common():
        us = share * seconds * 1e6 / count
        if us >= 0.1:
            yield whose, what, {"us": us, "times": 0}


def _admin(room):
    return connect(with_database(room.ground.postgres.admin_url, room.database))


def _watch_statements(room):
    with _admin(room) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("SELECT pg_stat_statements_reset()")
        connection.execute(f"ALTER DATABASE {room.database} SET pg_stat_statements.track = 'top'")


def _statements(room, count):
    with _admin(room) as connection:
        found = connection.execute(_STATEMENTS).fetchall()
    for query, calls, us in sorted(found, key=lambda row: -row[2]):
        if us / count >= 0.01:
            yield "PostgreSQL", _short(query), {"us": us / count, "times": calls}


def _short(query):
    """What kind of statement on which table."""
    words = query.split()
    table = re.search(r"postonce\.(\w+)", query.replace("postonce.must_hit", ""))
    verb = re.search(r"\b(UPDATE|INSERT|FOR NO KEY UPDATE|SELECT)\b", query)
    kind = verb.group(1) if verb else words[0]
    if "must_hit" in query and "FOR NO KEY UPDATE" in query:
        kind = "hold"
    return f"{kind} {table.group(1)}" if table and verb else words[0]
