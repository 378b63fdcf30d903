"""Who may include whom (DESIGN §2). Arrows point down only, and there are no circles."""

import posixpath
from fnmatch import fnmatchcase

from source import c_files, includes

# A folder may include from these; the first match of a path counts.
FLOORS = (
    ("base/", ("base/",)),
    ("schema/", ("schema/", "base/")),
    ("consumer/core/", ("consumer/core/", "schema/", "base/")),
    ("consumer/", ("consumer/", "schema/", "base/")),
    ("producer/postonce_send", ("producer/", "schema/", "base/")),
    ("producer/", ("producer/",)),  # the library stands alone: nothing else is installed
    ("tests/", ("tests/", "base/", "schema/", "consumer/", "producer/")),
)
# No I/O, clock, random or heap, so only what a freestanding C has, and string.h.
PURE = ("consumer/core/*", "schema/money.?", "schema/currency.?", "schema/command.?",
        "schema/code.?", "schema/uuid.?", "schema/intake.h")
PURE_SYSTEM = ("stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h")
PURE_PROJECT = PURE + ("base/must.h",)
# Whose headers are included where.
LIBRARIES = {
    "jansson.h": ("schema/command_json.c", "producer/postonce_message.c", "tests/*"),
    "libpq-fe.h": ("consumer/pg.c", "consumer/pg_conninfo.c", "tests/*"),
    "librdkafka/": ("consumer/*_kafka.?", "consumer/kafka_*", "producer/*.c", "tests/*"),
    "microhttpd.h": ("consumer/admin.c", "tests/*"),
    "openssl/": ("schema/digest.c", "tests/*"),
}
GENERATED = {"version.h": ("consumer/main.c", "consumer/admin.c", "producer/postonce_send.c",
                           "producer/postonce_producer.c")}
# The seam: what asks a port does not know its adapter. Only these may: they put the two
# together, or are adapters themselves.
ADAPTERS = ("consumer/*_kafka.?", "consumer/kafka_*", "consumer/*_postgres.?",
            "consumer/postgres_*", "consumer/pg*", "consumer/admin*")
KNOW_ADAPTERS = ADAPTERS + ("consumer/main.c", "consumer/verb_*", "consumer/migrate.?")


def matches(path, patterns):
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def floors(files):
    sources = c_files(files)
    found = []
    for path, text in sources.items():
        for line, name, is_system in includes(text):
            problem = _system(path, name) if is_system else _project(path, name, sources)
            if problem:
                found.append(f"{path}:{line}: {problem}")
    return found + _circles(sources)


def _system(path, name):
    if matches(path, PURE) and name not in PURE_SYSTEM:
        return f"<{name}>: this floor is pure and includes only <{'> <'.join(PURE_SYSTEM)}>"
    for library, places in LIBRARIES.items():
        if name.startswith(library) and not matches(path, places):
            return f"<{name}>: only {', '.join(places[:-1])} may include it"
    return None


def _project(path, name, sources):
    if name in GENERATED:
        if matches(path, GENERATED[name] + ("tests/*",)):
            return None
        return f'"{name}": only {", ".join(GENERATED[name])} may include it'
    if name not in sources:
        beside = posixpath.join(posixpath.dirname(path), name)
        if path.startswith("tests/") and beside in sources:
            return None
        return f'"{name}": no such header, or not named from the top of the tree'
    for floor, below in FLOORS:
        if path.startswith(floor):
            if not name.startswith(below):
                return f'"{name}": {floor} may include only {" ".join(below)}'
            break
    if matches(path, PURE) and not matches(name, PURE_PROJECT):
        return f'"{name}": this floor is pure, and that header is not'
    if (path.startswith("consumer/") and matches(name, ADAPTERS)
            and not matches(path, KNOW_ADAPTERS)):
        return f'"{name}": an adapter; ask its port instead (source.h, store.h, reply.h)'
    return None


def _circles(sources):
    """Headers that include each other, in any number of steps."""
    graph = {path: [name for _, name, _ in includes(text) if name in sources]
             for path, text in sources.items() if path.endswith(".h")}
    done, found = set(), []

    def walk(path, trail):
        if path in trail:
            found.append(f"{path}: circle of includes: "
                         f"{' > '.join(trail[trail.index(path):] + [path])}")
        elif path not in done:
            for name in graph.get(path, ()):
                walk(name, trail + [path])
            done.add(path)

    for path in graph:
        walk(path, [])
    return found
