"""What should have happened: the contract once more, from the topic alone.

Written from the contract's text, in another language than the product, with none of its
code: Python's json, decimal and hashlib. Records go in, in the order of one partition;
verdicts come out, and at the end the books. Only `detail` is not predicted: it is a
sentence for people, so any sentence is right.
"""

import dataclasses
import decimal
import hashlib
import json
import re
import uuid

INT64_MIN, INT64_MAX = -(2 ** 63), 2 ** 63 - 1
VALUE_MAX = 65536
DEPTH_MAX = 8
AMOUNT_MAX = 10 ** 15 - 1

# A cross-section of ISO 4217, written down here by hand; tests use no other active code.
EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "USD": 2, "EUR": 2, "GBP": 2, "CHF": 2,
             "BHD": 3, "KWD": 3, "TND": 3, "CLF": 4, "UYW": 4}

REQUIRED = {
    "open_account": {"operation", "client", "account", "currency"},
    "transfer": {"operation", "client", "source", "destination", "amount", "currency"},
    "refund": {"operation", "client", "payment_id", "amount", "currency"},
}
OPTIONAL = {
    "open_account": {"minimum_balance", "idempotency_key"},
    "transfer": {"reference", "idempotency_key"},
    "refund": {"reference", "idempotency_key"},
}
NAMES = set().union(*REQUIRED.values(), *OPTIONAL.values())

ANY_SENTENCE = object()  # stands for the text of `detail`


class Malformed(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


# ---- reading a value -------------------------------------------------------------------

def _object_of(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _integer(text):
    number = int(text)
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError("beyond int64")
    return number


def _real(text):
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("beyond a double")
    return number


def _constant(_text):
    raise ValueError("no JSON")


_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")  # NUL, surrogates that stand alone


def _check_text(text):
    if _NO_TEXT.search(text):
        raise ValueError("NUL or a lone surrogate")


def _check_tree(node, depth):
    if isinstance(node, str):
        _check_text(node)
    elif isinstance(node, (dict, list)):
        if depth > DEPTH_MAX:
            raise ValueError("too deep")
        for name in node if isinstance(node, dict) else ():
            _check_text(name)
        for child in node.values() if isinstance(node, dict) else node:
            _check_tree(child, depth + 1)


def parse_object(value):
    """The JSON object of a value, or None where the contract says json_invalid."""
    try:
        tree = json.loads(value.decode("utf-8"), object_pairs_hook=_object_of,
                          parse_int=_integer, parse_float=_real, parse_constant=_constant)
        _check_tree(tree, 1)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


# ---- fields ----------------------------------------------------------------------------

_NAME = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_name(text, most):
    return isinstance(text, str) and len(text) <= most and bool(_NAME.fullmatch(text))


def is_reference(text):
    return isinstance(text, str) and 1 <= len(text) <= 140 and not _CONTROL.search(text)


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _decimal_of(value, signed):
    """The decimal a string or number stands for; None where it stands for none."""
    if isinstance(value, float):
        text = f"{value:.15g}"
        return decimal.Decimal(text) if float(text) == value else None
    text = str(value)
    digits = text[1:] if signed and text.startswith("-") else text
    if not _AMOUNT.fullmatch(digits):
        return None
    return decimal.Decimal(text)


def minor_units(value, exponent, signed=False):
    """Exact minor units, or None: no such amount. The range is the caller's."""
    number = _decimal_of(value, signed)
    if number is None:
        return None
    if isinstance(value, str) and -number.as_tuple().exponent > exponent:
        return None
    with decimal.localcontext(prec=1000):
        scaled = number.scaleb(exponent)
        if scaled != scaled.to_integral_value():
            return None
        units = int(scaled)
    return units if abs(units) <= AMOUNT_MAX else None


def money(units, exponent):
    """Minor units as text with exactly the currency's decimals."""
    sign, digits = ("-" if units < 0 else ""), str(abs(units)).rjust(exponent + 1, "0")
    if exponent == 0:
        return sign + digits
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


# ---- a command -------------------------------------------------------------------------

@dataclasses.dataclass
class Command:
    """What could be read of a record. `code` None: it is a valid command."""

    key: str | None = None
    code: str | None = None
    operation: str | None = None
    client: str | None = None
    fields: dict = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self):
        """Equal exactly when the contract calls two commands the same."""
        return (self.operation, self.client, tuple(sorted(self.fields.items(),
                                                          key=lambda pair: pair[0])))


def _key_of(headers, body):
    """The one key, or Malformed with the first key_* code that holds."""
    found = [value for name, value in headers
             if name.lower() in ("idempotency-key", "x-idempotency-key")]
    if body is not None and "idempotency_key" in body:
        found.append(body["idempotency_key"])
    if not found:
        raise Malformed("key_missing")
    keys = set()
    for value in found:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if not is_name(text, 255):
            raise Malformed("key_invalid")
        keys.add(text)
    if len(keys) > 1:
        raise Malformed("key_ambiguous")
    return keys.pop()


def _checked_fields(body, operation):
    """The business fields in canonical form, or Malformed with the first code that holds."""
    known = operation in REQUIRED
    names = REQUIRED[operation] | OPTIONAL[operation] if known else NAMES
    if not set(body) <= names:
        raise Malformed("field_unknown")
    needed = REQUIRED[operation] if known else {"operation", "client"}
    if not needed <= set(body):
        raise Malformed("field_missing")
    if not isinstance(body["operation"], str) or not is_name(body["client"], 64):
        raise Malformed("field_invalid")
    if not known:
        raise Malformed("operation_unknown")
    _check_types(body)
    if body["currency"] not in EXPONENTS:
        raise Malformed("currency_unknown")
    fields = _canonical(body, EXPONENTS[body["currency"]])
    if operation == "transfer" and body["source"] == body["destination"]:
        raise Malformed("same_account")
    return fields


def _check_types(body):
    rules = {
        "account": lambda value: is_name(value, 64),
        "source": lambda value: is_name(value, 64),
        "destination": lambda value: is_name(value, 64),
        "currency": lambda value: isinstance(value, str),
        "amount": lambda value: isinstance(value, str) or _is_number(value),
        "minimum_balance": lambda value: (value is None or isinstance(value, str)
                                          or _is_number(value)),
        "reference": is_reference,
        "payment_id": lambda value: isinstance(value, str) and bool(_UUID.fullmatch(value)),
    }
    for name, rule in rules.items():
        if name in body and not rule(body[name]):
            raise Malformed("field_invalid")


def _canonical(body, exponent):
    fields = {name: body[name] for name in ("account", "source", "destination", "currency",
                                            "reference") if name in body}
    if "payment_id" in body:
        fields["payment_id"] = body["payment_id"].lower()
    if "amount" in body:
        fields["amount"] = minor_units(body["amount"], exponent)
        if fields["amount"] is None or fields["amount"] <= 0:
            raise Malformed("amount_invalid")
    if body["operation"] == "open_account":
        minimum = body.get("minimum_balance", 0)
        fields["minimum"] = None
        if minimum is not None:
            fields["minimum"] = minor_units(minimum, exponent, signed=True)
            if fields["minimum"] is None or fields["minimum"] > 0:
                raise Malformed("amount_invalid")
    return fields


def read_command(record):
    """A record as a command; never raises."""
    value = record.value
    too_large = value is not None and len(value) > VALUE_MAX
    body = parse_object(value) if value and not too_large else None
    command = Command()
    if body is not None:
        operation, client = body.get("operation"), body.get("client")
        command.operation = operation if _is_operation(operation) else None
        command.client = client if is_name(client, 64) else None
    try:
        command.key = _key_of(record.headers, body)
        if not value:
            raise Malformed("value_missing")
        if too_large:
            raise Malformed("value_too_large")
        if body is None:
            raise Malformed("json_invalid")
        command.fields = _checked_fields(body, body.get("operation"))
    except Malformed as malformed:
        command.code = malformed.code
    return command


def _is_operation(operation):
    return isinstance(operation, str) and operation in REQUIRED


# ---- deciding --------------------------------------------------------------------------

@dataclasses.dataclass
class Account:
    currency: str
    minimum: int | None
    balance: int = 0
    version: int = 0


@dataclasses.dataclass
class Payment:
    payment_id: str
    client: str
    source: str
    destination: str
    amount: int
    currency: str
    refunds: str | None = None
    reference: str | None = None
    refunded: int = 0


@dataclasses.dataclass
class Verdict:
    """The outcome of one record: what is answered, and what is dead-lettered."""

    outcome: str
    code: str | None
    key: str | None
    result: list | None  # ordered (name, value) pairs; None: no answer
    replayed: bool = False

    @property
    def dead(self):
        return self.outcome in ("malformed", "conflict", "poison")


@dataclasses.dataclass
class Kept:
    """An inbox row."""

    fingerprint: tuple
    verdict: Verdict
    payment_id: str | None
    place: tuple
    command: Command


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


def payment_id_of(timestamp_ms, key):
    tail = bytearray(hashlib.sha256(key.encode("ascii")).digest()[:10])
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    head = (max(0, timestamp_ms) & (2 ** 48 - 1)).to_bytes(6, "big")
    return str(uuid.UUID(bytes=bytes(head + tail)))


class Books:
    """The books as they follow from records, decided one after the other. `poison`: keys, or
    places, of new commands that the test has made the database refuse."""

    def __init__(self, poison=()):
        self._poison = poison
        self.accounts = {}
        self.payments = {}
        self.inbox = {}
        self.verdicts = {}  # (partition, offset) -> Verdict

    def post(self, record):
        verdict = self._decide(record)
        self.verdicts[record.place] = verdict
        return verdict

    def _decide(self, record):
        command = read_command(record)
        if command.code is not None:
            return self.unkept(command, "malformed", command.code)
        kept = self.inbox.get(command.key)
        if kept is not None:
            if kept.fingerprint == command.fingerprint:
                return dataclasses.replace(kept.verdict, replayed=True)
            return self.unkept(command, "conflict", "key_reused")
        if command.key in self._poison or record.place in self._poison:
            return self.unkept(command, "poison", "refused_by_database")
        return self._decide_new(command, record)

    def unkept(self, command, outcome, code):
        result = None
        if command.key is not None:
            result = [("idempotency_key", command.key)]
            if command.operation and command.client:
                result += [("operation", command.operation), ("client", command.client)]
            result += [("outcome", outcome), ("code", code), ("detail", ANY_SENTENCE)]
        return Verdict(outcome, code, command.key, result)

    def _decide_new(self, command, record):
        payment_id = None
        if command.operation != "open_account":
            payment_id = payment_id_of(record.timestamp_ms, command.key)
        try:
            balance = getattr(self, "_" + command.operation)(command, payment_id)
            code = None
        except Refused as refused:
            balance, code, payment_id = None, refused.code, None
        verdict = Verdict("rejected" if code else "applied", code, command.key,
                          kept_result(command, code, payment_id, balance))
        self.inbox[command.key] = Kept(command.fingerprint, verdict, payment_id,
                                       record.place, command)
        return verdict

    def _open_account(self, command, _payment_id):
        fields = command.fields
        if fields["account"] in self.accounts:
            raise Refused("account_exists")
        self.accounts[fields["account"]] = Account(fields["currency"], fields["minimum"])
        return 0

    def _transfer(self, command, payment_id):
        fields = command.fields
        if fields["source"] not in self.accounts:
            raise Refused("source_unknown")
        if fields["destination"] not in self.accounts:
            raise Refused("destination_unknown")
        return self._move(Payment(payment_id, command.client, fields["source"],
                                  fields["destination"], fields["amount"], fields["currency"],
                                  reference=fields.get("reference")))

    def _refund(self, command, payment_id):
        fields = command.fields
        payment = self.payments.get(fields["payment_id"])
        if payment is None or payment.client != command.client:
            raise Refused("payment_unknown")
        if payment.refunds is not None:
            raise Refused("payment_not_refundable")
        if payment.currency != fields["currency"]:
            raise Refused("currency_mismatch")
        if payment.refunded + fields["amount"] > payment.amount:
            raise Refused("refund_exceeds_payment")
        balance = self._move(Payment(payment_id, command.client, payment.destination,
                                     payment.source, fields["amount"], fields["currency"],
                                     refunds=payment.payment_id,
                                     reference=fields.get("reference")))
        payment.refunded += fields["amount"]
        return balance

    def _move(self, payment):
        """All refusals first, then all effects. The debited balance afterwards."""
        debit = self.accounts[payment.source]
        credit = self.accounts[payment.destination]
        if {debit.currency, credit.currency} != {payment.currency}:
            raise Refused("currency_mismatch")
        lower, higher = debit.balance - payment.amount, credit.balance + payment.amount
        if debit.minimum is not None and lower < debit.minimum:
            raise Refused("insufficient_funds")
        if lower < INT64_MIN or higher > INT64_MAX:
            raise Refused("balance_overflow")
        debit.balance, credit.balance = lower, higher
        debit.version += 1
        credit.version += 1
        self.payments[payment.payment_id] = payment
        return lower


def kept_result(command, code, payment_id, balance):
    """The answer to a decided command, in the contract's order of fields."""
    fields, exponent = command.fields, EXPONENTS[command.fields["currency"]]

    def text(units):
        return None if units is None else money(units, exponent)

    pairs = [
        ("idempotency_key", command.key),
        ("operation", command.operation),
        ("client", command.client),
        ("outcome", "rejected" if code else "applied"),
        ("code", code),
        ("detail", ANY_SENTENCE if code else None),
        ("payment_id", payment_id),
        ("account", fields.get("account")),
        ("source", fields.get("source")),
        ("destination", fields.get("destination")),
        ("amount", text(fields.get("amount"))),
        ("currency", fields["currency"]),
        ("minimum_balance", text(fields.get("minimum"))),
        ("balance", text(balance)),
        ("refunded_payment_id", fields.get("payment_id")),
        ("reference", fields.get("reference")),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def result_differs(expected, value):
    """None when the bytes of a result say what `expected` says, in its order and compactly;
    else a sentence."""
    try:
        found = json.loads(value, object_pairs_hook=list)
    except ValueError:
        return f"no JSON: {value!r}"
    compact = json.dumps(dict(found), ensure_ascii=False, separators=(",", ":")).encode()
    if compact != value:
        return f"not compact: {value!r}"
    if [name for name, _ in found] != [name for name, _ in expected]:
        return f"fields {[name for name, _ in found]} instead of {[n for n, _ in expected]}"
    for (name, wanted), (_, got) in zip(expected, found):
        if wanted is ANY_SENTENCE:
            if not isinstance(got, str) or not got.strip():
                return "detail is no sentence"
        elif wanted != got:
            return f"{name} is {got!r} instead of {wanted!r}"
    return None
