"""The commands of each workload, as files of one JSON object a line, made once a run."""

import bisect
import itertools
import json
import random
import time
import uuid

ACCOUNTS = 100_000
CLIENT = "merchant-42"


def account(number):
    return f"acct-{number:06d}"


def uuid7(chance, unix_ms):
    """RFC 9562 §5.7."""
    bits = (unix_ms << 80) | (7 << 76) | (chance.getrandbits(12) << 64) | (2 << 62)
    return str(uuid.UUID(int=bits | chance.getrandbits(62)))


def uuid4(chance, _unix_ms):
    bits = chance.getrandbits(128)
    return str(uuid.UUID(int=bits & ~(0xF << 76) & ~(3 << 62) | (4 << 76) | (2 << 62)))


class Zipf:
    """Rank r with a probability in proportion to 1 / r."""

    def __init__(self, count):
        self._sums = list(itertools.accumulate(1 / rank for rank in range(1, count + 1)))

    def draw(self, chance):
        return bisect.bisect(self._sums, chance.random() * self._sums[-1])


class Workload:
    """`hot`: debits or credits of every command are one account's; `zipf`: both are drawn so;
    `duplicates`: the part that are an earlier command again."""

    def __init__(self, name, key=uuid7, hot=None, zipf=False, duplicates=0.0, parts=1):
        self.name = name
        self._key = key
        self._hot = hot
        self._zipf = Zipf(ACCOUNTS) if zipf else None
        self._duplicates = duplicates
        self._parts = parts  # disjoint accounts, by the turn: what is in another partition

    def _pair(self, chance, turn):
        if self._zipf is not None:
            pair = self._zipf.draw(chance), self._zipf.draw(chance)
        else:
            each = ACCOUNTS // self._parts
            low = turn % self._parts * each
            pair = chance.randrange(low, low + each), chance.randrange(low, low + each)
        pair = {"debits": (0, pair[1]), "credits": (pair[0], 0), None: pair}[self._hot]
        return pair if pair[0] != pair[1] else (pair[0], (pair[1] + 1) % ACCOUNTS)

    def lines(self, count, seed=1):
        """The lines, and what they do to the balances {account: minor units}."""
        chance, unix_ms = random.Random(seed), int(time.time() * 1000)
        made, movements = [], {}
        for turn in range(count):
            if made and chance.random() < self._duplicates:
                made.append(made[max(0, len(made) - chance.randint(1, 5000))])
                continue
            debit, credit = self._pair(chance, turn)
            cents = chance.randint(1, 99999)
            key = self._key(chance, unix_ms + turn // 20)
            made.append(
                f'{{"idempotency_key":"{key}","operation":"transfer","client":"{CLIENT}",'
                f'"source":"{account(debit)}","destination":"{account(credit)}",'
                f'"amount":"{cents // 100}.{cents % 100:02d}","currency":"USD",'
                f'"reference":"order {turn}"}}')
            movements[debit] = movements.get(debit, 0) - cents
            movements[credit] = movements.get(credit, 0) + cents
        return made, {account(number): moved for number, moved in movements.items()}


def line_of(command):
    """The idempotency key comes first, without a space: it is cut out again."""
    return json.dumps(command, separators=(",", ":"))


def key_of(line):
    return line[20:line.index('"', 20)]


def opening_lines():
    return [line_of({"idempotency_key": f"open-{number}", "operation": "open_account",
                     "client": CLIENT, "account": account(number), "currency": "USD",
                     "minimum_balance": None}) for number in range(ACCOUNTS)]


WORKLOADS = {each.name: each for each in (
    Workload("uniform v7"),
    Workload("uniform v4", key=uuid4),
    Workload("Zipf 1.0", zipf=True),
    Workload("one hot destination", hot="credits"),
    Workload("one hot source", hot="debits"),
    Workload("10 % duplicates", duplicates=0.1),
    Workload("50 % duplicates", duplicates=0.5),
    Workload("disjoint halves", parts=2),
)}
