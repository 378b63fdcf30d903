"""A private Kafka cluster of one or three brokers (KRaft), or one that runs already."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from .ports import free_port
from .process import Process
from .wait import wait_until

VERSION = "4.1.0"
_CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"

_LOG4J = """\
appender.o.type=Console
appender.o.name=O
appender.o.layout.type=PatternLayout
appender.o.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=warn
rootLogger.appenderRef.o.ref=O
"""

# Small time-outs, so that a fault is noticed within a test's patience.
_SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "3",
    "transaction.state.log.num.partitions": "3",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    "log.cleaner.dedupe.buffer.size": "4194304",
}

# For brokers that live for minutes: the second compiler would cost more than it gives.
_QUICK_JVM = ("-XX:TieredStopAtLevel=1",)
_SMALL_HEAP = ("-Xmx128m", "-XX:+UseSerialGC", *_QUICK_JVM)


def jars():
    """Where tests/tools/install put Kafka."""
    home = os.environ.get("HOME", "/root")
    cache = os.environ.get("POSTONCE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "postonce")
    directory = pathlib.Path(cache) / f"kafka-{VERSION}"
    if not directory.is_dir():
        raise RuntimeError("Kafka is not installed; run tests/tools/install run")
    return directory


def archive():
    """Kafka's classes as a JVM has parsed them before (class data sharing): a broker starts in
    half the CPU time. A JVM that does not know the file ignores it."""
    return jars().parent / f"kafka-{VERSION}.jsa"


def prepare(directory):
    """Makes the archive, by a broker that starts and ends, unless it is there."""
    if archive().exists():
        return
    made = pathlib.Path(directory).absolute() / "kafka.jsa"
    cluster = Kafka(directory, jvm=(*_QUICK_JVM, f"-XX:ArchiveClassesAtExit={made}"))
    try:
        cluster.start()
        cluster.brokers[0].stop()
        shutil.copy(made, f"{archive()}.{os.getpid()}")
        os.rename(f"{archive()}.{os.getpid()}", archive())
    finally:
        cluster.close()


def _java(main, *arguments, heap=_SMALL_HEAP, log4j=None):
    shared = [f"-XX:SharedArchiveFile={archive()}"] if archive().exists() else []
    logging = [f"-Dlog4j2.configurationFile=file:{log4j}"] if log4j else []
    return ["java", *heap, *shared, *logging, "-cp", f"{jars()}/*", main, *arguments]


_admins = []  # kept for good: see admin_client


def admin_client(bootstrap):
    """librdkafka has hung for ever in the destruction of a client that had lived for a while
    (seen with 2.11.1: it joins a thread that nobody has told to end). There are few of these,
    so none is ever destroyed; process.leave() ends a program without trying."""
    client = AdminClient({
        "bootstrap.servers": bootstrap, "log_level": 0,
        "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
        "socket.timeout.ms": 10000})
    _admins.append(client)
    return client


class ExternalKafka:
    """Brokers somebody else runs (TEST_KAFKA): used, never stopped."""

    faults = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.askers = {}  # see topics.committed_offsets
        self._admin = None

    @property
    def admin(self):
        if self._admin is None:
            self._admin = admin_client(self.bootstrap)
        return self._admin

    def start(self):
        self.wait_ready()
        return self

    def wait_ready(self, brokers=1, seconds=30):
        """Ready = the brokers know each other and answer for it."""
        def answers():
            try:
                return len(self.admin.list_topics(timeout=1).brokers) >= brokers
            except KafkaException:
                return False
        wait_until(answers, seconds, f"Kafka answers with {brokers} broker(s)")

    def tool(self, name, *arguments, seconds=60):
        """Runs one of Kafka's own tools, for what the client in requirements.txt cannot do."""
        ran = subprocess.run(
            _java(f"org.apache.kafka.tools.{name}", "--bootstrap-server", self.bootstrap,
                  *map(str, arguments)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=seconds)
        if ran.returncode != 0:
            raise RuntimeError(f"{name} ended with {ran.returncode}:\n{ran.stdout}")
        return ran.stdout

    def close(self):
        self._admin = None


class Broker:
    """One node: controller and broker in one JVM."""

    def __init__(self, node, directory, heap):
        self.node = node
        self.directory = pathlib.Path(directory).absolute()
        self.port = free_port()
        self.controller_port = free_port()
        self.heap = heap
        self.process = None

    @property
    def voter(self):
        return f"{self.node}@127.0.0.1:{self.controller_port}"

    def configure(self, voters, common, keep):
        """Writes the node's files and begins to format its log directory; the formatter."""
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.directory / "logs", ignore_errors=True)
        plain = f"PLAINTEXT://127.0.0.1:{self.port}"
        settings = {
            **_SETTINGS,
            "node.id": self.node,
            "controller.quorum.voters": voters,
            "listeners": f"{plain},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": plain,
            "log.dirs": self.directory / "logs",
            **common,
        }
        properties = self.directory / "node.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        log4j = self.directory / "log4j2.properties"
        log4j.write_text(_LOG4J)
        run = _java("kafka.Kafka", properties, heap=self.heap, log4j=log4j)
        self.process = Process(f"broker {self.node}", run, self.directory / "broker.log", keep=keep)
        form = _java("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", properties,
                     log4j=log4j)
        log = open(self.directory / "format.log", "wb")
        with log:
            return subprocess.Popen(form, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def launch(self):
        self.process.start()

    def wait_listening(self, seconds=40):
        def listens():
            self.process.must_run()
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        wait_until(listens, seconds, f"broker {self.node} listens")

    @property
    def running(self):
        return self.process is not None and self.process.running

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop(30)

    def pause(self):
        self.process.pause()

    def resume(self):
        self.process.resume()


class Kafka(ExternalKafka):
    """A cluster of our own under `directory`: one node, or three with replication."""

    faults = True

    def __init__(self, directory, brokers=1, keep=False, settings=None, heap_mb=512,
                 jvm=_QUICK_JVM):
        self.directory = pathlib.Path(directory)
        heap = ["-Xms256m", f"-Xmx{heap_mb}m", "-XX:+UseSerialGC", *jvm]
        self.brokers = [Broker(node, self.directory / f"broker-{node}", heap)
                        for node in range(1, brokers + 1)]
        self.keep = keep
        replicas = min(3, brokers)
        in_sync = 2 if replicas == 3 else 1
        self._settings = {
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            **(settings or {}),
        }
        super().__init__(",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers))

    def start(self):
        self.begin()
        self.finish()
        return self

    def begin(self):
        """Starts the slow half, the formatting, in the background; `finish` must follow."""
        voters = ",".join(broker.voter for broker in self.brokers)
        self._formatters = [broker.configure(voters, self._settings, self.keep)
                            for broker in self.brokers]

    def finish(self):
        for broker, formatter in zip(self.brokers, self._formatters):
            if formatter.wait(60) != 0:
                log = (broker.directory / "format.log").read_text()
                raise RuntimeError(f"Kafka's storage could not be formatted:\n{log}")
        for broker in self.brokers:
            broker.launch()
        for broker in self.brokers:
            broker.wait_listening()
        self.wait_ready(len(self.brokers))

    def start_again(self, broker=None):
        """Starts a broker that was killed or stopped, and waits until it serves."""
        broker = broker or self.brokers[0]
        broker.launch()
        broker.wait_listening()
        self.wait_ready(sum(each.running for each in self.brokers))

    def kill(self):
        for broker in self.brokers:
            broker.kill()

    def close(self):
        super().close()
        for broker in self.brokers:
            if broker.process is not None:
                broker.process.resume()
                broker.process.send(signal.SIGKILL)
        for broker in self.brokers:
            if broker.process is not None:
                broker.process.wait(10)
            shutil.rmtree(broker.directory / "logs", ignore_errors=True)
