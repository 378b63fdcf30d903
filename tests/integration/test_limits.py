"""Balances at the edge of int64, and money that comes from nowhere: it must not."""

from harness import verify
from harness.commands import open_account, record, transfer
from harness.oracle import AMOUNT_MAX, INT64_MAX

HOUSE = [record("h", open_account("house", None, "JPY"), 0),
         record("f", open_account("full", "0", "JPY"), 0),
         record("p", open_account("purse", "0", "JPY"), 0)]


def test_a_balance_reaches_int64_and_not_one_unit_more(deploy):
    deployment = deploy()
    whole, rest = divmod(INT64_MAX, AMOUNT_MAX)
    steps = [record(f"k{n}", transfer("house", "full", str(AMOUNT_MAX), "JPY"), 0)
             for n in range(whole)]
    edge = [record("over", transfer("house", "full", str(rest + 1), "JPY"), 0),
            record("edge", transfer("house", "full", str(rest), "JPY"), 0),
            record("one", transfer("house", "full", "1", "JPY"), 0),
            record("back", transfer("full", "purse", "1", "JPY"), 0),
            # the house is at -INT64_MAX: its own range has one unit left
            record("last", transfer("house", "purse", "1", "JPY"), 0),
            record("under", transfer("house", "purse", "1", "JPY"), 0)]
    deployment.send(HOUSE + steps + edge)
    deployment.consume_to_end()
    state = verify.verify(deployment)
    codes = [state.inbox[each.headers[0][1].decode()]["code"] for each in edge]
    assert codes == ["balance_overflow", None, "balance_overflow", None, None,
                     "balance_overflow"]
    assert state.accounts["house"]["balance_minor"] == -INT64_MAX - 1


def test_a_minimum_is_checked_on_debits_only(deploy):
    """An account may be opened overdrawn in nothing; credits are always welcome."""
    deployment = deploy()
    deployment.send(HOUSE + [
        record("r1", transfer("full", "purse", "1", "JPY"), 0),
        record("a1", transfer("house", "full", "1", "JPY"), 0),
        record("a2", transfer("full", "purse", "1", "JPY"), 0),
        record("r1", transfer("full", "purse", "1", "JPY"), 0)])
    deployment.consume_to_end()
    state = verify.verify(deployment)
    assert state.inbox["r1"]["code"] == "insufficient_funds"  # for good


def test_without_a_result_topic_the_books_are_the_same(deploy):
    deployment = deploy(results=False)
    deployment.send(HOUSE + [record("k", transfer("house", "full", "7", "JPY"), 0),
                             record("k", transfer("house", "full", "8", "JPY"), 0),
                             record("k", transfer("house", "full", "7", "JPY"), 0)])
    deployment.consume_to_end()
    state = verify.verify(deployment)
    assert state.accounts["full"]["balance_minor"] == 7
    assert len(state.dead_letters) == 1
