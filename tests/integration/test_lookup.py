"""`postonce lookup`: what became of a command, by its key or its payment id."""

import json

import pytest

from harness import oracle
from harness.commands import open_account, record, refund, transfer

T0 = 1_760_000_000_000
PAYMENT, REFUND = oracle.payment_id_of(T0, "pay"), oracle.payment_id_of(T0, "back")


@pytest.fixture(scope="module")
def decided(module_deploy):
    deployment = module_deploy()
    bodies = [("h", open_account("house", None)), ("a", open_account("a")),
              ("pay", transfer("house", "a", "5.00", reference="order 456")),
              ("back", refund(PAYMENT, "2.00")), ("poor", transfer("a", "house", "9")),
              (REFUND[:-1] + "x", transfer("house", "a", "1")), ("bad", b"{")]
    deployment.send([record(key, body, 0, timestamp_ms=T0) for key, body in bodies])
    deployment.consume_to_end()
    return deployment


def lookup(deployment, *arguments):
    done = deployment.verb("lookup", *arguments)
    return done, done.stdout


def test_a_payment_by_key_and_by_id(decided):
    for asked in ("pay", PAYMENT, PAYMENT.upper()):
        done, text = lookup(decided, asked)
        assert done.returncode == 0, done.stderr
        for part in ("pay", PAYMENT, "applied", "5.00", "house", "order 456", REFUND,
                     decided.commands):
            assert part in text, (part, text)


def test_as_json(decided):
    done, text = lookup(decided, "--json", "pay")
    assert done.returncode == 0, done.stderr
    flat = json.dumps(json.loads(text))
    for part in (PAYMENT, REFUND, "applied", decided.commands):
        assert part in flat, part


def test_a_refund_names_its_payment(decided):
    done, text = lookup(decided, "back")
    assert done.returncode == 0 and REFUND in text and PAYMENT in text


def test_a_refusal(decided):
    done, text = lookup(decided, "poor")
    assert done.returncode == 0 and "rejected" in text and "insufficient_funds" in text


def test_an_account(decided):
    done, text = lookup(decided, "h")
    assert done.returncode == 0 and "open_account" in text and "applied" in text


def test_a_key_that_almost_is_a_payment_id(decided):
    done, text = lookup(decided, REFUND[:-1] + "x")
    assert done.returncode == 0 and "transfer" in text


@pytest.mark.parametrize("asked", ["nothing", PAYMENT[:-12] + "000000000000"])
def test_unknown(decided, asked):
    for more in ((), ("--json",)):
        done, _ = lookup(decided, *more, asked)
        assert done.returncode == 1, done.stdout


def test_without_a_schema(deploy):
    done = deploy(migrated=False).verb("lookup", "k")
    assert done.returncode == 3 and "migrate" in done.stderr
