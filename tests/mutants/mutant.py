"""A mutant: a patch with a header that says what it breaks and who should notice.

    # One sentence, over as many lines as it needs.
    # breaks: I4, DESIGN §1
    # killer: ctest chaos/worker_test
    # killer: pytest test_crash.py::test_between_the_two_commits
    diff --git a/consumer/… b/consumer/…
"""

import dataclasses
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
PRODUCT = ("base/", "consumer/", "producer/", "schema/")
KINDS = ("ctest", "asan", "tsan", "simulate", "pytest", "failpoints", "lint")


class BadMutant(Exception):
    """A patch file that does not say what it must; the text is the reason."""


@dataclasses.dataclass(frozen=True)
class Killer:
    kind: str    # how it is run: one of KINDS
    target: str  # what of it: unit/decide_test, --singles, test_rewind.py::test_x, floors

    def __str__(self):
        return f"{self.kind} {self.target}"


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    path: pathlib.Path
    what: str        # is broken, a sentence
    breaks: str      # which invariant or section
    killers: tuple   # of Killer, cheapest first
    files: tuple     # that the patch changes


def _killer(name, text):
    kind, _, target = text.partition(" ")
    if kind not in KINDS or not target:
        raise BadMutant(f"{name}: '{text}' is no killer: expected one of {', '.join(KINDS)} "
                        "and what of it to run")
    return Killer(kind, target.strip())


def read(path):
    """The mutant of a patch file; BadMutant if its header is incomplete."""
    text = path.read_text(encoding="utf-8")
    header, found, diff = text.partition("\ndiff --git ")
    lines = [line.removeprefix("#").strip() for line in header.splitlines()]
    facts = [line for line in lines if not line.startswith(("breaks:", "killer:"))]
    breaks = [line.partition(":")[2].strip() for line in lines if line.startswith("breaks:")]
    killers = [_killer(path.stem, line.partition(":")[2].strip())
               for line in lines if line.startswith("killer:")]
    files = re.findall(r"^\+\+\+ b/(\S+)", diff, re.M)
    what = " ".join(facts).strip()
    for there, missing in ((found, "a diff made by git"), (what.endswith("."), "a sentence"),
                           (len(breaks) == 1, "one line 'breaks:'"), (killers, "a killer")):
        if not there:
            raise BadMutant(f"{path.stem}: its header lacks {missing}")
    foreign = [file for file in files if not file.startswith(PRODUCT)]
    if foreign or not files:
        raise BadMutant(f"{path.stem}: changes {', '.join(foreign) or 'nothing'}; a mutant "
                        "changes sources of the product only")
    return Mutant(path.stem, path, what, breaks[0], tuple(killers), tuple(files))


def read_all(names=()):
    """All mutants, or these, by name."""
    paths = {path.stem: path for path in sorted(HERE.glob("*.patch"))}
    unknown = [name for name in names if name not in paths]
    if unknown:
        raise BadMutant(f"there is no mutant {', '.join(unknown)}; see --list")
    return [read(paths[name]) for name in (names or paths)]
