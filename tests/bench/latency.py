"""Latencies under a steady load, times to get going, and memory under a backlog.

A commit's time is the server's own (pg_xact_commit_timestamp: taken just before the WAL is
flushed), a record's is when it was due, in whole milliseconds: of more than 1000 a second, what is
due within one counts from its beginning.
"""

import json
import subprocess
import time

from harness.postgres import connect
from harness.product import binary
from harness.wait import wait_until

from .contenders import Room, check_product, peak_rss_mb, rate_of
from .ground import PARTITIONS
from .load import WORKLOADS

# In the order in which they were sent, so that the first ones can be told apart.
_COMMITTED = """
SELECT percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (ORDER BY took_us)
  FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - command_time) * 1e6 AS took_us,
               row_number() OVER (ORDER BY command_time) AS nth
          FROM postonce.inbox WHERE topic = %s) AS each
 WHERE nth > %s"""
SESSION_MS = 6000
# The group's time-outs as somebody sets them who wants to be quick after a crash.
_QUICK = {"kafka.session.timeout.ms": str(SESSION_MS), "kafka.heartbeat.interval.ms": "500"}


def _room(ground, stem, partitions=PARTITIONS):
    commands = ground.topic(ground.fresh_name("commands"), partitions)
    return Room(ground, "opened", commands, stem)


def _wait_ready(room):
    wait_until(lambda: len(_positions(room)) == PARTITIONS, 30, "all partitions are claimed")


def _positions(room):
    with connect(room.url) as connection:
        return connection.execute("SELECT 1 FROM postonce.stream_position WHERE topic = %s",
                                  (room.commands,)).fetchall()


def steady(ground, rate, lines, settling=0):
    """An open loop of so many commands a second; microseconds, of the first `settling`
    commands apart: to them consumer, connection, database and topics are all new."""
    room = _room(ground, "steady")
    try:
        path = ground.directory / f"{room.name}.jsonl"
        path.write_text("\n".join(lines) + "\n")
        consumer = room.consumer()
        _wait_ready(room)
        before = ground.cost([consumer.pid])
        done = subprocess.run(
            [binary("tests/bench_steady"), ground.kafka.bootstrap, room.commands, room.results,
             str(rate), path, str(settling)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        spent = ground.cost([consumer.pid]) - before
        consumer.stop()
        check_product(room, WORKLOADS["uniform v7"].lines(len(lines))[1])
        with connect(room.url) as connection:
            times = connection.execute(_COMMITTED, (room.commands, settling)).fetchone()[0]
        found.update(zip(("committed_p50_us", "committed_p99_us", "committed_max_us"),
                         map(int, times)))
        found["consumer_us"] = 1e6 * spent.consumers / len(lines)
        return found
    finally:
        room.close()


# ---- getting going ----

_FIRST = """
SELECT extract(epoch FROM min(pg_xact_commit_timestamp(xmin)))::float8
  FROM postonce.inbox WHERE topic = %s AND "offset" >= %s"""


def _first_commit(room, offset):
    """When the first of the records from `offset` on was committed; waits for it."""
    def ask():
        with connect(room.url) as connection:
            return connection.execute(_FIRST, (room.commands, offset)).fetchone()[0]
    return wait_until(ask, 60, "the first command is committed")


def _line(number):
    return WORKLOADS["uniform v7"].lines(1, seed=number)[0]


def starts(ground):
    """Seconds until the first command is committed: (what, {seconds})."""
    yield "start", {"seconds": _start(ground)}
    yield (f"kill -9 and start again, session {SESSION_MS / 1000:g} s",
           {"seconds": _after_kill(ground)})
    yield "kill -9 and start again, static membership", {
        "seconds": _after_kill(ground, **{"kafka.group.instance.id": "static-a"})}


def _start(ground):
    room = _room(ground, "start", 1)
    try:
        ground.send(room.commands, _line(1), 1)
        began = time.time()
        consumer = room.consumer()
        took = _first_commit(room, 0) - began
        consumer.stop()
        return took
    finally:
        room.close()


def _after_kill(ground, **settings):
    room = _room(ground, "kill", 1)
    try:
        ground.send(room.commands, _line(1), 1)
        consumer = room.consumer(**_QUICK, **settings)
        _first_commit(room, 0)
        room.wait_drained([consumer])
        ground.send(room.commands, _line(2), 1)
        wait_until(lambda: _first_commit(room, 1), 10, "the second is committed")
        consumer.kill()
        ground.send(room.commands, _line(3), 1)
        began = time.time()
        consumer = room.consumer(**_QUICK, **settings)
        took = _first_commit(room, 2) - began
        consumer.stop()
        return took
    finally:
        room.close()


# ---- a backlog ----

def backlog(ground, load):
    """All of it by one process: the speed, and the memory early and late."""
    room = Room(ground, "opened", load.topic, "backlog")
    try:
        consumer = room.consumer()
        wait_until(lambda: room_decided(room) > load.count / 10,
                   300, "a tenth is done", every=0.5)
        early = peak_rss_mb(consumer.pid)
        room.wait_drained([consumer], 900)
        late = peak_rss_mb(consumer.pid)
        consumer.stop()
        per_second = rate_of(room.result_times(), load.count)
        check_product(room, load.expected)
        return {"per_second": per_second, "rss_mb_at_a_tenth": early, "rss_mb_at_the_end": late}
    finally:
        room.close()


def room_decided(room):
    """How many commands are decided; before the first claim there is no row to sum."""
    with connect(room.url) as connection:
        return connection.execute(
            "SELECT coalesce(sum(next_offset), 0) FROM postonce.stream_position"
            " WHERE topic = %s", (room.commands,)).fetchone()[0]
