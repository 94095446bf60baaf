"""Where positions, ledger, agent and lease of a case are kept, and the environment that says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.servers import LOOPBACK
from tests.servers.firestore import FirestoreEmulator
from tests.servers.postgres import PostgresServer

EMBEDDED, SERVERS = "embedded", "servers"


@dataclass(frozen=True)
class Places:
    """The servers that are there: the address of a database, and of an emulator; "" where there is none."""

    database_url: str = ""
    emulator: str = ""

    @property
    def kinds(self) -> list[str]:
        return [EMBEDDED, SERVERS] if self.database_url and self.emulator else [EMBEDDED]

    def database_at(self, address: str) -> str:
        """Return the address of the database by way of another host and port."""
        url = urlsplit(self.database_url)
        user = url.netloc.rpartition("@")[0]
        return url._replace(netloc=f"{user}@{address}" if user else address).geturl()

    def servers(self) -> dict[str, tuple[str, int]]:
        """Return where PostgreSQL and Firestore are: host and port, by name; those that are there."""
        found = {}
        if self.database_url:
            url = urlsplit(self.database_url)
            found["postgresql"] = (url.hostname or "", url.port or 5432)
        if self.emulator:
            host, _, port = self.emulator.partition(":")
            found["firestore"] = (host, int(port))
        return found

    def environment(self, kind: str, name: str) -> dict[str, str]:
        """Return the settings of a case; ``name`` keeps it apart from all others in the same servers."""
        if kind == EMBEDDED:
            return {"EXEC_STORE": "embedded"}
        return {
            "DATABASE_URL": self.database_url,
            "FIREBASE_PROJECT_ID": "exactly-once",
            "EXEC_TENANT_ID": name,
        }


@contextmanager
def started() -> Iterator[Places]:
    """Start both servers."""
    with PostgresServer.running() as postgres, postgres.database() as name, FirestoreEmulator.running() as it:
        yield prepared(Places(postgres.url(name), it.address))


def prepared(places: Places) -> Places:
    """Make the tables, in a process of its own, and name the emulator to whatever is started from here."""
    from tests.crash_job import in_a_fork

    if places.emulator:
        os.environ.update(
            FIRESTORE_EMULATOR_HOST=places.emulator, no_grpc_proxy=LOOPBACK, GRPC_VERBOSITY="NONE"
        )
    if places.database_url:
        in_a_fork(lambda: _make_tables(places.database_url))
    return places


def _make_tables(database_url: str) -> None:
    from engine.stores.postgres.schema import init_db
    from engine.stores.postgres.store import PostgresStore

    init_db(PostgresStore(database_url).server)
