"""Where consumption resumes (DESIGN §4), and when it must halt instead (CONTRACT §2)."""

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from psycopg import sql

from harness import topics, verify
from harness.commands import open_account, record, transfer
from harness.postgres import connect
from harness.wait import wait_until

PAY = transfer("house", "a", "1.00")


@pytest.fixture
def decided(deploy):
    """Ten commands decided in partition 0."""
    deployment = deploy()
    deployment.send([record("h", open_account("house", None), 0),
                     record("a", open_account("a"), 0), *pays(0, 8)])
    deployment.consume_to_end()
    return deployment


def pays(first, count, partition=0):
    return [record(f"k{n}", PAY, partition) for n in range(first, first + count)]


def balance(deployment):
    return deployment.query("SELECT balance_minor FROM postonce.account WHERE name = 'a'"
                            )[0]["balance_minor"]


def answers(deployment):
    found = {}
    for each in deployment.read(deployment.results):
        found.setdefault(int(each.header("command-offset")), []).append(each)
    return found


# ---- to resume ----

def test_an_empty_database_is_filled_again_from_the_topic(decided):
    """C > W: the database is new. The same books and the same answers, byte for byte."""
    before = {table: decided.query(f"SELECT * FROM postonce.{table} ORDER BY 1")
              for table in ("account", "transfer")}
    decided.postgres.create_database(decided.database)
    decided.migrate()
    decided.consume_to_end()
    for table, rows in before.items():
        assert decided.query(f"SELECT * FROM postonce.{table} ORDER BY 1") == rows
    for once, again in answers(decided).values():
        assert once.value == again.value
    verify.verify(decided, rewound=True)


def test_a_restored_database_replays_what_it_lost(decided):
    """C > W: the rest is still in the topic, so nothing needs to be done by hand."""
    backup = decided.database + "_backup"
    with connect(decided.postgres.admin_url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            *map(sql.Identifier, (backup, decided.database, owner_of(decided)))))
    decided.send(pays(8, 5))
    decided.consume_to_end()
    decided.settings["postgres"] = decided.url = decided.postgres.url(backup)
    assert decided.next_offsets() == {0: 10}
    decided.send(pays(13, 2))
    decided.consume_to_end()
    assert balance(decided) == 1500
    verify.verify(decided, rewound=True)
    decided.postgres.drop_database(backup)


def owner_of(deployment):
    return deployment.query("SELECT current_user AS name")[0]["name"]


def test_a_new_group_begins_where_the_database_is(decided):
    """No C: what is decided is not answered again."""
    decided.send(pays(8, 1))
    decided.settings["group"] = decided.group = decided.group + "-second"
    decided.consume_to_end()
    assert decided.committed() == {0: 11}
    verify.verify(decided)


def test_a_committed_offset_below_the_database_is_answered_from_the_inbox(decided):
    """C < W, as a crash leaves it."""
    done = decided.verb("rewind", "--to-offset", "6", "--execute")
    assert done.returncode == 0, done.stderr
    decided.consume_to_end()
    assert {offset: len(found) for offset, found in answers(decided).items()} == {
        **dict.fromkeys(range(6), 1), **dict.fromkeys(range(6, 10), 2)}
    assert balance(decided) == 800


# ---- to halt ----

def halts(deployment):
    consumer = deployment.consumer("a", "--until-end")
    consumer.exits(3, 30)
    told = [line for line in consumer.log.read_text().splitlines() if "event=halted" in line]
    assert told and all("postonce adopt" in line and "partition=0" in line for line in told)
    return told[0]


def create_anew(deployment, while_gone=lambda: None):
    topics.delete_topics(deployment.kafka, [deployment.commands])
    wait_until(lambda: deployment.commands not in
               deployment.kafka.admin.list_topics(timeout=5).topics, 20, "the topic is gone")
    while_gone()
    topics.create_topics(deployment.kafka, {deployment.commands: 1}, {"retention.ms": "-1"})


def test_a_topic_that_was_created_anew_and_is_shorter(decided):
    create_anew(decided)
    decided.send(pays(100, 3))
    assert "reason=log_truncated" in halts(decided)
    assert balance(decided) == 800


def test_a_topic_that_was_created_anew_and_is_longer(decided):
    """Its first records are below next_offset and would never be read."""
    create_anew(decided)
    decided.send(pays(100, 30))
    assert "reason=topic_replaced" in halts(decided)
    assert balance(decided) == 800
    assert "reason=topic_replaced" in halts(decided), "a restart changes nothing"


def test_a_topic_that_was_created_anew_under_a_running_consumer(decided):
    consumer = decided.consumer()
    wait_until(lambda: consumer.log.read_text().count("event=reading") == 2, 20, "it reads")
    create_anew(decided, lambda: wait_until(
        lambda: "the topic is gone" in consumer.log.read_text(), 60, "it has noticed"))
    decided.send(pays(100, 30))
    wait_until(lambda: "event=halted" in consumer.log.read_text(), 60, "it halts")
    assert balance(decided) == 800
    consumer.must_run()
    assert consumer.stop() == 0
    assert "event=halted" in consumer.log.read_text() and balance(decided) == 800


def test_the_last_record_decided_is_deleted_in_time(decided):
    """By the topic's retention: there is no witness any more, and nothing is missing."""
    topics.delete_records(decided.kafka, decided.commands, 0, 10)
    decided.send(pays(8, 2))
    decided.consume_to_end()
    assert balance(decided) == 1000


def test_records_deleted_before_they_were_read(decided):
    """And the way on that the README tells."""
    decided.send(pays(8, 5))
    topics.delete_records(decided.kafka, decided.commands, 0, 12)
    assert "reason=records_deleted" in halts(decided)
    assert balance(decided) == 800
    decided.query("UPDATE postonce.stream_position SET next_offset = 12, epoch = epoch + 1"
                  " WHERE topic = %s AND partition = 0 RETURNING 1", decided.commands)
    moved = TopicPartition(decided.commands, 0, 12)
    decided.kafka.admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(decided.group, [moved])])[decided.group].result(20)
    decided.consume_to_end()
    assert decided.committed() == {0: 15} and balance(decided) == 1100


def test_a_row_that_is_missing_below_the_position(decided):
    """Neither applied again nor skipped: the database is not the one postonce knows."""
    lose_row(decided, "k3")
    done = decided.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    assert "reason=rows_missing" in halts(decided)
    assert balance(decided) == 800
    assert not decided.query("SELECT FROM postonce.inbox WHERE key = 'k3'")


def lose_row(deployment, key):
    """Whatever protects the table: this plays the part of a broken restore."""
    admin = psycopg.conninfo.conninfo_to_dict(deployment.postgres.admin_url)
    url = psycopg.conninfo.make_conninfo(deployment.url, user=admin.get("user"),
                                         password=admin.get("password"))
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM postonce.inbox WHERE key = %s", (key,))


def test_a_halted_partition_does_not_stop_the_others(deploy):
    deployment = deploy(partitions=2)
    deployment.send([record("h", open_account("house", None), 0),
                     record("a", open_account("a"), 0)])
    deployment.consume_to_end()
    deployment.send(pays(0, 5, 0) + pays(10, 5, 1))
    deployment.consume_to_end()
    lose_row(deployment, "k3")
    done = deployment.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    consumer = deployment.consumer("a")
    deployment.send(pays(20, 5, 1))
    wait_until(lambda: deployment.next_offsets()[1] == 10, 30, "partition 1 goes on")
    consumer.must_run()
    wait_until(lambda: deployment.committed().get(1) == 10, 10, "and is committed")
    assert deployment.committed()[0] <= 5, "the halted partition stands before the record"
    consumer.stop()
    assert balance(deployment) == 1500
