"""Two threads that look all the time, from outside: I4 (the committed Kafka offset is never
beyond what the database has committed), I16 (memory and descriptors of every consumer), and
where everything stands, for those who wait for it.
"""

import contextlib
import pathlib
import threading

import psycopg
from confluent_kafka import KafkaException

from harness import topics
from harness.postgres import connect

RSS_MAX_MB = 400
DESCRIPTORS_MAX = 200
_POSITIONS = "SELECT partition, next_offset, epoch FROM postonce.stream_position"


class Observers:
    def __init__(self, deployment, kafka, processes):
        """`kafka`: a client of their own. processes(): those to measure, [(name, pid)]."""
        self.violations = []
        self.i4_samples = 0
        self.i16_samples = 0
        self.rss_max_mb = 0
        self.descriptors_max = 0
        self.next_offsets = {}
        self.epochs = {}
        self.committed = {}
        self._deployment = deployment
        self._kafka = kafka
        self._processes = processes
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(look, every), daemon=True)
                         for look, every in ((self._look_at_books, 0.1),
                                             (self._look_at_both, 0.25))]

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(40)

    def progress(self):
        return sum(self.next_offsets.values())

    def lag(self):
        """How much is decided and not yet answered, as far as is known."""
        return sum(self.next_offsets.values()) - sum(self.committed.values())

    def _repeat(self, look, every):
        try:
            self._look_until_stopped(look, every)
        except Exception as error:  # or the thread would end and nobody would know
            self.violations.append(f"an observer broke off: {error!r}")

    def _look_until_stopped(self, look, every):
        connection = None
        while not self._stop.wait(every):
            try:
                if connection is None or connection.closed:
                    connection = connect(self._deployment.url,
                                         options="-c statement_timeout=3000",
                                         application_name="campaign observer")
                look(connection)
            except (psycopg.Error, KafkaException, OSError, KeyError):  # a topic unknown
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None

    def _look_at_books(self, connection):
        self._measure()
        rows = connection.execute(_POSITIONS).fetchall()
        self.next_offsets = {partition: offset for partition, offset, _ in rows}
        self.epochs = {partition: epoch for partition, _, epoch in rows}

    def _look_at_both(self, connection):
        """Kafka first: what is committed meanwhile can only make the database larger."""
        committed = topics.committed_offsets(self._kafka, self._deployment.group,
                                             self._deployment.commands, stable=False)
        rows = connection.execute(_POSITIONS).fetchall()
        known = {partition: offset for partition, offset, _ in rows}
        self.committed = committed
        self.i4_samples += 1
        for partition, offset in committed.items():
            if offset > known.get(partition, 0):
                self.violations.append(f"I4: partition {partition} is committed up to {offset}"
                                       f", the database knows {known.get(partition)}")

    def _measure(self):
        for name, pid in self._processes():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                descriptors = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
                rss = next(int(line.split()[1]) // 1024 for line in status.splitlines()
                           if line.startswith("VmRSS"))
            except (OSError, StopIteration):
                continue  # ended meanwhile
            self.i16_samples += 1
            self.rss_max_mb = max(self.rss_max_mb, rss)
            self.descriptors_max = max(self.descriptors_max, descriptors)
            if rss > RSS_MAX_MB or descriptors > DESCRIPTORS_MAX:
                self.violations.append(f"I16: {name} has {rss} MB and {descriptors} descriptors")


def lag_is_zero(deployment):
    """What is committed now counts, whatever open transactions may still add."""
    ends = topics.end_offsets(deployment.kafka, deployment.commands)
    committed = deployment.committed(stable=False)
    return all(committed.get(partition, 0) >= end for partition, end in ends.items())
