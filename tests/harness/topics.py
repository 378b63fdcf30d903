"""Topics, records and group offsets, through confluent_kafka."""

import dataclasses
import json
import tempfile
import time

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import NewTopic, OffsetSpec

from .wait import wait_until

_TIMESTAMP_MISSING = 0  # confluent_kafka: TIMESTAMP_NOT_AVAILABLE


@dataclasses.dataclass
class Record:
    """What a sender hands to Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: list = dataclasses.field(default_factory=list)  # (name, bytes or None)
    partition: int | None = None  # None: by the key, as Java's clients place it
    timestamp_ms: int | None = None  # None: now


@dataclasses.dataclass(frozen=True)
class Received:
    """What a reader gets from Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple  # (name, bytes or None), in order

    @property
    def place(self):
        return self.partition, self.offset

    def header(self, name):
        """The one value of a header as text; None when it is not there."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0].decode() if values and values[0] is not None else None


def _received(message):
    kind, timestamp = message.timestamp()
    return Received(
        message.topic(), message.partition(), message.offset(),
        0 if kind == _TIMESTAMP_MISSING else timestamp, message.key(), message.value(),
        tuple(message.headers() or ()))


_PASSING = (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT,
            KafkaError._RESOLVE, KafkaError.LEADER_NOT_AVAILABLE,
            KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR,
            KafkaError.REQUEST_TIMED_OUT, KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.UNKNOWN_LEADER_EPOCH,
            KafkaError.FENCED_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE)


def patiently(ask, seconds=30):
    """The answer of ask(), asked again while a broker that has just started, or a topic that
    has just been made, is not quite there yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > end:
                raise
            time.sleep(0.05)


# ---- topics ----

def create_topics(kafka, partitions_of, settings=None, seconds=20):
    """Makes topics {name: partitions}; back when every partition has a leader."""
    new = [NewTopic(name, partitions, replication_factor=-1, config=settings or {})
           for name, partitions in partitions_of.items()]
    for future in kafka.admin.create_topics(new, operation_timeout=10).values():
        future.result(seconds)
    for name, partitions in partitions_of.items():
        wait_until(lambda: _has_leaders(kafka, name, partitions), seconds,
                   f"leaders for topic {name}")


def _has_leaders(kafka, name, partitions):
    topic = kafka.admin.list_topics(name, timeout=5).topics[name]
    leaders = [each.leader for each in topic.partitions.values()]
    return topic.error is None and len(leaders) == partitions and min(leaders) >= 0


def delete_topics(kafka, names):
    for future in kafka.admin.delete_topics(list(names), operation_timeout=10).values():
        try:
            future.result(20)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def delete_records(kafka, topic, partition, before):
    """Deletes the records whose offsets are smaller than `before`, as retention would."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as offsets:
        json.dump({"version": 1, "partitions": [
            {"topic": topic, "partition": partition, "offset": before}]}, offsets)
        offsets.flush()
        said = kafka.tool("DeleteRecordsCommand", "--offset-json-file", offsets.name)
    # The tool ends with 0 whatever becomes of a partition.
    if f"{topic}-{partition}\tlow_watermark: {before}" not in said:
        raise RuntimeError(f"records of {topic}-{partition} were not deleted:\n{said}")


def partitions_of(kafka, topic):
    def ask():
        return kafka.admin.list_topics(topic, timeout=10).topics[topic]
    return sorted(patiently(ask).partitions)


def end_offsets(kafka, topic, isolation=IsolationLevel.READ_UNCOMMITTED):
    """{partition: offset after the last record}."""
    return _offsets(kafka, topic, OffsetSpec.latest(), isolation)


def start_offsets(kafka, topic):
    return _offsets(kafka, topic, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)


def _offsets(kafka, topic, spec, isolation):
    asked = {TopicPartition(topic, partition): spec for partition in partitions_of(kafka, topic)}

    def ask():
        futures = kafka.admin.list_offsets(asked, isolation_level=isolation, request_timeout=10)
        return {place.partition: future.result(15).offset for place, future in futures.items()}
    return patiently(ask)


# ---- writing ----

class Sender:
    """An idempotent producer that answers for each record: where is it?"""

    def __init__(self, kafka, **settings):
        self._producer = Producer({
            "bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "linger.ms": 2,
            "partitioner": "murmur2_random", "log_level": 0,
            "reconnect.backoff.max.ms": 500, "message.timeout.ms": 60000,
            "queue.buffering.max.messages": 500000, **settings})

    def post(self, topic, record, delivered):
        """Queues one record; delivered(error, message) is called from poll or flush."""
        options = {}
        if record.partition is not None:
            options["partition"] = record.partition
        if record.timestamp_ms is not None:
            options["timestamp"] = record.timestamp_ms
        while True:
            try:
                self._producer.produce(topic, value=record.value, key=record.key,
                                       headers=list(record.headers), on_delivery=delivered,
                                       **options)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)

    def send(self, topic, records, seconds=60):
        """Sends all and waits; [(partition, offset)] in the order of the records."""
        places = [None] * len(records)

        def keep(index):
            def delivered(error, message):
                if error is not None:
                    raise AssertionError(f"record {index} was not delivered: {error}")
                places[index] = (message.partition(), message.offset())
            return delivered

        for index, record in enumerate(records):
            self.post(topic, record, keep(index))
        left = self._producer.flush(seconds)
        assert left == 0 and None not in places, f"{left} records were not delivered"
        return places

    def flush(self, seconds=60):
        left = self._producer.flush(seconds)
        assert left == 0, f"{left} records were not delivered"


# ---- reading ----

class Reader:
    """Reads a topic from its beginning, as read_committed unless told otherwise, and keeps
    all it has seen. In no group: it commits nothing and disturbs nobody."""

    def __init__(self, kafka, topic, committed=True):
        self.topic = topic
        self.seen = []  # in the order of arrival
        self._consumer = Consumer({
            "bootstrap.servers": kafka.bootstrap, "group.id": "harness-reader",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.auto.commit": False, "auto.offset.reset": "error",
            "enable.partition.eof": True, "log_level": 0,
            "fetch.wait.max.ms": 50, "fetch.error.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 2000})
        self._next = start_offsets(kafka, topic)
        self._assign()

    def _assign(self):
        """The end of a partition is told once; a new assignment has it told again."""
        self._at_end = dict.fromkeys(self._next, False)
        self._consumer.assign([TopicPartition(self.topic, partition, offset)
                               for partition, offset in self._next.items()])

    def poll(self, seconds=0.05):
        """Takes what is there; True when something came."""
        messages = self._consumer.consume(5000, seconds)
        for message in messages:
            error = message.error()
            if error is None:
                self._at_end[message.partition()] = False
                self._next[message.partition()] = message.offset() + 1
                self.seen.append(_received(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end[message.partition()] = True
            elif not error.retriable() and error.code() not in _PASSING:
                raise KafkaException(error)
        return any(message.error() is None for message in messages)

    def wait_count(self, count, seconds=30, check=None):
        """Reads until `count` records have been seen. `check` runs at each turn: it may
        raise when what should write them has died."""
        end = time.monotonic() + seconds
        while len(self.seen) < count:
            if time.monotonic() > end:
                raise AssertionError(f"{len(self.seen)} of {count} records on {self.topic} "
                                     f"after {seconds:g} s")
            self.poll()
            if check is not None:
                check()
        return self.seen

    def read_to_end(self, seconds=30):
        """Reads up to what is visible now in every partition; everything seen so far."""
        self._assign()
        end = time.monotonic() + seconds
        while not all(self._at_end.values()):
            assert time.monotonic() < end, f"the end of {self.topic} was not reached"
            self.poll()
        return self.seen

    def close(self):
        self._consumer.close()


def wait_visible(kafka, topic, seconds=20):
    """Waits until no transaction is open on the topic. The answer to the end of one comes
    before its markers are written, so what is committed may not be visible yet; and what a
    killed process left open hides what follows until it has run out of time, after 15 s. One
    that was left open on purpose ends the wait."""
    end = time.monotonic() + seconds
    while (end_offsets(kafka, topic, IsolationLevel.READ_COMMITTED) !=
           end_offsets(kafka, topic) and time.monotonic() < end):
        time.sleep(0.02)


def read_topic(kafka, topic, committed=True, seconds=30):
    """Everything that is committed now, in order of partition and offset."""
    if committed:
        wait_visible(kafka, topic)
    reader = Reader(kafka, topic, committed)
    try:
        return sorted(reader.read_to_end(seconds), key=lambda record: record.place)
    finally:
        reader.close()


# ---- groups ----

def committed_offsets(kafka, group, topic, stable=True):
    """{partition: next offset} of the group; partitions without one are left out. `stable`:
    and those of an open transaction, too.

    A consumer asks that never joins: the admin client of librdkafka 2.11 and 2.14 crashes
    when the coordinator has moved: it hands the answer NOT_COORDINATOR to a group that it
    does not have."""
    asked = [TopicPartition(topic, partition) for partition in partitions_of(kafka, topic)]
    asker = _asker(kafka, group, stable)
    found = patiently(lambda: asker.committed(asked, timeout=10))
    return {place.partition: place.offset for place in found if place.offset >= 0}


def _asker(kafka, group, stable):
    if (group, stable) not in kafka.askers:
        kafka.askers[group, stable] = Consumer({
            "bootstrap.servers": kafka.bootstrap, "group.id": group,
            "isolation.level": "read_committed" if stable else "read_uncommitted",
            "enable.auto.commit": False, "log_level": 0, "reconnect.backoff.max.ms": 500})
    return kafka.askers[group, stable]


def forget_group(kafka, group):
    """Closes what committed_offsets has opened for it."""
    for stable in (True, False):
        asker = kafka.askers.pop((group, stable), None)
        if asker is not None:
            asker.close()


def members(kafka, group):
    """{client id: {partitions}} of the group's members; empty unless it is stable."""
    def ask():
        future = kafka.admin.describe_consumer_groups([group], request_timeout=10)[group]
        return future.result(15)
    try:
        description = patiently(ask)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
            return {}
        raise
    if description.state.name != "STABLE":
        return {}
    return {member.client_id: {place.partition for place in member.assignment.topic_partitions}
            for member in description.members}
