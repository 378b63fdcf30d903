"""Books of any size, right to the last byte, written by SQL: for what is about size, not
about how the rows came to be. One account without a limit pays all others in turn."""

import json

from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition

from .postgres import connect

_ACCOUNTS = 1000
_UNIT = 100  # minor units of each transfer

# A length and the bytes, as fingerprints are made of them.
_PUT = """
CREATE FUNCTION pg_temp.put(bytes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT substr(int4send(length(bytes)), 3) || bytes $$;
"""

_STATEMENTS = _PUT + """
CREATE FUNCTION pg_temp.put(t text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$ SELECT substr(int4send(length(t)), 3) || t::bytea $$;

INSERT INTO postonce.stream_position (next_offset, epoch, partition, topic)
VALUES ({accounts} + 1 + {count}, 1, 0, '{topic}');

CREATE TEMPORARY TABLE opened AS
SELECT n, CASE n WHEN 0 THEN 'bank' ELSE 'a' || n END AS name, n = 0 AS is_bank
  FROM generate_series(0, {accounts}) AS n;

INSERT INTO postonce.account
SELECT n + 1, CASE WHEN is_bank THEN -{unit}::bigint * {count} ELSE {unit} * moved END,
       CASE WHEN is_bank THEN NULL ELSE 0 END, CASE WHEN is_bank THEN {count} ELSE moved END,
       'USD', name
  FROM opened, LATERAL (SELECT {count} / {accounts} + (n <= {count} % {accounts})::int) AS m(moved);
SELECT setval('postonce.account_id', {accounts} + 1);

INSERT INTO postonce.inbox
SELECT n, '2026-01-01Z', now(), 0, NULL, 'open-' || n, 'open_account', 'bank', 'applied', NULL,
       '{topic}', sha256('\\x01'::bytea || pg_temp.put('open_account') || pg_temp.put('bank')
         || pg_temp.put(name) || pg_temp.put('USD')
         || CASE WHEN is_bank THEN '\\x0000' ELSE '\\x00080000000000000000'::bytea END),
       convert_to('{{"idempotency_key":"open-' || n || '","operation":"open_account","client":"bank",'
         || '"outcome":"applied","account":"' || name || '","currency":"USD",'
         || CASE WHEN is_bank THEN '' ELSE '"minimum_balance":"0.00",' END
         || '"balance":"0.00"}}', 'UTF8')
  FROM opened;

CREATE TEMPORARY TABLE made AS
SELECT n, 'k-' || n AS key, '2026-01-01Z'::timestamptz + n * interval '1 ms' AS at,
       1 + (n - 1) % {accounts} AS account, 1 + (n - 1) / {accounts} AS times,
       encode(substr(int8send((1767225600000 + n)::int8), 3)
              || substr(sha256(('k-' || n)::bytea), 1, 10), 'hex') AS id
  FROM generate_series(1, {count}) AS n;
UPDATE made SET id = overlay(overlay(id PLACING '7' FROM 13)
  PLACING substr('89ab', 1 + ('x' || substr(id, 17, 1))::bit(4)::int % 4, 1) FROM 17);

INSERT INTO postonce.transfer
SELECT 1, account + 1, {unit}, -{unit}::bigint * n, {unit}::bigint * times, n, times, id::uuid,
       NULL, 'shop', NULL FROM made ORDER BY n;

INSERT INTO postonce.inbox
SELECT {accounts} + n, at, now(), 0, id::uuid, key, 'transfer', 'shop', 'applied', NULL, '{topic}',
       sha256('\\x01'::bytea || pg_temp.put('transfer') || pg_temp.put('shop')
         || pg_temp.put('bank') || pg_temp.put('a' || account)
         || pg_temp.put(int8send({unit})) || pg_temp.put('USD') || '\\x0000'),
       convert_to('{{"idempotency_key":"' || key || '","operation":"transfer","client":"shop",'
         || '"outcome":"applied","payment_id":"' || id::uuid || '","source":"bank",'
         || '"destination":"a' || account || '","amount":"' || ({unit} / 100)::int || '.00",'
         || '"currency":"USD","balance":"-' || n * {unit} / 100 || '.00"}}', 'UTF8')
  FROM made ORDER BY n;
"""


def generate(url, topic, count):
    """Fills a migrated, empty database with `count` applied transfers."""
    text = _STATEMENTS.format(topic=topic, count=count, accounts=_ACCOUNTS, unit=_UNIT)
    with connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(text)
    with connect(url) as connection:
        connection.execute("VACUUM ANALYZE")


_REFUSALS = _PUT + """
INSERT INTO postonce.inbox
SELECT p.next_offset + n - 1, '2026-01-02Z'::timestamptz + n * interval '1 ms', now(), 0, NULL,
       'r-' || n, 'transfer', 'shop', 'rejected', 'insufficient_funds', '{topic}',
       sha256('\\x01'::bytea || pg_temp.put('transfer') || pg_temp.put('shop')
         || pg_temp.put('a1') || pg_temp.put('bank') || pg_temp.put(int8send({unit}::int8 * n))
         || pg_temp.put('USD') || pg_temp.put('order 1')),
       convert_to('{{"idempotency_key":"r-' || n || '","operation":"transfer","client":"shop",'
         || '"outcome":"rejected","code":"insufficient_funds",'
         || '"detail":"The account does not have the funds.","source":"a1",'
         || '"destination":"bank","amount":"' || ({unit} / 100)::int * n || '.00",'
         || '"currency":"USD","reference":"order 1"}}', 'UTF8')
  FROM generate_series(1, {count}) AS n, postonce.stream_position AS p ORDER BY n;
UPDATE postonce.stream_position SET next_offset = next_offset + {count};
"""


def refuse(url, topic, count):
    """Adds `count` refused transfers to generated books."""
    with connect(url) as connection:
        connection.execute(_REFUSALS.format(topic=topic, count=count, unit=_UNIT))
    with connect(url) as connection:
        connection.execute("VACUUM ANALYZE")


# ---- the topics that go with them ----

def _command(key, operation, body):
    """What the fingerprint of a row was made of."""
    if operation == "transfer":
        fields = {"source": "bank", "destination": body["destination"],
                  "amount": f"{_UNIT / 100:.2f}"}
    else:
        fields = {"account": body["account"], "minimum_balance": body.get("minimum_balance")}
    value = {"operation": operation, "client": body["client"], "currency": "USD", **fields}
    return {"value": json.dumps(value), "headers": [("idempotency-key", key)]}


def _result(key, topic, offset, result):
    headers = {"idempotency-key": key, "outcome": "applied", "idempotent-replayed": "false",
               "command-topic": topic, "command-partition": "0", "command-offset": str(offset)}
    return {"key": key, "value": result, "headers": list(headers.items())}


def publish(deployment, url):
    """The commands and results of generated books, and the group's offset behind them."""
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap, "linger.ms": "20",
                         "enable.idempotence": "true"})
    with connect(url) as connection:
        rows = connection.execute(
            "SELECT key, operation, result, \"offset\","
            " (extract(epoch FROM command_time) * 1000)::int8 FROM postonce.inbox ORDER BY 4")
        for key, operation, result, offset, time_ms in rows:
            command = _command(key, operation, json.loads(result))
            producer.produce(deployment.commands, partition=0, timestamp=time_ms, **command)
            producer.produce(deployment.results, partition=0,
                             **_result(key, deployment.commands, offset, bytes(result)))
            if offset % 1000 == 0:
                producer.flush(30)
    assert producer.flush(30) == 0
    moved = TopicPartition(deployment.commands, 0, offset + 1)
    for future in deployment.kafka.admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(deployment.group, [moved])]).values():
        future.result(10)
