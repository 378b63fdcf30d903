"""A database whose inbox already holds many keys: what a year of payments leaves behind."""

from harness.postgres import connect
from harness.product import Programs

from .load import line_of

_KEYS = {
    # RFC 9562: 48 bits of milliseconds, then random ones; as they come in.
    "v7": "(lpad(to_hex(1700000000000 + n / 20), 12, '0') || '7' || substr(md5(n::text), 1, 3)"
          " || '8' || substr(md5(n::text), 4, 15))::uuid::text",
    "v4": "(substr(md5('a' || n), 1, 12) || '4' || substr(md5(n::text), 1, 3)"
          " || '8' || substr(md5(n::text), 4, 15))::uuid::text",
}
# In the order of the keys: the index is the same, and made in a fraction of the time.
_ROWS = """
INSERT INTO postonce.inbox (topic, key, operation, client, fingerprint, outcome, code, result,
                            partition, "offset", command_time)
SELECT 'old', k.key, s.operation, s.client, sha256(k.key::bytea), s.outcome, s.code,
       convert_to(replace(convert_from(s.result, 'UTF8'), s.key, k.key), 'UTF8'), 0, k.n,
       s.command_time
  FROM (SELECT {key} AS key, n FROM generate_series(0, {rows} - 1) AS n ORDER BY 1) AS k,
       (SELECT * FROM postonce.inbox WHERE key = 'sample') AS s"""
_POSITION = """
INSERT INTO postonce.stream_position (topic, partition, next_offset, epoch)
VALUES ('old', 0, {rows}, 1)"""
_SAMPLE = {"idempotency_key": "sample", "operation": "transfer", "client": "merchant-42",
           "source": "nobody", "destination": "nowhere", "amount": "1.00", "currency": "USD",
           "reference": "order 1"}


def full_inbox(ground, kind, rows):
    """The name of a template: the open accounts, and refusals as the product stores them."""
    name = f"full_{kind}"
    url = ground.database(name, "opened")
    _post_sample(ground, name, url)
    with connect(url) as connection:
        connection.execute(_ROWS.format(key=_KEYS[kind], rows=rows))
        connection.execute(_POSITION.format(rows=rows))
    ground.settle(url)
    ground.checkpoint()
    return name


def _post_sample(ground, name, url):
    topic = ground.topic(f"{name}-commands", 1)
    ground.send(topic, [line_of(_SAMPLE)], 1)
    done = Programs({
        "postgres": url, "kafka.bootstrap.servers": ground.kafka.bootstrap, "group": name,
        "topics.commands": topic, "topics.results": ground.topic(f"{name}-results", 1),
        "topics.dead_letters": ground.topic(f"{name}-dead-letters", 1),
        "admin.listen": ""}).verb("consume", "--until-end")
    assert done.returncode == 0, done.stderr
