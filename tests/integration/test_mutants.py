"""What counts as a kill (tests/mutants): a test that failed, and nothing else. No servers."""

import re
import sys

import pytest

from mutants import mutant
from mutants.killers import BROKEN, FAILED, PASSED, judge_program, judge_pytest
from mutants.workshop import Ended, run

GOOD = """# What is broken.
# breaks: I1
# killer: ctest unit/decide_test
diff --git a/consumer/x.c b/consumer/x.c
--- a/consumer/x.c
+++ b/consumer/x.c
"""


@pytest.mark.parametrize("kind, code, said", [
    (PASSED, 0, "3 passed, 0 failed\n"),
    (FAILED, 1, "FAIL tests/unit/x_test.c:3 case: a == b\n2 passed, 1 failed\n"),
    (FAILED, -6, 'level=fatal event=internal_fault must="a == b"\n'),
    (FAILED, 1, "==1==ERROR: AddressSanitizer: heap-use-after-free\n"),
    (FAILED, -11, ""),
    (BROKEN, None, "FAIL tests/unit/x_test.c:3 case: a == b\n"),  # its time was over
    (BROKEN, 0, "SKIPPED: TEST_POSTGRES names no scratch database\n"),
    (BROKEN, 0, "0 passed, 0 failed\n"),
    (BROKEN, -9, "2 passed, "),  # as the kernel does when memory is short
    (BROKEN, 127, "error while loading shared libraries\n"),
])
def test_a_program(kind, code, said):
    assert judge_program(Ended(code, said)).kind == kind


TESTS = {
    "passes": "def test_it(): pass",
    "fails": "def test_it(): assert 1 == 2",
    "raises": "def test_it(): raise OSError",
    "breaks": "import pytest\n@pytest.fixture\ndef it(): assert 1 == 2\ndef test_it(it): pass",
    "skips": "import pytest\ndef test_it(): pytest.skip('no server')",
    "is no Python": "def test_it(:",
    "is none": "",
}


@pytest.mark.parametrize("what, kind", [
    ("passes", PASSED), ("fails", FAILED), ("raises", FAILED), ("breaks", BROKEN),
    ("skips", BROKEN), ("is no Python", BROKEN), ("is none", BROKEN)])
def test_a_pytest(tmp_path, what, kind):
    report = tmp_path / "report.xml"
    (tmp_path / "test_it.py").write_text(TESTS[what])
    ended = run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null",
                 f"--rootdir={tmp_path}", f"--junitxml={report}", "test_it.py"], 60, tmp_path)
    assert judge_pytest(ended, report).kind == kind


def test_a_pytest_that_never_ends(tmp_path):
    assert judge_pytest(Ended(None, ""), tmp_path / "none.xml").kind == BROKEN


@pytest.mark.parametrize("missing", ["What is broken.", "# breaks: I1\n", "# killer: ctest "])
def test_a_header_that_says_too_little(tmp_path, missing):
    path = tmp_path / "some.patch"
    path.write_text(GOOD)
    assert mutant.read(path).what == "What is broken."
    path.write_text(GOOD.replace(missing, ""))
    with pytest.raises(mutant.BadMutant):
        mutant.read(path)


def test_a_mutant_of_a_test_is_none(tmp_path):
    path = tmp_path / "some.patch"
    path.write_text(GOOD.replace("consumer/", "tests/"))
    with pytest.raises(mutant.BadMutant):
        mutant.read(path)


def test_every_patch_says_what_it_must():
    found = mutant.read_all()
    assert len(found) >= 25
    assert all(re.search(r"I\d|CONTRACT|DESIGN|KAFKA", each.breaks) for each in found)
