"""What ./demo runs: a day of payments, a crash in the middle of the next, and a rewind.

Everything shown is taken from the real topics and tables while it runs; each step says what
it proves, and a step that proves the contrary ends the demo with an error.
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time

from . import oracle, process, product, verify
from .commands import open_account, refund, transfer
from .deployment import Deployment
from .servers import Servers, read_left_running, take_down
from .topics import Record
from .wait import wait_until

DIRECTORY = product.TOP / "build" / "demo"
PARTITIONS = 3
DAY, CRASH_DAY = 3000, 20000
START = time.monotonic()


# ---- how it is told --------------------------------------------------------------------

def say(text=""):
    print(text, flush=True)


def step(text):
    say(f"\n[{time.monotonic() - START:4.1f} s] {text}")


def proof(text):
    say(f"         => {text}")


def must(condition, text):
    """A claim: shown when it holds, the end of the demo when it does not."""
    if not condition:
        raise AssertionError(f"this was to be shown, and it does not hold: {text}")
    proof(text)


def show(answer):
    """One answer on one line."""
    parts = [answer["outcome"]]
    parts += [answer[name] for name in ("code", "payment_id") if name in answer]
    if "balance" in answer:
        parts.append(f"balance {answer['balance']} {answer['currency']}")
    say(f"           {answer['idempotency_key']:<12} {'  '.join(parts)}")


# ---- the commands ----------------------------------------------------------------------

def keyed(key, body):
    return {"idempotency_key": key, **body}


class Day:
    """Lines for postonce-send: accounts first, then what a day brings."""

    def __init__(self, prefix, seed=7, accounts=50):
        self._random = random.Random(seed)
        self._prefix = prefix
        self.accounts = [f"acct-{n:03}" for n in range(accounts)]

    def opening(self):
        bodies = [open_account("bank", None), *map(open_account, self.accounts)]
        return [keyed(f"open-{n}", body) for n, body in enumerate(bodies)]

    def funding(self):
        return [keyed(f"fund-{name}", transfer("bank", name, "1000.00", client="bank"))
                for name in self.accounts]

    def lines(self, count, payments=()):
        """Mostly transfers; a duplicate, conflict, refusal or garbage among them, and
        refunds of `payments`, (payment id, amount in cents) each."""
        made, unrefunded = [], list(payments)
        while len(made) < count:
            dice, key = self._random.random(), f"{self._prefix}-{len(made)}"
            if dice < 0.12 and made:
                made.append(self._random.choice(made[-100:]))
            elif dice < 0.14 and made:
                known = self._random.choice(made[-100:])["idempotency_key"]
                made.append(keyed(known, self._transfer("1.23")))
            elif dice < 0.17:
                made.append(keyed(key, self._transfer("1000000.00")))
            elif dice < 0.19:
                made.append(keyed(key, {**self._transfer("1.001"), "colour": "red"}))
            elif dice < 0.25 and unrefunded:
                payment, cents = unrefunded.pop()
                made.append(keyed(key, refund(payment, oracle.money(max(1, cents // 2), 2))))
            else:
                cents = self._random.randint(1, 2000)
                made.append(keyed(key, self._transfer(oracle.money(cents, 2))))
        return made

    def _transfer(self, amount):
        source, destination = self._random.sample(self.accounts, 2)
        return transfer(source, destination, amount)


def awaited(deployment, lines):
    """postonce-send --await: the answers, as lines of text."""
    done = deployment.programs.send(lines, "--await")
    if done.returncode != 0:
        raise AssertionError(f"postonce-send --await ended with {done.returncode}:\n"
                             f"{done.stderr[-2000:]}")
    return done.stdout.splitlines()


# ---- what is looked at -----------------------------------------------------------------

_BOOKS = ("SELECT * FROM postonce.account ORDER BY account_id",
          "SELECT * FROM postonce.transfer ORDER BY payment_id",
          "SELECT key, outcome, code, payment_id, result FROM postonce.inbox ORDER BY key")


def books_digest(deployment):
    """SHA-256 over accounts, transfers and outcomes: equal digests, equal books."""
    digest = hashlib.sha256()
    for statement in _BOOKS:
        for row in deployment.query(statement):
            digest.update(repr(list(row.values())).encode())
    return digest.hexdigest()


def answers_by_record(deployment):
    found = {}
    for each in deployment.read(deployment.results):
        place = each.header("command-partition"), each.header("command-offset")
        found.setdefault(place, []).append(each.value)
    return found


def show_balances(deployment):
    rows = deployment.query(
        "SELECT currency, count(*) AS accounts, sum(balance_minor) AS sum, "
        "(SELECT count(*) FROM postonce.transfer) AS transfers "
        "FROM postonce.account GROUP BY currency")
    for row in rows:
        must(row["sum"] == 0, f"{row['accounts']} accounts, {row['transfers']} movements; all "
                              f"balances in {row['currency']} add up to {row['sum']}")


# ---- the steps -------------------------------------------------------------------------

def first_payments(deployment):
    step("A few commands by hand, with postonce-send --await")
    pay = keyed("order-456", transfer("bank", "alice", "100.00", reference="order 456"))
    lines = [keyed("o-1", open_account("bank", None)), keyed("o-2", open_account("alice")),
             keyed("o-3", open_account("shop"))]
    answers = awaited(deployment, lines) + awaited(deployment, [pay])
    for each in answers:
        show(json.loads(each))
    payment = json.loads(answers[-1])["payment_id"]

    step("The same command again; the same key for something else; refusals; refunds")
    lines = [pay, {**pay, "amount": "900.00"}, {**pay, "client": "somebody-else"},
             keyed("too-much", transfer("alice", "shop", "100.01")),
             keyed("refund-1", refund(payment, "99.99")),
             keyed("refund-2", refund(payment, "0.02")),
             keyed("refund-3", refund(payment, "0.01")),
             keyed("half-cent", transfer("bank", "alice", "0.005"))]
    again = awaited(deployment, lines)
    for each in again:
        show(json.loads(each))
    must(again[0] == answers[-1], "the answer to the duplicate is the first answer, byte for byte")
    outcomes = [json.loads(each)["outcome"] for each in again[1:]]
    must(outcomes[:2] == ["conflict", "conflict"], "a key used for something else, or by "
         "somebody else, moves nothing and is told nothing")
    must(outcomes[2:] == ["rejected", "applied", "rejected", "applied", "malformed"],
         "no overdraft, no refund beyond the payment, to the cent")


def garbage(deployment):
    step("Garbage straight into the topic: no JSON, no key, no value")
    deployment.send([Record(b"\xff\xfe not JSON"), Record(None),
                     Record(b"{}", None, [("idempotency-key", b"a b")])])
    deployment.wait_caught_up()
    letters = deployment.read(deployment.dead_letters)[-3:]
    for each in letters:
        say(f"           dead letter: {each.header('dead-letter-code')} "
            f"({each.header('dead-letter-detail')})")
    must(len(letters) == 3, "each is kept as a dead letter with its reason, and the consumer "
                            "goes on")


def a_day(deployment):
    step(f"A day of payments: {DAY} commands, every eighth of them a duplicate")
    day = Day("day")
    awaited(deployment, day.opening())
    awaited(deployment, day.funding())
    began = time.monotonic()
    answers = [json.loads(line) for line in awaited(deployment, day.lines(DAY))]
    took = time.monotonic() - began
    counts = {}
    for each in answers:
        counts[each["outcome"]] = counts.get(each["outcome"], 0) + 1
    say(f"           {DAY} answers in {took:.1f} s: "
        + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    show_balances(deployment)
    return [(each["payment_id"], int(each["amount"].replace(".", ""))) for each in answers
            if each["outcome"] == "applied"]


def a_crash(deployment, consumer, payments):
    step(f"Another {CRASH_DAY} commands, and kill -9 for the consumer in the middle of them")
    lines = Day("crash", seed=8).lines(CRASH_DAY, payments)
    before = deployment.decided()
    file = DIRECTORY / "commands.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = product.options_of({name: deployment.settings[name] for name in (
        "kafka.bootstrap.servers", "topics.commands", "topics.results")})
    sender = subprocess.Popen([product.binary("postonce-send"), *words, file],
                              env=product.clean_environment())
    wait_until(lambda: deployment.decided() > before + CRASH_DAY // 4, 30, "it is busy")
    consumer.kill()
    decided, committed = deployment.decided(), sum(deployment.committed(stable=False).values())
    say(f"           killed with {decided - before} of {CRASH_DAY} decided in PostgreSQL; "
        f"Kafka knows of {committed - before}")
    must(0 < decided - before < CRASH_DAY, "it was in the middle of its work")
    must(sender.wait(30) == 0, "postonce-send has delivered all of them")
    step("The consumer is started again")
    consumer.start()
    deployment.wait_caught_up(consumers=[consumer])
    state = verify.read_state(deployment)
    verify.exactly_one_answer(state)
    proof(f"a reader sees exactly one answer to each of {len(state.commands)} commands, "
          "whatever was in hand when it died")
    show_balances(deployment)
    return state


def a_rewind(deployment, consumer):
    step("The whole topic once more: postonce rewind --to-earliest --execute")
    before, answers = books_digest(deployment), answers_by_record(deployment)
    say(f"           books before: {before[:32]}…")
    consumer.stop()
    done = deployment.verb("rewind", "--to-earliest", "--execute")
    assert done.returncode == 0, done.stderr
    consumer.start()
    deployment.wait_caught_up(consumers=[consumer])
    after = books_digest(deployment)
    say(f"           books after:  {after[:32]}…")
    must(after == before, "no balance has moved")
    again = answers_by_record(deployment)
    must(set(again) == set(answers) and
         all(len(values) == 2 and values[0] == values[1] == answers[place][0]
             for place, values in again.items()),
         f"each of {len(answers)} commands was answered once more, with the same bytes")


def recomputed(deployment):
    step("The books once more, computed from the topic by another program (Python)")
    verify.verify(deployment, rewound=True)
    proof("it comes to the same accounts, movements and outcomes")


# ---- together --------------------------------------------------------------------------

def tell_how_to_talk(deployment, consumer):
    file = (DIRECTORY / "postonce.conf").relative_to(product.TOP)
    settings = "".join(f"{name} = {value}\n" for name, value in deployment.settings.items())
    (product.TOP / file).write_text("# What ./demo --keep left running.\n" + settings)
    binary = product.binary("postonce").parent
    if binary.is_relative_to(product.TOP):
        binary = binary.relative_to(product.TOP)
    body = json.dumps(keyed("by-hand-1", transfer("bank", "alice", "1.00")))
    say(f"""
Everything is left running; the consumer is process {consumer.pid}. From this directory:

  psql '{deployment.url}' \\
    -c 'SELECT name, currency, balance_minor, version FROM postonce.account LIMIT 5'
  kcat -b {deployment.kafka.bootstrap} -C -e -q -t {deployment.results} -o -5 -f '%k %s\\n'
  echo '{body}' |
    {binary}/postonce-send -c {file} --await
  {binary}/postonce lookup -c {file} order-456

Its log is {consumer.log.relative_to(product.TOP)}. ./demo --stop ends all of it.""")


def steps(servers, keep, started):
    """All of it, on servers that run; the deployment and its consumer."""
    private = servers.postgres.faults and servers.kafka.faults
    deployment = Deployment(servers.postgres, servers.kafka, DIRECTORY, "demo", PARTITIONS,
                            {"kafka.session.timeout.ms": "3000"}, plain=private)
    step("postonce migrate, and postonce consume")
    deployment.migrate()
    consumer = deployment.consumer("demo", start=False)
    consumer.keep = keep
    started.append(consumer)
    consumer.start()
    deployment.wait_members("demo")
    say(f"           schema made, group {deployment.group} has its {PARTITIONS} partitions")
    first_payments(deployment)
    garbage(deployment)
    payments = a_day(deployment)
    a_crash(deployment, consumer, payments)
    a_rewind(deployment, consumer)
    recomputed(deployment)
    return deployment, consumer


def run(keep):
    step("PostgreSQL and Kafka start, private ones on free loopback ports")
    servers, started, kept = Servers(DIRECTORY, keep=keep), [], False
    try:
        servers.start()
        servers.leave_running()  # so that --stop finds them even if this is killed
        say(f"           PostgreSQL {servers.postgres.where}, Kafka {servers.kafka.bootstrap}")
        deployment, consumer = steps(servers, keep, started)
        if keep:
            servers.leave_running(started)
            tell_how_to_talk(deployment, consumer)
            kept = True
        else:
            consumer.stop()
    finally:
        if not kept:
            for each in started:
                each.kill()
            servers.close()
    if not keep:
        step("Done; everything is stopped. ./demo --keep leaves it running.")


def main():
    process.end_on_signals()
    left = read_left_running(DIRECTORY)
    if left and left["processes"]:
        say("Stopping what an earlier ./demo --keep left running: "
            + ", ".join(take_down(DIRECTORY)))
    if "--stop" in sys.argv[1:]:
        return 0
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    try:
        run("--keep" in sys.argv[1:])
    except KeyboardInterrupt:
        say("\nInterrupted; everything is stopped.")
        return 130
    except AssertionError as error:
        say(f"\ndemo: {error}")
        return 1
    return 0


if __name__ == "__main__":
    process.run_program(main)
