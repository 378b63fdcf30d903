"""Recomputes the books from what was decided, and asks of each refusal whether there was a
moment at which it was true.

Kafka leaves the order between partitions open. The versions of accounts tell the order of
what moved money; a refusal has no version, but it was decided after the earlier and before
the later records of its partition, so the state it was decided on lies within a window.
"""

import bisect

from harness import oracle


class Books:
    """`decided`: {key: (row, record, command)} of the inbox, with the record that decided.
    Each method returns findings, one sentence each."""

    def __init__(self, accounts, transfers, decided):
        self.accounts = {row["account_id"]: row for row in accounts}
        self.by_name = {row["name"]: row for row in accounts}
        self.transfers = {row["payment_id"]: row for row in transfers}
        self.decided = decided
        self.place_of = {row["payment_id"]: record.place
                         for row, record, _ in decided.values() if row["payment_id"]}
        self.currency_of = {row["payment_id"]: command.fields["currency"]
                            for row, _, command in decided.values() if row["payment_id"]}
        self.refunds = {}    # payment id -> [(version of the account debited, amount)]
        self.history = {}    # account id -> [balance after 0, 1, 2 … movements]
        self.movements = {}  # (partition, account id) -> [(offset, version)]
        self.opened_at = {}  # account name -> place

    def findings(self):
        return [*self._opened(), *self._histories(), *self._refunds(), *self._decisions()]

    # ---- accounts, and what moved ----

    def _opened(self):
        opened = {}
        for row, record, command in self.decided.values():
            if command.operation != "open_account" or row["outcome"] != "applied":
                continue
            name = command.fields["account"]
            if name in opened:
                yield f"account {name} was opened twice"
            opened[name] = (command.fields["currency"], command.fields["minimum"])
            self.opened_at[name] = record.place
        found = {name: (row["currency"], row["minimum_balance_minor"])
                 for name, row in self.by_name.items()}
        for name in sorted(set(found) ^ set(opened)):
            yield f"account {name} is there without a command, or the reverse"
        for name in sorted(set(found) & set(opened)):
            if found[name] != opened[name]:
                yield f"account {name} is {found[name]}, opened as {opened[name]}"

    def _legs(self):
        """{account id: [(version, signed amount, balance after, payment id)]}"""
        legs = {account_id: [] for account_id in self.accounts}
        for payment_id, row in self.transfers.items():
            for side, sign in (("debit", -1), ("credit", 1)):
                legs.setdefault(row[f"{side}_account_id"], []).append(
                    (row[f"{side}_version"], sign * row["amount_minor"],
                     row[f"{side}_balance_minor"], payment_id))
        return legs

    def _histories(self):
        sums = {}
        for account_id, legs in self._legs().items():
            account = self.accounts.get(account_id)
            if account is None:
                yield f"movements on account {account_id}, which is not there"
                continue
            yield from self._history(account, sorted(legs))
            currency = account["currency"]
            sums[currency] = sums.get(currency, 0) + account["balance_minor"]
        yield from (f"all balances in {currency} add up to {total}"
                    for currency, total in sums.items() if total)

    def _history(self, account, legs):
        name, minimum, running = account["name"], account["minimum_balance_minor"], 0
        history = self.history[account["account_id"]] = [0]
        last = {}
        for number, (version, amount, balance, payment_id) in enumerate(legs, 1):
            running += amount
            history.append(running)
            if version != number:
                yield f"account {name}: version {version} where {number} is due"
            if balance != running:
                yield f"account {name}: balance {balance} after {number}, should be {running}"
            if amount < 0 and minimum is not None and running < minimum:
                yield f"account {name}: {running} after {number} is below its minimum"
            yield from self._in_order(account, number, payment_id, last)
        if (account["balance_minor"], account["version"]) != (running, len(legs)):
            yield f"account {name}: {account['balance_minor']} at version " \
                  f"{account['version']}, should be {running} at {len(legs)}"

    def _in_order(self, account, version, payment_id, last):
        """I9, and the index that windows are looked up in."""
        if payment_id not in self.place_of:
            yield f"movement {payment_id} was decided by no command"
            return
        partition, offset = self.place_of[payment_id]
        if offset <= last.get(partition, -1):
            yield f"account {account['name']}: {partition}/{offset} after {last[partition]}"
        last[partition] = offset
        self.movements.setdefault((partition, account["account_id"]), []).append(
            (offset, version))

    def _refunds(self):
        for payment_id, row in self.transfers.items():
            if row["refunds"] is not None:
                self.refunds.setdefault(row["refunds"], []).append(
                    (row["debit_version"], row["amount_minor"]))
        for payment_id, refunds in self.refunds.items():
            amount = sum(each for _, each in refunds)
            payment = self.transfers.get(payment_id)
            if payment is None or amount > payment["amount_minor"]:
                yield f"payment {payment_id} was refunded {amount}, which is too much"

    # ---- decisions ----

    def _decisions(self):
        for key, (row, record, command) in self.decided.items():
            problem, expected = self._decision(row, record, command)
            if problem is None and expected is not None:
                problem = oracle.result_differs(expected, bytes.fromhex(row["result"][2:]))
            if problem is not None:
                yield f"{key} at {record.place}: {problem}"

    def _decision(self, row, record, command):
        """(what is wrong, the answer as it must be)"""
        if (row["operation"], row["client"]) != (command.operation, command.client):
            return "the inbox has another operation or client", None
        code, payment_id, balance = row["code"], row["payment_id"], None
        if row["outcome"] == "rejected":
            problem = self._refusal(code, record, command)
        elif row["outcome"] != "applied" or code is not None:
            return f"outcome {row['outcome']}, code {code}", None
        elif command.operation == "open_account":
            problem, balance = None, 0
        else:
            problem = self._movement(payment_id, record, command)
            balance = self.transfers.get(payment_id, {}).get("debit_balance_minor")
        return problem, oracle.kept_result(command, code, payment_id, balance)

    def _movement(self, payment_id, record, command):
        if payment_id != oracle.payment_id_of(record.timestamp_ms, command.key):
            return f"payment id {payment_id}"
        row, fields = self.transfers.get(payment_id), command.fields
        if row is None:
            return "applied, and nothing moved"
        names = [self.accounts.get(row[f"{side}_account_id"], {}).get("name")
                 for side in ("debit", "credit")]
        if (row["amount_minor"], row["client"], row["reference"], row["refunds"]) != \
                (fields["amount"], command.client, fields.get("reference"),
                 fields.get("payment_id")):
            return "the movement is another one than was asked for"
        if command.operation == "transfer":
            right = names == [fields["source"], fields["destination"]]
            return None if right else f"moved between {names}"
        payment = self.transfers.get(fields["payment_id"])
        if payment is None or payment["refunds"] is not None or \
                payment["client"] != command.client:
            return "it refunds what it may not refund"
        right = (row["debit_account_id"], row["credit_account_id"]) == \
            (payment["credit_account_id"], payment["debit_account_id"])
        return None if right else "the refund goes another way than the payment came"

    # ---- refusals ----

    def _refusal(self, code, record, command):
        """None if it can have been right."""
        rule = getattr(self, "_was_" + str(code), None)
        if rule is None:
            return f"a refusal with the code {code}"
        return None if rule(record, command) else f"{code} was never true"

    def _surely_before(self, place, record):
        return place is not None and place[0] == record.partition and place[1] < record.offset

    def _can_be_unknown(self, name, record):
        return not self._surely_before(self.opened_at.get(name), record)

    def _was_account_exists(self, record, command):
        place = self.opened_at.get(command.fields["account"])
        return place is not None and not (
            place[0] == record.partition and place[1] > record.offset)

    def _was_source_unknown(self, record, command):
        return self._can_be_unknown(command.fields.get("source"), record)

    def _was_destination_unknown(self, record, command):
        return self._can_be_unknown(command.fields.get("destination"), record)

    def _was_payment_unknown(self, record, command):
        payment_id = command.fields["payment_id"]
        payment = self.transfers.get(payment_id)
        return payment is None or payment["client"] != command.client or \
            not self._surely_before(self.place_of.get(payment_id), record)

    def _was_payment_not_refundable(self, _record, command):
        payment = self.transfers.get(command.fields["payment_id"])
        return payment is not None and payment["refunds"] is not None

    def _was_refund_exceeds_payment(self, record, command):
        """Refunds of a payment only grow: asked is the last moment that it can have been."""
        payment = self.transfers.get(command.fields["payment_id"])
        if payment is None:
            return False
        account_id = payment["credit_account_id"]
        _, last = self._window(record, account_id, len(self.history.get(account_id, [0])) - 1)
        refunded = sum(amount for version, amount
                       in self.refunds.get(payment["payment_id"], ()) if version <= last)
        return refunded + command.fields["amount"] > payment["amount_minor"]

    def _was_currency_mismatch(self, _record, command):
        fields = command.fields
        if command.operation == "refund":
            return self.currency_of.get(fields["payment_id"]) not in (None, fields["currency"])
        sides = [self.by_name.get(fields[side]) for side in ("source", "destination")]
        return None not in sides and \
            {side["currency"] for side in sides} != {fields["currency"]}

    def _was_insufficient_funds(self, record, command):
        account = self._debited(command)
        if account is None or account["minimum_balance_minor"] is None:
            return False
        limit = account["minimum_balance_minor"] + command.fields["amount"]
        history = self.history.get(account["account_id"], [0])
        first, last = self._window(record, account["account_id"], len(history) - 1)
        return any(history[version] < limit for version in range(first, last + 1))

    def _debited(self, command):
        if command.operation == "transfer":
            return self.by_name.get(command.fields["source"])
        payment = self.transfers.get(command.fields["payment_id"])
        return payment and self.accounts.get(payment["credit_account_id"])

    def _window(self, record, account_id, last):
        """The versions that the account can have had when the record was decided."""
        known = self.movements.get((record.partition, account_id), [])
        at = bisect.bisect_left(known, (record.offset, 0))
        first = known[at - 1][1] if at > 0 else 0
        return first, known[at][1] - 1 if at < len(known) else last
