"""The faults, one generator each: it breaks something, heals it, and returns whether there is
evidence that the fault took effect. What it yields tells the nemesis what to wait for:

    found = yield condition, seconds     until condition() holds; False when it did not
    yield seconds                        a rest

A fault that returns None had no occasion (nobody was at work), and is no attempt. Evidence is
what the other side said: a consumer's log, the server's log, the cluster's metadata.
"""

import dataclasses
import os
import signal
import subprocess

from harness.postgres import connect
from harness.proxy import AFTER, UNANSWERED, WITHIN

from .world import SESSION_S

WORKING_S = 12   # to find a consumer at work
TRANSACTION_S = 15  # transaction.timeout.ms of the product
NOTICED_S = 12   # for a consumer to notice
GROUND_S = 150  # for a server to be what it was: not the product is judged by it
CRASHED = "database system was not properly shut down"


@dataclasses.dataclass
class Fault:
    name: str
    make: object      # make(world[, actor]) -> generator
    needs: str        # "actor", "proxied", "postgres", "postgres+proxied", "kafka", "extra"
    weight: int = 1
    brokers: int = 1  # at least so many
    limited: bool = False  # needs a volume of limited size


FAULTS = {}


def fault(name, needs, **more):
    def register(make):
        FAULTS[name] = Fault(name, make, needs, **more)
        return make
    return register


def at_work(actor):
    """A condition: the consumer reads, in the process that runs now."""
    return lambda: actor.reads


def count_of(actor, name):
    actor.log.poll()
    return actor.log.count(name)


def grows(actor, name):
    """A condition: from now on, one more of these in the log."""
    before = count_of(actor, name)
    return lambda: count_of(actor, name) > before


def in_trouble(actor):
    actor.log.poll()
    before = actor.log.trouble()

    def condition():
        actor.log.poll()
        return actor.log.trouble() > before
    return condition


def commits(actor):
    """A condition: one more COMMIT comes back. A consumer logs faults in a row at 1, 2, 4, 8,
    so evidence is sure to be logged only when something went well before."""
    done = len(actor.proxy.completions)
    return lambda: "COMMIT" in actor.proxy.completions[done:]


# ---- the processes ----

@fault("kill", "actor", weight=3)
def kill(world, actor):
    if not (yield at_work(actor), WORKING_S):
        return None
    yield world.random.uniform(0, 0.4)  # anywhere in its rounds
    effect = actor.reads and world.observers.progress() > 0
    actor.down = True
    actor.consumer.send(signal.SIGKILL)
    yield (lambda: not actor.consumer.running), 10
    effect = effect and actor.consumer.wait(1) == -signal.SIGKILL
    yield world.random.choice([0, 0, 0.3, 1.5])
    actor.start()
    return effect


@fault("sigterm", "actor")
def sigterm(world, actor):
    if not (yield at_work(actor), WORKING_S):
        return None
    yield world.random.uniform(0, 0.3)
    actor.down = True
    actor.consumer.send(signal.SIGTERM)
    ended = yield (lambda: not actor.consumer.running), 45
    if not ended:
        world.violate(f"{actor.name} did not end within 45 s of SIGTERM")
        actor.consumer.send(signal.SIGKILL)
        yield (lambda: not actor.consumer.running), 10
    code = actor.consumer.wait(5)
    world.judge_stop(actor, code)
    actor.start()
    return ended and code == 0


@fault("pause", "actor")
def pause(world, actor):
    """Shorter than the session."""
    if not (yield at_work(actor), WORKING_S):
        return None
    yield world.random.uniform(0, 0.2)
    if not actor.reads:
        return None
    actor.consumer.pause()
    yield world.random.uniform(0.2, 0.5 * SESSION_S)
    actor.consumer.resume()
    return (yield (lambda: actor.consumer.running), 1)


def epochs_rise(world):
    """A condition: somebody has claimed a partition since now."""
    before = sum(world.observers.epochs.values())
    return lambda: sum(world.observers.epochs.values()) > before


def paused_for(world, actor, seconds):
    """Steps: others take over meanwhile, then it comes back and has to notice."""
    if not (yield at_work(actor), WORKING_S):
        return None
    yield world.random.uniform(0, 0.2)
    if not actor.reads:
        return None
    rises = epochs_rise(world)
    actor.consumer.pause()
    yield seconds
    taken_over = yield rises, 15
    told = grows(actor, "start_over"), grows(actor, "lost"), grows(actor, "posting_failed")
    actor.consumer.resume()
    noticed = yield (lambda: any(each() for each in told)
                     or not actor.consumer.running), NOTICED_S
    return bool(taken_over and noticed)


@fault("zombie", "actor")
def zombie(world, actor):
    """Longer than the session."""
    return (yield from paused_for(world, actor, SESSION_S * 0.7))


@fault("long_zombie", "actor")
def long_zombie(world, actor):
    """Longer than its Kafka transaction may last: the broker aborts that, and fences it."""
    return (yield from paused_for(world, actor, TRANSACTION_S + world.random.uniform(1, 4)))


@fault("fenced_zombie", "proxied", weight=2)
def fenced_zombie(world, actor):
    """A batch is on its way to Postgres when its sender is stopped; it arrives after
    somebody else has claimed the partition. It must not commit."""
    if not (yield at_work(actor), WORKING_S):
        return None
    if not (yield commits(actor), WORKING_S):
        return None
    proxy = actor.proxy
    proxy.hold_next_batch()
    if not (yield (lambda: proxy.held_bytes > 0), 6) or not actor.consumer.running:
        proxy.release()
        return None
    actor.consumer.pause()
    yield SESSION_S * 0.7
    taken_over = yield epochs_rise(world), 15
    fenced = grows(actor, "posting_failed:fenced")
    said = len(proxy.completions)
    actor.consumer.resume()
    proxy.release()
    stopped = yield (lambda: fenced() and "ROLLBACK" in proxy.completions[said:]), NOTICED_S
    return bool(taken_over and stopped)


# ---- the way to Postgres ----

@fault("cut", "proxied")
def cut(world, actor):
    if not (yield at_work(actor), WORKING_S):
        return None
    noticed = in_trouble(actor)
    yield world.random.uniform(0, 0.2)
    actor.proxy.cut()
    return (yield noticed, NOTICED_S)


@fault("silence_from_client", "proxied")
def silence_from_client(world, actor):
    """The server hears nothing more; then the connection breaks."""
    if not (yield at_work(actor), WORKING_S):
        return None
    noticed = in_trouble(actor)
    actor.proxy.hold()
    yield (lambda: actor.proxy.held_bytes > 0), 5
    yield world.random.uniform(0.2, 2)
    actor.proxy.cut()
    actor.proxy.release()
    return (yield noticed, NOTICED_S)


@fault("silence_from_server", "proxied")
def silence_from_server(world, actor):
    if not (yield at_work(actor), WORKING_S):
        return None
    noticed = in_trouble(actor)
    actor.proxy.silence()
    yield world.random.uniform(0.2, 2)
    actor.proxy.cut()
    actor.proxy.hear()
    return (yield noticed, NOTICED_S)


def in_doubt(what):
    def make(world, actor):
        if not (yield at_work(actor), WORKING_S):
            return None
        if not (yield commits(actor), WORKING_S):
            return None
        doubt, before = grows(actor, "posting_failed:in_doubt"), actor.proxy.at_commits
        actor.proxy.at_commit(what)
        struck = yield (lambda: actor.proxy.at_commits > before), 6
        actor.proxy.at_commit(None)
        return (yield doubt, NOTICED_S) if struck else None
    return make


fault("cut_after_commit", "proxied")(in_doubt(AFTER))
fault("cut_within_commit", "proxied")(in_doubt(WITHIN))


@fault("commit_answer_lost", "proxied")
def commit_answer_lost(world, actor):
    if not (yield at_work(actor), WORKING_S):
        return None
    if not (yield commits(actor), WORKING_S):
        return None
    doubt, before = grows(actor, "posting_failed:in_doubt"), actor.proxy.lost
    actor.proxy.lose_commits(1)
    struck = yield (lambda: actor.proxy.lost > before), 6
    actor.proxy.lose_commits(0)
    return (yield doubt, NOTICED_S) if struck else None


def slowness(**how):
    def make(world, actor):
        if not (yield at_work(actor), WORKING_S):
            return None
        before = actor.proxy.slowed
        for name, value in how.items():
            setattr(actor.proxy, name, value)
        yield world.random.uniform(1, 3)
        actor.proxy.delay, actor.proxy.one_byte = 0.0, False
        return actor.proxy.slowed > before
    return make


fault("latency", "proxied")(slowness(delay=0.06))
fault("one_byte_segments", "proxied")(slowness(one_byte=True))


# ---- Postgres ----

def anybody_at_work(world):
    return lambda: any(actor.reads for actor in world.actors)


def start_postgres(world):
    """Steps, for `yield from`: it runs and answers again."""
    if not world.ground.postgres.running:
        world.ground.postgres.launch()
    if not (yield world.postgres_answers, GROUND_S):
        raise AssertionError(f"PostgreSQL did not come back within {GROUND_S} s")


def crash_by(number):
    """SIGQUIT is what `pg_ctl stop -m immediate` sends."""
    def make(world):
        if not (yield anybody_at_work(world), WORKING_S):
            return None
        yield world.random.uniform(0, 0.3)
        before = world.ground.postgres_log(CRASHED)
        yield from crash(world, number)
        yield from start_postgres(world)
        return world.ground.postgres_log(CRASHED) > before
    return make


def crash(world, number):
    if number == signal.SIGKILL:
        world.ground.postgres.kill()
        return
    world.ground.postgres.process.send(number)
    yield (lambda: not world.ground.postgres.running), 20


fault("postgres_immediate", "postgres")(crash_by(signal.SIGQUIT))
fault("postgres_kill", "postgres")(crash_by(signal.SIGKILL))


@fault("postgres_crash_in_commit", "postgres+proxied", weight=3)
def postgres_crash_in_commit(world, actor):
    """The bytes of COMMIT go through, the answer does not: the server dies first. Half of
    the time it has certainly committed."""
    if not (yield at_work(actor), WORKING_S):
        return None
    if not (yield commits(actor), WORKING_S):
        return None
    proxy, before = actor.proxy, world.ground.postgres_log(CRASHED)
    doubt, at = grows(actor, "posting_failed:in_doubt"), actor.proxy.at_commits
    done = len(proxy.completions)
    proxy.at_commit(UNANSWERED)
    if not (yield (lambda: proxy.at_commits > at), 6):
        proxy.well()
        return None
    if world.random.random() < 0.5:
        yield (lambda: "COMMIT" in proxy.completions[done:]), 1
    yield from crash(world, world.random.choice([signal.SIGQUIT, signal.SIGKILL]))
    proxy.cut()
    proxy.hear()
    noticed = yield doubt, 2
    yield from start_postgres(world)
    noticed = noticed or (yield doubt, NOTICED_S)
    return bool(noticed and world.ground.postgres_log(CRASHED) > before)


@fault("backend_kill", "postgres")
def backend_kill(world):
    """The server restarts itself, and recovers."""
    if not (yield anybody_at_work(world), WORKING_S):
        return None
    said = "terminating any other active server processes"
    before = world.ground.postgres_log(said)
    found = world.backends()
    if not found:
        return None
    os.kill(world.random.choice(found)[0], signal.SIGKILL)
    effect = yield (lambda: world.ground.postgres_log(said) > before), 5
    yield 0.2
    yield from start_postgres(world)
    return effect


@fault("terminate", "postgres")
def terminate(world):
    """pg_terminate_backend of all our consumers' sessions that are at work."""
    if not (yield anybody_at_work(world), WORKING_S):
        return None
    told = [in_trouble(actor) for actor in world.actors]
    with connect(world.ground.postgres.admin_url) as connection:
        ended = connection.execute(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name LIKE 'postonce %%'",
            (world.deployment.database,)).fetchone()[0]
    noticed = yield (lambda: any(each() for each in told)), NOTICED_S
    return bool(ended and noticed)


@fault("postgres_hangs", "postgres")
def postgres_hangs(world):
    """Connected and silent."""
    if not (yield anybody_at_work(world), WORKING_S):
        return None
    before = world.observers.progress()
    world.ground.postgres.pause()
    yield 0.5
    stands = world.observers.progress()
    yield world.random.uniform(0.5, 4)
    effect = world.observers.progress() == stands >= before
    world.ground.postgres.resume()
    yield from start_postgres(world)
    return effect


@fault("disk_full", "postgres", limited=True)
def disk_full(world):
    if not (yield anybody_at_work(world), WORKING_S):
        return None
    said = "No space left on device"
    before = world.ground.postgres_log(said)
    told = [grows(actor, "sqlstate:53100") for actor in world.actors]
    world.ground.volume.fill()
    effect = yield (lambda: any(each() for each in told)
                    or world.ground.postgres_log(said) > before), 15
    yield 1.0
    world.ground.volume.free()
    yield from start_postgres(world)
    return effect


# ---- Kafka ----

def broker_goes(choose, end):
    def make(world):
        if not (yield anybody_at_work(world), WORKING_S):
            return None
        node = choose(world)
        led = [place for place, leader in world.leaders().items() if leader == node]
        broker = next((each for each in world.ground.kafka.brokers if each.node == node), None)
        if broker is None:
            return None
        broker.process.send(end)
        yield (lambda: not broker.running), 30
        moved = True
        if len(world.ground.kafka.brokers) > 1:
            moved = yield (lambda: are_led_by_others(world, led, node)), 25
        yield from start_broker(world, broker)
        return bool(led and moved)
    return make


def are_led_by_others(world, places, node):
    """Whether leadership has moved. A partition whose other replicas were not in sync waits
    for its leader to come back, and proves nothing."""
    leaders = world.leaders()
    return any(leaders.get(place, -1) not in (-1, node) for place in places)


def start_broker(world, broker):
    """Steps: it runs, and all replicas are in sync, so that the next may go."""
    broker.launch()
    if not (yield world.in_sync, GROUND_S):
        raise AssertionError(f"broker {broker.node} was not in sync within {GROUND_S} s")


def any_broker(world):
    return world.random.choice(world.ground.kafka.brokers).node


fault("broker_kill", "kafka", weight=2)(broker_goes(any_broker, signal.SIGKILL))
fault("coordinator_kill", "kafka")(
    broker_goes(lambda world: world.coordinator(), signal.SIGKILL))
fault("transaction_coordinator_kill", "kafka")(
    broker_goes(lambda world: world.transaction_coordinator(), signal.SIGKILL))
fault("coordinator_move", "kafka", brokers=3)(
    broker_goes(lambda world: world.coordinator(), signal.SIGTERM))


@fault("leader_election", "kafka", brokers=3)
def leader_election(world):
    """Back to the preferred leaders, wherever faults have left them."""
    before = world.leaders()
    if not before:
        return None
    try:
        world.ground.kafka.tool("LeaderElectionCommand", "--election-type", "preferred",
                                "--all-topic-partitions", seconds=12)
    except (RuntimeError, subprocess.TimeoutExpired):
        # Not all could be elected: the metadata tells which were.
        pass
    preferred = yield (lambda: any(leader != before.get(place) for place, leader
                                   in world.leaders().items())), 3
    return preferred or None


# ---- the group ----

@fault("rebalance", "extra", weight=2)
def rebalance(world):
    """A consumer comes and goes, as fast as it can be assigned; both ways by turns."""
    extra = world.extra
    if not (yield anybody_at_work(world), WORKING_S):
        return None
    others = [grows(actor, "assigned") for actor in world.actors]
    extra.start()
    joined = grows(extra, "assigned")
    came = yield joined, 15
    yield world.random.uniform(0, 0.5)
    extra.down = True
    number = world.random.choice([signal.SIGTERM, signal.SIGKILL])
    extra.consumer.send(number)
    if not (yield (lambda: not extra.consumer.running), 45):
        world.violate(f"{extra.name} did not end within 45 s of signal {number}")
        extra.consumer.send(signal.SIGKILL)
        yield (lambda: not extra.consumer.running), 10
    world.judge_stop(extra, extra.consumer.wait(5))
    left = yield (lambda: any(each() for each in others)), 10
    return bool(came and left)
