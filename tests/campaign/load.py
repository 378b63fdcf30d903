"""Commands for the campaign, sent steadily from a thread; every acknowledgement goes to the
journal. Hot accounts, duplicates near and far and across partitions, conflicts, refusals,
refunds and garbage; every reference holds a text that no log may ever show.
"""

import random
import threading
import time

from harness import oracle
from harness.commands import open_account, record, refund, transfer
from harness.topics import Sender

from .journal import digest

PLANTED_REFERENCE = "planted-reference-7f3c"

# What the next command is, in parts of a hundred.
MIX = (("transfer", 52), ("refund", 9), ("duplicate", 17), ("conflict", 4), ("refusal", 14),
       ("malformed", 4))


class Commands:
    """The same seed gives the same commands but for the time."""

    def __init__(self, seed, partitions, accounts=40):
        self._random = random.Random(seed)
        self._partitions = partitions
        self._count = 0
        self._sent = []      # (key, body) of valid commands, for duplicates and conflicts
        self._payments = []  # (payment id, amount in cents)
        self.settlement = "settlement"
        self.accounts = [f"acct-{n}" for n in range(accounts)]
        self._hot = [1 / (n + 1) for n in range(accounts)]  # few accounts have most of it

    def opening(self):
        bodies = [open_account(self.settlement, None)]
        bodies += [open_account(name, "-10.00" if n % 3 == 0 else "0")
                   for n, name in enumerate(self.accounts)]
        bodies += [transfer(self.settlement, name, "1000.00") for name in self.accounts]
        return [record(f"open-{n}", body, partition=0) for n, body in enumerate(bodies)]

    def next(self):
        kinds, weights = zip(*MIX)
        self._count += 1
        kind = self._random.choices(kinds, weights)[0]
        return getattr(self, "_" + kind)(f"c-{self._count}")

    def _record(self, key, body, **more):
        return record(key, body, partition=self._random.randrange(self._partitions), **more)

    def _kept(self, key, body):
        self._sent.append((key, body))
        return self._record(key, body)

    def _two_accounts(self):
        source = self._random.choices(self.accounts, self._hot)[0]
        others = [name for name in self.accounts if name != source]
        return source, self._random.choice(others)

    def _transfer(self, key):
        source, destination = self._two_accounts()
        cents = self._random.randint(1, 5000)
        body = transfer(source, destination, oracle.money(cents, 2),
                        reference=f"{PLANTED_REFERENCE} {key}")
        now = time.time_ns() // 1_000_000
        self._sent.append((key, body))
        self._payments.append((oracle.payment_id_of(now, key), cents))
        return self._record(key, body, timestamp_ms=now)

    def _refund(self, key):
        if not self._payments:
            return self._transfer(key)
        payment, cents = self._random.choice(self._payments[-200:])
        part = self._random.randint(1, cents)
        return self._kept(key, refund(payment, oracle.money(part, 2)))

    def _duplicate(self, key):
        """Most soon after the first, as senders retry; some at any later time."""
        if not self._sent:
            return self._transfer(key)
        near = self._random.random() < 0.6
        return self._record(*self._random.choice(self._sent[-50:] if near else self._sent))

    def _conflict(self, key):
        if not self._sent:
            return self._transfer(key)
        known, body = self._random.choice(self._sent[-300:])
        return self._record(known, {**body, "client": "somebody-else"})

    def _refusal(self, key):
        source = self._random.choice(self.accounts)
        return self._kept(key, self._random.choice([
            transfer(source, "nobody", "1.00"), transfer("nobody", source, "1.00"),
            transfer(source, self.settlement, "99999999.00"), open_account(source),
            transfer(source, self.settlement, "1.00", currency="EUR"),
            refund("0192f0c1-0000-7000-8000-000000000000", "1.00")]))

    def _malformed(self, key):
        return self._record(key, self._random.choice([
            b"{", b"", {"operation": "transfer"}, transfer("a", "a", "1"),
            transfer("a", "b", "1.001"), transfer("a", "b", "1", currency="XAU"),
            {**transfer("a", "b", "1"), "colour": "red"}]))


class Load:
    """Patient and idempotent: an outage of the brokers delays it and loses nothing."""

    def __init__(self, deployment, commands, per_second, journal):
        self.sent = 0
        self.error = None
        self._sender = Sender(deployment.kafka, **{"message.timeout.ms": 240000})
        self._topic = deployment.commands
        self._commands = commands
        self._per_second = per_second
        self._journal = journal
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def send_opening(self, deployment):
        """The accounts and their money, decided before anything else is sent."""
        records = self._commands.opening()
        for each in records:
            self._post(each)
        self._sender.flush(60)
        return len(records)

    def start(self):
        self._thread.start()

    def stop(self):
        """Back when all that was sent is acknowledged."""
        self._stop.set()
        self._thread.join(270)
        if self._thread.is_alive():
            raise AssertionError("the load did not end")
        if self.error is not None:
            raise self.error

    def _post(self, each):
        content = digest(each.value, each.headers)

        def delivered(error, message):
            if error is None:
                self._journal.sent(message.partition(), message.offset(), content)
            else:
                self._journal.failed(content)
        self._sender.post(self._topic, each, delivered)
        self.sent += 1

    def _run(self):
        turn, due = 0.02, time.monotonic()
        try:
            while not self._stop.is_set():
                due += turn
                for _ in range(max(1, round(self._per_second * turn))):
                    self._post(self._commands.next())
                self._stop.wait(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1)
            self._sender.flush(240)
        except Exception as error:  # told by stop(), in the main thread
            self.error = error
