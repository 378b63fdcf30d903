"""Dies, stops, fails or waits at each failpoint (consumer/failpoint.h) and goes on: nothing is
lost, nothing doubled, and each record has exactly one visible answer.

Runs the programs of POSTONCE_FAILPOINTS_BIN, built with -DPOSTONCE_FAILPOINTS=ON: a kill at those
where the order of things matters most; FAILPOINT_ACTIONS=kill,stop,error,delay gives every
point with each of these, FAILPOINT_PAIRS=N (and FAILPOINT_SEED) N pairs of them by chance: one,
and in the life after it another, or both in one life. A pair of which one is not reached
fails. All pairs are walked by the simulation.
"""

import os
import pathlib
import random
import re
import signal

import psycopg
import pytest

from harness import topics, verify
from harness.product import TOP, binary
from harness.wait import wait_until
from harness.workload import Workload
from test_poison import refuse_keys

ALWAYS = ("claim.done", "first_commit.done", "attach.begun", "lookup.done", "decided",
          "commit.begun", "commit.sent", "commit.done", "poisoned", "hand_over.done",
          "publish.begun", "offsets.sent", "answers.queued", "publish.done", "abort.begun",
          "restart.done", "revoke.drained", "leave.begun")
LABELS = re.findall(r'X\(\w+, "([a-z_.]+)"\)', (TOP / "consumer/failpoint.h").read_text())
SHORT = {"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "500",
         "batch.records": "10"}
# What must have happened before, where a start alone does not get there: other failpoints.
BEFORE = {"restart": "publish.begun=error@1", "abort": "offsets.sent=error@2"}
# The first hit of these is in the commit of the first offsets.
SECOND = ("transaction.begun", "offsets.sent", "answers.queued", "abort.begun", "abort.done")


def cases():
    wanted = os.environ.get("FAILPOINT_ACTIONS")
    for label in LABELS if wanted else ALWAYS:
        assert label in LABELS, f"there is no failpoint {label}"
        if label.startswith("halt"):
            continue  # test_halts
        chosen = wanted.split(",") if wanted else ["kill"]
        yield from (pytest.param(label, action, id=f"{label}-{action}") for action in chosen)


@pytest.fixture
def programs(monkeypatch):
    directory = os.environ.get("POSTONCE_FAILPOINTS_BIN")
    if not directory:
        pytest.skip("POSTONCE_FAILPOINTS_BIN: no build with failpoints is given")
    monkeypatch.setenv("POSTONCE_BIN", directory)


# ---- how to get there ----

def by_itself(deployment, consumer):
    pass


def by_stopping(deployment, consumer):
    deployment.wait_caught_up(consumers=[consumer])
    consumer.send(signal.SIGTERM)


def by_a_rebalance(deployment, consumer):
    deployment.wait_members("a")
    deployment.consumer("b")


def by_a_locked_table(deployment, consumer):
    """Nothing moves behind the reader for longer than it holds its breath."""
    deployment.wait_caught_up(consumers=[consumer])
    with psycopg.connect(deployment.url) as connection:
        connection.execute("LOCK TABLE postonce.inbox")
        deployment.send(deployment.work.take(200))
        wait_until(lambda: "event=paused" in consumer.log.read_text(), 30, "it pauses")


WAYS = {"stop": by_stopping, "leave": by_stopping, "revoke": by_a_rebalance,
        "paused": by_a_locked_table, "resumed": by_a_locked_table}


def reached(consumer, label):
    return f"event=failpoint message={label} " in consumer.log.read_text()


def after_it(deployment, consumer, action):
    if action == "kill":
        consumer.exits(-signal.SIGKILL)
    elif action == "stop":
        wait_until(consumer.is_stopped, 10, "it has stopped itself")
        other = deployment.consumer("c")
        wait_until(lambda: "c" in (now := deployment.members()) and "a" not in now, 40,
                   "it is thrown out of the group", every=0.1)
        consumer.resume()
        other.must_run()


def verify_in_the_end(deployment, **more):
    """A transaction that died open hides the answers behind it until the broker ends it, or
    its owner comes back; here it does not."""
    for topic in (deployment.results, deployment.dead_letters):
        topics.wait_visible(deployment.kafka, topic, 40)
    return verify.verify(deployment, **more)


@pytest.mark.parametrize("label, action", cases())
def test_each(deploy, programs, label, action):
    partitions = 1 if label == "poisoned" else 2
    deployment = deploy(partitions=partitions, settings=SHORT)
    deployment.work = Workload(seed=40, partitions=partitions)
    deployment.send(deployment.work.opening() + deployment.work.take(60))
    poison = {"w-open-3"} if label == "poisoned" else set()
    if poison:
        refuse_keys(deployment, *poison)
    kind = label.split(".")[0]
    plans = [BEFORE[kind]] if kind in BEFORE else []
    plans.append(f"{label}={action}@{2 if label in SECOND and kind != 'abort' else 1}")
    consumer = deployment.consumer("a", env={"FAILPOINTS": " ".join(plans)})
    WAYS.get(kind, by_itself)(deployment, consumer)
    wait_until(lambda: reached(consumer, label), 30, f"{label} is reached, or the test is void")
    after_it(deployment, consumer, action)
    deployment.send(deployment.work.take(40))
    deployment.stop_all()
    deployment.consume_to_end("z")
    verify_in_the_end(deployment, poison=poison)


# ---- a delay that is longer than somebody waits ----

def test_a_call_that_does_not_come_back_ends_the_process(deploy, programs):
    """In the middle of a Kafka transaction, under the watchdog, as librdkafka does when a
    coordinator is away."""
    deployment = deploy(settings=SHORT)
    work = Workload(seed=43)
    deployment.send(work.opening())
    deployment.consume_to_end()
    consumer = deployment.consumer("a", env={"FAILPOINTS": "offsets.sent=delay@1",
                                             "FAILPOINT_DELAY_MS": "300000"})
    deployment.send(work.take(20))
    consumer.exits(70, 90)
    told = [line for line in consumer.log.read_text().splitlines() if "event=watchdog" in line]
    assert len(told) == 1 and 'call=send_offsets_to_transaction' in told[0], told
    deployment.consume_to_end("z")
    state = verify_in_the_end(deployment)
    assert [each for each in state.results if each.header("idempotent-replayed") == "true"]


def test_the_reader_is_silent_for_longer_than_the_poll_interval(deploy, programs):
    """The group takes the partitions away from a process that lives: what it has in hand is
    void, and it joins again by itself."""
    deployment = deploy(partitions=2, settings={
        **SHORT, "kafka.max.poll.interval.ms": "6000"})
    work = Workload(seed=44, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    consumer = deployment.consumer("a", env={"FAILPOINTS": "record.taken=delay@10",
                                             "FAILPOINT_DELAY_MS": "8000"})
    deployment.wait_members("a")
    epoch = deployment.epoch()
    deployment.send(work.take(60))
    wait_until(lambda: "event=lost" in consumer.log.read_text(), 40, "it has lost all")
    deployment.send(work.take(60))
    deployment.wait_members("a")
    deployment.wait_caught_up(consumers=[consumer])
    assert reached(consumer, "record.taken")
    assert deployment.epoch() > epoch, "the partitions were claimed again"
    assert consumer.stop() == 0
    verify.verify(deployment)


@pytest.mark.parametrize("delay", ["", "soon", "7e2", "-1", "600001"])
def test_a_delay_that_is_none_ends_the_process(deploy, programs, delay):
    deployment = deploy()
    consumer = deployment.consumer("a", env={"FAILPOINTS": "assigned=delay@1",
                                             "FAILPOINT_DELAY_MS": delay})
    consumer.exits(-signal.SIGABRT, 40)


# ---- two of them ----

# What any life comes by that has records before it: the second only after the first, and so
# on. Those that every batch hits are hit often.
ORDER = ("connect.begun", "connect.done", "assigned", "claim.begun", "claim.marked", "claim.done",
         "attach.begun", "attach.done", "record.taken", "batch.taken", "lookup.begun",
         "lookup.done", "decided", "commit.begun", "commit.sent", "commit.done", "settled",
         "hand_over.begun", "publish.begun", "transaction.begun", "offsets.sent",
         "answers.queued", "publish.done")
OFTEN = ORDER[ORDER.index("record.taken"):ORDER.index("publish.begun")]
# And what it comes by at some time or other.
ALSO = ("record.put", "hand_over.done", "recover.begun", "recover.done")


def in_one_life(chance):
    """The first lets it live, so that it comes to the other."""
    one, other = sorted(chance.sample(range(len(ORDER)), 2))
    return [[f"{ORDER[one]}={chance.choice(['error', 'delay'])}@1",
             one_of(chance, [ORDER[other]])]]


def one_of(chance, labels):
    label = chance.choice(labels)
    return (f"{label}={chance.choice(['kill', 'error', 'delay'])}"
            f"@{chance.randint(1, 3) if label in OFTEN else 1}")


def pairs():
    """Each a list of lives, each of them a list of plans."""
    chance = random.Random(int(os.environ.get("FAILPOINT_SEED", "1")))
    for number in range(int(os.environ.get("FAILPOINT_PAIRS", "6"))):
        lives = (in_one_life(chance) if number % 3 == 2 else
                 [[one_of(chance, ORDER + ALSO)], [one_of(chance, ORDER + ALSO)]])
        yield pytest.param(lives, id=f"{number}-" + "-then-".join(map("+".join, lives)))


@pytest.mark.parametrize("lives", pairs())
def test_two_of_them(deploy, programs, lives):
    deployment = deploy(partitions=2, settings=SHORT)
    work = Workload(seed=42, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end("z")
    for name, plans in zip("ab", lives):
        deployment.send(work.take(60))
        consumer = deployment.consumer(name, env={"FAILPOINTS": " ".join(plans)})
        for plan in plans:
            label = plan.partition("=")[0]
            wait_until(lambda: reached(consumer, label), 60,
                       f"{label} is reached, or the pair is void")
        if "=kill" in plans[-1]:
            consumer.exits(-signal.SIGKILL)
        else:
            assert consumer.stop(40) == 0
    deployment.consume_to_end("z")
    verify_in_the_end(deployment)


@pytest.mark.parametrize("action", ["kill", "error"])
@pytest.mark.parametrize("label", ["halt.begun", "halt.done"])
def test_halts(deploy, programs, label, action):
    deployment = deploy(settings=SHORT)
    work = Workload(seed=41)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.query("DELETE FROM postonce.inbox WHERE key = 'w-open-3' RETURNING 1")
    books = deployment.query("SELECT * FROM postonce.account ORDER BY 1")
    done = deployment.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    consumer = deployment.consumer("a", env={"FAILPOINTS": f"{label}={action}@1"})
    wait_until(lambda: reached(consumer, label), 30, f"{label} is reached")
    after_it(deployment, consumer, action)
    deployment.stop_all()
    deployment.consumer("z", "--until-end").exits(3, 30)
    assert deployment.query("SELECT * FROM postonce.account ORDER BY 1") == books


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_a_halt_that_is_noted_after_a_rebalance_is_told_when_the_partition_is_back(
        deploy, programs, assignor):
    """A batch with a hole is being committed for longer than a revocation waits for it."""
    deployment = deploy(partitions=2, settings={
        **SHORT, "kafka.partition.assignment.strategy": assignor})
    work = Workload(seed=43, partitions=2)
    deployment.send(work.opening() + work.take(20))
    deployment.consume_to_end()
    holes = deployment.query("""
        DELETE FROM postonce.inbox WHERE (partition, "offset") IN (
            SELECT partition, max("offset") FROM postonce.inbox GROUP BY partition)
        RETURNING partition""")
    assert len(holes) == 2
    done = deployment.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    first = deployment.consumer("a", batch__records=1000, env={
        "FAILPOINTS": "commit.done=delay@1", "FAILPOINT_DELAY_MS": "9000"})
    wait_until(lambda: reached(first, "commit.done"), 30, "its batch is committed")
    second = deployment.consumer("b")
    deployment.wait_members("a", "b")
    wait_until(lambda: halted(first), 40, "it is told of the one that it still has")
    assert second.stop() == 0
    deployment.wait_members("a")
    wait_until(lambda: {0, 1} <= halted(first), 40, lambda: f"it tells of {halted(first)}")
    assert first.stop() == 0


def halted(consumer):
    """The partitions that it has said halt."""
    return {int(found) for found in re.findall(r"event=halted .*partition=(\d+)",
                                               consumer.log.read_text())}


def test_a_release_has_none():
    program = binary("postonce").read_bytes()
    assert not [label for label in LABELS if "." in label and label.encode() in program]
    assert b"FAILPOINTS" not in program


def test_a_build_with_failpoints_has_all(programs):
    program = pathlib.Path(binary("postonce")).read_bytes()
    assert all(label.encode() in program for label in LABELS) and len(LABELS) >= 30
