"""Calls and types that are banned (STYLE §5), each with what to use instead.

What stands in allowed.txt, with its reason, is let through. An entry that nothing needs any
more is a finding too, so that the list says what is true."""

import re

from floors import PURE, matches
from source import PRODUCT, c_files, code, line_of

_TEXT = "build text with base/text_buffer.h, or memcpy into what was measured"
_NUMBER = "parse with base/parse.h, which takes the whole text or nothing"
EVERYWHERE = {
    "strcpy": _TEXT, "strcat": _TEXT, "strncpy": _TEXT, "strncat": _TEXT, "stpcpy": _TEXT,
    "sprintf": "use base/text_buffer.h, or snprintf and look at its result",
    "vsprintf": "use vsnprintf and look at its result",
    "atoi": _NUMBER, "atol": _NUMBER, "atoll": _NUMBER, "atof": _NUMBER,
    "strtol": _NUMBER, "strtoll": _NUMBER, "strtoul": _NUMBER, "strtoull": _NUMBER,
    "strtoimax": _NUMBER, "strtoumax": _NUMBER, "strtod": _NUMBER, "strtof": _NUMBER,
    "strtold": _NUMBER, "sscanf": _NUMBER, "scanf": _NUMBER, "fscanf": _NUMBER,
    "gets": "use getline, or read into a buffer with a maximum",
    "strtok": "walk with memchr or strcspn; strtok writes into its input",
    "strtok_r": "walk with memchr or strcspn; strtok_r writes into its input",
    "signal": "use base/stop.h (sigwait in a thread), or sigaction",
    "system": "use posix_spawn with an argument array; no shell",
    "popen": "use posix_spawn with an argument array; no shell",
    "alloca": "use an array with a fixed maximum",
}
HEAP = ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf",
        "vasprintf", "aligned_alloc", "posix_memalign")  # one word in the list: heap
_HEAP = "memory comes from the caller; an adapter or owner is entered in tests/lint/allowed.txt"
# float and double; one word in the list: real
_REAL = "money and time are integers: minor units, milliseconds"


def calls(files):
    allowed, found = _allowed(files)
    needed = set()
    for path, text in c_files(files).items():
        told = set()
        plain = code(text)
        for entry, name, position, advice in _banned(path, plain):
            if (path, entry) in allowed:
                needed.add((path, entry))
            elif (entry, name) not in told:
                found.append(f"{path}:{line_of(plain, position)}: {name}: {advice}")
            told.add((entry, name))
    return found + [f"tests/lint/allowed.txt:{line}: {path} does not use {entry} any more"
                    for (path, entry), line in allowed.items() if (path, entry) not in needed]


def _banned(path, plain):
    """(word for the list, what stands there, where, what to do instead)"""
    for found in re.finditer(r"(?<![\w.>])(\w+)\s*\(", plain):
        name = found.group(1)
        if name in EVERYWHERE:
            yield name, name, found.start(), EVERYWHERE[name]
        elif name in HEAP and path.startswith(PRODUCT):
            yield "heap", name, found.start(), _HEAP
    if path.startswith(PRODUCT):
        for found in re.finditer(r"\b(?:float|double)\b", plain):
            yield "real", found.group(), found.start(), _REAL


def _allowed(files):
    """{(path, word): line}, and what is wrong with the list itself."""
    allowed, found = {}, []
    for line, text in enumerate(files.get("tests/lint/allowed.txt", "").splitlines(), 1):
        if not text or text.startswith("#"):
            continue
        path, entry, reason = (text.split(maxsplit=2) + ["", ""])[:3]
        if len(reason.split()) < 3:
            found.append(f"tests/lint/allowed.txt:{line}: {path} has no reason")
        if matches(path, PURE):
            found.append(f"tests/lint/allowed.txt:{line}: {path} is pure: nothing is allowed")
        else:
            allowed[path, entry] = line
    return allowed, found
