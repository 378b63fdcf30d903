"""How long `postonce audit` takes for books of a size, pass by pass, as a table for docs/audit.md.

    PYTHONPATH=tests build/venv/bin/python -m bench.audit [--rows N] [--refused N]

The passes are timed by the progress that the program shows on a terminal. Builds nothing:
POSTONCE_BIN says where the programs are."""

import argparse
import os
import pathlib
import re
import subprocess
import time

from harness.generated import generate, refuse
from harness.postgres import Postgres, connect, with_database
from harness.product import TOP, binary, clean_environment

_SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "autovacuum": "off"}
_TITLE = re.compile(rb"\r\x1b\[K(?:audit: (?:\d+ of \d+: )?([^\r]+))?")


def timed(url, *arguments):
    """([(title, seconds)], the last line) of one audit, which must find nothing."""
    ours, its = os.openpty()
    command = [binary("postonce"), "audit", *arguments, "-X", f"postgres={url}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=its,
                          env=clean_environment()) as process:
        os.close(its)
        begun = []
        try:
            while told := os.read(ours, 65536):
                now = time.monotonic()
                begun += [(title.decode(), now) for title in _TITLE.findall(told)]
        except OSError:  # Linux says so when the other side is closed
            pass
        os.close(ours)
        line = process.stdout.read().decode()
    if process.returncode != 0:
        raise SystemExit(line)
    ends = [at for _, at in begun[1:]] + [time.monotonic()]
    return [(title, end - at) for (title, at), end in zip(begun, ends) if title], line


def said_by(*command):
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True,
                          check=True).stdout.strip()


def facts(connection):
    version = connection.execute("SHOW server_version").fetchone()[0]
    work_mem, workers = connection.execute(
        "SELECT current_setting('work_mem'), current_setting('max_parallel_workers_per_gather')"
    ).fetchone()
    changed = "" if not said_by("git", "status", "--porcelain", "consumer") else ", and changes"
    return (f"Commit {said_by('git', 'describe', '--always')}{changed}; PostgreSQL {version}, "
            f"shared_buffers {_SERVER['shared_buffers']}, work_mem {work_mem} (the audit takes "
            f"64 MB), {workers} parallel workers a statement; {os.cpu_count()} cores, load "
            f"{os.getloadavg()[0]:.0f} when it began.")


def spilled(connection):
    """Bytes of temporary files so far."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    return connection.execute("SELECT temp_bytes FROM pg_stat_database"
                              " WHERE datname = 'books'").fetchone()[0]


def measure(server, rows, refused):
    server.create_database("books")
    admin = with_database(server.admin_url, "books")
    subprocess.run([binary("postonce"), "migrate", "-X", f"postgres={server.url('books')}"],
                   check=True, stdout=subprocess.DEVNULL, env=clean_environment())
    generate(admin, "payment-commands", rows)
    refuse(admin, "payment-commands", refused)
    with connect(admin) as connection:
        connection.execute("CHECKPOINT")
        size = connection.execute("SELECT pg_size_pretty(pg_database_size('books'))")
        print(f"{rows:,} transfers and {refused:,} refusals, {size.fetchone()[0]}. "
              f"{facts(connection)}\n")
        before = spilled(connection)
        passes, line = timed(server.url("books"), "--digest")
        megabytes = (spilled(connection) - before) / 1e6
    print("| pass | seconds |\n|---|---:|")
    books = sum(seconds for title, seconds in passes if title != "digest")
    for title, seconds in [*passes, ("all but the digest", books)]:
        print(f"| {title} | {seconds:.1f} |")
    print(f"\n{1e6 * books / (rows + refused):.1f} s a million commands without the digest.", end="")
    print(f" {megabytes:,.0f} MB of temporary files in all passes together. {line}", end="")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--refused", type=int, default=100_000)
    parser.add_argument("--dir", type=pathlib.Path, default=TOP / "build" / "bench-audit")
    arguments = parser.parse_args()
    server = Postgres(arguments.dir, fsync=False, settings=_SERVER).start()
    try:
        measure(server, arguments.rows, arguments.refused)
    finally:
        server.close()


if __name__ == "__main__":
    main()
