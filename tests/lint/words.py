"""Words that must not stand in any file: paths of one machine, work that is left undone."""

import re

from source import line_of

# Put together from pieces, so that this file does not hold what it forbids.
FORBIDDEN = (
    (re.compile("/wo" + r"rk/"), "a path of one machine"),
    (re.compile("/ho" + r"me/\w"), "a path of one machine"),
    (re.compile(r"\b(?:TO" + "DO|FIX" + r"ME)\b"), "do it now, or write an issue"),
    (re.compile(r"^(?:<{7}|>{7}) ", re.M), "a merge that is not finished"),
)


def words(files):
    return [f"{path}:{line_of(text, found.start())}: {found.group()!r}: {advice}"
            for path, text in files.items()
            for pattern, advice in FORBIDDEN
            for found in pattern.finditer(text)]
