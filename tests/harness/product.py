"""The programs under test: where they are, how they are run, what they said."""

import json
import os
import pathlib
import subprocess
import threading

from .process import Process
from .wait import wait_until

TOP = pathlib.Path(__file__).resolve().parents[2]


def binary(name):
    directory = pathlib.Path(os.environ.get("POSTONCE_BIN") or TOP / "build" / "release")
    return directory.absolute() / name


def clean_environment(more=None):
    """Ours, without any setting that would leak into the programs under test."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("POSTONCE_", "PG"))}
    return {**kept, **(more or {})}


def run(name, *arguments, stdin=None, env=None, seconds=60, cwd=None):
    """Runs a program to its end; .returncode, .stdout and .stderr as text."""
    return subprocess.run([binary(name), *map(str, arguments)], input=stdin or "", text=True,
                          capture_output=True, env=clean_environment(env), timeout=seconds,
                          cwd=cwd)


def options_of(settings):
    """{name: value} as the words `-X name=value`."""
    return [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]


class Consumer(Process):
    """A `postonce consume` process."""

    def __init__(self, instance, settings, log, arguments=(), env=None):
        self.instance = instance
        super().__init__(f"consumer {instance}",
                         [binary("postonce"), "consume", *options_of(settings), *arguments],
                         log, env=clean_environment(env))

    def exits(self, code, seconds=30):
        """Waits for its end, which must be this one."""
        found = self.wait(seconds)
        assert found == code, (f"{self.name} ended with {found} instead of {code}:\n"
                               f"{self.log.read_text(errors='replace')[-4000:]}")


class Load:
    """Commands sent steadily from a thread while something else is being broken.

    `make` is called for each next record. Delivery is idempotent and patient, so that an
    outage of the broker delays the load and loses nothing.
    """

    def __init__(self, sender, topic, make, per_second):
        self.sent = 0
        self._errors = []
        self._stop = threading.Event()
        self._arguments = (sender, topic, make, per_second)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.stop()

    def stop(self):
        """Ends the load; back when all that was sent is delivered."""
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive(), "the load did not end"
        assert not self._errors, self._errors[0]

    def wait_sent(self, count, seconds=60):
        wait_until(lambda: self.sent >= count or self._errors, seconds,
                   lambda: f"{self.sent} of {count} commands sent")

    def _run(self):
        sender, topic, make, per_second = self._arguments
        turn = 0.02
        try:
            while not self._stop.wait(turn):
                for _ in range(max(1, round(per_second * turn))):
                    sender.post(topic, make(), self._delivered)
                    self.sent += 1
            sender.flush(60)
        except Exception as error:  # told by stop(), in the test's own thread
            self._errors.append(error)

    def _delivered(self, error, _message):
        if error is not None:
            self._errors.append(AssertionError(f"not delivered: {error}"))


_SENDERS = ("kafka.bootstrap.servers", "topics.commands", "topics.results")


class Programs:
    """The verbs, with one set of settings."""

    def __init__(self, settings):
        self.settings = settings

    def verb(self, verb, *arguments, stdin=None, env=None, seconds=60, **settings):
        """`postonce VERB`; keyword settings have dots as `__`."""
        merged = {**self.settings, **dotted(settings)}
        return run("postonce", verb, *options_of(merged), *arguments, stdin=stdin, env=env,
                   seconds=seconds)

    def send(self, lines, *arguments, seconds=60, **settings):
        """`postonce-send` fed on stdin; lines may be objects."""
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n"
                       for line in lines)
        own = {name: self.settings[name] for name in _SENDERS if name in self.settings}
        merged = {**own, **dotted(settings)}
        return run("postonce-send", *options_of(merged), *arguments, stdin=text,
                   seconds=seconds)


def dotted(settings):
    return {name.replace("__", "."): value for name, value in settings.items()}


