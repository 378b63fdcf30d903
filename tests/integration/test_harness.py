"""The harness itself, against real servers: what the other tests rest on."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading

import psycopg
import pytest

from harness import topics
from harness.ports import free_port
from harness.postgres import connect
from harness.process import Process, started_at
from harness.proxy import AFTER, UNANSWERED, WITHIN, in_front_of
from harness.servers import Servers
from harness.topics import Reader, Record, Sender
from harness.wait import TimedOut, wait_until

TESTS = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture
def database(postgres, request):
    name = "h_" + str(abs(hash(request.node.name)) % 10 ** 8)
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def topic(kafka, request):
    name = "harness-" + str(abs(hash(request.node.name)) % 10 ** 8)
    topics.create_topics(kafka, {name: 2})
    yield name
    topics.delete_topics(kafka, [name])


def test_wait_until_gives_the_value_and_names_what_did_not_happen():
    assert wait_until(lambda: 7, 1) == 7
    with pytest.raises(TimedOut, match="a pig flies"):
        wait_until(lambda: None, 0.05, "a pig flies")


def test_ports_are_distinct_and_below_the_ephemeral_range():
    ports = {free_port() for _ in range(50)}
    assert len(ports) == 50 and max(ports) < 32768


def test_a_child_dies_with_a_killed_parent(tmp_path):
    """PR_SET_PDEATHSIG: nothing is left behind even by kill -9."""
    code = textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(TESTS)!r})
        from harness.process import Process
        child = Process("sleeper", ["sleep", "600"], {str(tmp_path / 'log')!r}).start()
        print(child.pid, flush=True)
        input()
    """)
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    name = pathlib.Path(f"/proc/{child}/comm")
    wait_until(lambda: name.read_text() == "sleep\n", 5, "setpriv has done its work")
    parent.kill()
    parent.wait()
    wait_until(lambda: started_at(child) is None, 5, "the child dies with its parent")


def test_pause_and_resume(tmp_path):
    process = Process("sleeper", ["sleep", "600"], tmp_path / "log").start()
    process.pause()
    assert process._state() == "T"
    process.resume()
    wait_until(lambda: process._state() == "S", 5, "it runs again")
    assert process.kill() == -signal.SIGKILL


@pytest.mark.faults
def test_postgres_survives_what_we_do_to_it(postgres, database):
    with connect(database) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    for fault in (postgres.stop_immediate, postgres.kill, postgres.stop):
        fault()
        with pytest.raises(psycopg.OperationalError):
            connect(database)
        postgres.restart()
        with connect(database) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


@pytest.mark.faults
def test_a_paused_postgres_is_silent_and_comes_back(postgres, database):
    raw = connect(database).pgconn

    def answered():
        raw.consume_input()
        return not raw.is_busy()

    postgres.pause()
    raw.send_query(b"SELECT 1")
    with pytest.raises(TimedOut):
        wait_until(answered, 0.3)
    postgres.resume()
    wait_until(answered, 5, "the answer comes")
    raw.finish()


@pytest.mark.faults
def test_a_killed_broker_keeps_what_it_acknowledged(kafka, topic):
    sender = Sender(kafka)
    sender.send(topic, [Record(b"%d" % n) for n in range(100)])
    kafka.kill()
    kafka.start_again()
    sender.send(topic, [Record(b"%d" % n) for n in range(100, 110)])
    seen = topics.read_topic(kafka, topic)
    assert sorted(int(record.value) for record in seen) == list(range(110))


def test_records_come_back_as_they_were_sent(kafka, topic):
    headers = [("a", b"1"), ("A", b""), ("none", None), ("a", b"\xff")]
    sent = [Record(b"{}", b"acct", headers, 1, 1_700_000_000_123), Record(None, None, [], 0),
            Record(b"", b"", [], 0)]
    places = Sender(kafka).send(topic, sent)
    assert places == [(1, 0), (0, 0), (0, 1)]
    tombstone, empty, full = topics.read_topic(kafka, topic)
    assert (full.key, full.value, list(full.headers)) == (b"acct", b"{}", headers)
    assert (full.timestamp_ms, full.place) == (1_700_000_000_123, (1, 0))
    assert tombstone.value is None and tombstone.key is None
    assert empty.value == b"" and empty.key == b""
    assert topics.end_offsets(kafka, topic) == {0: 2, 1: 1}


def test_a_committed_reader_sees_no_open_or_aborted_record(kafka, topic):
    """Without this the test of exactly one visible answer would prove nothing."""
    sender = Sender(kafka, **{"transactional.id": topic})
    producer = sender._producer
    producer.init_transactions(20)
    for value, end in ((b"aborted", producer.abort_transaction),
                       (b"committed", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value, partition=0)
        producer.flush(10)
        end(20)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(10)
    assert [each.value for each in topics.read_topic(kafka, topic)] == [b"committed"]
    assert len(topics.read_topic(kafka, topic, committed=False)) == 3
    producer.abort_transaction(20)


def test_a_reader_goes_on_where_it_was(kafka, topic):
    sender, reader = Sender(kafka), Reader(kafka, topic)
    assert reader.read_to_end() == []
    for n in range(3):
        sender.send(topic, [Record(b"x", partition=n % 2)])
        assert len(reader.read_to_end()) == n + 1
    reader.close()


def test_the_proxy_can_lose_the_answer_to_a_commit(database):
    proxy, through = in_front_of(database)
    with connect(through) as connection:
        connection.execute("CREATE TABLE t (n int)")
        proxy.lose_commits(1)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")
    with connect(database) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    assert proxy.lost == 1 and "INSERT 0 1" in proxy.completions
    proxy.close()


def test_the_proxy_can_hold_what_is_under_way(database):
    proxy, through = in_front_of(database)
    held = connect(through).pgconn
    with connect(database) as direct:
        direct.execute("CREATE TABLE t (n int)")
        proxy.hold()
        held.send_query(b"INSERT INTO t VALUES (1)")
        wait_until(lambda: proxy.held_bytes > 0, 5, "the proxy holds something")
        assert direct.execute("SELECT count(*) FROM t").fetchone() == (0,)
        proxy.release()
        wait_until(lambda: direct.execute("SELECT count(*) FROM t").fetchone() == (1,), 5,
                   "it arrives")
    held.finish()
    proxy.close()


def prepared(url):
    """A connection that runs BEGIN, INSERT and COMMIT as the product does: prepared under
    names of their own, and in a pipeline."""
    connection = connect(url, prepare_threshold=0)
    connection.execute("CREATE TABLE IF NOT EXISTS t (n int)")
    return connection


def insert_in_a_pipeline(connection):
    with connection.pipeline():
        for statement in ("BEGIN", "INSERT INTO t VALUES (1)", "COMMIT"):
            connection.execute(statement, prepare=True)


@pytest.mark.parametrize(("what", "rows"), [(AFTER, {0, 1}), (WITHIN, {0})])
def test_the_proxy_can_cut_at_a_commit(database, what, rows):
    proxy, through = in_front_of(database)
    connection = prepared(through)
    insert_in_a_pipeline(connection)  # the second time only names are sent
    proxy.at_commit(what)
    with pytest.raises(psycopg.OperationalError):
        insert_in_a_pipeline(connection)
    assert proxy.at_commits == 1
    with connect(database) as direct:
        wait_until(lambda: direct.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            ).fetchone() == (1,), 5, "its session has ended")
        assert direct.execute("SELECT count(*) FROM t").fetchone()[0] - 1 in rows
    insert_in_a_pipeline(prepared(through))  # it strikes only once
    proxy.close()


def test_the_proxy_can_keep_back_the_answer_to_a_commit(database):
    proxy, through = in_front_of(database)
    connection = prepared(through)
    done = len(proxy.completions)
    proxy.at_commit(UNANSWERED)
    waiting = threading.Thread(target=insert_in_a_pipeline, args=(connection,))
    waiting.start()
    wait_until(lambda: "COMMIT" in proxy.completions[done:], 5, "the server has committed")
    waiting.join(0.2)
    assert waiting.is_alive(), "the client has got an answer"
    proxy.hear()
    waiting.join(5)
    assert not waiting.is_alive()
    proxy.close()


def test_the_proxy_can_hold_from_a_begin_on(database):
    proxy, through = in_front_of(database)
    connection = prepared(through)
    proxy.hold_next_batch()
    connection.execute("SELECT 1")
    assert proxy.held_bytes == 0
    waiting = threading.Thread(target=insert_in_a_pipeline, args=(connection,))
    waiting.start()
    wait_until(lambda: proxy.held_bytes > 0, 5, "the BEGIN is held")
    with connect(database) as direct:
        assert direct.execute("SELECT count(*) FROM t").fetchone() == (0,)
    proxy.release()
    waiting.join(5)
    with connect(database) as direct:
        assert direct.execute("SELECT count(*) FROM t").fetchone() == (1,)
    proxy.close()


def test_the_proxy_can_be_slow_and_silent(database):
    proxy, through = in_front_of(database)
    connection = prepared(through)
    proxy.one_byte, proxy.delay = True, 0.001
    insert_in_a_pipeline(connection)
    assert proxy.slowed > 0
    proxy.well()
    proxy.silence()
    waiting = threading.Thread(target=insert_in_a_pipeline, args=(connection,))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    proxy.well()
    waiting.join(5)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
    proxy.close()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="requirements.txt: no client there can")
def test_the_client_outlives_topics_that_are_made_anew(kafka):
    """In a process of its own: librdkafka 2.4 to 2.8 dies of it."""
    program = textwrap.dedent("""
        import os, sys
        from confluent_kafka import Consumer
        from harness import topics
        from harness.kafka import ExternalKafka

        kafka = ExternalKafka(sys.argv[1])
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "anew",
                             "topic.metadata.refresh.interval.ms": 300})
        names = [f"anew-{number}" for number in range(8)]
        for _ in range(30):
            topics.create_topics(kafka, dict.fromkeys(names, 2))
            for name in names:
                consumer.list_topics(name, timeout=5)
            consumer.list_topics(timeout=5)
            kafka.admin.list_topics(timeout=5)
            topics.delete_topics(kafka, names)
        os._exit(0)
        """)
    done = subprocess.run([sys.executable, "-c", program, kafka.bootstrap], cwd=TESTS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stdout}"


@pytest.mark.slow
@pytest.mark.faults
def test_three_brokers_go_on_without_one(tmp_path):
    if any(os.environ.get(name) for name in ("TEST_POSTGRES", "TEST_KAFKA")):
        pytest.skip("servers are given")
    from harness.kafka import Kafka
    kafka = Kafka(tmp_path / "kafka", brokers=3)
    try:
        kafka.start()
        topics.create_topics(kafka, {"t": 3})
        sender = Sender(kafka)
        sender.send("t", [Record(b"before", partition=n) for n in range(3)])
        kafka.brokers[1].kill()
        sender.send("t", [Record(b"during", partition=n) for n in range(3)])
        kafka.start_again(kafka.brokers[1])
        sender.send("t", [Record(b"after", partition=n) for n in range(3)])
        assert len(topics.read_topic(kafka, "t")) == 9
    finally:
        kafka.close()


def test_servers_given_from_outside_are_used_and_not_stopped(servers, monkeypatch, tmp_path):
    monkeypatch.setenv("TEST_POSTGRES", servers.postgres.admin_url)
    monkeypatch.setenv("TEST_KAFKA", servers.kafka.bootstrap)
    with Servers(tmp_path) as given:
        assert not given.postgres.faults and not given.kafka.faults
        connect(given.postgres.create_database("from_outside")).close()
        given.postgres.drop_database("from_outside")
    servers.kafka.wait_ready()
    connect(servers.postgres.admin_url).close()
