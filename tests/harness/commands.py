"""Commands as a sender writes them."""

import json
import uuid

from .topics import Record


def encode(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def record(key, body, partition=None, **more):
    """A command record: the key in the header, the source account as the record's key."""
    headers = [("idempotency-key", key.encode() if isinstance(key, str) else key)]
    if key is None:
        headers = []
    account = None
    if isinstance(body, dict):
        account = body.get("source") or body.get("account") or body.get("payment_id")
    headers += more.pop("headers", [])
    return Record(encode(body), account.encode() if isinstance(account, str) else None,
                  headers, partition, **more)


_ABSENT = object()


def open_account(account, minimum=_ABSENT, currency="USD", client="bank"):
    """minimum: text, a number, None for no limit; absent = 0."""
    body = {"operation": "open_account", "client": client, "account": account,
            "currency": currency}
    if minimum is not _ABSENT:
        body["minimum_balance"] = minimum
    return body


def transfer(source, destination, amount, currency="USD", client="merchant-42", **more):
    return {"operation": "transfer", "client": client, "source": source,
            "destination": destination, "amount": amount, "currency": currency, **more}


def refund(payment_id, amount, currency="USD", client="merchant-42", **more):
    return {"operation": "refund", "client": client, "payment_id": payment_id,
            "amount": amount, "currency": currency, **more}


def fresh_key(prefix="k"):
    return f"{prefix}-{uuid.uuid4()}"
