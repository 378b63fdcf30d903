"""tests/mutants/run [NAME...]: makes each seeded bug and sees that a test notices it.

A mutant is killed when a killer named in its patch fails as a test; one that does not build,
whose servers do not start or that runs out of time kills nobody. Prints a line a mutant, and
`N passed, M failed` in the end; exit 1 if any survived.
"""

import argparse
import concurrent.futures
import fcntl
import os
import pathlib
import queue
import sys
import time

from . import killers, mutant, report
from .workshop import TOP, DoesNotApply, DoesNotBuild, Workshop, check_applies, stop


class Pair:
    """PostgreSQL and Kafka, started when the first killer asks for them, or given from
    outside by TEST_POSTGRES and TEST_KAFKA."""

    def __init__(self):
        self._servers = None

    def start(self):
        from harness.servers import Servers
        self._servers = Servers(TOP / "build" / "mutants" / "servers").start()

    def close(self):
        if self._servers is not None:
            self._servers.close()

    def given(self):
        """For pytest: the environment that names the servers."""
        return {"TEST_POSTGRES": self._servers.postgres.admin_url,
                "TEST_KAFKA": self._servers.kafka.bootstrap}

    def scratch(self, number):
        """For an adapter's test: a database of its own, as an administrator."""
        from harness.postgres import with_database
        name = f"mutants_{number}"
        self._servers.postgres.create_database(name)
        return {**self.given(),
                "TEST_POSTGRES": with_database(self._servers.postgres.admin_url, name)}

    def answer(self):
        """Whether both are well: after a failure, it may be they that failed."""
        if self._servers is None:
            return True
        from harness.postgres import connect
        try:
            connect(self._servers.postgres.admin_url).close()
            self._servers.kafka.admin.list_topics(timeout=10)
            return True
        except Exception as error:  # whatever it is, they are not well
            print(f"mutants: the servers do not answer: {error}")
            return False


def needs_servers(found):
    return any(killer.kind in ("pytest", "failpoints") or killer.target.startswith("adapter/")
               for each in found for killer in each.killers)


def judge(killer, workshop, pair):
    """A verdict that counts a failure beside dead servers as none."""
    try:
        verdict = killers.run_killer(killer, workshop, pair)
    except DoesNotBuild as error:
        return killers.Verdict(killers.BROKEN, f"does not build:\n{error}")
    if verdict.kind == killers.FAILED and not pair.answer():
        return killers.Verdict(killers.BROKEN, "the servers do not answer any more")
    return verdict


class Outcome:
    """What became of a mutant. `.killer` is None if nobody noticed it."""

    def __init__(self, of):
        self.mutant = of
        self.killer = None
        self.why = ""
        self.notes = []
        self.seconds = 0.0

    def line(self):
        if self.killer is None:
            return f"SURVIVED {self.mutant.name}  in {self.seconds:.0f} s"
        return (f"killed   {self.mutant.name}  by {self.killer}  in {self.seconds:.0f} s"
                f"  ({self.why})")


def hunt(each, workshop, pair):
    """One mutant: its killers in turn, until a test fails."""
    outcome, started = Outcome(each), time.monotonic()
    try:
        workshop.apply(each)
        for killer in each.killers:
            verdict = judge(killer, workshop, pair)
            if verdict.kind == killers.FAILED:
                outcome.killer, outcome.why = killer, verdict.why
                break
            outcome.notes.append(f"{killer}: {verdict.kind}: {verdict.why}")
    except DoesNotApply as error:
        outcome.notes.append(str(error))
    outcome.seconds = time.monotonic() - started
    return outcome


def baseline(wanted, workshop, pair):
    """The killers that do not pass without any mutant, each told; what they kill is void."""
    workshop.undo()
    bad = set()
    for killer in wanted:
        started = time.monotonic()
        verdict = judge(killer, workshop, pair)
        good = verdict.kind == killers.PASSED
        print(f"{'sound ' if good else 'UNSOUND'}  {killer}  in "
              f"{time.monotonic() - started:.0f} s  ({verdict.why})")
        if not good:
            bad.add(killer)
    return bad


def hunt_all(found, workshops, pair):
    free = queue.SimpleQueue()
    for workshop in workshops:
        free.put(workshop)

    def one(each):
        workshop = free.get()
        try:
            outcome = hunt(each, workshop, pair)
        finally:
            free.put(workshop)
        lines = [outcome.line(), *(f"    {note}" for note in outcome.notes)]
        print("\n".join(lines if outcome.killer is None else lines[:1]))
        return outcome

    with concurrent.futures.ThreadPoolExecutor(len(workshops)) as pool:
        try:
            return list(pool.map(one, found))
        except BaseException:  # a signal, too: the threads would go on to the end
            stop()
            raise


def end(passed, failed):
    print(f"{int(passed)} passed, {failed} failed")
    return 1 if failed else 0


def list_all(found):
    for each in found:
        print(f"{each.name}\n    {each.what}\n    breaks {each.breaks}\n    killers: "
              + "; ".join(map(str, each.killers)))
    return 0


def apply_only(found):
    """Cheap enough for every ./check: a patch that has come loose tests nothing."""
    failed = 0
    for each in found:
        try:
            check_applies(each)
        except DoesNotApply as error:
            failed += 1
            print(f"FAIL {each.name}: {error}")
    print(f"{len(found) - failed} of {len(found)} mutants apply")
    return end(not failed, int(bool(failed)))  # one lint


def only_one():
    """The copies belong to one run at a time; keep what is returned."""
    (TOP / "build" / "mutants").mkdir(parents=True, exist_ok=True)
    lock = open(TOP / "build" / "mutants" / "lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print("mutants: another run is at work in this tree; waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def write_report(path, found):
    missing = report.write(path, found)
    if missing:
        print("FAIL not run yet, or changed since: " + " ".join(missing))
    return end(not missing, int(bool(missing)))


def run_all(found, arguments):
    pair, lock = Pair(), only_one()
    workshops = [Workshop(number, 2 if arguments.jobs == 1 else 1)
                 for number in range(1, arguments.jobs + 1)]
    try:
        for workshop in workshops:
            workshop.refresh()
        if needs_servers(found):
            pair.start()
        if arguments.baseline:
            wanted = list(dict.fromkeys(killer for each in found for killer in each.killers))
            bad = baseline(wanted, workshops[0], pair)
            return end(len(wanted) - len(bad), len(bad))
        outcomes = hunt_all(found, workshops, pair)
        used = list(dict.fromkeys(each.killer for each in outcomes if each.killer))
        bad = baseline(used, workshops[0], pair)
    finally:
        pair.close()
        lock.close()
    killed = [each for each in outcomes if each.killer and each.killer not in bad]
    report.remember(outcomes, bad)
    return end(len(killed), len(outcomes) - len(killed))


def arguments_of(words):
    parser = argparse.ArgumentParser(prog="tests/mutants/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these mutants; default: all")
    parser.add_argument("-j", dest="jobs", type=int, default=1, metavar="N",
                        help="so many copies of the tree at once (default 1)")
    parser.add_argument("--list", action="store_true", help="only tell of the mutants")
    parser.add_argument("--apply-only", action="store_true",
                        help="only see that every patch still applies")
    parser.add_argument("--baseline", action="store_true",
                        help="only see that every killer passes without a mutant")
    parser.add_argument("--report", metavar="FILE",
                        help="only write the table of who killed whom when they were run last")
    arguments = parser.parse_args(words)
    if arguments.report and arguments.names:
        parser.error("--report is of all mutants")
    if arguments.jobs < 1:
        parser.error("-j must be at least 1")
    return arguments


def main(words=None):
    arguments = arguments_of(words)
    try:
        found = mutant.read_all(arguments.names)
    except mutant.BadMutant as error:
        print(f"FAIL {error}")
        return end(0, 1)
    if arguments.list:
        return list_all(found)
    if arguments.apply_only:
        return apply_only(found)
    if arguments.report:
        return write_report(pathlib.Path(arguments.report), found)
    os.environ.pop("POSTONCE_BIN", None)
    return run_all(found, arguments)


def entry():
    if {"--list", "--apply-only", "--report"} & set(sys.argv):
        sys.exit(main())
    from harness.process import end_on_signals, run_program
    end_on_signals()
    run_program(main)


if __name__ == "__main__":
    entry()
