"""Two processes in one group: they share the partitions and survive each other."""

import pytest

from harness import verify
from harness.commands import open_account, record, transfer
from harness.product import Load
from harness.proxy import in_front_of
from harness.wait import wait_until
from harness.workload import Workload

SHORT = {"kafka.session.timeout.ms": "3000", "kafka.heartbeat.interval.ms": "500"}


def test_one_is_killed_under_load(deploy):
    deployment = deploy(partitions=4, settings=SHORT)
    work = Workload(seed=8, partitions=4)
    deployment.send(work.opening())
    deployment.consume_to_end()
    first, second = [deployment.consumer(name, batch__records=50) for name in "ab"]
    deployment.wait_members("a", "b")
    assert all(deployment.members().values()), "each must have partitions; the test is void"
    with Load(deployment.sender, deployment.commands, work.next, 400) as load:
        load.wait_sent(400)
        first.kill()
        deployment.wait_members("b")
        deployment.wait_caught_up(consumers=[second])
    deployment.wait_caught_up(consumers=[second])
    assert second.stop() == 0
    verify.verify(deployment)


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_one_joins_and_leaves_under_load(deploy, assignor):
    """A rebalance without a crash: nothing is lost, nothing is answered twice."""
    deployment = deploy(partitions=4, settings={
        **SHORT, "kafka.partition.assignment.strategy": assignor})
    work = Workload(seed=9, partitions=4)
    deployment.send(work.opening())
    deployment.consume_to_end()
    first = deployment.consumer("a", batch__records=50)
    deployment.wait_members("a")
    with Load(deployment.sender, deployment.commands, work.next, 400) as load:
        for _ in range(2):
            sent = load.sent
            second = deployment.consumer("b", batch__records=50)
            deployment.wait_members("a", "b")
            load.wait_sent(sent + 200)
            assert second.stop() == 0
            deployment.wait_members("a")
    deployment.wait_caught_up(consumers=[first])
    assert first.stop() == 0
    verify.verify(deployment)


def test_a_zombies_batch_is_fenced(deploy):
    """A batch of `a` is on its way to PostgreSQL when `a` is stopped for longer than its
    session. `b` takes the partition over; then the batch arrives. It must not commit."""
    deployment = deploy(settings=SHORT)
    deployment.send([record("h", open_account("house", None), 0),
                     record("a", open_account("a"), 0)])
    deployment.consume_to_end()
    pay = transfer("house", "a", "0.01")
    proxy, url = in_front_of(deployment.url)
    zombie = deployment.consumer("a", postgres=url)
    deployment.wait_members("a")
    deployment.send([record("warm", pay, 0)])
    deployment.wait_caught_up(consumers=[zombie])
    epoch = deployment.epoch()

    proxy.hold()
    deployment.send([record(f"k{n}", pay, 0) for n in range(50)])
    wait_until(lambda: proxy.held_bytes > 0, 20, "a batch of the zombie is under way")
    zombie.pause()
    heir = deployment.consumer("b")
    deployment.wait_members("b")
    wait_until(lambda: deployment.epoch() > epoch, 20, "the epoch is raised")
    deployment.wait_caught_up(consumers=[heir])
    said = len(proxy.completions)
    proxy.release()
    zombie.resume()
    wait_until(lambda: zombie.returncode is not None or "COMMIT" in proxy.completions[said:]
               or "ROLLBACK" in proxy.completions[said:], 30, "the zombie's batch has ended")
    ends = [tag for tag in proxy.completions[said:] if tag in ("COMMIT", "ROLLBACK")]
    assert ends[:1] != ["COMMIT"], "a fenced consumer has committed"

    deployment.send([record(f"l{n}", pay, 0) for n in range(50)])
    deployment.wait_caught_up(consumers=[heir])
    assert heir.stop() == 0
    if zombie.running:
        assert zombie.stop() == 0
    proxy.close()
    verify.verify(deployment)


@pytest.mark.slow
def test_one_is_stopped_longer_than_its_session_under_load(deploy):
    deployment = deploy(partitions=4, settings=SHORT)
    work = Workload(seed=10, partitions=4)
    deployment.send(work.opening())
    deployment.consume_to_end()
    first, second = [deployment.consumer(name, batch__records=20) for name in "ab"]
    deployment.wait_members("a", "b")
    with Load(deployment.sender, deployment.commands, work.next, 600) as load:
        for _ in range(2):
            load.wait_sent(load.sent + 300)
            epoch = deployment.epoch()
            first.pause()
            deployment.wait_members("b")
            wait_until(lambda: deployment.epoch() > epoch, 20, "the epochs are raised")
            first.resume()
            wait_back(deployment, first)
    deployment.wait_caught_up()
    for each in (first, second):
        if each.running:
            assert each.stop() == 0
    verify.verify(deployment)


def wait_back(deployment, consumer):
    """A former zombie joins again, or ends itself with 70 and is started again."""
    def back():
        if consumer.returncode is not None:
            assert consumer.returncode == 70
            consumer.start()
        return set(deployment.members()) == {"a", "b"}
    wait_until(back, 40, "both are members again", every=0.1)
