"""Runs a killer on a built tree and judges it: did a test of it *fail*, or did it merely not
come to judge? Only a failed test is a kill."""

import dataclasses
import os
import re
import signal
import sys
import xml.etree.ElementTree

from .workshop import run

PROGRAM_SECONDS = 200
PYTEST_SECONDS = 420

PASSED, FAILED, BROKEN = "passed", "failed", "broken"


@dataclasses.dataclass
class Verdict:
    kind: str  # PASSED, FAILED, or BROKEN: it could not judge
    why: str   # one line


def _short(text):
    return " ".join(text.split())[:160]


def run_killer(killer, workshop, servers):
    """`servers` gives environments; see main.Pair."""
    by_kind = {"ctest": _program, "asan": _program, "tsan": _program, "simulate": _simulate,
               "pytest": _pytest, "failpoints": _pytest, "lint": _lint}
    return by_kind[killer.kind](killer, workshop, servers)


# ---- test programs ----

def _program(killer, workshop, servers):
    variant = "gcc" if killer.kind == "ctest" else killer.kind
    name = killer.target.replace("/", "_")
    workshop.build(variant, [name])
    env = dict(os.environ)
    if killer.target.startswith("adapter/"):
        env.update(servers.scratch(workshop.number))
    ended = run([workshop.build_directory(variant) / "tests" / name], PROGRAM_SECONDS,
                workshop.tree, env)
    return judge_program(ended)


def judge_program(ended):
    """A test program says `N passed, M failed`; or it dies of a MUST, a sanitizer or a
    signal, which is what a failed test looks like, too."""
    counted = re.search(r"^(\d+) passed, (\d+) failed$", ended.said, re.M)
    failed = re.search(r"^FAIL .*", ended.said, re.M)
    assertion = re.search(r".*(?:must=|Sanitizer).*", ended.said)
    if ended.code is None:
        return Verdict(BROKEN, f"no end within {PROGRAM_SECONDS} s")
    if ended.code == 0 and counted and int(counted[1]) > 0:
        return Verdict(PASSED, counted[0])
    if ended.code == 0:
        return Verdict(BROKEN, "tested nothing: " + _short(ended.said[-160:]))
    if failed:
        return Verdict(FAILED, _short(failed[0].removeprefix("FAIL ")))
    if assertion:
        return Verdict(FAILED, _short(assertion[0]))
    if ended.code in (-signal.SIGTERM, -signal.SIGKILL):
        return Verdict(BROKEN, f"somebody ended it with signal {-ended.code}")
    if ended.code < 0:
        return Verdict(FAILED, f"died of signal {-ended.code}")
    return Verdict(BROKEN, f"ended with {ended.code}: " + _short(ended.said[-160:]))


def _simulate(killer, workshop, _servers):
    workshop.build("gcc", ["simulate"])
    program = workshop.build_directory("gcc") / "tests" / "simulate"
    return judge_program(run([program, *killer.target.split()], PROGRAM_SECONDS,
                             workshop.tree, dict(os.environ)))


# ---- pytest ----

def _pytest(killer, workshop, servers):
    workshop.build("gcc", ["postonce", "postonce-send"])
    env = {**os.environ, "POSTONCE_BIN": str(workshop.build_directory("gcc")),
           "TEST_DIRECTORY": str(workshop.tree / "build" / "integration")}
    if killer.kind == "failpoints":
        workshop.build("failpoints", ["postonce", "postonce-send"])
        env["POSTONCE_FAILPOINTS_BIN"] = str(workshop.build_directory("failpoints"))
    verdict = _run_pytest(killer, workshop, {**env, **servers.given()})
    if verdict.why == "skipped":  # it stops or kills servers, so it starts its own
        verdict = _run_pytest(killer, workshop, env)
    return verdict


def _run_pytest(killer, workshop, env):
    report = workshop.tree / "build" / "pytest.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    ended = run([sys.executable, "-m", "pytest", "-x", f"--junitxml={report}",
                 f"tests/integration/{killer.target}"], PYTEST_SECONDS, workshop.tree, env)
    return judge_pytest(ended, report)


def judge_pytest(ended, report):
    """A failure is of the test itself; an error is of what it stands on: servers that do not
    start, a fixture."""
    if ended.code is None:
        return Verdict(BROKEN, f"no end within {PYTEST_SECONDS} s")
    if not report.exists():
        return Verdict(BROKEN, f"ended with {ended.code}: " + _short(ended.said[-160:]))
    cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    failures = [found for case in cases for found in case.findall("failure")]
    errors = [found for case in cases for found in case.findall("error")]
    skipped = [case for case in cases if case.find("skipped") is not None]
    if failures:
        return Verdict(FAILED, _short(failures[0].get("message", "")))
    if errors:
        return Verdict(BROKEN, "before the test: " + _short(errors[0].get("message", "")))
    if not cases:
        return Verdict(BROKEN, "there is no such test: " + _short(ended.said[-160:]))
    if len(skipped) == len(cases):
        return Verdict(BROKEN, "skipped")
    return Verdict(PASSED, f"{len(cases) - len(skipped)} passed")


# ---- lints ----

def _lint(killer, workshop, servers):
    ended = run([sys.executable, "tests/lint/lint.py", killer.target], PROGRAM_SECONDS,
                workshop.tree)
    if re.search(r"^1 passed, 0 failed$", ended.said, re.M):
        return Verdict(PASSED, "ok")
    if re.search(r"^0 passed, 1 failed$", ended.said, re.M):
        return Verdict(FAILED, _short(ended.said.splitlines()[0]))
    return Verdict(BROKEN, _short(ended.said[-160:]))
