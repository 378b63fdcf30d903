"""What most teams write: one record, one transaction, one answer, one offset commit.

    row_at_a_time.py BOOTSTRAP COMMANDS RESULTS GROUP POSTGRES
"""

import hashlib
import json
import signal
import sys

import psycopg
from confluent_kafka import Consumer, Producer


def post(connection, key, value):
    """The answer, and whether it is a replay."""
    command = json.loads(value)
    fingerprint = hashlib.sha256(value).digest()
    with connection.transaction():
        row = connection.execute("SELECT result, fingerprint FROM inbox WHERE key = %s",
                                 (key,)).fetchone()
        if row is not None:
            assert row[1] == fingerprint, "a key is used again for another command"
            return row[0], True
        rows = connection.execute(
            "SELECT name, account_id, balance, currency FROM account WHERE name = ANY (%s)"
            " ORDER BY account_id FOR UPDATE",
            ([command["source"], command["destination"]],)).fetchall()
        accounts = {name: rest for name, *rest in rows}
        whole, _, cents = command["amount"].partition(".")
        amount = int(whole + (cents + "00")[:2])
        debit, credit = accounts[command["source"]], accounts[command["destination"]]
        for account_id, amount_of_it in ((debit[0], -amount), (credit[0], amount)):
            connection.execute("UPDATE account SET balance = balance + %s, version = version + 1"
                               " WHERE account_id = %s", (amount_of_it, account_id))
        connection.execute(
            "INSERT INTO transfer (debit_account_id, credit_account_id, amount, debit_balance,"
            " credit_balance, key) VALUES (%s, %s, %s, %s, %s, %s)",
            (debit[0], credit[0], amount, debit[1] - amount, credit[1] + amount, key))
        result = json.dumps({"idempotency_key": key, "outcome": "applied",
                             "balance": f"{(debit[1] - amount) / 100:.2f}"}).encode()
        connection.execute("INSERT INTO inbox (key, fingerprint, result) VALUES (%s, %s, %s)",
                           (key, fingerprint, result))
    return result, False


def main(bootstrap, commands, results, group, postgres):
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True,
                         "linger.ms": 0})
    consumer.subscribe([commands])
    with psycopg.connect(postgres, autocommit=True, prepare_threshold=2) as connection:
        while not stopped:
            message = consumer.poll(0.2)
            if message is None or message.error() is not None:
                continue
            key = dict(message.headers())["idempotency-key"].decode()
            result, replayed = post(connection, key, message.value())
            producer.produce(results, value=result, key=key, headers=[
                ("idempotency-key", key.encode()),
                ("idempotent-replayed", b"true" if replayed else b"false")])
            producer.flush()
            consumer.commit(message, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
