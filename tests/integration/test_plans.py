"""The batch statements use the plans they were made for, whatever the tables hold: nobody
sees a plan that has changed until the inbox is too big for it.

auto_explain writes the plan of every statement into the server's log. PLAN_ROWS=10000000
fills the inbox as far as the benchmark does; a hundredth will do here.
"""

import json
import os
import re

import psycopg
import pytest
from psycopg import sql

from harness.commands import open_account, record, transfer
from harness.generated import generate, refuse
from harness.postgres import Postgres, connect, with_database
from harness.workload import Workload

ROWS = int(os.environ.get("PLAN_ROWS", "100000"))

# What tells a statement, and the only ways into the tables that it may use.
INTENDED = {
    "SELECT p.partition, p.epoch": {("stream_position", "stream_position_pkey")},
    "SELECT a.account_id, a.balance": {("account", "account_name_key"),
                                       ("account", "account_pkey"),
                                       ("transfer", "transfer_pkey")},
    "SELECT w.ordinal, i.outcome": {("inbox", "inbox_pkey")},
    "CROSS JOIN LATERAL": {("dead_letter", "dead_letter_pkey")},
    "SELECT t.payment_id, t.debit": {("transfer", "transfer_pkey"),
                                     ("transfer", "transfer_refunds_idx")},
    "UPDATE postonce.account": {("account", "account_pkey")},
    "WITH held AS": {("account", "account_pkey")},
    "UPDATE postonce.stream_position": {("stream_position", "stream_position_pkey")},
    "INSERT INTO postonce.inbox": set(),
    "INSERT INTO postonce.transfer": set(),
    "INSERT INTO postonce.account": set(),
    "INSERT INTO postonce.dead_letter": set(),
}
_ENTRY = re.compile(r"^\S+ \S+ UTC \[\d+\] (\S+) postonce (\w+)\S* LOG: .* plan:\n"
                    r"((?:\t.*\n)+)", re.MULTILINE)


def plans(log, database, whose="poster"):
    """(the statement, its plan) of every statement of the poster or the audit, in order."""
    for found, by, text in _ENTRY.findall(log):
        if (found, by) == (database, whose):
            entry = json.loads(text)
            yield " ".join(entry["Query Text"].split()), entry["Plan"]


def accesses(node):
    """Each way into a table: (table, index), or (table, what reads the whole of it)."""
    if node["Node Type"] in ("ModifyTable", "LockRows"):
        pass
    elif "Index Cond" in node:
        yield node["Relation Name"], node["Index Name"]
    elif "Relation Name" in node:
        yield node["Relation Name"], f"all of it: {node['Node Type']}"
    for child in node.get("Plans", ()):
        yield from accesses(child)


def explain(deployment, **settings):
    """Everything that is done in its database from now on, with these settings there."""
    if not isinstance(deployment.postgres, Postgres):
        pytest.skip("the log of a server that was given from outside is not ours")
    with psycopg.connect(with_database(deployment.postgres.admin_url, deployment.database),
                         autocommit=True) as connection:
        for name, value in (("session_preload_libraries", "auto_explain"),
                            ("auto_explain.log_min_duration", "0"),
                            ("auto_explain.log_format", "json"), *settings.items()):
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                sql.Identifier(deployment.database), sql.SQL(name), sql.Literal(value)))


@pytest.fixture(params=[False, True], ids=["never analyzed", "known as empty"])
def explained(deploy, request):
    known_as_empty = request.param
    deployment = deploy(settings={"batch.records": "50"})
    explain(deployment)
    with connect(with_database(deployment.postgres.admin_url, deployment.database)) as connection:
        for table in ("inbox", "transfer", "account"):
            connection.execute(f"ALTER TABLE postonce.{table} SET (autovacuum_enabled = off)")
            if known_as_empty:
                connection.execute(f"VACUUM ANALYZE postonce.{table}")
    return deployment


def posted(deployment, records):
    """The plans that posting these takes."""
    log = deployment.postgres.directory / "postgres.log"
    start = log.stat().st_size
    deployment.send(records)
    deployment.consume_to_end()
    with open(log, "rb") as file:
        file.seek(start)
        return list(plans(file.read().decode(errors="replace"), deployment.database))


def check(found):
    seen = set()
    for statement, plan in found:
        for start, intended in INTENDED.items():
            if start in statement:
                seen.add(start)
                assert set(accesses(plan)) <= intended, (statement, plan)
                break
        else:
            assert not list(accesses(plan)), f"a statement that nobody expects: {statement}"
    assert seen == set(INTENDED), f"never seen: {set(INTENDED) - seen}"


def grow(deployment, rows):
    """Refusals, as the product stores them; without ANALYZE, and before any vacuum."""
    deployment.query("""
        WITH added AS (
            INSERT INTO postonce.inbox (topic, key, operation, client, fingerprint, outcome,
                                        code, result, partition, "offset")
            SELECT 'old', 'old-' || n, 'transfer', 'c', sha256(n::text::bytea), 'rejected',
                   'unknown_account', repeat('x', 300)::bytea, 0, n
              FROM generate_series(1, %s::bigint) AS n RETURNING 1)
        SELECT count(*) FROM added""", rows)


def some(work, number):
    """Of everything, an account that is opened, too; and enough without refunds that
    accounts are remembered, and refusals rest on them."""
    opening = [record(f"{number}-house", open_account(f"house-{number}", None)),
               record(f"{number}-plan", open_account(f"plan-{number}")),
               record(f"{number}-poor", open_account(f"poor-{number}"))]
    plain = [record(f"{number}-{n}", transfer(*(
        (f"house-{number}", f"plan-{number}", "1.00") if n % 2 else
        (f"poor-{number}", f"house-{number}", "1.00")))) for n in range(1000)]
    return opening + work.take(300) + plain


def test_on_an_empty_a_small_and_a_big_inbox(explained):
    work = Workload(seed=77)
    check(posted(explained, work.opening() + some(work, 1)))
    check(posted(explained, some(work, 2)))
    grow(explained, ROWS)
    check(posted(explained, some(work, 3)))


def test_a_plan_made_for_a_few_accounts_does_not_outlive_them(explained):
    """An UPDATE that was planned when the planner knew of three accounts reads all of them."""
    three = [f"account-{number}" for number in range(3)]
    explained.send([record(name, open_account(name, None)) for name in three])
    explained.consume_to_end()
    with connect(explained.url) as connection:
        connection.execute("ANALYZE postonce.account")
    among = [record(f"p-{n}", transfer(three[n % 3], three[(n + 1) % 3], "1.00"))
             for n in range(4000)]
    more = [record(f"o-{n}", open_account(f"more-{n}", None)) for n in range(3000)]
    found = [set(accesses(plan)) for statement, plan in posted(explained, among[:900] + more +
                                                               among[900:])
             if "UPDATE postonce.account" in statement]
    assert found[0] == {("account", "all of it: Index Scan")}, "the test is void"
    assert found[-1] == {("account", "account_pkey")}


def joins_and_sums(node, shared=False):
    """Where rows are put together or added up, and whether parallel workers share it."""
    if "Join Type" in node or node.get("Partial Mode") == "Partial":
        yield node["Node Type"], shared
    for child in node.get("Plans", ()):
        yield from joins_and_sums(child, shared or node["Node Type"].startswith("Gather"))


# Of an audit, what works something out of every row, and where in the plan it does.
DEAR = {"'refunded_payment_id'": "Hash Join", "t.debit_balance_minor * d.unit": "Hash Join",
        "hashint8extended": "Aggregate", "bit_or": "Aggregate"}


def test_an_audit_is_shared_by_parallel_workers(deploy):
    books = deploy()
    admin = with_database(books.postgres.admin_url, books.database)
    generate(admin, books.commands, 1000)
    refuse(admin, books.commands, 1000)
    explain(books, parallel_setup_cost="0", parallel_tuple_cost="0",
            min_parallel_table_scan_size="0", max_parallel_workers_per_gather="2")
    assert books.verb("audit").returncode == 0
    log = (books.postgres.directory / "postgres.log").read_text(errors="replace")
    found = list(plans(log, books.database, "audit"))
    for part, where in DEAR.items():
        [plan] = [plan for statement, plan in found if part in statement]
        assert (where, True) in joins_and_sums(plan), part
        assert where == "Aggregate" or (where, False) not in joins_and_sums(plan), part
