"""kill -9 at bad moments. After each: one visible answer a record, and books that are right."""

import random

import psycopg
import pytest

from harness import verify
from harness.commands import open_account, record, transfer
from harness.product import Load
from harness.proxy import in_front_of
from harness.wait import wait_until
from harness.workload import Workload

OPEN = [record("h", open_account("house", None), 0), record("a", open_account("a"), 0)]
SHORT = {"kafka.session.timeout.ms": "1500", "kafka.heartbeat.interval.ms": "300"}


def payments(count, first=0):
    return [record(f"k{n}", transfer("house", "a", "0.01"), 0)
            for n in range(first, first + count)]


@pytest.mark.slow
def test_thirty_kills_under_load(deploy):
    kills, rng = 30, random.Random(42)
    deployment = deploy(partitions=2, settings=SHORT)
    work = Workload(seed=42, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    reader = deployment.reader()
    with Load(deployment.sender, deployment.commands, work.next, 250) as load:
        for _ in range(kills):
            before = deployment.decided()
            consumer = deployment.consumer(batch__records=25)

            def progressed():
                consumer.must_run()
                reader.poll(0.01)
                return deployment.decided() > before
            wait_until(progressed, 40, "the consumer gets on")
            moment = rng.uniform(0, 0.15)  # anywhere in its rounds, not only at their start
            reader.poll(moment)
            consumer.kill()
        load.stop()
    deployment.consume_to_end(seconds=90)
    verify.verify(deployment)
    seen = [(each.header("command-partition"), each.header("command-offset"))
            for each in reader.read_to_end()]
    assert len(seen) == len(set(seen)), "the reader saw an answer twice"
    reader.close()


def kill_between_commits(deployment, kafka, commands):
    """Has the batch committed in PostgreSQL, and kills before Kafka can hear of it: the
    batch waits for a row lock while the broker is stopped. Returns how far it was decided
    at least: not all commands need to be of that batch."""
    before = deployment.epoch()
    consumer = deployment.consumer()
    deployment.wait_members("a")
    wait_until(lambda: deployment.epoch() > before and deployment.committed(), 20,
               "the partition is taken over")
    with psycopg.connect(deployment.url) as lock:
        lock.execute("SELECT FROM postonce.stream_position FOR UPDATE")
        before = deployment.next_offsets()
        deployment.send(commands)
        wait_until(lambda: deployment.query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"), 20, "the batch waits for its row")
        kafka.brokers[0].pause()
    try:
        wait_until(lambda: deployment.next_offsets() != before, 20, "the batch is committed")
        return deployment.next_offsets()[0]
    finally:
        consumer.kill()
        kafka.brokers[0].resume()


@pytest.mark.faults
def test_between_the_two_commits(deploy, kafka):
    """The window of DESIGN §1.4: redelivered, found in the inbox, answered once."""
    deployment = deploy(settings=SHORT)
    deployment.send(OPEN)
    deployment.consume_to_end()
    kill_between_commits(deployment, kafka, payments(20))
    assert len(deployment.read(deployment.results)) == len(OPEN)
    deployment.consume_to_end()
    state = verify.verify(deployment)
    replayed = [each for each in state.results
                if each.header("idempotent-replayed") == "true"]
    assert replayed, "nothing was between the two commits: the test is void"
    assert state.accounts["a"]["balance_minor"] == 20


@pytest.mark.faults
def test_between_the_two_commits_of_a_groups_very_first_batch(deploy, kafka):
    """DESIGN §4: no committed offset yet; one must be committed before anything is posted,
    or a restart would begin behind the batch that nobody was told about."""
    deployment = deploy(settings=SHORT)
    decided = kill_between_commits(deployment, kafka, [
        *OPEN, *payments(5), record("k0", transfer("house", "a", "0.02"), 0),
        record("bad", b"{", 0), record(None, b"{", 0)])
    deployment.consume_to_end()
    state = verify.verify(deployment)
    between = [each for each in state.results if int(each.header("command-offset")) < decided]
    assert between and all(each.header("idempotent-replayed") == "true" for each in between)


def test_the_answer_to_a_commit_is_lost(deploy):
    """In doubt is not failed: the inbox settles it, and the money moves once."""
    deployment = deploy()
    deployment.send(OPEN)
    deployment.consume_to_end()
    proxy, url = in_front_of(deployment.url)
    consumer = deployment.consumer(postgres=url)
    deployment.wait_members("a")
    for turn in range(3):
        deployment.send(payments(3, first=10 * turn + 100))
        deployment.wait_caught_up(consumers=[consumer])
        proxy.lose_commits(1)
        deployment.send(payments(10, first=10 * turn))
        deployment.wait_caught_up(consumers=[consumer])
        assert proxy.lost == turn + 1
    assert consumer.stop() == 0
    proxy.close()
    assert verify.verify(deployment).accounts["a"]["balance_minor"] == 39


def test_killed_while_it_starts(deploy):
    """Before it has joined, while it joins, just after: nothing may be half done."""
    deployment = deploy(settings=SHORT)
    deployment.send(OPEN + payments(200))
    for wait in (0.0, 0.05, 0.1, 0.2, 0.4):
        consumer = deployment.consumer()
        with pytest.raises(AssertionError):
            consumer.wait(wait)  # still running, at some point of its start
        consumer.kill()
    deployment.consume_to_end(seconds=90)
    verify.verify(deployment)
