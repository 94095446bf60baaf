"""The engine's own documents in PostgreSQL: ``public.execution_engine_documents (name, document)``.

The store of positions records which data folders trade on it, and their generation
(``engine.safety.generations``). The first write makes the table where the role may, as ``init-db`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.stores.postgres.server import Unusable

if TYPE_CHECKING:
    import psycopg

TABLE = "public.execution_engine_documents"
CREATE = f"CREATE TABLE IF NOT EXISTS {TABLE} (name text PRIMARY KEY, document text NOT NULL)"
# Of two sessions that create the table at once, PostgreSQL refuses one in spite of IF NOT EXISTS.
ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('execution-engine init-db'))"
_IS_THERE = "SELECT to_regclass(%s) IS NOT NULL"
_READ = f"SELECT document FROM {TABLE} WHERE name = %s"
_INSERT = f"INSERT INTO {TABLE} (name, document) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
_UPDATE = f"UPDATE {TABLE} SET document = %s WHERE name = %s"


def documents_exist(cursor: psycopg.Cursor[Any]) -> bool:
    """Return whether the table is there."""
    ((found,),) = cursor.execute(_IS_THERE, (TABLE,)).fetchall()
    return bool(found)


def read_document(cursor: psycopg.Cursor[Any], name: str) -> dict[str, Any] | None:
    """Return the document of that name, None where none was ever kept.

    Raises ``Unusable`` for one that is no JSON object.
    """
    return _read(cursor, _READ, name) if documents_exist(cursor) else None


def replace_document(
    cursor: psycopg.Cursor[Any], name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
) -> bool:
    """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was."""
    if not documents_exist(cursor):
        cursor.execute(ONE_AT_A_TIME)
        cursor.execute(CREATE)
    text = json.dumps(new, ensure_ascii=False, allow_nan=False)
    if replacing is None:
        return cursor.execute(_INSERT, (name, text)).rowcount == 1
    if _read(cursor, f"{_READ} FOR UPDATE", name) != replacing:
        return False
    return cursor.execute(_UPDATE, (text, name)).rowcount == 1


def _read(cursor: psycopg.Cursor[Any], query: str, name: str) -> dict[str, Any] | None:
    row = cursor.execute(query, (name,)).fetchone()
    if row is None:
        return None
    try:
        document = json.loads(row[0])
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unusable(
            f"the document {name} in {TABLE} is no JSON object",
            remedy="find out what wrote there, and restore it from a backup.",
        )
    return document
