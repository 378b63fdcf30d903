"""Topics and tables as files, for the oracle: one JSON array or object a line, bytes in hex.

Every file ends with the number of its lines, so that one that was cut off is noticed.
"""

import json
import pathlib

import psycopg

from harness.postgres import connect
from harness.topics import Received, end_offsets, read_topic, start_offsets

from .journal import Incomplete

TABLES = {"account": "account_id", "transfer": "payment_id", "inbox": "key",
          "dead_letter": 'topic, partition, "offset"', "stream_position": "topic, partition"}
TOPICS = ("commands", "results", "dead_letters")


def write(deployment, directory):
    """Everything that the oracle needs besides the journal."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tables(deployment.url, directory)
    for name in TOPICS:
        topic(deployment.kafka, getattr(deployment, name), directory / f"{name}.jsonl")
    facts = {"commands": deployment.commands, "results": deployment.results,
             "dead_letters": deployment.dead_letters,
             "starts": start_offsets(deployment.kafka, deployment.commands),
             "ends": end_offsets(deployment.kafka, deployment.commands),
             "committed": deployment.committed()}
    (directory / "facts.json").write_text(json.dumps(facts))


def _lines(path, lines):
    count = 0
    with open(path, "w") as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
        file.write(f"{count}\n")


def tables(url, directory):
    """All tables, of one snapshot."""
    with connect(url) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for table, order in TABLES.items():
            with psycopg.ServerCursor(connection, "dump") as cursor:
                cursor.itersize = 10000
                cursor.execute(f"SELECT row_to_json(t)::text FROM postonce.{table} t "
                               f"ORDER BY {order}")
                _lines(directory / f"{table}.jsonl", (row[0] for row in cursor))
        connection.execute("ROLLBACK")


def _hex(data):
    return None if data is None else data.hex()


def topic(kafka, name, path):
    """What a reader of committed records sees."""
    records = read_topic(kafka, name, seconds=120)
    _lines(path, (json.dumps([
        each.partition, each.offset, each.timestamp_ms, _hex(each.key), _hex(each.value),
        [(header, _hex(value)) for header, value in each.headers]],
        separators=(",", ":")) for each in records))


def read_lines(path):
    """What _lines has written, or Incomplete."""
    try:
        lines = pathlib.Path(path).read_text().splitlines()
    except OSError as error:
        raise Incomplete(f"{path.name}: {error.strerror}") from None
    if not lines or lines[-1] != str(len(lines) - 1):
        raise Incomplete(f"{path.name} is cut off")
    try:
        return [json.loads(line) for line in lines[:-1]]
    except ValueError:
        raise Incomplete(f"{path.name} is broken") from None


def _bytes(text):
    return None if text is None else bytes.fromhex(text)


def read_records(path, name):
    return [Received(name, partition, offset, timestamp, _bytes(key), _bytes(value),
                     tuple((header, _bytes(text)) for header, text in headers))
            for partition, offset, timestamp, key, value, headers in read_lines(path)]


def read_facts(directory):
    try:
        facts = json.loads((directory / "facts.json").read_text())
    except (OSError, ValueError):
        raise Incomplete("facts.json is not there or broken") from None
    for name in ("starts", "ends", "committed"):
        facts[name] = {int(partition): offset for partition, offset in facts[name].items()}
    return facts


def rewound_ranges(text):
    """{partition: (target, committed)} of what `postonce rewind --json` has printed."""
    return {each["partition"]: (each["target"], each["committed"])
            for each in json.loads(text)["partitions"]}
