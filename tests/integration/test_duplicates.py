"""One key, many deliveries: within a batch, across batches, partitions, restarts."""

import pytest

from harness import verify
from harness.commands import open_account, record, transfer
from harness.workload import Workload

OPEN = [record("h", open_account("house", None), 0), record("a", open_account("a"), 0)]
PAY = transfer("house", "a", "1.00")


def answers_to(state, key):
    return [(each.value, each.header("idempotent-replayed")) for each in state.results
            if each.key == key.encode()]


def test_within_one_batch(deploy):
    """A batch is what is waiting, so several tries may be needed to have all in one."""
    deployment = deploy()
    deployment.send(OPEN)
    deployment.consume_to_end()
    for turn in range(1, 11):
        k, other = f"k{turn}", f"l{turn}"
        deployment.send([record(key, PAY, 0) for key in (k, k, other, k, other)])
        deployment.consume_to_end()
        state = verify.verify(deployment)
        assert [replayed for _, replayed in answers_to(state, k)] == ["false", "true", "true"]
        assert len({value for value, _ in answers_to(state, k)}) == 1
        assert state.accounts["a"]["balance_minor"] == 200 * turn
        batches = deployment.query("SELECT DISTINCT xmin::text FROM postonce.inbox "
                                   "WHERE key IN (%s, %s)", k, other)
        if len(batches) == 1:
            return
    raise AssertionError("never were the duplicates in one transaction; the test is void")


def test_across_batches(deploy):
    deployment = deploy()
    deployment.send(OPEN + [record(f"k{n % 7}", PAY, 0) for n in range(40)])
    deployment.consume_to_end(batch__records=2)
    batches = deployment.query("SELECT DISTINCT xmin::text FROM postonce.inbox")
    assert len(batches) > 3, "several batches were wanted; the test is void"
    assert verify.verify(deployment).accounts["a"]["balance_minor"] == 700


def test_across_partitions(deploy):
    deployment = deploy(partitions=3)
    deployment.send(OPEN)
    deployment.consume_to_end()
    deployment.send([record("k", PAY, partition) for partition in (2, 1, 0, 2)])
    deployment.consume_to_end()
    state = verify.verify(deployment)
    assert len(answers_to(state, "k")) == 4
    assert sorted(replayed for _, replayed in answers_to(state, "k")) == \
        ["false", "true", "true", "true"]
    assert state.accounts["a"]["balance_minor"] == 100


def test_across_partitions_and_processes_at_once(deploy):
    """The same keys in every partition, owned by two processes that race for each of them."""
    deployment = deploy(partitions=2)
    deployment.send(OPEN)
    deployment.consume_to_end()
    keys = [f"k{n}" for n in range(400)]
    pair = [deployment.consumer(name, batch__records=20) for name in ("a", "b")]
    deployment.wait_members("a", "b")
    deployment.send([record(key, PAY, partition) for key in keys for partition in (0, 1)])
    deployment.wait_caught_up(consumers=pair)
    for each in pair:
        assert each.stop() == 0
    assert verify.verify(deployment).accounts["a"]["balance_minor"] == 100 * len(keys)


def test_across_restarts(deploy):
    deployment = deploy()
    deployment.send(OPEN + [record("k", PAY, 0)])
    deployment.consume_to_end()
    for _ in range(2):
        deployment.send([record("k", PAY, 0)])
        deployment.consume_to_end()
    state = verify.verify(deployment)
    assert [replayed for _, replayed in answers_to(state, "k")] == ["false", "true", "true"]
    assert state.accounts["a"]["version"] == 1


@pytest.mark.parametrize("partitions, posters", [(1, 1), (4, 2)])
def test_a_day_of_payments(deploy, partitions, posters):
    """The happy path at some length, with all that a real day has in it."""
    deployment = deploy(partitions=partitions)
    work = Workload(seed=partitions, partitions=partitions)
    deployment.send(work.opening())
    consumer = deployment.consumer(posters=posters)
    deployment.wait_caught_up(consumers=[consumer])
    deployment.send(work.take(4000))
    deployment.wait_caught_up(consumers=[consumer])
    assert consumer.stop() == 0
    state = verify.verify(deployment)
    assert len(state.transfers) > 1500 and len(state.dead_letters) > 100
