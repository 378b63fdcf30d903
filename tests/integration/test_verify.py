"""The comparison itself must be able to fail: each kind of damage, done to what was seen of a
real run, has to be noticed. With one partition and with several."""

import copy
import dataclasses

import pytest

from harness import verify
from harness.workload import Workload


@pytest.fixture(scope="module", params=[1, 2], ids=["one partition", "two partitions"])
def seen(request, module_deploy):
    deployment = module_deploy(partitions=request.param)
    work = Workload(seed=3, accounts=6, partitions=request.param)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.send(work.take(300))
    deployment.consume_to_end()
    return deployment, verify.verify(deployment)


def first(rows, **wanted):
    return next(row for row in rows.values()
                if all(row[name] == value for name, value in wanted.items()))


def change_answer(state, **changes):
    at = next(n for n, each in enumerate(state.results) if each.header("outcome") == "applied")
    state.results[at] = dataclasses.replace(state.results[at], **changes)


def balance_is_off(state):
    first(state.accounts)["balance_minor"] += 1


def two_balances_are_off(state):
    """The sum is still right."""
    one, other = list(state.accounts.values())[:2]
    one["balance_minor"] += 1
    other["balance_minor"] -= 1


def a_movement_is_gone(state):
    del state.transfers[next(iter(state.transfers))]


def an_amount_is_off(state):
    first(state.transfers)["amount_minor"] += 1


def a_version_is_skipped(state):
    state.entries[-1]["version"] += 1


def a_key_is_gone(state):
    del state.inbox[next(iter(state.inbox))]


def a_refusal_became_applied(state):
    first(state.inbox, outcome="rejected")["outcome"] = "applied"


def a_key_was_decided_by_another_record(state):
    first(state.inbox, outcome="applied")["offset"] += 1


def an_answer_is_missing(state):
    state.results.pop()


def an_answer_is_there_twice(state):
    state.results.append(state.results[0])


def an_answer_has_other_bytes(state):
    change_answer(state, value=b"{}")


def an_answer_has_another_key(state):
    change_answer(state, key=b"other")


def an_answer_has_a_header_more(state):
    change_answer(state, headers=(*state.results[0].headers, ("extra", b"1")))


def a_dead_letter_is_missing(state):
    state.dead_letters.pop()


def a_dead_letter_was_changed(state):
    state.dead_letters[0] = dataclasses.replace(state.dead_letters[0], value=b"other")


def a_dead_row_is_missing(state):
    del state.dead_rows[next(iter(state.dead_rows))]


DAMAGES = [balance_is_off, two_balances_are_off, a_movement_is_gone, an_amount_is_off,
           a_version_is_skipped, a_key_is_gone, a_refusal_became_applied,
           a_key_was_decided_by_another_record, an_answer_is_missing, an_answer_is_there_twice,
           an_answer_has_other_bytes, an_answer_has_another_key, an_answer_has_a_header_more,
           a_dead_letter_is_missing, a_dead_letter_was_changed, a_dead_row_is_missing]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_noticed(seen, damage):
    deployment, state = seen
    verify.compare(deployment, state)
    damaged = copy.deepcopy(state)
    damage(damaged)
    with pytest.raises((AssertionError, KeyError)):
        verify.compare(deployment, damaged)
