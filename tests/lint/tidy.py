"""clang-tidy over the product's sources, on all cores, each file once: what passed is not
looked at again until it, a header that it includes, or the configuration changes."""

import concurrent.futures
import hashlib
import os
import re
import subprocess

from source import PRODUCT, TOP, c_files, includes

BUILD = TOP / "build" / "asan"  # a debug build by clang, where `./check` has put compile_commands.json
PASSED = TOP / "build" / "check" / "tidy"


def tidy(files):
    if not (BUILD / "compile_commands.json").exists():
        return ["clang-tidy needs build/asan: run `./check lint`"]
    PASSED.mkdir(parents=True, exist_ok=True)
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True)
    common = version.stdout + files[".clang-tidy"].encode()
    work = [(path, PASSED / _digest(common, path, files))
            for path in c_files(files, *PRODUCT) if path.endswith(".c")]
    keep = {stamp for _, stamp in work}
    for old in set(PASSED.iterdir()) - keep:
        old.unlink()
    left = [(path, stamp) for path, stamp in work if not stamp.exists()]
    left.sort(key=lambda item: -len(files[item[0]]))  # the long ones first
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for lines in pool.map(_look_at, left) for line in lines]


def run(path, build=BUILD):
    """The findings of one file, as clang-tidy words them, without the way that led there."""
    found = subprocess.run(["clang-tidy", "--quiet", "-p", build, path], cwd=TOP,
                           capture_output=True, text=True, check=False)
    lines = [line for line in found.stdout.replace(f"{TOP}/", "").splitlines()
             if re.search(r": (error|warning): ", line)]
    if found.returncode != 0 and not lines:
        return [f"{path}: clang-tidy failed: {found.stderr[-500:]}"]
    return lines if found.returncode != 0 else []


def _look_at(item):
    path, stamp = item
    found = run(path)
    if not found:
        stamp.touch()
    return found


def _digest(common, path, files):
    seen, left = set(), [path]
    while left:
        name = left.pop()
        if name in files and name not in seen:
            seen.add(name)
            left += [header for _, header, _ in includes(files[name])]
    parts = b"\0".join(name.encode() + b"\0" + files[name].encode() for name in sorted(seen))
    return hashlib.sha256(common + parts).hexdigest()
