#!/usr/bin/env python3
"""The lints that no compiler does: tests/lint/lint.py [NAME]...

Each is a function from the tree ({path: text}) to its findings, one line each, and is first
shown planted violations, which it must see (planted.py). Ends with `N passed, N failed`.
"""

import sys
import time

import planted
from calls import calls
from floors import floors
from sizes import sizes, statistics
from source import tree
from tidy import tidy
from words import words

LINTS = {"floors": floors, "calls": calls, "sizes": sizes, "words": words, "tidy": tidy}


def main(names):
    unknown = set(names) - set(LINTS)
    if unknown:
        sys.exit(f"lint.py: no such lint: {', '.join(unknown)}; there are {', '.join(LINTS)}")
    files = tree()
    failed = 0
    for name in names or LINTS:
        started = time.monotonic()
        found = planted.unseen(name, LINTS[name]) + LINTS[name](files)
        print("\n".join(found + [f"{name}: {'FAILED' if found else 'ok'} "
                                 f"({time.monotonic() - started:.1f} s)"]), flush=True)
        failed += bool(found)
    print("\n".join(statistics(files)))
    print(f"{len(names or LINTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
