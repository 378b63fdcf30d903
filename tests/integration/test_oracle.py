"""The oracle against sentences of the contract, so that it is not believed blindly."""

import json

import pytest

from harness import oracle
from harness.commands import open_account, refund, transfer
from harness.oracle import Books, money, parse_object, read_command, result_differs
from harness.topics import Received

TIME = 1_700_000_000_000


def received(value, key="k1", offset=0, headers=()):
    value = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    own = [] if key is None else [("idempotency-key", key.encode())]
    return Received("t", 0, offset, TIME, None, value, (*own, *headers))


def code_of(body, **more):
    return read_command(received(body, **more)).code


PAY = transfer("a", "b", "1.00")


@pytest.mark.parametrize("value", [
    b"", b"[]", b"1", b"{", b"{} {}", b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}',
    b'{"a":"\\u0000"}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}',
    b'{"a":9223372036854775808}', b'{"a":1e400}', b'{"a":NaN}', b'{"a":01}', b'\xef\xbb\xbf{}',
    b'{"a":' + b"[" * 8 + b"]" * 8 + b"}", b'{"a":"\t"}', b"{'a':1}", b'{"a":1,}',
])
def test_no_object(value):
    assert parse_object(value) is None


@pytest.mark.parametrize("value", [
    b"{}", b' {"a":9223372036854775807}\n', b'{"a":1e-400}', b'{"a":"\\ud83d\\ude00"}',
    b'{"a":' + b"[" * 7 + b"]" * 7 + b"}",
])
def test_an_object(value):
    assert parse_object(value) is not None


@pytest.mark.parametrize("amount, currency, units", [
    ("100.00", "USD", 10000), ("100", "USD", 10000), (100, "USD", 10000), (1e2, "USD", 10000),
    (0.1, "USD", 10), ("0.1", "USD", 10), ("1", "JPY", 1), ("0.001", "BHD", 1),
    (0.0001, "CLF", 1), ("9999999999999.99", "USD", 999999999999999),
    ("10000000000000.00", "USD", None), ("1.000", "USD", None), (1.0, "JPY", 1),
    ("1.0", "JPY", None), ("01", "USD", None), ("+1", "USD", None), (" 1", "USD", None),
    ("1e2", "USD", None), (".5", "USD", None), ("5.", "USD", None), ("", "USD", None),
    (0.1 + 0.2, "USD", None), (0.005, "USD", None), ("٣", "USD", None), ("-1", "USD", None),
])
def test_minor_units(amount, currency, units):
    assert oracle.minor_units(amount, oracle.EXPONENTS[currency]) == units


def test_money_is_written_with_the_currencys_decimals():
    assert [money(*pair) for pair in ((5, 2), (-5, 2), (0, 2), (0, 0), (-12345, 3), (7, 0))] == \
        ["0.05", "-0.05", "0.00", "0", "-12.345", "7"]


@pytest.mark.parametrize("change, code", [
    ({}, None), ({"extra": 1}, "field_unknown"), ({"account": "x"}, "field_unknown"),
    ({"client": 1}, "field_invalid"), ({"client": "a b"}, "field_invalid"),
    ({"operation": "pay"}, "operation_unknown"), ({"operation": 1}, "field_invalid"),
    ({"operation": "pay", "amount": []}, "operation_unknown"),
    ({"currency": "XAU"}, "currency_unknown"), ({"currency": ""}, "currency_unknown"),
    ({"currency": 1}, "field_invalid"), ({"amount": True}, "field_invalid"),
    ({"amount": "0"}, "amount_invalid"), ({"amount": -1}, "amount_invalid"),
    ({"currency": "XXX", "amount": "x"}, "currency_unknown"),
    ({"destination": "a"}, "same_account"), ({"destination": "a", "amount": 0}, "amount_invalid"),
    ({"reference": "x" * 140}, None), ({"reference": "x" * 141}, "field_invalid"),
    ({"reference": ""}, "field_invalid"), ({"reference": "a\x85"}, "field_invalid"),
])
def test_codes_of_fields(change, code):
    assert code_of({**PAY, **change}) == code


@pytest.mark.parametrize("key, headers, field, code", [
    (None, (), None, "key_missing"), (None, (), "f", None), ("k", (), "k", None),
    ("k", (), "other", "key_ambiguous"), ("", (), None, "key_invalid"),
    ("k", (("X-Idempotency-Key", b"k"),), None, None),
    ("k", (("X-Idempotency-Key", b"l"),), None, "key_ambiguous"),
    ("k", (("IDEMPOTENCY-KEY", None),), None, "key_invalid"),
    ("k", (), 7, "key_invalid"), ("x" * 255, (), None, None), ("x" * 256, (), None, "key_invalid"),
    ("a b", (), None, "key_invalid"),
])
def test_codes_of_keys(key, headers, field, code):
    body = PAY if field is None else {**PAY, "idempotency_key": field}
    assert code_of(body, key=key, headers=headers) == code


def test_precedence_of_value_codes():
    assert code_of(None) == code_of(b"") == "value_missing"
    assert code_of(b"x" * 65537) == "value_too_large"
    assert code_of(b"x" * 65536) == "json_invalid"
    assert code_of(b"[", key=None) == "key_missing"
    padded = json.dumps({**PAY, "idempotency_key": "k"}).encode().ljust(65537)
    assert code_of(padded, key=None) == "key_missing"


def test_fingerprints():
    def fingerprint(**change):
        return read_command(received({**PAY, **change})).fingerprint
    assert fingerprint() == fingerprint(amount="1") == fingerprint(amount=1.0)
    others = [fingerprint(**change) for change in (
        {"client": "x"}, {"amount": "1.01"}, {"reference": "r"}, {"currency": "EUR"},
        {"source": "c"})]
    assert len({fingerprint(), *others}) == 6


def post_all(*bodies):
    books = Books()
    return books, [books.post(received(body, key, offset))
                   for offset, (key, body) in enumerate(bodies)]


def test_a_refund_to_the_cent_and_not_beyond():
    payment = oracle.payment_id_of(TIME, "pay")
    books, verdicts = post_all(
        ("o1", open_account("a", None)), ("o2", open_account("b")),
        ("pay", transfer("a", "b", "1.00")),
        ("r1", refund(payment, "0.99")), ("r2", refund(payment, "0.02")),
        ("r3", refund(payment.upper(), "0.01")), ("r3", refund(payment, "0.01")),
        ("r4", refund(oracle.payment_id_of(TIME, "r1"), "0.01")),
        ("r5", refund(payment, "0.01", client="thief")))
    assert [verdict.code for verdict in verdicts] == [
        None, None, None, None, "refund_exceeds_payment", None, None, "payment_not_refundable",
        "payment_unknown"]
    assert verdicts[6].replayed and verdicts[6].result == verdicts[5].result
    assert books.accounts["a"].balance == books.accounts["b"].balance == 0
    assert books.accounts["a"].version == 3


def test_replay_conflict_and_sticky_refusal():
    books, verdicts = post_all(
        ("o1", open_account("a", "-0.50")), ("o2", open_account("b", None)),
        ("k", transfer("a", "b", "0.51")), ("fund", transfer("b", "a", "5")),
        ("k", transfer("a", "b", "0.510")), ("k", transfer("a", "b", 0.51)),
        ("k", transfer("a", "b", "0.51", client="x")))
    assert [verdict.outcome for verdict in verdicts] == [
        "applied", "applied", "rejected", "applied", "malformed", "rejected", "conflict"]
    assert verdicts[5].replayed
    assert books.inbox["k"].verdict.code == "insufficient_funds"


def test_payment_ids_are_version_7_of_time_and_key():
    text = oracle.payment_id_of(0x0192F0C11234, "k")
    assert text.startswith("0192f0c1-1234-7") and text[19] in "89ab" and len(text) == 36
    assert oracle.payment_id_of(-1, "k").startswith("00000000-0000-7")


def test_a_result_is_compared_in_order_and_compact():
    expected = [("idempotency_key", "k"), ("detail", oracle.ANY_SENTENCE)]
    assert result_differs(expected, b'{"idempotency_key":"k","detail":"No."}') is None
    for wrong in (b'{"detail":"No.","idempotency_key":"k"}', b'{"idempotency_key":"k"}',
                  b'{"idempotency_key": "k","detail":"No."}', b"x",
                  b'{"idempotency_key":"l","detail":"No."}',
                  b'{"idempotency_key":"k","detail":""}'):
        assert result_differs(expected, wrong) is not None
