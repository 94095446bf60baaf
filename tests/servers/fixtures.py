"""The servers as fixtures: each worker starts its own, when a test first asks for one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.disks import NO_DISK
from tests.servers import LOOPBACK, ServerDidNotStart, ServerMissing
from tests.servers.firestore import HOW_TO_GET_IT, FirestoreEmulator
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy


def pytest_configure() -> None:
    """Keep gRPC, which writes straight to the terminal, out of the report; it reads this when imported."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")


_MAY_BE_MISSING = (HOW_TO_GET_IT, NO_DISK)
"""What a machine may lack without failing the suite, as the skipped test says it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips itself, unless an emulator or a disk is missing."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_what_skips(report, item.nodeid)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself: what it needs is a test dependency, or it isn't tested."""
    report = yield
    _fail_what_skips(report, collector.nodeid)
    return report


def _fail_what_skips(report: pytest.TestReport | pytest.CollectReport, what: str) -> None:
    if report.outcome == "skipped" and not any(why in str(report.longrepr) for why in _MAY_BE_MISSING):
        report.longrepr = (
            f"{what} is skipped: {report.longrepr}. Only a missing emulator or disk may do that."
        )
        report.outcome = "failed"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print loudly, once, that tests were left out and how to have them."""
    skipped = terminalreporter.stats.get("skipped", [])
    for why in _MAY_BE_MISSING:
        left_out = sum(why in str(report.longrepr) for report in skipped)
        if left_out:
            terminalreporter.write_line(f"{left_out} TESTS NOT RUN: {why}", red=True, bold=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for all tests of a worker; a test has its own database in it, see ``database_url``."""
    with ExitStack() as started:
        try:
            server = started.enter_context(PostgresServer.running())
        except (ServerMissing, ServerDidNotStart) as failure:
            pytest.fail(str(failure), pytrace=False)
        yield server


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh, empty database."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """The address of an emulator, as host:port. Without one the test is skipped, but on CI it fails."""
    with ExitStack() as started:
        try:
            emulator = started.enter_context(FirestoreEmulator.running())
        except ServerMissing as missing:
            if os.environ.get("CI", "").lower() != "true":
                pytest.skip(str(missing))
            pytest.fail(str(missing), pytrace=False)
        except ServerDidNotStart as failure:
            pytest.fail(str(failure), pytrace=False)
        yield emulator.address


@pytest.fixture
def firestore_project(firestore_emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a project nobody has written to; clients made in this test go to the emulator."""
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    monkeypatch.setenv("no_grpc_proxy", LOOPBACK)
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str, int], Proxy]]:
    """Puts a proxy before a server: ``proxy_to(host, port)``. It forwards until told otherwise."""
    with ExitStack() as opened:
        yield lambda host, port: opened.enter_context(Proxy(host, port))
