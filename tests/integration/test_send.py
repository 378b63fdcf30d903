"""`postonce-send`: commands from lines, delivery, answers, exit codes."""

import json
import re

import pytest

from harness import verify
from harness.commands import open_account, refund, transfer
from harness.ports import free_port

HOUSE = {**open_account("house", None), "idempotency_key": "h"}
PURSE = {**open_account("a"), "idempotency_key": "a"}
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def pay(key, amount="1.00", **more):
    keyed = {"idempotency_key": key} if key else {}
    return {**transfer("house", "a", amount, **more), **keyed}


@pytest.fixture
def running(deploy):
    """A deployment with a consumer at work."""
    deployment = deploy()
    consumer = deployment.consumer()
    deployment.wait_members("a")
    yield deployment
    assert consumer.stop() == 0


def test_delivery(deploy):
    deployment = deploy(migrated=False)
    payment = "0192f0c1-0000-7000-8000-000000000000"
    lines = [HOUSE, pay("k"), {**refund(payment, "1"), "idempotency_key": "r"}]
    done = deployment.programs.send(lines)
    assert done.returncode == 0, done.stderr
    sent = deployment.read(deployment.commands)
    assert [each.key for each in sent] == [b"house", b"house", payment.encode()]
    assert [each.header("idempotency-key") for each in sent] == ["h", "k", "r"]
    for line, each in zip(lines, sent):
        body = json.loads(each.value)
        body.pop("idempotency_key", None)
        line = {name: value for name, value in line.items() if name != "idempotency_key"}
        assert body == line


def test_from_a_file(deploy, tmp_path):
    deployment = deploy(migrated=False)
    file = tmp_path / "commands.jsonl"
    file.write_text(json.dumps(HOUSE) + "\n" + json.dumps(pay("k")))  # no newline at the end
    assert deployment.programs.send([], str(file)).returncode == 0
    assert len(deployment.read(deployment.commands)) == 2


def test_await_prints_the_answers_in_the_order_of_the_lines(running):
    keys = [f"k{n}" for n in range(200)]
    lines = [HOUSE, PURSE, *map(pay, keys), pay("k0"), pay("k1", "2.00"), pay("bad", "x"),
             pay("poor", "1.00") | {"source": "a", "destination": "house", "amount": "999"}]
    done = running.programs.send(lines, "--await")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["idempotency_key"] for each in answers] == \
        [line["idempotency_key"] for line in lines]
    outcomes = [each["outcome"] for each in answers]
    assert outcomes == ["applied"] * 203 + ["conflict", "malformed", "rejected"]
    assert answers[2] == answers[202], "the answer to the duplicate is the first answer"
    verify.verify(running)


def test_generate_keys(running):
    done = running.programs.send([pay(None), pay("own"), pay(None)], "--generate-keys")
    assert done.returncode == 0, done.stderr
    keys = UUID7.findall(done.stdout)
    assert len(set(keys)) == 2
    sent = running.read(running.commands)
    assert sorted(each.header("idempotency-key") for each in sent) == sorted([*keys, "own"])


def test_generate_keys_and_await(running):
    """The answers have stdout for themselves."""
    done = running.programs.send([HOUSE, PURSE, pay(None)], "--generate-keys", "--await")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 3 and UUID7.findall(done.stderr) == [answers[2]["idempotency_key"]]


@pytest.mark.parametrize("line", [
    pay(None), "no JSON", "[]", pay("a b"), {**pay(None), "idempotency_key": 7},
    {**pay(None), "idempotency_key": ""}, pay("k" * 256)],
    ids=["no key", "no JSON", "array", "space", "number", "empty", "long"])
def test_a_wrong_line_is_an_error_of_that_line(deploy, line):
    deployment = deploy(migrated=False)
    done = deployment.programs.send([HOUSE, line, PURSE])
    assert done.returncode == 1 and "2" in done.stderr, done.stderr
    keys = [each.header("idempotency-key") for each in deployment.read(deployment.commands)]
    assert keys == ["h", "a"]


def test_an_undeliverable_command_is_named(deploy):
    """Larger than what the broker takes."""
    deployment = deploy(migrated=False)
    done = deployment.programs.send([HOUSE, pay("big", reference="x" * 1_040_000), PURSE])
    assert done.returncode == 1 and "big" in done.stderr, done.stderr[-500:]
    assert len(deployment.read(deployment.commands)) == 2


def test_an_answer_that_does_not_come_is_named(deploy):
    deployment = deploy()
    done = deployment.programs.send([HOUSE, PURSE], "--await", "--timeout", "2")
    assert done.returncode == 1, done.stderr
    assert re.search(r"\bh\b", done.stderr) and re.search(r"\ba\b", done.stderr), done.stderr
    assert done.stdout == ""


def test_no_kafka_at_all(deploy):
    deployment = deploy(migrated=False)
    done = deployment.programs.send([HOUSE], "--await", "--timeout", "5",
                                    kafka__bootstrap__servers=f"127.0.0.1:{free_port()}")
    assert done.returncode == 69, (done.returncode, done.stderr)


def test_a_topic_that_does_not_exist(deploy):
    deployment = deploy(migrated=False)
    done = deployment.programs.send([HOUSE], topics__commands=deployment.group + "-absent")
    assert done.returncode in (1, 2) and "absent" in done.stderr, done.stderr


def test_nothing_to_send(deploy):
    done = deploy(migrated=False).programs.send([])
    assert (done.returncode, done.stdout) == (0, "")
