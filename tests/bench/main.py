"""tests/bench/run: how fast, in one run and in turns (A B A B …), with the books audited.

Every run is one line of JSON in --report, and the tables are printed at the end (again with
--tables FILE.jsonl). --quick compares with the ceiling only, in under three minutes, and ends
with 1 below --floor of it. Exit 0; 1: wrong books, or below the floor; 2: wrong usage.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import traceback

from harness.process import end_on_signals, run_program
from harness.product import TOP, binary, run

from . import latency, profile, report
from .contenders import Ceiling, Peer, Postonce, Rewind, RowAtATime, check_new_books
from .ground import PARTITIONS, Ground
from .inboxes import full_inbox
from .load import ACCOUNTS, WORKLOADS

SECTIONS = ("drain", "others", "processes", "batches", "inbox", "steady", "starts", "backlog",
            "profile")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="what ./check runs")
    parser.add_argument("--floor", type=float, default=0.6,
                        help="--quick: the least part of the ceiling (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commands", type=int, default=120_000, help="of one drain")
    parser.add_argument("--sections", default=",".join(SECTIONS), help="default: %(default)s")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE.jsonl",
                        default=TOP / "build" / "bench" / "results.jsonl")
    parser.add_argument("--tables", type=pathlib.Path, metavar="FILE.jsonl",
                        help="measure nothing; print the tables of this report")
    parser.add_argument("--dir", default=TOP / "build" / "bench", type=pathlib.Path)
    found = parser.parse_args(arguments)
    if found.quick:
        found.sections, found.commands = "quick", min(found.commands, 60_000)
    unknown = set(found.sections.split(",")) - {*SECTIONS, "quick"}
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return found


@dataclasses.dataclass
class Load:
    """Commands on a topic, in a file, and what they make of the balances."""

    topic: str
    path: str
    count: int
    expected: dict


class Bench:
    def __init__(self, options):
        self.options = options
        self.ground = Ground(options.dir, 2500 if "steady" in options.sections else 700)
        self._loads = {}
        options.report.parent.mkdir(parents=True, exist_ok=True)
        self._report = open(options.report, "w")

    def load(self, name, count=None, partitions=PARTITIONS):
        """Made and sent when it is first asked for."""
        count = count or self.options.commands
        if (name, count, partitions) not in self._loads:
            lines, expected = WORKLOADS[name].lines(count)
            topic = self.ground.topic(self.ground.fresh_name("commands"), partitions)
            path = self.ground.directory / f"{topic}.jsonl"
            path.write_text("\n".join(lines) + "\n")
            self.ground.send(topic, lines, partitions)
            self._loads[name, count, partitions] = Load(topic, str(path), count, expected)
        return self._loads[name, count, partitions]

    def write(self, section, workload, contender, number, found):
        self._report.write(json.dumps({"section": section, "workload": workload,
                                       "contender": contender, "round": number, **found}) + "\n")
        self._report.flush()

    def describe(self):
        head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=TOP,
                              capture_output=True, text=True).stdout.strip()
        self._report.write(json.dumps({
            "commit": head or "unknown", "date": time.strftime("%Y-%m-%d"),
            "machine": f"{os.cpu_count()} cores, {processor()}, {memory_gib():.0f} GiB, "
                       f"{platform.system()} {platform.release().split('-')[0]}",
            "postonce": run("postonce", "--version").stdout.split("\n")[0],
            "commands": self.options.commands, "rounds": self.options.rounds,
            **self.ground.versions()}) + "\n")

    # ---- drains ----

    def drains(self, section, entries):
        """Rounds in which everybody has one turn: entries are (workload, contender, load)."""
        for number in range(1, self.options.rounds + 1):
            for workload, contender, load in entries:
                began = time.monotonic()
                found = contender.run(self.ground, load)
                self.write(section, workload, contender.name, number, dataclasses.asdict(found))
                say(f"{number} {workload:<24} {contender.name:<28} {found.per_second:9.0f}/s  "
                    f"CPU us {found.consumer_us:5.1f} {found.postgres_us:5.1f} "
                    f"{found.broker_us:5.1f}  ({time.monotonic() - began:.0f} s)")

    def run(self, section):
        getattr(self, f"section_{section}")()

    def warm_up(self, load, times):
        """The broker is warm when it counts: what the JVM compiles at first is not ours."""
        for _ in range(times):
            Postonce().run(self.ground, load)

    def section_quick(self):
        load = self.load("uniform v7")
        self.warm_up(load, 1)
        self.drains("drain", [("uniform v7", Postonce(), load), ("uniform v7", Ceiling(), load)])

    def section_drain(self):
        load, few = self.load("uniform v7"), self.load("uniform v7", 4000)
        self.warm_up(load, 4)
        self.drains("drain", [
            ("uniform v7", Postonce(), load), ("uniform v7", Ceiling(), load),
            ("uniform v7", Peer(build_peer(self.options.dir)), load),
            ("uniform v7", RowAtATime(), few)])

    def section_others(self):
        entries = [("uniform v7", Postonce(), self.load("uniform v7")),
                   ("uniform v7, full rewind", Rewind(), self.load("uniform v7"))]
        for name in ("uniform v4", "Zipf 1.0", "one hot destination", "one hot source"):
            entries += [(name, Postonce(), self.load(name)), (name, Ceiling(), self.load(name))]
        for name in ("10 % duplicates", "50 % duplicates"):
            entries.append((name, Postonce(), self.load(name)))
        self.drains("others", entries)

    def section_processes(self):
        uniform, zipf = self.load("uniform v7"), self.load("Zipf 1.0")
        disjoint = self.load("disjoint halves", partitions=2)
        self.drains("processes", [
            *(("uniform v7", Postonce(f"{count} process(es)", count), uniform)
              for count in (1, 2, 4)),
            ("uniform v7", Postonce("1 process, posters=2", posters="2"), uniform),
            *(("Zipf 1.0", Postonce(f"{count} process(es)", count), zipf) for count in (1, 2)),
            *(("disjoint halves", Postonce(f"{count} process(es)", count), disjoint)
              for count in (1, 2))])

    def section_batches(self):
        load = self.load("uniform v7")
        self.drains("batches", [
            ("uniform v7", Postonce(f"batch.records={size}", batch__records=str(size)), load)
            for size in (100, 500, 2000, 4000)])

    def section_inbox(self):
        entries = []
        for kind in ("v7", "v4"):
            name = f"uniform {kind}"
            full = {"template": full_inbox(self.ground, kind, 10_000_000),
                    "check": check_new_books}
            for contender in (
                    Postonce("empty inbox"), Postonce("10M keys in the inbox", **full),
                    Postonce("10M keys, wal_compression=lz4",
                             of_database={"wal_compression": "lz4"}, **full)):
                entries.append((name, contender, self.load(name)))
        self.drains("inbox", entries)

    # ---- latencies and the rest ----

    def section_steady(self):
        """The first minutes are not counted: the JVM compiles what small transactions need.
        Of each rate, the first seconds are told apart."""
        for _ in range(7):
            latency.steady(self.ground, 5000, WORKLOADS["uniform v7"].lines(75_000)[0])
        for rate in (1, 1000, 5000, 10000, 20000):
            for number in range(1, self.options.rounds + 1):
                lines, _ = WORKLOADS["uniform v7"].lines(rate * 15 if rate > 1 else 30)
                found = latency.steady(self.ground, rate, lines, 3 * rate)
                self._tell("steady", f"{rate}/s", found, number)

    def section_starts(self):
        for name, found in latency.starts(self.ground):
            self._tell("starts", name, found)

    def section_backlog(self):
        load = self.load("uniform v7", 2_000_000)
        self._tell("backlog", "2,000,000 commands", latency.backlog(self.ground, load))

    def section_profile(self):
        load = self.load("uniform v7")
        self.warm_up(load, 1)
        for whose, what, found in profile.measure(self.ground, load):
            self.write("profile", whose, what, 1, found)
            say(f"profile {whose} {what}: {found}")

    def _tell(self, section, workload, found, number=1):
        self.write(section, workload, "postonce", number, found)
        say(f"{section} {workload}: {found}")


def processor():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def build_peer(directory):
    """The Go program; needs Go 1.26 and, the first time, a module proxy."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    program = pathlib.Path(directory).absolute() / "bench_peer"
    done = subprocess.run([go, "build", "-o", program, "."], capture_output=True, text=True,
                          cwd=pathlib.Path(__file__).parent / "peer")
    if done.returncode != 0:
        raise SystemExit(f"tests/bench/run: the peer cannot be built: {done.stderr}")
    return program


def say(text):
    print(time.strftime("%H:%M:%S ") + text, flush=True)


def measure(options):
    bench = Bench(options)
    try:
        bench.ground.start()
        bench.describe()
        bench.ground.opened()
        if "drain" in options.sections:
            bench.ground.peer_template(ACCOUNTS)
        for section in options.sections.split(","):
            bench.run(section)
    finally:
        bench.ground.close()


def judge_quick(options):
    ratio = report.Report(options.report).ratio("drain", "uniform v7", "postonce", "ceiling")
    good = ratio >= options.floor
    print(f"{ratio:.2f} of the ceiling; at least {options.floor:.2f} is wanted")
    print(f"{int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


def main():
    options = parse(sys.argv[1:])
    if options.tables:
        print(report.Report(options.tables).as_markdown())
        return 0
    if not binary("tests/bench_ceiling").exists():
        raise SystemExit(f"tests/bench/run: {binary('tests/bench_ceiling')} is not built")
    options.dir.mkdir(parents=True, exist_ok=True)
    end_on_signals()
    try:
        measure(options)
    except Exception:
        traceback.print_exc()
        print("0 passed, 1 failed")
        return 1
    print(report.Report(options.report).as_markdown())
    return judge_quick(options) if options.quick else 0


if __name__ == "__main__":
    run_program(main)
