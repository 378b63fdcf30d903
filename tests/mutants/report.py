"""The table of who killed whom, for docs/mutants.md."""

_HEAD = """# Mutants

Bugs seeded on purpose, and the test of `./check` that noticed each. Printed by
`tests/mutants/run --report docs/mutants.md`; what a mutant is and how to add one:
`tests/mutants/README.md`.

"""


def _cell(text):
    return str(text).replace("|", "\\|")


def write(path, outcomes, bad):
    """`bad` are killers that fail without a mutant, too: they killed nobody."""
    killed = sum(each.killer is not None and each.killer not in bad for each in outcomes)
    rows = ["| mutant | what is broken | breaks | killed by |", "|---|---|---|---|"]
    for each in outcomes:
        by = "**survived**" if each.killer is None else f"`{each.killer}`"
        if each.killer in bad:
            by = f"**void**: `{each.killer}` fails without it"
        rows.append(f"| `{each.mutant.name}` | {_cell(each.mutant.what)} | "
                    f"{_cell(each.mutant.breaks)} | {by} |")
    path.write_text(_HEAD + f"{killed} of {len(outcomes)} killed.\n\n" + "\n".join(rows) + "\n",
                    encoding="utf-8")
