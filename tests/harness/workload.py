"""A stream of commands like a day of payments: transfers, refunds, refusals, duplicates
near and far, conflicts, garbage. The same seed gives the same commands but for the time."""

import random
import time

from . import oracle
from .commands import open_account, record, refund, transfer

# What the next command is, in parts of a hundred.
_MIX = (("transfer", 62), ("refund", 10), ("duplicate", 16), ("conflict", 3), ("refusal", 5),
        ("malformed", 4))


class Workload:
    def __init__(self, seed=1, accounts=20, prefix="w", partitions=None):
        self._random = random.Random(seed)
        self._prefix = prefix
        self._count = 0
        self._partitions = partitions  # None: by the record's key
        self._sent = []                # (key, body) of valid commands, for duplicates
        self._payments = []            # (payment id, client, amount in cents)
        self.settlement = f"{prefix}-settlement"
        self.accounts = [f"{prefix}-acct-{n}" for n in range(accounts)]

    def opening(self):
        """The accounts, and money for each: send these first, and have them decided."""
        bodies = [open_account(self.settlement, None)]
        bodies += [open_account(name, "-10.00" if n % 3 == 0 else "0")
                   for n, name in enumerate(self.accounts)]
        bodies += [transfer(self.settlement, name, "1000.00") for name in self.accounts]
        return [record(f"{self._prefix}-open-{n}", body, partition=0)
                for n, body in enumerate(bodies)]

    def next(self):
        kinds, weights = zip(*_MIX)
        kind = self._random.choices(kinds, weights)[0]
        self._count += 1
        return getattr(self, "_" + kind)(f"{self._prefix}-{self._count}")

    def take(self, count):
        return [self.next() for _ in range(count)]

    def _record(self, key, body, **more):
        partition = self._random.randrange(self._partitions) if self._partitions else None
        return record(key, body, partition=partition, **more)

    def _kept(self, key, body):
        self._sent.append((key, body))
        if len(self._sent) > 5000:
            del self._sent[:2500]
        return self._record(key, body)

    def _transfer(self, key):
        source, destination = self._random.sample(self.accounts, 2)
        cents = self._random.randint(1, 5000)
        body = transfer(source, destination, oracle.money(cents, 2), reference=f"order {key}")
        self._sent.append((key, body))
        now = time.time_ns() // 1_000_000
        self._payments.append((oracle.payment_id_of(now, key), cents))
        return self._record(key, body, timestamp_ms=now)

    def _refund(self, key):
        if not self._payments:
            return self._transfer(key)
        payment, cents = self._random.choice(self._payments[-200:])
        part = self._random.randint(1, cents)
        return self._kept(key, refund(payment, oracle.money(part, 2)))

    def _duplicate(self, _key):
        if not self._sent:
            return self._transfer(_key)
        recent = self._random.random() < 0.7
        sent = self._sent[-50:] if recent else self._sent
        return self._record(*self._random.choice(sent))

    def _conflict(self, key):
        if not self._sent:
            return self._transfer(key)
        known, body = self._random.choice(self._sent[-200:])
        return self._record(known, {**body, "client": "somebody-else"})

    def _refusal(self, key):
        source = self._random.choice(self.accounts)
        return self._kept(key, self._random.choice([
            transfer(source, "nobody", "1.00"), transfer("nobody", source, "1.00"),
            transfer(source, self.settlement, "99999999.00"),
            transfer(source, self.settlement, "1.00", currency="EUR")]))

    def _malformed(self, key):
        return self._record(key, self._random.choice([
            b"{", b"", {"operation": "transfer"}, transfer("a", "a", "1"),
            transfer("a", "b", "1.001"), transfer("a", "b", "1", currency="XAU"),
            {**transfer("a", "b", "1"), "colour": "red"}]))
