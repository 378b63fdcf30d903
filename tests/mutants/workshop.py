"""A copy of the tree where mutants are built, one after the other, so that each build
compiles only what the last patch and this one change. The tree itself is never touched."""

import os
import pathlib
import shutil
import signal
import subprocess
import threading

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD_SECONDS = 900

# The copies lie inside the repository: without a ceiling git would find it from there, apply
# nothing, and list nothing to the lints.
_CEILING = {"GIT_CEILING_DIRECTORIES": str(TOP / "build" / "mutants")}

_VARIANTS = {
    "gcc": ("gcc", "-DCMAKE_BUILD_TYPE=Release"),
    "failpoints": ("gcc", "-DCMAKE_BUILD_TYPE=Release", "-DPOSTONCE_FAILPOINTS=ON",
                   "-DPOSTONCE_TESTS=OFF"),
    "asan": ("clang", "-DCMAKE_BUILD_TYPE=Debug", "-DPOSTONCE_SANITIZE=address"),
    "tsan": ("gcc", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DPOSTONCE_SANITIZE=thread"),
}


class DoesNotApply(Exception):
    """The text says to what the patch does not apply."""


class DoesNotBuild(Exception):
    """The text is the end of the compiler's output."""


class Stopped(Exception):
    """We are being ended: nothing new is started."""


_running = {}  # pid -> Popen, of all threads
_stopped = threading.Event()


def stop():
    """Ends what runs in any thread, with all that it has started, and lets nothing new
    begin."""
    _stopped.set()
    for process in list(_running.values()):
        _signal(process, signal.SIGTERM)


def _signal(process, number):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass  # it has ended meanwhile


class Ended:
    """How a child process ended: `.code` (None: its time was over) and what it `.said`."""

    def __init__(self, code, said):
        self.code = code
        self.said = said


def run(words, seconds, cwd, env=None):
    """Runs to the end or the time-out; nothing that it started outlives it."""
    if _stopped.is_set():
        raise Stopped
    env = {**(os.environ if env is None else env), **_CEILING}
    process = subprocess.Popen([str(word) for word in words], cwd=cwd, env=env, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, errors="replace",
                               start_new_session=True)
    _running[process.pid] = process
    try:
        said, _ = process.communicate(timeout=seconds)
        if _stopped.is_set():  # then it was we who ended it
            raise Stopped
        return Ended(process.returncode, said)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGTERM)
        try:
            said, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            said, _ = process.communicate()
        return Ended(None, said)
    finally:
        if process.poll() is None:  # we are being ended ourselves
            _signal(process, signal.SIGTERM)
            process.wait()
        del _running[process.pid]


def _sources():
    """Paths of what git knows and what is new and not ignored."""
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP,
                          capture_output=True, text=True, check=True)
    return [path for path in done.stdout.split("\0") if path and (TOP / path).is_file()]


def check_applies(mutant):
    """Raises DoesNotApply unless the patch fits the tree as it is now."""
    done = subprocess.run(["git", "apply", "--check", mutant.path], cwd=TOP,
                          capture_output=True, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:]
        raise DoesNotApply("the patch does not apply any more: " + " ".join(reason))


class Workshop:
    """One copy, under build/mutants; used by one thread."""

    def __init__(self, number, jobs):
        self.number = number
        self.jobs = jobs
        self.tree = TOP / "build" / "mutants" / f"tree-{number}"
        self._changed = ()
        self._configured = set()

    def build_directory(self, variant):
        return self.tree / "build" / variant

    def refresh(self):
        """Brings the copy to what the tree is; what is the same keeps its time."""
        wanted = set(_sources())
        for path in wanted:
            self._restore(path)
        for path in self.tree.rglob("*"):
            inside = path.relative_to(self.tree)
            if inside.parts[0] != "build" and path.is_file() and str(inside) not in wanted:
                path.unlink()
        self._changed = ()

    def _restore(self, path):
        source, copy = TOP / path, self.tree / path
        if copy.is_file() and copy.read_bytes() == source.read_bytes():
            return
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        shutil.copymode(source, copy)

    def undo(self):
        for path in self._changed:
            self._restore(path)
        self._changed = ()

    def apply(self, mutant):
        """Undoes the mutant before and makes this one."""
        self.undo()
        self._changed = mutant.files
        ended = run(["git", "apply", mutant.path], 60, self.tree)
        if ended.code != 0:
            raise DoesNotApply("the patch does not apply any more: " + ended.said.strip())
        if all((TOP / path).is_file() and
               (TOP / path).read_bytes() == (self.tree / path).read_bytes()
               for path in mutant.files):
            raise DoesNotApply("the patch changes nothing")

    def build(self, variant, targets):
        """Builds these targets; DoesNotBuild if the compiler refuses."""
        directory = self.build_directory(variant)
        if variant not in self._configured:
            compiler, *options = _VARIANTS[variant]
            env = dict(os.environ)
            if shutil.which("ccache"):
                env["CMAKE_C_COMPILER_LAUNCHER"] = "ccache"
            self._must(["cmake", "-S", self.tree, "-B", directory, "-G", "Ninja",
                        f"-DCMAKE_C_COMPILER={compiler}", "-DPOSTONCE_WERROR=OFF", *options],
                       env)
            self._configured.add(variant)
        self._must(["cmake", "--build", directory, "-j", self.jobs, "--target", *targets])

    def _must(self, words, env=None):
        ended = run(words, BUILD_SECONDS, self.tree, env)
        if ended.code != 0:
            raise DoesNotBuild("\n".join(ended.said.splitlines()[-12:]))
