"""tests/campaign/run: faults on real servers for so many minutes, and what came of them.

Exit 0: no violation, and the faults took effect; 1: violations; 4: void, because nothing
that was attempted took effect; 2: wrong usage. The seed fixes which faults are chosen and
what is sent, not when threads run: the same seed is a similar history, not the same.
"""

import argparse
import os
import pathlib
import random
import shutil
import sys
import time
import traceback

from harness.process import end_on_signals, run_program
from harness.product import TOP, binary

from . import report
from .faults import FAULTS
from .phase import REWINDS, Phase, Plan
from .world import Ground

# One kind of fault as dense as it can be, between phases that mix all of them.
STORMS = (
    ("mix", None),
    ("kills", ["kill"]),
    ("zombies", ["fenced_zombie", "zombie", "long_zombie"]),
    ("crashes", ["postgres_crash_in_commit", "kill", "pause"]),
    ("mix", None),
    ("brokers", ["broker_kill", "coordinator_kill", "transaction_coordinator_kill",
                 "coordinator_move", "leader_election", "kill", "sigterm"]),
    ("rebalances", ["rebalance", "sigterm", "kill"]),
    ("postgres", ["postgres_immediate", "postgres_kill", "backend_kill", "terminate",
                  "postgres_hangs", "disk_full", "cut_after_commit", "cut_within_commit",
                  "commit_answer_lost", "cut"]),
)

SMOKE = "kill,fenced_zombie,postgres_crash_in_commit,cut_after_commit,rebalance,sigterm"


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tests/campaign/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="default: a new one, printed")
    parser.add_argument("--consumers", type=int, choices=(2, 3, 4), default=3)
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    parser.add_argument("--only", metavar="FAULT,FAULT", help=", ".join(sorted(FAULTS)))
    parser.add_argument("--storm", choices=sorted({name for name, _ in STORMS}),
                        help="only phases of this kind")
    parser.add_argument("--phase-seconds", type=float, default=90)
    parser.add_argument("--rate", type=float, default=200, help="commands a second")
    parser.add_argument("--rewinds", type=int, default=2, help="after each phase")
    parser.add_argument("--smoke", action="store_true",
                        help="one broker and one short phase: what ./check runs")
    parser.add_argument("--keep-going", action="store_true",
                        help="go on after a phase with violations")
    parser.add_argument("--report", metavar="FILE.json")
    parser.add_argument("--dir", default=TOP / "build" / "campaign", type=pathlib.Path)
    parser.add_argument("--bin", help="where postonce is built", default=os.environ.get(
        "POSTONCE_BIN") or TOP / "build" / "gcc")
    found = parser.parse_args(arguments)
    if found.smoke:
        found.minutes, found.phase_seconds, found.brokers, found.rewinds = 0.6, 35, 1, 2
        found.only = found.only or SMOKE
    unknown = set((found.only or "").split(",")) - set(FAULTS) - {""}
    if unknown:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    return found


def possible(ground, names):
    return [name for name in names
            if FAULTS[name].brokers <= len(ground.kafka.brokers)
            and (ground.volume.limited or not FAULTS[name].limited)]


class Campaign:
    def __init__(self, options):
        self.options = options
        self.seed = options.seed if options.seed is not None else random.SystemRandom(
            ).randrange(1 << 31)
        self.random = random.Random(self.seed)
        self.total = report.Total(self.seed)
        self._phases = 0
        self._end = time.monotonic() + 60 * options.minutes

    def run(self):
        directory = self.options.dir.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        say(f"seed {self.seed}; files in {directory}")
        ground = Ground(directory, self.options.brokers)
        try:
            ground.start()
            self.total.note_versions(ground)
            if not ground.volume.limited:
                say("no file system could be mounted: disk_full is left out")
            self._phases_until_the_end(ground, directory)
        finally:
            ground.close()
            self._write()

    def _phases_until_the_end(self, ground, directory):
        storms = [each for each in STORMS if self.options.storm in (None, each[0])]
        began = time.monotonic()
        while self._phases == 0 or time.monotonic() < self._end:
            name, faults = storms[self._phases % len(storms)]
            if self.options.only:
                name, faults = "only", self.options.only.split(",")
            plan = self._plan(possible(ground, faults or list(FAULTS)))
            clean = self._phase(ground, directory, plan, name)
            self.total.minutes = (time.monotonic() - began) / 60
            self._write()
            if not clean and not self.options.keep_going:
                return

    def _plan(self, faults):
        if not faults:
            raise SystemExit("campaign: none of these faults is possible here")
        self._phases += 1
        turn = self._phases * self.options.rewinds
        left = max(5.0, self._end - time.monotonic())
        return Plan(self._phases, self.random.randrange(1 << 31), faults,
                    2 if self._phases % 3 else 3, min(self.options.phase_seconds, left),
                    self.options.consumers, self.options.rate,
                    tuple(REWINDS[(turn + n) % len(REWINDS)]
                          for n in range(self.options.rewinds)))

    def _phase(self, ground, directory, plan, name):
        """True when nothing was found. An error of the machinery breaks the phase off, and
        with it the proof: it is counted, and the next phase begins on healed ground."""
        say(f"phase {plan.number}: {name}, seed {plan.seed}")
        began, phase, clean = time.monotonic(), Phase(ground, directory, plan), False
        try:
            outcome = phase.run()
            clean = not outcome.violations
        except Exception:
            say(f"  BROKEN OFF {traceback.format_exc()}")
            self.total.broken += 1
            ground.heal()
        except BaseException:  # we are to end, now
            phase.abandon()
            raise
        self.total.add(phase.outcome)
        if not clean:
            keep(phase)
        phase.close(keep=not clean)
        self._tell(phase.outcome, time.monotonic() - began)
        return clean

    @staticmethod
    def _tell(outcome, seconds):
        effects = " ".join(f"{fault}={outcome.effective[fault]}/{count}"
                           for fault, count in sorted(outcome.attempted.items()))
        say(f"  {seconds:.0f} s: {outcome.counters['commands']} commands; "
            f"took effect/attempted: {effects}")
        for sentence in outcome.violations:
            say(f"  VIOLATION {sentence}")

    def _write(self):
        if self.options.report:
            pathlib.Path(self.options.report).write_text(self.total.as_json() + "\n")


def keep(phase):
    """The files of a phase that found something stay."""
    try:
        phase.keep_evidence()
    except BaseException as error:  # what made the phase end may be why this fails too
        say(f"  not all evidence could be written: {error}")
    target = phase.directory.with_name(f"kept-{phase.plan.seed}")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(phase.directory, target)
    say(f"  evidence is kept in {target}")


def say(text):
    print(time.strftime("%H:%M:%S ") + text, flush=True)


def main():
    options = parse(sys.argv[1:])
    os.environ["POSTONCE_BIN"] = str(options.bin)
    if not binary("postonce").exists():
        raise SystemExit(f"campaign: {binary('postonce')} is not built")
    end_on_signals()
    campaign = Campaign(options)
    campaign.run()
    print(campaign.total.as_text())
    return campaign.total.exit_code()


if __name__ == "__main__":
    run_program(main)
