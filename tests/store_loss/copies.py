"""Copies of a data folder, and of both servers, which are restored later, together or each for itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.crash_job import in_a_fork
from tests.exactly_once.stores import Places

_TENANTS = "/v1/projects/{project}/databases/(default)/documents"
Documents = dict[str, dict[str, Any]]
"""The fields of documents, in Firestore's JSON, by name."""
Tables = dict[str, str]
"""The rows of PostgreSQL's tables, as COPY writes them."""
Content = TypeVar("Content", Tables, Documents)


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Firestore beside the commands; of Firestore the documents of one tenant."""

    places: Places
    project: str
    tenant: str

    def documents(self) -> Documents:
        """Return all documents of the tenant."""
        found: Documents = {}
        parent = f"{_TENANTS.format(project=self.project)}/tenants/{self.tenant}"
        for collection in self._asked("POST", f"{parent}:listCollectionIds", {}).get("collectionIds", []):
            page: str | None = ""
            while page is not None:
                answer = self._asked("GET", f"{parent}/{collection}?pageSize=300&pageToken={page}")
                found |= {one["name"]: one.get("fields", {}) for one in answer.get("documents", [])}
                page = answer.get("nextPageToken")
        return found

    def put_documents(self, documents: Documents) -> None:
        """Make these the documents of the tenant; others are removed."""
        removed = self.documents().keys() - documents.keys()
        writes: list[dict[str, Any]] = [{"delete": name} for name in removed]
        writes += [{"update": {"name": name, "fields": fields}} for name, fields in documents.items()]
        for first in range(0, len(writes), 400):
            path = f"{_TENANTS.format(project=self.project)}:commit"
            self._asked("POST", path, {"writes": writes[first : first + 400]})

    def tables(self) -> Tables:
        """Return the rows of all tables."""
        found: Tables = in_a_fork(lambda: self._with_database(_read))
        return found

    def put_tables(self, tables: Tables) -> None:
        """Make these the rows of the tables."""
        in_a_fork(lambda: self._with_database(lambda cursor: _write(cursor, tables)))

    def drop_tables(self) -> None:
        """Remove all tables."""
        in_a_fork(lambda: self._with_database(_drop))

    def _with_database(self, work: Callable[[Any], Any]) -> Any:
        import psycopg

        with psycopg.connect(self.places.database_url) as connection, connection.cursor() as cursor:
            return work(cursor)

    def _asked(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        host, _, port = self.places.emulator.partition(":")
        connection = HTTPConnection(host, int(port), timeout=30)
        try:
            headers = {"Authorization": "Bearer owner", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        assert answer.status == 200, f"{method} {path}: {answer.status} {said}"
        found: dict[str, Any] = json.loads(said or "{}")
        return found


@dataclass(frozen=True)
class Copy:
    """A data folder with its ``engine.db``, and what the servers had then; None: there are none.

    ``halted``: whether all trading was halted then. ``accepted``: the trades by hand that the ledger had.
    """

    folder: Path
    documents: Documents | None = None
    tables: Tables | None = None
    halted: bool = False
    accepted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, data: Path, kept_as: Path, servers: Servers | None, **then: Any) -> Copy:
        """Keep a copy; ``then``: what else was so, by the names of the fields."""
        shutil.copytree(data, kept_as)
        if servers is None:
            return cls(kept_as, **then)
        return cls(kept_as, servers.documents(), servers.tables(), **then)


@dataclass(frozen=True)
class Part(Generic[Content]):
    """What one of the two servers has: read from it, put into it, and as a copy has it."""

    name: str
    read: Callable[[Servers], Content]
    put: Callable[[Servers, Content], None]
    of_copy: Callable[[Copy], Content | None]
    empty: Content


TABLES: Part[Tables] = Part("tables", Servers.tables, Servers.put_tables, lambda copy: copy.tables, {})
DOCUMENTS: Part[Documents] = Part(
    "documents", Servers.documents, Servers.put_documents, lambda copy: copy.documents, {}
)


def put_folder(copy: Path, data: Path, *, with_store: bool) -> None:
    """Put a copied folder in place of a data folder, with its ``engine.db`` or with the one that is there."""
    if with_store:
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        return
    kept = {path.name: path.read_bytes() for path in data.glob("engine.db*")}
    shutil.rmtree(data)
    shutil.copytree(copy, data, ignore=shutil.ignore_patterns("engine.db*"))
    for name, content in kept.items():
        (data / name).write_bytes(content)


def _names(cursor: Any) -> list[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [name for (name,) in cursor.fetchall()]


def _read(cursor: Any) -> Tables:
    found = {}
    for name in _names(cursor):
        with cursor.copy(f'COPY public."{name}" TO STDOUT') as rows:
            found[name] = b"".join(bytes(row) for row in rows).decode()
    return found


def _write(cursor: Any, tables: Tables) -> None:
    for name in _names(cursor):
        cursor.execute(f'TRUNCATE public."{name}"')
        with cursor.copy(f'COPY public."{name}" FROM STDIN') as rows:
            rows.write(tables.get(name, ""))


def _drop(cursor: Any) -> None:
    for name in _names(cursor):
        cursor.execute(f'DROP TABLE public."{name}" CASCADE')
