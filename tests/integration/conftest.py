"""Servers once a session; for each test a deployment of its own on them."""

import fcntl
import os
import pathlib
import re
import shutil

import pytest

from harness.deployment import Deployment
from harness.process import end_on_signals, leave, tail
from harness.product import TOP, binary
from harness.servers import Servers


def _own_directory():
    """build/integration, emptied; or beside it when another session is at work there."""
    wanted = pathlib.Path(os.environ.get("TEST_DIRECTORY") or TOP / "build" / "integration")
    for number in range(1, 20):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock = open(directory.with_name(directory.name + ".lock"), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        shutil.rmtree(directory, ignore_errors=True)
        return directory, lock
    raise RuntimeError(f"too many sessions at work beside {wanted}")


DIRECTORY, _LOCK = _own_directory()  # the lock is held as long as this process lives
_SPREAD = ("test_failpoints", "test_servers_away", "test_two_consumers")
_NEED_NO_PRODUCT = ("test_harness", "test_oracle", "test_mutants")


_config = []


def pytest_configure(config):
    end_on_signals()
    _config.append(config)


def pytest_runtest_logreport(report):
    """A failure is told at once: a session that dies later would take it along."""
    terminal = _config[0].pluginmanager.get_plugin("terminalreporter")
    if report.failed and terminal is not None:
        terminal.write_line(f"\nFAILED {report.nodeid}\n{report.longreprtext[-3000:]}")


_status = [1]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus):
    _status[0] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    leave(_status[0])


def _group(number, module):
    """What stays together on one worker: a file, whose fixtures are made once; but the longest
    ones, that have none of their own, are spread."""
    return f"{module}-{number % 3}" if module in _SPREAD else module


def pytest_collection_modifyitems(items):
    """A test of the product that finds no product fails at once and says why; a fault test
    without servers of our own is left out and says so."""
    for number, item in enumerate(items):
        item.add_marker(pytest.mark.xdist_group(_group(number, item.module.__name__)))
    given = [name for name in ("TEST_POSTGRES", "TEST_KAFKA") if os.environ.get(name)]
    for item in items:
        if not item.module.__name__.startswith(_NEED_NO_PRODUCT):
            item.add_marker("product")
        if given and item.get_closest_marker("faults"):
            item.add_marker(pytest.mark.skip(reason=f"{given[0]}: servers given from outside "
                                                    "are not stopped"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("product") and not binary("postonce").exists() :
        pytest.fail(f"{binary('postonce')} is not built (or set POSTONCE_BIN)", pytrace=False)


@pytest.fixture(scope="session")
def servers():
    with Servers(DIRECTORY / "servers") as running:
        yield running


@pytest.fixture(scope="session")
def kafka(servers):
    return servers.kafka


@pytest.fixture(scope="session")
def postgres(servers):
    return servers.postgres


def _directory(request):
    name = re.sub(r"\W+", "-", request.node.name).strip("-")[:60]
    return DIRECTORY / "tests" / name


@pytest.fixture(scope="module")
def module_deploy(request, servers):
    """Like `deploy`, for what the tests of a module share."""
    yield from _deployments(request, servers, request.module.__name__.removeprefix("test_"))


@pytest.fixture
def deploy(request, servers):
    """deploy(partitions=1, settings=None, results=True, migrated=True): a Deployment."""
    yield from _deployments(request, servers, "t")


def _deployments(request, servers, name):
    made = []

    def make(migrated=True, **options):
        deployment = Deployment(servers.postgres, servers.kafka, _directory(request),
                                re.sub(r"\W+", "-", name), **options)
        made.append(deployment)
        return deployment.migrate() if migrated else deployment

    yield make
    servers.heal()
    for deployment in made:
        deployment.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the end of the logs of a failed test's processes."""
    report = (yield).get_result()
    if report.when != "call" or not report.failed:
        return
    directory = DIRECTORY / "tests" / re.sub(r"\W+", "-", item.name).strip("-")[:60]
    for log in sorted(directory.glob("*.log")):
        report.sections.append((f"end of {log.name}", tail(log, 30)))
