"""The world changes under a consumer: partitions are added, topics go, topics refuse, and
its servers are away for long. Nothing is lost, nothing is doubled, nothing piles up."""

import os
import pathlib

import pytest
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, ResourceType)

from harness import topics, verify
from harness.commands import open_account, record, transfer
from harness.wait import wait_until

FRESH = {"kafka.topic.metadata.refresh.interval.ms": "1000"}
RSS_MAX_KB = 128 * 1024
LARGE_RSS_MAX_KB = 192 * 1024  # 32 MB in flight, copied once into dead letters, and prefetched


def opening(partition=0):
    return [record("h", open_account("house", None), partition),
            record("a", open_account("a"), partition)]


def pays(first, count, partition=0):
    return [record(f"p{partition}-{n}", transfer("house", "a", "1.00"), partition)
            for n in range(first, first + count)]


def balance(deployment):
    return deployment.query("SELECT balance_minor / 100 AS paid FROM postonce.account"
                            " WHERE name = 'a'")[0]["paid"]


def grow(deployment, partitions):
    admin = deployment.kafka.admin
    for future in admin.create_partitions(
            [NewPartitions(deployment.commands, partitions)]).values():
        future.result(20)
    wait_until(lambda: len(topics.partitions_of(deployment.kafka, deployment.commands))
               == partitions, 20, "the new partitions")
    deployment.partitions = partitions
    deployment.sender = topics.Sender(deployment.kafka)  # the other one's metadata are old


# ---- partitions are added ----

def test_partitions_that_are_added_are_read_from_their_beginning(deploy):
    deployment = deploy(settings=FRESH)
    consumer = deployment.consumer()
    deployment.send(opening() + pays(0, 5))
    deployment.wait_caught_up(consumers=[consumer])
    grow(deployment, 3)
    deployment.send(pays(0, 5, 1) + pays(0, 5, 2))
    deployment.wait_members("a")
    deployment.send(pays(5, 5, 0) + pays(5, 5, 1))
    deployment.wait_caught_up(consumers=[consumer])
    assert consumer.stop() == 0
    grow(deployment, 4)
    deployment.send(pays(0, 5, 3))
    deployment.consume_to_end()
    assert balance(deployment) == 30
    assert sorted(deployment.next_offsets()) == [0, 1, 2, 3]
    verify.verify(deployment)


# ---- a topic refuses ----

def limit(deployment, topic, size):
    """What a broker takes on a topic; size None: as it was."""
    operation = AlterConfigOpType.DELETE if size is None else AlterConfigOpType.SET
    entry = ConfigEntry("max.message.bytes", str(size or ""),
                        incremental_operation=operation)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in deployment.kafka.admin.incremental_alter_configs([resource]).values():
        future.result(20)


@pytest.mark.parametrize("which", ["results", "dead_letters"])
def test_a_topic_refuses_until_its_limit_is_raised(deploy, which):
    deployment = deploy()
    topic = getattr(deployment, which)
    consumer = deployment.consumer()
    deployment.send(opening())
    deployment.wait_caught_up(consumers=[consumer])
    limit(deployment, topic, 150)
    deployment.send(pays(0, 3) + [record("bad", {"operation": "x" * 300}, 0)] + pays(3, 3))
    wait_until(lambda: "event=delivery_failed" in consumer.log.read_text(), 40,
               "it says what is refused")
    told = [line for line in consumer.log.read_text().splitlines()
            if "event=delivery_failed" in line]
    assert f"topic={topic}" in told[0] and "MSG_SIZE_TOO_LARGE" in told[0]
    assert "raise max.message.bytes of the topic" in told[0]
    assert deployment.committed()[0] <= 5, "not beyond the one that is refused"
    limit(deployment, topic, None)
    deployment.wait_caught_up(90, consumers=[consumer])
    assert consumer.stop() == 0
    assert balance(deployment) == 6
    assert len(consumer.log.read_text().splitlines()) < 300, "a fault fills no log"
    verify.verify(deployment)


def test_headers_that_no_answer_has_room_for_hold_nothing_up(deploy):
    """What is passed through is bounded: the answer goes out without what is too large."""
    deployment = deploy()
    limit(deployment, deployment.results, 16 * 1024)
    large = ("tracestate", b"t" * 900_000)
    deployment.send(opening() + [record("k", transfer("house", "a", "1.00"), 0, headers=[
        large, ("correlation-id", b"here"), ("traceparent", b"p" * 4096),
        ("kafka_correlationId", b"c" * 2000)])] + pays(0, 3))
    deployment.consume_to_end()
    verify.verify(deployment)
    answer = next(each for each in deployment.read(deployment.results) if each.key == b"k")
    assert {"correlation-id", "kafka_correlationId"} <= {name for name, _ in answer.headers}
    assert answer.header("tracestate") is None and answer.header("traceparent") is None


def test_a_record_as_large_as_a_broker_takes_is_dead_lettered(deploy):
    """The topic's limit decides, not that of the client, which is lower."""
    deployment = deploy(partitions=2)
    limit(deployment, deployment.dead_letters, 1_100_000)
    sender = topics.Sender(deployment.kafka, **{"message.max.bytes": 1_100_000})
    deployment.send(opening())
    sender.post(deployment.commands, record("junk", b"x" * 1_048_000, 0), lambda *_: None)
    sender.flush(30)
    deployment.send(pays(0, 3) + pays(0, 3, 1))
    deployment.consume_to_end()
    state = verify.verify(deployment)
    assert [each.header("dead-letter-code") for each in state.dead_letters] == ["value_too_large"]


# ---- a topic goes ----

def delete(deployment, topic):
    topics.delete_topics(deployment.kafka, [topic])
    wait_until(lambda: topic not in deployment.kafka.admin.list_topics(timeout=5).topics, 20,
               "it is gone")


def test_the_result_topic_is_deleted_and_made_again(deploy):
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.send(opening() + pays(0, 3))
    deployment.wait_caught_up(consumers=[consumer])
    delete(deployment, deployment.results)
    deployment.send(pays(3, 3))
    wait_until(lambda: balance(deployment) == 6, 30, "posting goes on")
    assert deployment.committed(stable=False)[0] <= 5, "not beyond what is answered"
    topics.create_topics(deployment.kafka, {deployment.results: 1})
    deployment.wait_caught_up(90, consumers=[consumer])
    assert consumer.stop() == 0
    answered = [int(each.header("command-offset"))
                for each in deployment.read(deployment.results)]
    assert answered == [5, 6, 7]
    assert balance(deployment) == 6


@pytest.mark.slow
def test_the_dead_letter_topic_is_deleted_and_made_again(deploy):
    """What is good is posted meanwhile; answers wait for the letters that go with them."""
    def bad(first, count):
        return [record(f"bad{n}", b"{", 0) for n in range(first, first + count)]

    deployment = deploy()
    consumer = deployment.consumer()
    deployment.send(opening() + bad(0, 1) + pays(0, 3))
    deployment.wait_caught_up(consumers=[consumer])
    delete(deployment, deployment.dead_letters)
    deployment.send(pays(3, 3) + bad(1, 2) + pays(6, 3))
    wait_until(lambda: balance(deployment) == 9, 30, "posting goes on")
    wait_until(lambda: f"topic={deployment.dead_letters} code=" in consumer.log.read_text(), 60,
               "it says what cannot be delivered")
    assert deployment.committed(stable=False)[0] <= 9, "not beyond what has its letter"
    topics.create_topics(deployment.kafka, {deployment.dead_letters: 1})
    deployment.wait_caught_up(90, consumers=[consumer])
    assert consumer.stop() == 0
    lettered = [int(each.header("dead-letter-offset"))
                for each in deployment.read(deployment.dead_letters)]
    assert lettered == [9, 10], "those after the deletion, once"
    answered = [int(each.header("command-offset"))
                for each in deployment.read(deployment.results)]
    assert answered == list(range(14)), "each once"
    assert balance(deployment) == 9


# ---- servers are away for long ----

def descriptors(consumer):
    return len(os.listdir(f"/proc/{consumer.pid}/fd"))


def peak_rss_kb(consumer):
    status = pathlib.Path(f"/proc/{consumer.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


@pytest.mark.faults
def test_a_backlog_while_postgres_is_away_costs_no_memory(deploy, postgres):
    deployment = deploy(partitions=2)
    consumer = deployment.consumer()
    deployment.send(opening())
    deployment.wait_caught_up(consumers=[consumer])
    before = descriptors(consumer)
    postgres.stop_immediate()
    deployment.send(pays(0, 30000) + pays(0, 30000, 1), 120)
    wait_until(lambda: "event=paused" in consumer.log.read_text(), 40, "reading pauses")
    postgres.restart()
    deployment.wait_caught_up(120, consumers=[consumer])
    assert balance(deployment) == 60000
    assert peak_rss_kb(consumer) < RSS_MAX_KB
    assert descriptors(consumer) <= before + 4
    assert consumer.stop() == 0


@pytest.mark.faults
def test_large_records_while_postgres_is_away_cost_little_memory(deploy, postgres):
    """What is in flight is bounded by its bytes, too: here 200 MB of it wait."""
    deployment = deploy(partitions=2)
    consumer = deployment.consumer()
    deployment.send(opening())
    deployment.wait_caught_up(consumers=[consumer])
    postgres.stop_immediate()
    large = [record(f"large-{n}", b"x" * 500_000, n % 2) for n in range(400)]
    deployment.send(large + pays(0, 3), 120)
    wait_until(lambda: "event=paused" in consumer.log.read_text(), 40, "reading pauses")
    postgres.restart()
    deployment.wait_caught_up(120, consumers=[consumer])
    assert balance(deployment) == 3
    assert peak_rss_kb(consumer) < LARGE_RSS_MAX_KB
    assert consumer.stop() == 0
    verify.verify(deployment)


@pytest.mark.faults
def test_connections_that_are_ended_leave_nothing_behind(deploy, postgres):
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.send(opening())
    deployment.wait_caught_up(consumers=[consumer])
    before = descriptors(consumer)
    for number in range(30):
        deployment.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE application_name LIKE 'postonce%%' AND datname = %s",
                         deployment.database)
        deployment.send(pays(number, 1))
        wait_until(lambda: balance(deployment) == number + 1, 20, "it connects again")
    assert descriptors(consumer) <= before + 2
    assert consumer.stop() == 0
    verify.verify(deployment)


@pytest.mark.faults
def test_brokers_that_are_away_again_and_again_leave_nothing_behind(deploy, kafka):
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.send(opening())
    deployment.wait_caught_up(consumers=[consumer])
    before = descriptors(consumer)
    for number in range(2):
        kafka.brokers[0].kill()
        kafka.start_again()
        deployment.send(pays(number, 1))
        deployment.wait_caught_up(90, consumers=[consumer])
    assert descriptors(consumer) <= before + 6
    assert peak_rss_kb(consumer) < RSS_MAX_KB
    assert balance(deployment) == 2
    assert consumer.stop() == 0
