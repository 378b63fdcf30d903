"""Remembers what became of each mutant when it was run last, and writes the table of who
killed whom, for docs/mutants.md. A patch that was changed since has to be run again."""

import hashlib
import json
import subprocess

from .mutant import Killer
from .workshop import TOP

_MEMORY = TOP / "build" / "mutants" / "outcomes.json"
_HEAD = """# Mutants

Bugs seeded on purpose, and the test of `./check` that noticed each. Printed by
`tests/mutants/run --report docs/mutants.md`; what a mutant is and how to add one:
`tests/mutants/README.md`.

"""


def _digest(mutant):
    return hashlib.sha256(mutant.path.read_bytes()).hexdigest()


def _recall():
    return json.loads(_MEMORY.read_text()) if _MEMORY.exists() else {}


def _commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=TOP,
                          capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def remember(outcomes, bad):
    """`bad` are killers that fail without a mutant, too: they killed nobody."""
    memory, commit = _recall(), _commit()
    for each in outcomes:
        killer = each.killer if each.killer not in bad else None
        memory[each.mutant.name] = {"patch": _digest(each.mutant),
                                    "killer": killer and [killer.kind, killer.target],
                                    "commit": commit}
    _MEMORY.write_text(json.dumps(memory, indent=1, sort_keys=True) + "\n")


def write(path, mutants):
    """The table of these; the names of those that were not run as they are now instead, if
    there are any."""
    memory = _recall()
    missing = [each.name for each in mutants
               if memory.get(each.name, {}).get("patch") != _digest(each)]
    if missing:
        return missing
    rows = ["| mutant | what is broken | breaks | killed by |", "|---|---|---|---|"]
    killed = 0
    for each in mutants:
        killer = memory[each.name]["killer"]
        killed += killer is not None
        by = f"`{Killer(*killer)}`" if killer else "**survived**"
        rows.append(f"| `{each.name}` | {_cell(each.what)} | {_cell(each.breaks)} | {by} |")
    commits = ", ".join(sorted({memory[each.name].get("commit", "unknown") for each in mutants}))
    path.write_text(f"{_HEAD}{killed} of {len(mutants)} killed, at commit {commits}.\n\n"
                    + "\n".join(rows) + "\n", encoding="utf-8")
    return []


def _cell(text):
    return text.replace("|", "\\|")
