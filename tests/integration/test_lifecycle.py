"""`postonce consume` as a process: how it starts, refuses to start, and stops."""

import os
import pathlib
import signal
import time

import psycopg
import pytest

from harness import topics, verify
from harness.commands import open_account, record, transfer
from harness.ports import free_port
from harness.product import Load
from harness.wait import wait_until
from harness.workload import Workload


def refuses(deployment, code, **settings):
    """What it says when it must not start; one sentence, not a flood."""
    consumer = deployment.consumer(**settings)
    consumer.exits(code, 30)
    said = consumer.log.read_text()
    assert said.strip(), "it said nothing"
    errors = [line for line in said.splitlines() if "error" in line.lower()] or [said]
    assert len(errors) <= 2, said
    return said


# ---- the start ----

@pytest.mark.parametrize("which", ["commands", "results", "dead_letters"])
def test_a_missing_topic(deploy, which):
    deployment = deploy()
    name = f"{deployment.group}-not-there"
    assert name in refuses(deployment, 2, **{f"topics__{which}": name})
    assert name not in deployment.kafka.admin.list_topics(timeout=10).topics


def test_a_schema_that_is_missing(deploy):
    deployment = deploy(migrated=False)
    deployment.send([record("k", open_account("a"), 0)])
    assert "migrate" in refuses(deployment, 3)


def test_a_schema_that_is_newer(deploy):
    deployment = deploy()
    add_newer_version(deployment)
    assert "9999" in refuses(deployment, 3)


def add_newer_version(deployment):
    """As a later release would leave it."""
    with psycopg.connect(deployment.url) as connection:
        connection.execute(
            "INSERT INTO postonce.schema_version SELECT (jsonb_populate_record(v, "
            "'{\"version\": 9999}')).* FROM postonce.schema_version v "
            "ORDER BY version DESC LIMIT 1")


def test_wrong_credentials(deploy):
    deployment = deploy()
    wrong = psycopg.conninfo.make_conninfo(deployment.url, password="not-this-one")
    said = refuses(deployment, 2, postgres=wrong)
    assert "not-this-one" not in said


def test_a_database_that_does_not_exist(deploy):
    deployment = deploy()
    refuses(deployment, 2, postgres=psycopg.conninfo.make_conninfo(deployment.url,
                                                                   dbname="nowhere_at_all"))


def test_it_waits_for_kafka(deploy):
    """Kafka not reachable is no error of the daemon's: it waits, and can still be stopped."""
    deployment = deploy()
    nobody = f"127.0.0.1:{free_port()}"
    consumer = deployment.consumer(kafka__bootstrap__servers=nobody)
    with pytest.raises(AssertionError):
        consumer.wait(3)
    assert consumer.stop() == 0


# ---- the end ----

def test_until_end_of_an_empty_topic(deploy):
    deployment = deploy(partitions=3)
    deployment.consume_to_end(seconds=20)
    assert deployment.committed() == {0: 0, 1: 0, 2: 0}, "DESIGN §4: the start is committed"


def test_until_end_ends_although_commands_keep_coming(deploy):
    deployment = deploy()
    work = Workload(seed=30)
    deployment.send(work.opening() + work.take(200))
    with Load(deployment.sender, deployment.commands, work.next, 400):
        deployment.consume_to_end(seconds=30)
    deployment.consume_to_end()
    verify.verify(deployment)


def test_until_end_waits_for_what_a_dead_member_had(deploy):
    """The group has given it no partition, because another member has the only one; that one
    dies, and the group does not know yet."""
    deployment = deploy(settings={"kafka.session.timeout.ms": "3000",
                                  "kafka.heartbeat.interval.ms": "500"})
    daemon = deployment.consumer("a", kafka__client__id="1st")  # the member id begins so
    deployment.wait_members("1st")
    heir = deployment.consumer("b", "--until-end", kafka__client__id="2nd")
    wait_until(lambda: "event=assigned" in heir.log.read_text(), 20, "the group has spoken")
    assert "partitions=0" in heir.log.read_text(), "the test is void"
    daemon.kill()
    deployment.send([record("k", open_account("a"), 0)])
    heir.exits(0, 30)
    verify.verify(deployment)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(deploy, number):
    """What is in hand is finished and answered, and the group is left at once, not when the
    session runs out."""
    deployment = deploy(settings={"kafka.session.timeout.ms": "30000"})
    work = Workload(seed=31)
    deployment.send(work.opening())
    consumer = deployment.consumer(batch__records=50)
    with Load(deployment.sender, deployment.commands, work.next, 500) as load:
        load.wait_sent(500)
        wait_until(lambda: deployment.decided() > 300, 30, "it is busy")
        assert consumer.stop(15, number) == 0
        deployment.wait_no_members(5)
        assert deployment.committed() == deployment.next_offsets()
        load.stop()
    deployment.consume_to_end()
    verify.verify(deployment)


def test_a_signal_ends_it_while_postgres_hangs(deploy, postgres):
    if not postgres.faults:
        pytest.skip("the server was given from outside")
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.wait_members("a")
    postgres.pause()
    try:
        deployment.send([record("k", open_account("a"), 0)])
        consumer.send(signal.SIGTERM)
        assert consumer.wait(30) in (0, 70)
    finally:
        postgres.resume()
    deployment.consume_to_end()
    verify.verify(deployment)


# ---- between ----

def test_its_threads_have_names(deploy):
    """`top -H` tells which stage is busy."""
    deployment = deploy()
    consumer = deployment.consumer("a")
    deployment.wait_members("a")
    names = {path.read_text().strip()
             for path in pathlib.Path(f"/proc/{consumer.pid}/task").glob("*/comm")}
    assert {"postonce", "poster", "replier"} <= names, names
    assert consumer.stop() == 0


def test_an_idle_consumer_is_cheap(deploy):
    """Under 1 % of a processor, under 60 MB."""
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.send([record("k", open_account("a"), 0)])
    deployment.wait_caught_up(consumers=[consumer])
    deployment.wait_members("a")
    spent, start, measured = processor_seconds(consumer.pid), time.monotonic(), 5.0
    wait_until(lambda: time.monotonic() - start >= measured, 10, "the time has passed", 0.2)
    share = (processor_seconds(consumer.pid) - spent) / (time.monotonic() - start)
    assert share < 0.01, f"{100 * share:.1f} % while idle"
    assert resident_bytes(consumer.pid) < 60e6, f"{resident_bytes(consumer.pid) / 1e6:.0f} MB"
    assert consumer.stop() == 0


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("static", [False, True])
def test_two_processes_of_one_instance(deploy, static):
    """A mistake of configuration: it is noticed and said, nobody fences for ever, and the
    books stay right. Of two static members only the one that came first is told."""
    deployment = deploy(partitions=2)
    work = Workload(seed=32, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    more = {"kafka__group__instance__id": "a"} if static else {}
    first = deployment.consumer("a", **more)
    deployment.wait_members("a")
    second = deployment.consumer("a", **more)
    with Load(deployment.sender, deployment.commands, work.next, 300):
        first.exits(2, 60)
        if not static:
            second.exits(2, 60)
    for each in (first,) if static else (first, second):
        assert "another process uses the same" in each.log.read_text()
    second.kill()
    deployment.consume_to_end(seconds=90)
    verify.verify(deployment)


def test_records_of_aborted_transactions_do_not_count(deploy):
    """Commands may be sent in transactions; offsets then have gaps."""
    deployment = deploy()
    sender = topics.Sender(deployment.kafka, **{"transactional.id": deployment.group + "-s"})
    producer = sender._producer
    producer.init_transactions(20)
    house = [record("h", open_account("house", None), 0), record("a", open_account("a"), 0)]
    pay = transfer("house", "a", "1.00")
    for commands, end in ((house, producer.commit_transaction),
                          ([record("no", pay, 0)], producer.abort_transaction),
                          ([record("yes", pay, 0)], producer.commit_transaction)):
        producer.begin_transaction()
        sender.send(deployment.commands, commands)
        end(20)
    deployment.consume_to_end()
    state = verify.verify(deployment)
    assert set(state.inbox) == {"h", "a", "yes"}
