"""A broker with access control: what the consumer may not do is named, and when it may, it
goes on. All of a test's clients are the same principal; what is denied is denied to all."""

import pytest

from harness import verify
from harness.commands import open_account, record, transfer
from harness.deployment import Deployment
from harness.kafka import Kafka
from harness.wait import wait_until

SETTINGS = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true"}


@pytest.fixture(scope="module")
def guarded(servers, tmp_path_factory):
    kafka = Kafka(tmp_path_factory.mktemp("guarded"), settings=SETTINGS)
    try:
        yield kafka.start()
    finally:
        kafka.close()


@pytest.fixture
def deployed(guarded, postgres, tmp_path):
    deployment = Deployment(postgres, guarded, tmp_path, "rights").migrate()
    try:
        yield deployment
    finally:
        deployment.close()


def deny(kafka, kind, name, operation):
    """Everything is allowed, and this one thing is not."""
    kafka.tool("AclCommand", "--add", kind, name, "--operation", "All",
               "--allow-principal", "User:*")
    kafka.tool("AclCommand", "--add", kind, name, "--operation", operation,
               "--deny-principal", "User:*")


def allow_again(kafka, kind, name):
    kafka.tool("AclCommand", "--remove", "--force", kind, name)


def says(consumer, *words):
    wait_until(lambda: any(all(word in line for word in words)
                           for line in consumer.log.read_text().splitlines()), 40,
               lambda: f"it says {words}; it said {consumer.log.read_text()[-3000:]}")


def opening():
    return [record("h", open_account("house", None), 0), record("a", open_account("a"), 0)]


def pays(first, count):
    return [record(f"p{n}", transfer("house", "a", "1.00"), 0)
            for n in range(first, first + count)]


@pytest.mark.parametrize("which", ["results", "dead_letters"])
def test_a_topic_may_not_be_written(deployed, guarded, which):
    topic = getattr(deployed, which)
    consumer = deployed.consumer()
    deployed.send(opening())
    deployed.wait_caught_up(consumers=[consumer])
    deny(guarded, "--topic", topic, "Write")
    deployed.send(pays(0, 3) + [record("bad", b"{", 0)] + pays(3, 2))
    says(consumer, "event=right_missing", "Write and Describe on the topics", topic)
    laps = consumer.log.read_text().count("event=start_over")
    assert laps < 40, "it tries more and more slowly"
    allow_again(guarded, "--topic", topic)
    deployed.wait_caught_up(90, consumers=[consumer])
    assert consumer.stop() == 0
    verify.verify(deployed)


@pytest.mark.parametrize("kind, suffix, operation, code", [
    ("--transactional-id", "-a", "Write", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    ("--group", "", "Read", "GROUP_AUTHORIZATION_FAILED")])
def test_a_right_is_missing_from_the_start(deployed, guarded, kind, suffix, operation, code):
    deployed.send(opening() + pays(0, 5))
    deny(guarded, kind, deployed.group + suffix, operation)
    consumer = deployed.consumer()
    says(consumer, code)
    if kind == "--transactional-id":
        says(consumer, "event=right_missing", f"transactional id {deployed.group}-a")
    allow_again(guarded, kind, deployed.group + suffix)
    wait_until(lambda: not consumer.running or deployed.committed() == {0: 7}, 60,
               "it goes on, or has ended")
    if not consumer.running:
        assert consumer.returncode in (2, 70)
        consumer.start()
    deployed.wait_caught_up(60, consumers=[consumer])
    assert consumer.stop() == 0
    verify.verify(deployed)
