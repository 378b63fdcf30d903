"""PostgreSQL and Kafka go away under load and come back: nothing is lost, nothing doubled."""

import signal
import socket
import struct
import threading

import psycopg
import pytest

from harness import verify
from harness.product import Load
from harness.wait import wait_until
from harness.workload import Workload

pytestmark = pytest.mark.faults


@pytest.fixture
def loaded(deploy, servers):
    """A consumer that is busy, and the load that keeps it so."""
    deployment = deploy(partitions=2, settings={
        "kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "500"})
    work = Workload(seed=20, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    consumer = deployment.consumer(batch__records=50)
    deployment.wait_members("a")
    with Load(deployment.sender, deployment.commands, work.next, 300) as load:
        load.wait_sent(150)
        yield deployment, consumer, load
        servers.heal()  # or the load could not end after a failed test


def settle(deployment, consumer, load):
    load.stop()
    deployment.wait_caught_up(consumers=[consumer], seconds=90)
    assert consumer.stop() == 0
    verify.verify(deployment)


def test_postgres_stopped_at_once_and_started_again(loaded, postgres):
    deployment, consumer, load = loaded
    for _ in range(3):
        before = deployment.decided()
        wait_until(lambda: deployment.decided() > before + 50, 20, "it gets on")
        postgres.stop_immediate()
        consumer.must_run()
        postgres.restart()
    settle(deployment, consumer, load)


def test_postgres_killed(loaded, postgres):
    """I14: what was answered survives a crash of the database."""
    deployment, consumer, load = loaded
    postgres.kill()
    answered = {each.header("idempotency-key") for each in deployment.read(deployment.results)
                if each.header("outcome") in ("applied", "rejected")}
    postgres.restart()
    kept = {row["key"] for row in deployment.query("SELECT key FROM postonce.inbox")}
    assert answered <= kept
    settle(deployment, consumer, load)


@pytest.mark.slow
def test_postgres_away_for_longer_than_the_poll_interval(deploy, postgres):
    """It pauses and keeps polling: it is still the same member of the group afterwards."""
    deployment = deploy(settings={
        "kafka.session.timeout.ms": "2500", "kafka.heartbeat.interval.ms": "500",
        "kafka.max.poll.interval.ms": "4000"})
    work = Workload(seed=21)
    deployment.send(work.opening())
    consumer = deployment.consumer()
    deployment.wait_caught_up(consumers=[consumer])
    epoch = deployment.query("SELECT epoch FROM postonce.stream_position")
    postgres.stop_immediate()
    with Load(deployment.sender, deployment.commands, work.next, 50) as load:
        load.wait_sent(300)  # six seconds' worth
        assert set(deployment.members()) == {"a"}
        consumer.must_run()
        postgres.restart()
    deployment.wait_caught_up(consumers=[consumer])
    assert deployment.query("SELECT epoch FROM postonce.stream_position") == epoch, \
        "it was thrown out of the group and came back"
    assert consumer.stop() == 0
    verify.verify(deployment)


def test_postgres_hangs(loaded, postgres):
    """Connected and silent, as behind a broken network."""
    deployment, consumer, load = loaded
    before = load.sent
    postgres.pause()
    load.wait_sent(before + 600)
    postgres.resume()
    settle(deployment, consumer, load)


@pytest.mark.slow
def test_the_broker_killed_and_started_again(loaded, kafka):
    deployment, consumer, load = loaded
    kafka.brokers[0].kill()
    kafka.start_again()
    settle(deployment, consumer, load)


@pytest.mark.slow
def test_the_broker_hangs(loaded, kafka):
    """Shorter than the producer's transaction, longer than the session."""
    deployment, consumer, load = loaded
    before = load.sent
    kafka.brokers[0].pause()
    load.wait_sent(before + 1200)
    kafka.brokers[0].resume()
    settle(deployment, consumer, load)


def hang_in_between(deployment, kafka, commands):
    """The broker falls silent when a batch is committed in PostgreSQL and not answered."""
    before = deployment.decided()
    with psycopg.connect(deployment.url) as lock:
        lock.execute("SELECT FROM postonce.stream_position FOR UPDATE")
        deployment.send(commands)
        wait_until(lambda: deployment.query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND datname = current_database()"), 20, "the batch waits for its row")
        kafka.brokers[0].pause()
    wait_until(lambda: deployment.decided() > before, 20, "it is decided, not answered")


@pytest.mark.slow
def test_a_stop_while_the_broker_hangs(deploy, kafka):
    """With a Kafka transaction in hand. Who stops it kills it after a while: it must be
    gone by itself before."""
    deployment = deploy()
    work = Workload(seed=23)
    deployment.send(work.opening())
    consumer = deployment.consumer()
    deployment.wait_caught_up(consumers=[consumer])
    try:
        hang_in_between(deployment, kafka, work.take(5))
        consumer.send(signal.SIGTERM)
        assert consumer.wait(45) in (0, 70)
    finally:
        kafka.brokers[0].resume()
    deployment.consume_to_end("b")
    verify.verify(deployment)


@pytest.mark.slow
def test_the_broker_hangs_for_longer_than_the_watchdog_waits(deploy, kafka):
    """With a Kafka transaction in hand. The watchdog guards each call, not all of them
    together: as long as each comes back at its own time-out the process lives and tries
    again; if one does not, it ends with 70. Either way the answers are given once."""
    deployment = deploy()
    work = Workload(seed=24)
    deployment.send(work.opening())
    consumer = deployment.consumer()
    deployment.wait_caught_up(consumers=[consumer])
    hang_in_between(deployment, kafka, work.take(50))
    wait_until(lambda: not consumer.running or  # three time-outs of 10 s and more
               consumer.log.read_text().count("call=abort_transaction") >= 2, 120,
               "the transaction was in hand for longer than the watchdog waits")
    if not consumer.running:
        assert consumer.returncode == 70 and "event=watchdog" in consumer.log.read_text()
    kafka.brokers[0].resume()
    kafka.wait_ready()
    if not consumer.running:
        consumer.start()
    deployment.send(work.take(50))
    deployment.wait_caught_up(90, consumers=[consumer])
    assert consumer.stop() == 0
    state = verify.verify(deployment)
    assert [each for each in state.results if each.header("idempotent-replayed") == "true"], \
        "nothing was in hand: the test is void"


@pytest.mark.slow
def test_both_killed_at_once_and_the_consumer_too(loaded, postgres, kafka):
    deployment, consumer, load = loaded
    postgres.kill()
    kafka.brokers[0].kill()
    consumer.kill()
    postgres.restart()
    kafka.start_again()
    consumer.start()
    settle(deployment, consumer, load)


def test_what_a_server_says_while_it_stops_is_not_printed(deploy):
    """Shut down at once in the middle of a login it sends a notice; libpq prints notices."""
    def serve(listener):
        connection, _ = listener.accept()
        connection.recv(4096)
        fields = b"SWARNING\0VWARNING\0C57P01\0Mplanted notice\0\0"
        connection.sendall(b"R" + struct.pack("!ii", 8, 0)
                           + b"N" + struct.pack("!i", 4 + len(fields)) + fields)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        done = deploy(migrated=False).verb(
            "lookup", "k", postgres=f"host=127.0.0.1 port={port} sslmode=disable "
                                    "gssencmode=disable")
    assert done.returncode == 69, done.stderr
    assert "planted notice" not in done.stderr and "57P01" not in done.stderr


def test_a_consumer_waits_for_servers_that_are_not_there_yet(deploy, postgres):
    deployment = deploy()
    work = Workload(seed=22)
    deployment.send(work.opening())
    postgres.stop_immediate()
    consumer = deployment.consumer()
    with pytest.raises(AssertionError):
        consumer.wait(2)  # it waits; it does not give up
    postgres.restart()
    deployment.wait_caught_up(consumers=[consumer])
    assert consumer.stop() == 0
    verify.verify(deployment)
