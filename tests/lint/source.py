"""What the lints look at: {path: text} of the tree, and C without comments and strings."""

import os
import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = ("base/", "schema/", "consumer/", "producer/")

_NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:.*\\\n)*.*", re.M)
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_BODY = re.compile(r"^\{$(.*?)^\}$", re.M | re.S)


def tree():
    """Every text file of the project: what git knows and what is new and not ignored."""
    return {path: text for path in sorted(_paths()) if (text := _read(TOP / path)) is not None}


def _paths():
    git = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP,
                         capture_output=True, text=True, check=False)
    if git.returncode == 0:
        return set(filter(None, git.stdout.split("\0")))
    found = set()  # a tarball
    for folder, folders, names in os.walk(TOP):
        folders[:] = [name for name in folders if name not in ("build", ".git", "__pycache__")]
        found |= {str((pathlib.Path(folder) / name).relative_to(TOP)) for name in names}
    return found


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return None  # binary test data; deleted, but git still knows it


def c_files(files, *prefixes):
    """The C sources and headers under these folders ("" for all)."""
    return {path: text for path, text in files.items()
            if path.endswith((".c", ".h")) and path.startswith(prefixes or ("",))}


def code(text):
    """The text with comments, strings and characters blanked, every line where it was."""
    return _NOT_CODE.sub(_blank, text)


def _blank(found):
    return re.sub(r"[^\n]", " ", found.group())


def includes(text):
    """[(line, name, is_system)]: #include lines, also those in inactive branches."""
    plain = _COMMENT.sub(_blank, text)
    return [(line_of(plain, found.start(2)), found.group(2), found.group(1) == "<")
            for found in _INCLUDE.finditer(plain)]


def functions(text):
    """[(line, name, length)] of the function bodies, as `.clang-format` lays them out: a
    brace of its own line at the left margin opens, the next one closes."""
    plain = _DIRECTIVE.sub(_blank, code(text))
    found = []
    for body in _BODY.finditer(plain):
        signature = re.split(r"[;}]", plain[:body.start()])[-1]
        names = [name for name in re.findall(r"(\w+)\s*\(", signature) if "__" not in name]
        found.append((line_of(plain, body.start()), names[0] if names else "?",
                      body.group(1).count("\n") - 1))
    return found


def line_of(text, position):
    return text.count("\n", 0, position) + 1
