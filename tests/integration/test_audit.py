"""`postonce audit`: clean books are right, also beside a consumer at work, and each damage
planted by SQL is found as what it is."""

import json
import re

import pytest

from harness.commands import open_account, record, refund, transfer
from harness.postgres import connect, with_database
from harness.product import run
from harness.workload import Workload


def audit(deployment, *arguments, **settings):
    """The findings as a list, the summary, and the exit code."""
    done = deployment.verb("audit", "--json", *arguments, **settings)
    assert done.returncode in (0, 1), done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert "right" in lines[-1] and lines[-1]["right"] == (done.returncode == 0)
    assert sum(lines[-1]["checks"].values()) == lines[-1]["findings"]
    return lines[:-1], lines[-1], done.returncode


def clean(deployment, *arguments):
    findings, summary, code = audit(deployment, *arguments)
    assert code == 0 and findings == [], findings
    return summary


@pytest.fixture(scope="module")
def books(module_deploy):
    """A day of commands of all kinds, decided; nobody changes these books."""
    deployment = module_deploy(partitions=2)
    work = Workload(seed=11, partitions=2)
    deployment.send(work.opening())
    deployment.consume_to_end()
    deployment.send(work.take(800))
    deployment.send([record("yen", open_account("yen", None, "JPY"), 0),
                     record("dinar", open_account("dinar", "-1.500", "BHD"), 0)])
    deployment.consume_to_end()
    return deployment


class Copy:
    """A copy of the books' database, to be damaged."""

    def __init__(self, books, name):
        self.books, self.name = books, name
        self.admin = with_database(books.postgres.admin_url, name)
        with connect(books.postgres.admin_url) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{books.database}"')

    def verb(self, *arguments, **options):
        return self.books.verb(*arguments, postgres=self.admin, **options)

    def execute(self, statement):
        """As a stray hand with all rights: no trigger, no foreign key stops it."""
        with connect(self.admin) as connection:
            connection.execute("SET search_path = postonce")
            connection.execute("SET session_replication_role = replica")
            done = connection.execute(statement)
            return done.rowcount


@pytest.fixture
def copy(books, request):
    made = Copy(books, f"{books.database}_{abs(hash(request.node.name)) % 10 ** 8}")
    yield made
    books.postgres.drop_database(made.name)


def test_clean_books(books):
    summary = clean(books)
    assert summary["accounts"] == 23 and summary["transfers"] > 300
    assert summary["commands"] > 500 and summary["dead_letters"] > 30
    done = books.verb("audit")
    assert done.returncode == 0 and done.stdout.startswith("books are right: 23 accounts, ")
