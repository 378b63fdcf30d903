#!/usr/bin/env python3
"""Judges records a second time and compares: differential.py VERDICTS [FOLDER]...

VERDICTS is the program of verdicts.c, a FOLDER holds more inputs of the fuzz target `intake`.
Reads the committed corpus of that target and tests/data/commands, and makes amounts at random.
Nothing is shared with the product but the list of currencies, which comes from the JSON
Schema: JSON is read by Python's json, amounts by its decimal, the rest by CONTRACT §1 and §2.
"""

import argparse
import hashlib
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import uuid
from decimal import Decimal

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]

VALUE_MAX, DEPTH_MAX, AMOUNT_MAX = 65536, 8, 10**15 - 1
OPERATIONS = {  # required fields, optional fields
    "open_account": (("account", "currency"), ("minimum_balance",)),
    "transfer": (("source", "destination", "amount", "currency"), ("reference",)),
    "refund": (("payment_id", "amount", "currency"), ("reference",)),
}
FIELDS = {name for required, optional in OPERATIONS.values() for name in required + optional}
FIELDS |= {"operation", "client", "idempotency_key"}


class Malformed(Exception):
    """The code, as its only argument."""


# --- JSON ------------------------------------------------------------------------------------

class Real(float):
    """A number with a fraction or an exponent."""


def refuse(*_):
    raise ValueError


def integer(text):
    return int(text) if len(text) < 25 and -2**63 <= int(text) < 2**63 else refuse()


def real(text):
    return Real(text) if math.isfinite(float(text)) else refuse()


def distinct(pairs):
    return dict(pairs) if len(dict(pairs)) == len(pairs) else refuse()


def check_text(text):
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        refuse()


def check_tree(value, depth=1):
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, (dict, list)):
        if depth > DEPTH_MAX:
            refuse()
        for name in value if isinstance(value, dict) else ():
            check_text(name)
        for member in value.values() if isinstance(value, dict) else value:
            check_tree(member, depth + 1)


def read_object(value):
    """None: it is json_invalid."""
    try:
        read = json.loads(value.decode("utf-8"), object_pairs_hook=distinct, parse_int=integer,
                          parse_float=real, parse_constant=refuse)
        check_tree(read)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


# --- the key ---------------------------------------------------------------------------------

def is_name(value, longest):
    """Of a header (bytes) or of JSON (text)."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    return (isinstance(value, bytes) and 1 <= len(value) <= longest
            and all(0x21 <= byte <= 0x7e for byte in value))


def find_key(headers, read):
    carried = [value for name, value in headers
               if name.lower() in (b"idempotency-key", b"x-idempotency-key")]
    if read is not None and "idempotency_key" in read:
        field = read["idempotency_key"]
        carried.append(field.encode("utf-8") if isinstance(field, str) else None)
    if not carried:
        raise Malformed("key_missing")
    if not all(is_name(value, 255) for value in carried):
        raise Malformed("key_invalid")
    if len(set(carried)) > 1:
        raise Malformed("key_ambiguous")
    return carried[0].decode()


# --- the fields ------------------------------------------------------------------------------

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_reference(value):
    return (isinstance(value, str) and 1 <= len(value) <= 140
            and not any(ord(letter) < 0x20 or 0x7f <= ord(letter) <= 0x9f for letter in value))


def is_uuid(value):
    shape = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    return isinstance(value, str) and re.fullmatch(shape, value) is not None


RULES = {
    "operation": lambda value: isinstance(value, str),
    "client": lambda value: is_name(value, 64),
    "account": lambda value: is_name(value, 64),
    "source": lambda value: is_name(value, 64),
    "destination": lambda value: is_name(value, 64),
    "payment_id": is_uuid,
    "amount": lambda value: isinstance(value, str) or is_number(value),
    "currency": lambda value: isinstance(value, str),
    "minimum_balance": lambda value: value is None or isinstance(value, str) or is_number(value),
    "reference": is_reference,
    "idempotency_key": lambda value: True,  # judged before
}


def decimal_text(value):
    """A number as it is read: 15 digits must tell it. None: they do not."""
    if not isinstance(value, Real):
        return str(value)
    printed = format(float(value), ".15g")
    return format(Decimal(printed), "f") if float(printed) == value else None


def minor_units(value, exponent, grammar):
    text = value if isinstance(value, str) else decimal_text(value)
    if text is None or re.fullmatch(grammar, text, re.ASCII) is None:
        raise Malformed("amount_invalid")
    scaled = Decimal(text).as_tuple()
    if -scaled.exponent > exponent:
        raise Malformed("amount_invalid")
    minor = int("".join(map(str, scaled.digits))) * 10 ** (exponent + scaled.exponent)
    if minor > AMOUNT_MAX:
        raise Malformed("amount_invalid")
    return -minor if scaled.sign else minor


def judge_amount(value, exponent):
    minor = minor_units(value, exponent, r"(0|[1-9][0-9]*)(\.[0-9]+)?")
    return minor if minor > 0 else refuse_amount()


def judge_minimum(value, exponent):
    minor = minor_units(value, exponent, r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
    return minor if minor <= 0 else refuse_amount()


def refuse_amount():
    raise Malformed("amount_invalid")


def check_fields(read, operation):
    required, optional = OPERATIONS.get(operation, ((), tuple(FIELDS)))
    required += ("operation", "client")
    if not read.keys() <= FIELDS or not read.keys() <= {*required, *optional, "idempotency_key"}:
        raise Malformed("field_unknown")
    if not read.keys() >= set(required):
        raise Malformed("field_missing")
    judged = read if operation else ("operation", "client")
    if not all(RULES[name](read[name]) for name in judged):
        raise Malformed("field_invalid")
    if operation is None:
        raise Malformed("operation_unknown")


def judge_command(read, currencies, told):
    """Adds to `told` what a valid command means."""
    operation = told.get("operation")
    check_fields(read, operation)
    exponent = currencies.get(read["currency"])
    if exponent is None:
        raise Malformed("currency_unknown")
    if operation != "open_account":
        told["amount_minor"] = judge_amount(read["amount"], exponent)
    elif read.get("minimum_balance", 0) is not None:
        told["minimum_balance_minor"] = judge_minimum(read.get("minimum_balance", 0), exponent)
    if operation == "transfer" and read["source"] == read["destination"]:
        raise Malformed("same_account")
    told |= {name: read[name] for name in ("account", "source", "destination", "currency",
                                           "reference", "payment_id") if name in read}
    if "payment_id" in told:
        told["payment_id"] = told["payment_id"].lower()
    form = canonical(told)
    told |= {"canonical": form.hex(), "fingerprint": hashlib.sha256(form).hexdigest()}


def canonical(told):
    def sized(content):
        return len(content).to_bytes(2, "big") + content

    def text(name):
        return sized(told.get(name, "").encode("utf-8"))

    def minor(name):
        return sized(told[name].to_bytes(8, "big", signed=True) if name in told else b"")

    form = b"\1" + text("operation") + text("client")
    if told["operation"] == "open_account":
        return form + text("account") + text("currency") + minor("minimum_balance_minor")
    if told["operation"] == "transfer":
        form += text("source") + text("destination")
    else:
        form += sized(uuid.UUID(told["payment_id"]).bytes)
    return form + minor("amount_minor") + text("currency") + text("reference")


def judge(headers, value, currencies):
    """What verdicts.c should print."""
    told, read = {}, None
    if value and len(value) <= VALUE_MAX:
        read = read_object(value)
    if read is not None:
        operation = read.get("operation")
        if isinstance(operation, str) and operation in OPERATIONS:
            told["operation"] = operation
        if is_name(read.get("client"), 64):
            told["client"] = read["client"]
    understood = dict(told)
    try:
        understood["idempotency_key"] = find_key(headers, read)
        if not value:
            raise Malformed("value_missing")
        if len(value) > VALUE_MAX:
            raise Malformed("value_too_large")
        if read is None:
            raise Malformed("json_invalid")
        told = dict(understood)
        judge_command(read, currencies, told)
        return {"code": "valid", **told}
    except Malformed as malformed:
        return {"code": malformed.args[0], **understood}


# --- the records -----------------------------------------------------------------------------

def exponents():
    """{currency: decimals} of command.schema.json."""
    schema = json.loads((TOP / "schema/message/command.schema.json").read_text(encoding="utf-8"))
    every, found = schema["properties"]["currency"]["enum"], {}
    for name, definition in schema["$defs"].items():
        if name.startswith("decimals_"):
            condition = definition["if"]["properties"]["currency"]
            listed = condition.get("enum") or set(every) - set(condition["not"]["enum"])
            found |= dict.fromkeys(listed, int(name.removeprefix("decimals_")))
    return found


def of_fuzzer(path):
    """An input of intake_fuzz.c: header lines, a blank line, the value."""
    headers, rest = [], path.read_bytes()
    while b"\n" in rest:
        line, _, rest = rest.partition(b"\n")
        if not line:
            return headers, rest
        name, equals, value = line.partition(b"=")
        headers.append((name.partition(b"\0")[0], value if equals else None))
    return headers, None


def of_case(case):
    """A line of tests/data/commands/*.jsonl (tests/data/README.md)."""
    headers = [(name.encode(), None if value is None else value.encode())
               for name, value in case["headers"]]
    if "value_hex" in case:
        return headers, bytes.fromhex(case["value_hex"])
    if "value_parts" in case:
        return headers, "".join(text * count for text, count in case["value_parts"]).encode()
    return headers, None if case["value"] is None else case["value"].encode()


def digits(chance, most):
    return "".join(chance.choice("0123456789" + "0009") for _ in range(chance.randint(1, most)))


def at_random(chance, currencies):
    """A command that is valid but for its amount, mostly."""
    amount = chance.choice(("", "", "", "-")) + digits(chance, chance.choice((1, 3, 14, 20)))
    if chance.random() < 0.8:
        amount = amount.lstrip("0") or "0"
    if chance.random() < 0.6:
        amount += "." + digits(chance, chance.choice((1, 2, 3, 4, 12)))
    if chance.random() < 0.25:
        amount += chance.choice(("e", "E")) + chance.choice(("", "+", "-")) + digits(chance, 2)
    if chance.random() < 0.3:
        amount = f'"{amount}"'
    currency = chance.choice(("USD", "JPY", "BHD", "CLF", chance.choice(sorted(currencies))))
    if chance.random() < 0.3:
        amount = amount if "-" in amount else amount.replace('"', '"-', 1)
        text = ('{"operation":"open_account","client":"c","account":"a","currency":"%s",'
                '"minimum_balance":%s}')
    else:
        text = ('{"operation":"transfer","client":"c","source":"a","destination":"b",'
                '"currency":"%s","amount":%s}')
    return [(b"idempotency-key", b"k")], (text % (currency, amount)).encode()


def records(asked, currencies):
    """(name, (headers, value)) of everything that is compared."""
    for folder in (HERE / "corpus" / "intake", *asked.folders):
        for path in sorted(folder.iterdir()):
            yield path.name, of_fuzzer(path)
    for path in sorted((TOP / "tests/data/commands").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            yield f"{path.stem}: {case['name']}", of_case(case)
    chance = random.Random(asked.seed)
    for number in range(asked.random):
        yield f"random {asked.seed}-{number}", at_random(chance, currencies)


# --- comparing -------------------------------------------------------------------------------

def encode(headers, value):
    def word(content):
        return "-" if content is None else content.hex()
    return " ".join([word(value)] + [f"{word(name)}:{word(content)}"
                                     for name, content in headers]) + "\n"


def ask(program, compared):
    """What the product says of each."""
    done = subprocess.run([program], input="".join(encode(*record) for _, record in compared),
                          capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("program", help="the program of verdicts.c")
    parser.add_argument("folders", nargs="*", type=pathlib.Path, help="more inputs")
    parser.add_argument("--random", type=int, default=5000, help="amounts made at random")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    asked, currencies = options(), exponents()
    compared = list(records(asked, currencies))
    said = ask(asked.program, compared)
    failed, codes = int(len(said) != len(compared)), {}
    for (name, record), got in zip(compared, said):
        wanted = judge(*record, currencies)
        codes[wanted["code"]] = codes.get(wanted["code"], 0) + 1
        if got != wanted:
            failed += 1
            print(f"FAIL {name}: {record}\n     product {got}\n     python  {wanted}")
    print(", ".join(f"{code} {count}" for code, count in sorted(codes.items())))
    print(f"{len(compared) - failed} passed, {failed} failed")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
