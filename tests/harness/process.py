"""Child processes that never outlive the one that started them, unless asked to.

Each child runs in a session of its own (Ctrl-C in a terminal reaches only us, and we stop
the children in order) and dies by the kernel's hand when we are killed (PR_SET_PDEATHSIG,
set by setpriv: nothing of ours runs between fork and exec). That signal is tied to the
*thread* that started the child, so start them from the main thread.
"""

import atexit
import os
import pathlib
import pwd
import signal
import subprocess
import sys
import time
import traceback

from .wait import wait_until

_alive = {}  # pid -> Process, in order of start


def tail(path, lines=15):
    """The last lines of a log, for error messages."""
    try:
        text = pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])


def children_of(pid):
    """Direct children of a process, from /proc."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # ended meanwhile
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(entry.name))
    return found


def started_at(pid):
    """When a process started, in kernel ticks; None if there is none. With the pid this
    names a process for good: pids are used again, pairs are not."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def privileges(user):
    """The words of setpriv that make a command run as `user` (None: as we are)."""
    if user is None:
        return []
    entry = pwd.getpwnam(user)
    return [f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups",
            "--inh-caps=-all"]


class Process:
    """One child with a log file. `start` may be called again after the end of the last."""

    def __init__(self, name, argv, log, env=None, cwd=None, user=None, keep=False,
                 death_signal=signal.SIGKILL):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = pathlib.Path(log)
        self.env = env
        self.cwd = cwd
        self.user = user
        self.keep = keep
        self.death_signal = death_signal
        self._popen = None

    def start(self):
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        words = ["setpriv", *privileges(self.user)]
        if not self.keep:
            words += ["--pdeathsig", signal.Signals(self.death_signal).name[3:]]
        command = words + self.argv if len(words) > 1 else self.argv
        with open(self.log, "ab") as log:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, cwd=self.cwd, start_new_session=True)
        if not self.keep:
            _alive[self.pid] = self
        wait_until(lambda: self._command_name() != "setpriv", 5, f"{self.name} is started",
                   every=0.001)  # from here on the death signal is armed
        return self

    @property
    def pid(self):
        return self._popen.pid

    @property
    def returncode(self):
        """None while it runs; the exit code, or minus the signal that ended it."""
        return None if self._popen is None else self._popen.poll()

    @property
    def running(self):
        return self._popen is not None and self._popen.poll() is None

    def send(self, number):
        if self.running:
            self._popen.send_signal(number)

    def pause(self):
        """SIGSTOP, and back only when the kernel has really stopped it."""
        self.send(signal.SIGSTOP)
        wait_until(self.is_stopped, 5, f"{self.name} stopped by SIGSTOP")

    def is_stopped(self):
        return self._state() in "TtZ"

    def resume(self):
        self.send(signal.SIGCONT)

    def kill(self):
        """SIGKILL; back when it is gone. Not running is fine."""
        self.send(signal.SIGKILL)
        return self.wait(10)

    def stop(self, seconds=20, number=signal.SIGTERM):
        """Asks it to end; what does not end in time is killed, and that is an error."""
        self.resume()
        self.send(number)
        try:
            return self.wait(seconds)
        except AssertionError:
            self.kill()
            raise

    def wait(self, seconds=20):
        """The exit code, once there is one."""
        if self._popen is None:
            return None
        try:
            code = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} did not end within {seconds:g} s; its log ends:\n"
                f"{tail(self.log)}") from None
        _alive.pop(self._popen.pid, None)
        return code

    def must_run(self):
        """Raises with the end of its log when the process has ended."""
        if not self.running:
            raise AssertionError(f"{self.name} ended with {self.returncode}; its log ends:\n"
                                 f"{tail(self.log)}")

    def _command_name(self):
        try:
            return pathlib.Path(f"/proc/{self.pid}/comm").read_text().strip()
        except OSError:
            return ""

    def _state(self):
        try:
            stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return "Z"
        return stat.rpartition(")")[2].split()[0]


def stop_all():
    """Ends every child that still runs, the youngest first."""
    for process in reversed(list(_alive.values())):
        process.resume()
        process.send(process.death_signal)
    end = time.monotonic() + 5
    for process in reversed(list(_alive.values())):
        try:
            process._popen.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.send(signal.SIGKILL)
            process._popen.wait()
    _alive.clear()


def end_on_signals():
    """SIGTERM and SIGHUP end Python like Ctrl-C does, so that atexit runs."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def leave(code):
    """Ends this process now: what it started is ended first, objects are not destroyed (one
    of librdkafka's may hang in that; see kafka.admin_client)."""
    stop_all()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_program(main):
    """Runs main() as a whole program and leaves with its exit code, however it ends."""
    try:
        code = main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    leave(code)


def real_user():
    """Who runs servers that refuse root: None when we are not root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
            return name
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no other user")


atexit.register(stop_all)
