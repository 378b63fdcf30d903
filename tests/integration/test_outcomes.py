"""Every outcome and every code through real servers, in one topic, decided in one run.

What is expected stands here by hand, case for case; the oracle then checks the same run
once more, down to the order of fields and headers.
"""

import json

import pytest

from harness import oracle, verify
from harness.commands import open_account, record, refund, transfer

T0 = 1_760_000_000_000


def paid(key):
    """The payment id of the transfer that was sent under this key."""
    return oracle.payment_id_of(T0, key)


def wide(size):
    """A valid transfer, padded with white space to exactly this many bytes."""
    return json.dumps(transfer("house", "a", "1.00")).encode().ljust(size)


def nested(depth):
    """An object this deep whose `reference` is arrays."""
    arrays = "[" * (depth - 1) + "]" * (depth - 1)
    return json.dumps(transfer("house", "a", "1")).encode()[:-1] + \
        f', "reference": {arrays}}}'.encode()


def raw(text):
    """A transfer with this text in place of its amount."""
    return json.dumps(transfer("house", "a", "@")).replace('"@"', text).encode()


PAY = transfer("house", "a", "1.00")
TRACE = [("correlation-id", b"c-1"), ("kafka_correlationId", b"\x00\x01\xff"),
         ("traceparent", b"00-ab-cd-01"), ("tracestate", b""), ("other", b"x")]

# key, body, outcome, code[, options of the record]. In the order they are sent.
CASES = [
    # open_account
    ("open-house", open_account("house", None), "applied", None),
    ("open-a", open_account("a"), "applied", None),
    ("open-b", open_account("b", "-500.00"), "applied", None),
    ("open-c", open_account("c", "-0"), "applied", None),
    ("open-d", open_account("d", -2.5), "applied", None),
    ("open-yen", open_account("yen-house", None, "JPY"), "applied", None),
    ("open-yen-2", open_account("yen", "0", "JPY"), "applied", None),
    ("open-dinar", open_account("dinar-house", None, "BHD"), "applied", None),
    ("open-dinar-2", open_account("dinar", 0, "BHD"), "applied", None),
    ("open-a-again", open_account("a"), "rejected", "account_exists"),
    ("open-positive", open_account("z", "0.01"), "malformed", "amount_invalid"),
    ("open-true", open_account("z", True), "malformed", "field_invalid"),
    ("open-text", open_account("z", "low"), "malformed", "amount_invalid"),
    # transfer
    ("pay", {**PAY, "reference": "order 456"}, "applied", None),
    ("pay-number", transfer("house", "a", 99.5), "applied", None),
    ("pay-integer", transfer("house", "b", 100), "applied", None),
    ("pay-exponent", raw("1e2"), "applied", None),
    ("pay-yen", transfer("yen-house", "yen", "1000", "JPY"), "applied", None),
    ("pay-dinar", transfer("dinar-house", "dinar", "0.001", "BHD"), "applied", None),
    ("pay-unicode", {**PAY, "reference": "Büro «№ 7» \\ \" / 💶"}, "applied", None),
    ("pay-140", {**PAY, "reference": "é" * 140}, "applied", None),
    ("pay-most", transfer("house", "c", "9999999999999.99"), "applied", None),
    ("pay-x-header", PAY, "applied", None, {"rename": "X-Idempotency-Key"}),
    ("pay-case", PAY, "applied", None, {"rename": "iDeMpOtEnCy-KeY"}),
    ("pay-field", {**PAY, "idempotency_key": "pay-field"}, "applied", None, {"rename": None}),
    ("pay-twice-named", {**PAY, "idempotency_key": "pay-twice-named"}, "applied", None),
    ("pay-traced", PAY, "applied", None, {"headers": TRACE}),
    ("pay-largest", wide(65536), "applied", None),
    ("pay-no-record-key", PAY, "applied", None, {"record_key": None}),
    ("k" * 255, PAY, "applied", None),
    ("!\"#$%&'()*+,-./~", PAY, "applied", None),
    ("to-the-minimum", transfer("b", "house", "600.00"), "applied", None),
    ("below-the-minimum", transfer("b", "house", "0.01"), "rejected", "insufficient_funds"),
    ("no-source", transfer("nobody", "a", "1"), "rejected", "source_unknown"),
    ("no-destination", transfer("a", "nobody", "1"), "rejected", "destination_unknown"),
    ("neither", transfer("nobody", "noone", "1"), "rejected", "source_unknown"),
    ("other-currency", transfer("a", "b", "1", "EUR"), "rejected", "currency_mismatch"),
    ("mixed", transfer("house", "yen", "1", "USD"), "rejected", "currency_mismatch"),
    ("too-poor", transfer("d", "a", "2.51"), "rejected", "insufficient_funds"),
    ("just-rich-enough", transfer("d", "a", "2.50"), "applied", None),
    # refund
    ("refund-part", refund(paid("pay"), "0.40", reference="returned"), "applied", None),
    ("refund-too-much", refund(paid("pay"), "0.61"), "rejected", "refund_exceeds_payment"),
    ("refund-rest", refund(paid("pay").upper(), "0.60"), "applied", None),
    ("refund-over", refund(paid("pay"), "0.01"), "rejected", "refund_exceeds_payment"),
    ("refund-of-refund", refund(paid("refund-part"), "0.01"), "rejected",
     "payment_not_refundable"),
    ("refund-unknown", refund(paid("nothing"), "1"), "rejected", "payment_unknown"),
    ("refund-of-an-account", refund(paid("open-a"), "1"), "rejected", "payment_unknown"),
    ("refund-of-others", refund(paid("pay-number"), "1", client="thief"), "rejected",
     "payment_unknown"),
    ("refund-currency", refund(paid("pay-number"), "1", "EUR"), "rejected",
     "currency_mismatch"),
    ("refund-poor", refund(paid("pay-integer"), "100.00"), "rejected", "insufficient_funds"),
    # a kept key
    ("pay", {**PAY, "reference": "order 456"}, "applied", None),
    ("pay-integer", transfer("house", "b", "100.00"), "applied", None),
    ("pay-number", {"idempotency_key": "pay-number", "currency": "USD", "amount": "99.50",
                    "destination": "a", "source": "house", "client": "merchant-42",
                    "operation": "transfer"}, "applied", None, {"rename": None}),
    ("below-the-minimum", transfer("b", "house", "0.01"), "rejected", "insufficient_funds"),
    ("pay", PAY, "conflict", "key_reused"),
    ("pay", {**PAY, "reference": "order 456", "client": "thief"}, "conflict", "key_reused"),
    ("open-a", transfer("house", "a", "1"), "conflict", "key_reused"),
    ("refund-part", refund(paid("pay"), "0.41", reference="returned"), "conflict",
     "key_reused"),
    ("pay", {**PAY, "amount": "x"}, "malformed", "amount_invalid"),
    # malformed: the key
    (None, PAY, "malformed", "key_missing"),
    (None, b"{", "malformed", "key_missing"),
    (None, wide(65537), "malformed", "key_missing"),
    ("", PAY, "malformed", "key_invalid"),
    ("no-value", PAY, "malformed", "key_invalid", {"header_value": None}),
    ("a b", PAY, "malformed", "key_invalid"),
    ("k" * 256, PAY, "malformed", "key_invalid"),
    ("ключ".encode(), PAY, "malformed", "key_invalid"),
    (b"nul\0", PAY, "malformed", "key_invalid"),
    ("key-number", {**PAY, "idempotency_key": 7}, "malformed", "key_invalid"),
    ("one", {**PAY, "idempotency_key": "other"}, "malformed", "key_ambiguous"),
    ("one", PAY, "malformed", "key_ambiguous", {"headers": [("X-IDEMPOTENCY-KEY", b"two")]}),
    # malformed: the value
    ("none", None, "malformed", "value_missing"),
    ("empty", b"", "malformed", "value_missing"),
    ("too-large", wide(65537), "malformed", "value_too_large"),
    ("cut", b'{"operation":"transfer"', "malformed", "json_invalid"),
    ("array", b"[" + json.dumps(PAY).encode() + b"]", "malformed", "json_invalid"),
    ("trailing", json.dumps(PAY).encode() + b" {}", "malformed", "json_invalid"),
    ("latin-1", json.dumps({**PAY, "reference": "e"}).encode().replace(b'"e"', b'"\xe9"'),
     "malformed", "json_invalid"),
    ("overlong", raw('"\xc0\x80"'), "malformed", "amount_invalid"),
    ("overlong-bytes", raw("@").replace(b"@", b'"\xc0\x80"'), "malformed", "json_invalid"),
    ("bom", b"\xef\xbb\xbf" + json.dumps(PAY).encode(), "malformed", "json_invalid"),
    ("nul", raw('"\\u0000"'), "malformed", "json_invalid"),
    ("surrogate", raw('"\\ud800"'), "malformed", "json_invalid"),
    ("surrogate-low", raw('"\\udc00x"'), "malformed", "json_invalid"),
    ("twice", raw('"1","client":"x"'), "malformed", "json_invalid"),
    ("twice-escaped", raw('"1","clien\\u0074":"x"'), "malformed", "json_invalid"),
    ("big-integer", raw("9223372036854775808"), "malformed", "json_invalid"),
    ("huge", raw("1e400"), "malformed", "json_invalid"),
    ("deep-9", nested(9), "malformed", "json_invalid"),
    ("deep-8", nested(8), "malformed", "field_invalid"),
    ("tiny", raw("1e-400"), "malformed", "amount_invalid"),
    ("minus-zero", raw("-0"), "malformed", "amount_invalid"),
    # malformed: the fields
    ("unknown", {**PAY, "colour": "red"}, "malformed", "field_unknown"),
    ("of-another", {**PAY, "payment_id": paid("pay")}, "malformed", "field_unknown"),
    ("missing", {"operation": "transfer", "client": "c"}, "malformed", "field_missing"),
    ("no-operation", {"client": "c"}, "malformed", "field_missing"),
    ("null-operation", {**PAY, "operation": None}, "malformed", "field_invalid"),
    ("bad-client", {**PAY, "client": "a b"}, "malformed", "field_invalid"),
    ("long-account", transfer("house", "x" * 65, "1"), "malformed", "field_invalid"),
    ("tab", {**PAY, "reference": "a\tb"}, "malformed", "field_invalid"),
    ("141", {**PAY, "reference": "é" * 141}, "malformed", "field_invalid"),
    ("no-uuid", refund("0192f0c1", "1"), "malformed", "field_invalid"),
    ("amount-null", {**PAY, "amount": None}, "malformed", "field_invalid"),
    ("hold", {**PAY, "operation": "hold"}, "malformed", "operation_unknown"),
    ("hold-typed", {**PAY, "operation": "hold", "amount": []}, "malformed",
     "operation_unknown"),
    ("gold", {**PAY, "currency": "XAU"}, "malformed", "currency_unknown"),
    ("lower-case", {**PAY, "currency": "usd"}, "malformed", "currency_unknown"),
    ("no-currency", {**PAY, "currency": ""}, "malformed", "currency_unknown"),
    ("decimals", {**PAY, "amount": "1.000"}, "malformed", "amount_invalid"),
    ("half-a-cent", {**PAY, "amount": 0.005}, "malformed", "amount_invalid"),
    ("sum", {**PAY, "amount": 0.1 + 0.2}, "malformed", "amount_invalid"),
    ("yen-decimals", transfer("yen-house", "yen", "1.0", "JPY"), "malformed",
     "amount_invalid"),
    ("zero", {**PAY, "amount": "0.00"}, "malformed", "amount_invalid"),
    ("negative", {**PAY, "amount": "-1"}, "malformed", "amount_invalid"),
    ("beyond", {**PAY, "amount": "10000000000000.00"}, "malformed", "amount_invalid"),
    ("self", transfer("a", "a", "1"), "malformed", "same_account"),
    # a malformed command leaves its key free
    ("empty", PAY, "applied", None),
    ("self", transfer("house", "a", "1"), "applied", None),
]


def to_record(key, body, options):
    options = dict(options)
    made = record(key, body if body is not None else b"", 0, timestamp_ms=T0,
                  headers=options.get("headers", []))
    if body is None:
        made.value = None
    if "rename" in options:
        own = [(options["rename"], made.headers[0][1])] if options["rename"] else []
        made.headers = own + made.headers[1:]
    if "header_value" in options:
        made.headers[0] = (made.headers[0][0], options["header_value"])
    if "record_key" in options:
        made.key = options["record_key"]
    return made


def name_of(index):
    key, _, outcome, code = CASES[index][:4]
    shown = key.decode("latin-1") if isinstance(key, bytes) else str(key)
    return f"{index}-{ascii(shown[:20])[1:-1]}-{code or outcome}"


@pytest.fixture(scope="module")
def decided(module_deploy):
    """All cases sent and decided; what can be seen of them afterwards."""
    deployment = module_deploy()
    deployment.send([to_record(key, body, options[0] if options else {})
                     for key, body, _, _, *options in CASES])
    deployment.consume_to_end()
    return deployment, verify.read_state(deployment)


@pytest.mark.parametrize("index", range(len(CASES)), ids=name_of)
def test_outcome(decided, index):
    deployment, state = decided
    key, _, outcome, code = CASES[index][:4]
    answers = [each for each in state.results
               if each.header("command-offset") == str(index)]
    letters = [each for each in state.dead_letters
               if each.header("dead-letter-offset") == str(index)]
    dead = outcome in ("malformed", "conflict")
    assert len(letters) == (1 if dead else 0)
    if dead:
        assert letters[0].header("dead-letter-outcome") == outcome
        assert letters[0].header("dead-letter-code") == code
    has_key = code not in ("key_missing", "key_invalid", "key_ambiguous")
    assert len(answers) == (1 if has_key else 0)
    if has_key:
        body = json.loads(answers[0].value)
        assert (body["idempotency_key"], body["outcome"], body.get("code")) == \
            (key, outcome, code)
        earlier = any(case[0] == key and case[2] in ("applied", "rejected")
                      for case in CASES[:index])
        again = earlier and outcome in ("applied", "rejected")
        assert answers[0].header("idempotent-replayed") == ("true" if again else "false")


def test_the_oracle_agrees(decided):
    verify.verify(decided[0])


def test_a_first_answer_and_its_replay_are_the_same_bytes(decided):
    _, state = decided
    by_key = {}
    for answer in state.results:
        if answer.header("outcome") in ("applied", "rejected"):
            by_key.setdefault(answer.key, set()).add(answer.value)
    assert all(len(values) == 1 for values in by_key.values())


def test_a_conflict_discloses_nothing_of_the_first_command(decided):
    _, state = decided
    conflicts = [each for each in state.results if each.header("outcome") == "conflict"]
    assert conflicts
    for answer in conflicts:
        assert set(json.loads(answer.value)) == {"idempotency_key", "operation", "client",
                                                 "outcome", "code", "detail"}


def test_the_answer_to_a_transfer_byte_for_byte(decided):
    """One example in full, so that the order of fields is also written down as text."""
    _, state = decided
    answer = next(each for each in state.results if each.key == b"pay")
    assert answer.value.decode() == (
        '{"idempotency_key":"pay","operation":"transfer","client":"merchant-42",'
        f'"outcome":"applied","payment_id":"{paid("pay")}","source":"house",'
        '"destination":"a","amount":"1.00","currency":"USD","balance":"-1.00",'
        '"reference":"order 456"}')


def test_the_answer_to_a_refund_byte_for_byte(decided):
    _, state = decided
    answer = next(each for each in state.results if each.key == b"refund-part")
    balance = json.loads(answer.value)["balance"]
    assert answer.value.decode() == (
        '{"idempotency_key":"refund-part","operation":"refund","client":"merchant-42",'
        f'"outcome":"applied","payment_id":"{paid("refund-part")}","amount":"0.40",'
        f'"currency":"USD","balance":"{balance}","refunded_payment_id":"{paid("pay")}",'
        '"reference":"returned"}')


def test_an_account_without_limit_has_no_minimum_in_its_answer(decided):
    _, state = decided
    values = {each.key: each.value.decode() for each in state.results}
    assert values[b"open-house"] == (
        '{"idempotency_key":"open-house","operation":"open_account","client":"bank",'
        '"outcome":"applied","account":"house","currency":"USD","balance":"0.00"}')
    assert values[b"open-b"] == (
        '{"idempotency_key":"open-b","operation":"open_account","client":"bank",'
        '"outcome":"applied","account":"b","currency":"USD","minimum_balance":"-500.00",'
        '"balance":"0.00"}')


def test_the_tables_of_the_contract_are_there(decided):
    deployment, _ = decided
    wanted = {
        "account": "account_id name currency balance_minor minimum_balance_minor version",
        "transfer": "payment_id debit_account_id credit_account_id amount_minor "
                    "debit_balance_minor credit_balance_minor debit_version credit_version "
                    "client refunds reference",
        "inbox": "key operation client fingerprint outcome code payment_id result topic "
                 "partition offset command_time decided_at",
        "dead_letter": "topic partition offset outcome code key result command_time decided_at",
        "stream_position": "topic partition next_offset epoch",
        "schema_version": "version",
        "entry": "payment_id account_id account amount_minor balance_minor version"}
    rows = deployment.query("SELECT table_name, column_name FROM information_schema.columns "
                            "WHERE table_schema = 'postonce'")
    found = {}
    for row in rows:
        found.setdefault(row["table_name"], set()).add(row["column_name"])
    for table, columns in wanted.items():
        assert set(columns.split()) <= found.get(table, set()), table


def test_the_committed_offset_never_passes_the_database(decided):
    deployment, _ = decided
    committed, decided_to = deployment.committed(), deployment.next_offsets()
    assert committed == decided_to == {0: len(CASES)}
