"""PostgreSQL and Kafka together: private ones under a directory, or the ones given."""

import json
import os
import pathlib
import shutil
import signal

from .kafka import ExternalKafka, Kafka
from .postgres import ExternalPostgres, Postgres
from .process import started_at
from .wait import wait_until

_STATE = "servers.json"


class Servers:
    """`with Servers(directory) as servers:` both are ready inside and gone after it."""

    def __init__(self, directory, brokers=1, keep=False, fsync=True):
        self.directory = pathlib.Path(directory).absolute()
        self.directory.mkdir(parents=True, exist_ok=True)
        given = os.environ.get("TEST_POSTGRES"), os.environ.get("TEST_KAFKA")
        self.postgres = (ExternalPostgres(given[0]) if given[0] else
                         Postgres(self.directory / "postgres", keep, fsync))
        self.kafka = (ExternalKafka(given[1]) if given[1] else
                      Kafka(self.directory / "kafka", brokers, keep))

    def start(self):
        if isinstance(self.kafka, Kafka):
            self.kafka.begin()  # formats its log while PostgreSQL starts
            self.postgres.start()
            self.kafka.finish()
        else:
            self.postgres.start()
            self.kafka.start()
        return self

    def heal(self):
        """Undoes any fault that a test has left behind."""
        if self.postgres.faults:
            self.postgres.resume()
            if not self.postgres.running:
                self.postgres.restart()
        if self.kafka.faults:
            for broker in self.kafka.brokers:
                broker.resume()
                if not broker.running:
                    self.kafka.start_again(broker)

    def close(self):
        self.kafka.close()
        self.postgres.close()
        (self.directory / _STATE).unlink(missing_ok=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, error, trace):
        self.close()

    def processes(self):
        """Those of our own, in the order in which to end them."""
        found = []
        if isinstance(self.kafka, Kafka):
            found += [broker.process for broker in self.kafka.brokers]
        if isinstance(self.postgres, Postgres):
            found.append(self.postgres.process)
        return found

    def leave_running(self, more_processes=()):
        """Writes down what runs, for a later `take_down`; for servers started with keep."""
        processes = [*more_processes, *self.processes()]
        state = {
            "postgres": self.postgres.admin_url,
            "kafka": self.kafka.bootstrap,
            "data": str(getattr(self.postgres, "to_remove", None) or ""),
            "processes": [
                {"name": each.name, "pid": each.pid, "started_at": started_at(each.pid),
                 "signal": int(each.death_signal)} for each in processes]}
        (self.directory / _STATE).write_text(json.dumps(state, indent=2) + "\n")
        return state


def read_left_running(directory):
    """What was left running there, without what has ended since; None if nothing was."""
    try:
        state = json.loads((pathlib.Path(directory) / _STATE).read_text())
    except OSError:
        return None
    state["processes"] = [each for each in state["processes"]
                          if started_at(each["pid"]) == each["started_at"] is not None]
    return state


def take_down(directory):
    """Ends what was left running, in the order written down; the names of what was ended."""
    state = read_left_running(directory)
    if state is None:
        return []
    for each in state["processes"]:
        os.kill(each["pid"], signal.SIGCONT)
        os.kill(each["pid"], each["signal"])
        wait_until(lambda: started_at(each["pid"]) != each["started_at"], 20,
                   f"{each['name']} (pid {each['pid']}) ends")
    if state["data"]:
        shutil.rmtree(state["data"], ignore_errors=True)
    (pathlib.Path(directory) / _STATE).unlink()
    return [each["name"] for each in state["processes"]]
