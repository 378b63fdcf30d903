"""Sizes: functions, files, lines. Prints the statistics that STYLE §1 measures by."""

from source import PRODUCT, c_files, functions

FUNCTION_LINES = 70
FILE_LINES = 700
COLUMNS = 90


def sizes(files):
    found = []
    for path, text in c_files(files).items():
        lines = text.splitlines()
        if len(lines) > FILE_LINES:
            found.append(f"{path}: {len(lines)} lines, more than {FILE_LINES}: split it")
        found += [f"{path}:{number}: {len(line)} columns, more than {COLUMNS}"
                  for number, line in enumerate(lines, 1) if len(line) > COLUMNS]
        found += [f"{path}:{number}: {name}: {length} lines, more than {FUNCTION_LINES}"
                  for number, name, length in functions(text) if length > FUNCTION_LINES]
    return found


def statistics(files):
    """One line a folder, and one for all of the product: how long functions are."""
    folders = sorted({path.rpartition("/")[0] for path in c_files(files, *PRODUCT)})
    rows = [_row(folder, {path: text for path, text in c_files(files, folder).items()
                          if path.rpartition("/")[0] == folder}) for folder in folders]
    return [*filter(None, rows), _row("product", c_files(files, *PRODUCT))]


def _row(name, sources):
    measured = sorted((length, f"{function} ({path})") for path, text in sources.items()
                      for _, function, length in functions(text))
    if not measured:
        return ""
    lengths = [length for length, _ in measured]
    lines = sum(text.count("\n") for text in sources.values())
    return (f"{name:15} {lines:6} lines in {len(sources):3} files, {len(lengths):4} functions: "
            f"median {lengths[len(lengths) // 2]}, 90 % {lengths[len(lengths) * 9 // 10]}, "
            f"longest {measured[-1][0]} {measured[-1][1]}")
