"""The admin endpoint: what is counted, what is told, and that it is in nobody's way."""

import json
import re
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import topics
from harness.commands import open_account, record, transfer
from harness.wait import wait_until

SAMPLE = re.compile(r'postonce_([a-z_]+)(?:\{([^}]*)\})? (-?[0-9]+(?:\.[0-9]+)?)')
LABEL = re.compile(r'([a-z]+)="([^"]*)"')


class Admin:
    """The endpoint of a consumer that listens on a free port of its own choice."""

    def __init__(self, consumer):
        wait_until(lambda: 'event=admin ' in consumer.log.read_text(), 20, "the endpoint")
        port = re.search(r"event=admin .* port=(\d+)", consumer.log.read_text()).group(1)
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path, method="GET"):
        """(status, body)"""
        request = urllib.request.Request(self.url + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        """{(name, label value, …): number}; every line is of the format, typed before."""
        status, text = self.get("/metrics")
        assert status == 200 and text.endswith("\n")
        found, typed = {}, set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                typed.add(line.split()[2])
            if line.startswith("#"):
                continue
            name, labels, number = SAMPLE.fullmatch(line).groups()
            family = re.sub("_(bucket|sum|count)$", "", name)
            assert "postonce_" + name in typed or "postonce_" + family in typed, line
            values = tuple(value for _, value in LABEL.findall(labels or ""))
            assert (name, *values) not in found, line
            found[(name, *values)] = float(number)
        return found

    def status(self):
        return json.loads(self.get("/status")[1])


@pytest.fixture
def served(deploy):
    deployment = deploy(partitions=2)
    consumer = deployment.consumer(admin__listen="127.0.0.1:0")
    deployment.wait_members("a")
    return deployment, consumer, Admin(consumer)


def commands():
    """4 applied, 1 rejected, 1 conflict, 2 malformed (one without a key), 2 replays."""
    pay = record("pay", transfer("house", "a", "5.00"), 0)
    return [record("h", open_account("house", None), 0), record("a", open_account("a"), 0),
            pay, pay, record("pay", transfer("house", "a", "6.00"), 0),
            record("much", transfer("a", "house", "50.00"), 0),
            record("bad", {"operation": "transfer"}, 0),
            topics.Record(b"{", None, [], 0), pay,
            record("b", open_account("b"), 1)]


def test_what_is_counted_is_what_was_decided(served):
    deployment, consumer, admin = served
    deployment.send(commands())
    deployment.wait_caught_up(consumers=[consumer])
    wait_until(lambda: admin.metrics()[("lag_records", "0")] == 0, 10, "no lag is shown")
    found = admin.metrics()
    wanted = {"applied": 4, "rejected": 1, "conflict": 1, "malformed": 2, "poison": 0,
              "expired": 0}
    assert {name: found[("commands_total", name)] for name in wanted} == wanted
    assert found[("replays_total",)] == 2
    letters = {key[1]: number for key, number in found.items()
               if key[0] == "dead_letters_total" and number}
    assert letters == {"key_reused": 1, "field_missing": 1, "key_missing": 1}
    assert found[("command_latency_seconds_count",)] == 8
    assert found[("command_latency_seconds_bucket", "+Inf")] == 8
    assert found[("batch_commands_sum",)] == 10
    assert found[("batch_seconds_count",)] == found[("batch_commands_count",)] > 0
    for partition in "01":
        assert found[("lag_records", partition)] == 0
        assert found[("oldest_command_age_seconds", partition)] == 0
        assert found[("halted", partition)] == 0
    assert found[("postgres_up",)] == found[("kafka_up",)] == 1
    assert len([key for key in found if key[0] == "build_info"]) == 1
    assert consumer.stop() == 0


def test_it_tells_how_it_stands(served):
    deployment, consumer, admin = served
    deployment.send(commands())
    deployment.wait_caught_up(consumers=[consumer])
    wait_until(lambda: admin.get("/readyz") == (200, "ready\n"), 10, "ready")
    assert admin.get("/livez") == (200, "alive\n")
    status = admin.status()
    assert status["ready"] and status["group"] == deployment.group
    assert status["instance"] == "a" and status["topic"] == deployment.commands
    assert [(each["partition"], each["lag"], each["halted"])
            for each in status["partitions"]] == [(0, 0, False), (1, 0, False)]
    assert status["partitions"][1]["next_offset"] == 1
    assert admin.get("/")[0] == 404 and admin.get("/metrics/")[0] == 404
    assert admin.get("/metrics", "POST")[0] == admin.get("/status", "DELETE")[0] == 405
    assert admin.get("/metrics", "HEAD") == (200, "")


def test_a_halted_partition_is_shown_and_the_process_stays_ready(served):
    deployment, consumer, admin = served
    deployment.send(commands())
    deployment.wait_caught_up(consumers=[consumer])
    assert consumer.stop() == 0
    deployment.query("UPDATE postonce.stream_position SET next_offset = 1000"
                     " WHERE partition = 0 RETURNING 1")
    again = deployment.consumer("b", admin__listen="127.0.0.1:0")
    admin = Admin(again)
    wait_until(lambda: admin.metrics().get(("halted", "0")) == 1, 20, "the halt is shown")
    assert admin.metrics()[("halted", "1")] == 0
    halted = admin.status()["partitions"][0]
    assert halted["halted"] and halted["reason"] == "log_truncated"
    assert "postonce adopt" in halted["detail"]
    wait_until(lambda: admin.get("/readyz")[0] == 200, 10, "ready all the same")
    assert again.stop() == 0


@pytest.mark.faults
def test_not_ready_while_postgres_is_away_and_nobody_asks_it(served, postgres):
    deployment, consumer, admin = served
    wait_until(lambda: admin.get("/readyz")[0] == 200, 20, "ready")
    postgres.stop_immediate()
    wait_until(lambda: admin.get("/readyz") == (503, "PostgreSQL is not reachable\n"), 20,
               "not ready")
    assert admin.metrics()[("postgres_up",)] == 0
    assert admin.get("/livez")[0] == 200
    postgres.restart()
    wait_until(lambda: admin.get("/readyz")[0] == 200, 30, "ready again")
    assert consumer.stop() == 0


def test_a_port_in_use(deploy):
    deployment = deploy()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        consumer = deployment.consumer(admin__listen=taken)
        consumer.exits(2)
        assert f"admin.listen={taken}: cannot listen there: Address already in use" in \
            consumer.log.read_text()


def test_off_is_off(deploy):
    consumer = deploy().consumer(admin__listen="")
    wait_until(lambda: "event=reading" in consumer.log.read_text(), 20, "it reads")
    assert "event=admin" not in consumer.log.read_text()
    assert consumer.stop() == 0


def test_many_clients_at_once_harm_nobody(served):
    deployment, consumer, admin = served
    deployment.send(commands())
    silent = [socket.create_connection(("127.0.0.1", int(admin.url.rsplit(":", 1)[1])))
              for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: len(admin.metrics()), range(40)))
    assert min(counted) > 60
    deployment.wait_caught_up(consumers=[consumer])
    assert consumer.stop() == 0
    for each in silent:
        each.close()
