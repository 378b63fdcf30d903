#!/usr/bin/env python3
"""Holds the message schemas, the AsyncAPI document, the examples and the corpus against each
other, with nothing from the product but its lists of currencies and codes, which must be the
same. The C tests read the same files (tests/unit/example_test.c, corpus_test.c).

What JSON Schema cannot say is said here a second time, in another language than the product:
what one JSON object is, whether a number is exact, and the canonical form of the fingerprint.
"""

import hashlib
import json
import math
import pathlib
import re
import sys
import uuid
from decimal import Decimal

import jsonschema
import yaml
from jsonschema.validators import Draft202012Validator, extend

TOP = pathlib.Path(__file__).resolve().parents[2]
MESSAGE = TOP / "schema" / "message"
EXAMPLES = MESSAGE / "examples"
CORPUS = TOP / "tests" / "data" / "commands"

VALUE_MAX, DEPTH_MAX = 65536, 8
INT64 = range(-2**63, 2**63)
# Codes that are about the object's content; those before them are about key, size and JSON.
CONTENT_CODES = {"field_unknown", "field_missing", "field_invalid", "operation_unknown",
                 "currency_unknown", "amount_invalid", "same_account"}

passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("FAIL", what)


# --- JSON Schema with the regular expressions of ECMA 262 ------------------------------------

def ecma_pattern(_validator, pattern, instance, _schema):
    """`$` is the end, also before a line feed, as ECMA 262 has it and Python has not."""
    if isinstance(instance, str) and not re.search(pattern.replace("$", r"\Z"), instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


Validator = extend(Draft202012Validator, {"pattern": ecma_pattern})


def load_schema(name):
    schema = json.loads((MESSAGE / name).read_text(encoding="utf-8"))
    try:
        Draft202012Validator.check_schema(schema)
        check(True, name)
    except jsonschema.SchemaError as error:
        check(False, f"{name}: {error.message}")
    return Validator(schema)


# --- the lists of the product ----------------------------------------------------------------

def product_currencies():
    text = (TOP / "schema" / "currency.c").read_text(encoding="utf-8")
    return {code: int(exponent) for code, exponent in re.findall(r'\{"([A-Z]{3})", (\d)\}', text)}


def product_codes():
    """{outcome: {codes}} from the list in code.h."""
    codes = {}
    text = (TOP / "schema" / "code.h").read_text(encoding="utf-8")
    for name, outcome in re.findall(r"X\([A-Z_]+, ([a-z_]+), ([A-Z]+),", text):
        codes.setdefault(outcome.lower(), set()).add(name)
    return codes


def listed_exponents(schema):
    """{currency: decimals} as the conditions decimals_N of a schema say."""
    found = {}
    for name, definition in schema["$defs"].items():
        if not name.startswith("decimals_"):
            continue
        currency = definition["if"]["properties"]["currency"]
        if "not" in currency:
            listed = set(schema["properties"]["currency"]["enum"]) - set(currency["not"]["enum"])
        else:
            listed = currency["enum"]
        for code in listed:
            check(code not in found, f"{code} has two exponents")
            found[code] = int(name.removeprefix("decimals_"))
    return found


def check_lists(command, result):
    currencies, codes = product_currencies(), product_codes()
    check(len(currencies) > 150, "currencies read")
    for schema in (command.schema, result.schema):
        check(schema["properties"]["currency"]["enum"] == sorted(currencies), "currency enum")
        check(listed_exponents(schema) == currencies, "exponents")
    listed = {}
    for definition in result.schema["$defs"].values():
        properties = definition.get("properties", {})
        if "code" in properties:
            listed.setdefault(properties["outcome"]["const"], set()).update(
                properties["code"]["enum"])
    codes["malformed"] -= {"key_missing", "key_invalid", "key_ambiguous"}  # they get no result
    check(listed == codes, f"codes of result.schema.json: {listed} != {codes}")
    return currencies


# --- what one JSON object is (CONTRACT §1) ---------------------------------------------------

class Refused(Exception):
    pass


def distinct(pairs):
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refused("a name twice")
    return dict(pairs)


def integer(text):
    if int(text[:40]) not in INT64:
        raise Refused("beyond int64")
    return int(text)


class Real(float):
    """A number with a fraction or an exponent."""


def real(text):
    if math.isinf(float(text)):
        raise Refused("beyond a double")
    return Real(text)


def refuse_constant(text):
    raise Refused(text)


def check_strings_and_depth(value, depth=1):
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Refused("U+0000 or a lone surrogate")
    elif isinstance(value, (dict, list)):
        if depth > DEPTH_MAX:
            raise Refused("too deep")
        for name in value if isinstance(value, dict) else ():
            check_strings_and_depth(name)
        for member in value.values() if isinstance(value, dict) else value:
            check_strings_and_depth(member, depth + 1)


def read_object(value):
    """The object, or None if the value is json_invalid."""
    try:
        read = json.loads(value.decode("utf-8"), object_pairs_hook=distinct, parse_int=integer,
                          parse_float=real, parse_constant=refuse_constant)
        check_strings_and_depth(read)
        return read if isinstance(read, dict) else None
    except (Refused, ValueError, RecursionError):
        return None


# --- what JSON Schema cannot say of an object ------------------------------------------------

def is_exact(number, exponent):
    """A number is what its 15 significant digits say, in whole minor units. That it is in
    range the schema says."""
    if isinstance(number, Real):
        decimal = Decimal(format(float(number), ".15g"))
        if float(decimal) != number:
            return False
    else:
        decimal = Decimal(number)
    scaled = decimal.scaleb(exponent)
    return scaled == scaled.to_integral_value()


def beyond_schema(read, currencies):
    """For an object that the schema accepts: is it a command?"""
    exponent = currencies[read["currency"]]
    amounts = [read[name] for name in ("amount", "minimum_balance")
               if isinstance(read.get(name), (int, float))]
    return (all(is_exact(amount, exponent) for amount in amounts)
            and ("source" not in read or read["source"] != read["destination"]))


def is_command(validator, value, currencies):
    read = read_object(value)
    return (read is not None and validator.is_valid(read)
            and beyond_schema(read, currencies))


# --- the corpus ------------------------------------------------------------------------------

def sized(data):
    return len(data).to_bytes(2, "big") + data


def minor(number):
    return sized(b"" if number is None else number.to_bytes(8, "big", signed=True))


def fingerprint(command):
    """SHA-256 of the canonical form that schema/command.c describes."""
    def text(name):
        return sized(command.get(name, "").encode())
    form = b"\1" + text("operation") + text("client")
    if command["operation"] == "open_account":
        form += text("account") + text("currency") + minor(command["minimum_balance_minor"])
    else:
        if command["operation"] == "transfer":
            form += text("source") + text("destination")
        else:
            form += sized(uuid.UUID(command["payment_id"]).bytes)
        form += minor(command["amount_minor"]) + text("currency") + text("reference")
    return hashlib.sha256(form).hexdigest()


def value_of(case):
    """The bytes of the record's value, or None."""
    if "value_hex" in case:
        return bytes.fromhex(case["value_hex"])
    if "value_parts" in case:
        return "".join(text * count for text, count in case["value_parts"]).encode()
    return None if case["value"] is None else case["value"].encode()


def check_case(case, validator, currencies, what):
    value, code = value_of(case), case["code"]
    if code is None:
        command = case["command"]
        check(is_command(validator, value, currencies), f"{what}: is no command")
        check(case["fingerprint"] == fingerprint(command),
              f"{what}: the fingerprint is {fingerprint(command)}")
    elif code.startswith("key_"):
        check(case["answer"] is None, f"{what}: an answer without a key")
    elif code == "value_missing":
        check(not value, f"{what}: it has a value")
    elif code == "value_too_large":
        check(len(value) > VALUE_MAX, f"{what}: it has {len(value)} bytes")
    else:
        check(len(value) <= VALUE_MAX, f"{what}: it has {len(value)} bytes")
        check((read_object(value) is None) == (code == "json_invalid"), f"{what}: JSON")
        check(code == "json_invalid" or code in CONTENT_CODES, f"{what}: {code}")
        check(not is_command(validator, value, currencies), f"{what}: is a command")


def check_corpus(validator, currencies):
    count = 0
    for path in sorted(CORPUS.glob("*.jsonl")):
        names = set()
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            what = f"{path.name}: {case['name']}"
            check(case["name"] not in names, f"{what}: twice")
            names.add(case["name"])
            check_case(case, validator, currencies, what)
            count += 1
    print(f"corpus: {count} cases")
    check(count > 600, "corpus")


# --- the examples ----------------------------------------------------------------------------

def examples(folder):
    paths = sorted((EXAMPLES / folder).glob("*.json"))
    check(len(paths) > 10, folder)
    return paths


def check_command_examples(validator, currencies):
    said, unsaid = [], []
    for path in examples("commands/valid"):
        check(is_command(validator, path.read_bytes(), currencies), path.name)
    for path in examples("commands/invalid"):
        code, value = path.name.split(".")[0], path.read_bytes()
        read = read_object(value)
        check((read is None) == (code in ("json_invalid", "value_missing")), path.name)
        if read is None:
            continue
        (unsaid if validator.is_valid(read) else said).append(path.name)
        if code in CONTENT_CODES:
            check(not is_command(validator, value, currencies), path.name)
    # What the schema accepts although it is no command: this list and no more.
    check(unsaid == ["amount_invalid.inexact.json", "key_ambiguous.field-differs.json",
                     "key_missing.nowhere.json", "same_account.same.json"],
          f"accepted by command.schema.json: {unsaid}")
    check(len(said) > 20, "refused by command.schema.json")


def check_result_examples(validator):
    order = list(validator.schema["properties"])
    for path in examples("results/valid"):
        text = path.read_text(encoding="utf-8")
        read = json.loads(text)
        for error in validator.iter_errors(read):
            check(False, f"{path.name}: {error.message[:200]}")
        check(list(read) == [name for name in order if name in read], f"{path.name}: order")
        compact = json.dumps(read, separators=(",", ":"), ensure_ascii=False)
        check(text == compact + "\n", f"{path.name}: compact")
    for path in examples("results/invalid"):
        check(not validator.is_valid(json.loads(path.read_bytes())), path.name)


# --- AsyncAPI --------------------------------------------------------------------------------

HEADERS = {  # CONTRACT §1, §3, §4
    "command": ["idempotency-key", "x-idempotency-key", "correlation-id", "kafka_correlationId",
                "traceparent", "tracestate"],
    "result": ["idempotency-key", "outcome", "idempotent-replayed", "command-topic",
               "command-partition", "command-offset", "correlation-id", "kafka_correlationId",
               "traceparent", "tracestate"],
    "deadLetter": ["dead-letter-outcome", "dead-letter-code", "dead-letter-detail",
                   "dead-letter-topic", "dead-letter-partition", "dead-letter-offset",
                   "dead-letter-timestamp", "dead-letter-attempt"],
}


def resolve(document, reference):
    """What a $ref points to; KeyError or OSError if there is nothing."""
    file, _, pointer = reference.partition("#")
    target = yaml.safe_load((MESSAGE / file).read_text(encoding="utf-8")) if file else document
    for part in filter(None, pointer.split("/")):
        target = target[part.replace("~1", "/").replace("~0", "~")]
    return target


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for member in node:
            yield from references(member)


def inline(document, node):
    """The node with its local references replaced, for a validator that knows no files."""
    if isinstance(node, list):
        return [inline(document, member) for member in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return inline(document, resolve(document, node["$ref"]))
    return {name: inline(document, member) for name, member in node.items()}


def check_message(document, name, payload):
    message = document["components"]["messages"][name]
    headers = inline(document, message["headers"])
    Draft202012Validator.check_schema(headers)
    check(list(headers["properties"]) == HEADERS[name], f"headers of {name}")
    check(message["examples"], f"examples of {name}")
    for example in message["examples"]:
        check(Validator(headers).is_valid(example["headers"]), f"headers in example of {name}")
        check(payload is None or payload.is_valid(example["payload"]), f"example of {name}")
    check(not Validator(headers).is_valid({"idempotency-key": "a b", "outcome": "pending",
                                           "dead-letter-code": 5}), f"headers of {name}")


def check_asyncapi(command, result):
    document = yaml.safe_load((MESSAGE / "asyncapi.yaml").read_text(encoding="utf-8"))
    check(document["asyncapi"] == "3.0.0", "version")
    found = list(references(document))
    check(len(found) > 15, "$refs")
    for reference in found:
        try:
            check(resolve(document, reference) is not None, reference)
        except (KeyError, OSError):
            check(False, f"$ref {reference} points nowhere")
    addresses = {name: channel["address"] for name, channel in document["channels"].items()}
    check(addresses == {"commands": "payment-commands", "results": "payment-results",
                        "deadLetters": "payment-dead-letters"}, "topics")
    actions = {(operation["action"], operation["channel"]["$ref"].rpartition("/")[2])
               for operation in document["operations"].values()}
    check(actions == {("receive", "commands"), ("send", "results"), ("send", "deadLetters")},
          "operations")
    for name, payload in (("command", command), ("result", result), ("deadLetter", None)):
        check_message(document, name, payload)
    check({"./command.schema.json", "./result.schema.json"} <= set(found), "payloads")


def main():
    command, result = load_schema("command.schema.json"), load_schema("result.schema.json")
    currencies = check_lists(command, result)
    check_command_examples(command, currencies)
    check_result_examples(result)
    check_corpus(command, currencies)
    check_asyncapi(command, result)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
