"""The tables in PostgreSQL: detect which of two forms exists, check it, and create what is missing.

Positions are kept in ``public.broker_positions``, under the accounts' own names (text), or under a uuid
that refers to ``public.broker_accounts (id, broker, external_account_id, label)``. The mark of an account's
last sync is kept in ``public.broker_position_syncs``, under the same name or uuid. The engine's own
documents are those of ``engine.stores.postgres.documents``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigurationError
from engine.stores.postgres.documents import CREATE, ONE_AT_A_TIME, TABLE, documents_exist
from engine.stores.postgres.server import Unusable

if TYPE_CHECKING:
    import psycopg

    from engine.stores.postgres.server import Server

_CATALOG = """
SELECT c.relname, c.relkind::text, a.attname,
    CASE
        WHEN base.typname IN ('uuid', 'date', 'timestamp', 'timestamptz') THEN base.typname::text
        WHEN base.typname IN ('int2', 'int4', 'int8', 'float4', 'float8', 'numeric') THEN 'number'
        WHEN base.typcategory = 'S' THEN 'text'
        ELSE pg_catalog.format_type(a.atttypid, a.atttypmod)
    END
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type AS base ON base.oid = CASE t.typbasetype WHEN 0 THEN t.oid ELSE t.typbasetype END
WHERE c.relname IN ('broker_positions', 'broker_accounts', 'broker_position_syncs')
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
# Half of each page is left free: a sync writes all rows anew, and a row that fits beside its predecessor
# needs no new entry in the index, which halves the time of a sync.
_CREATE = """
CREATE TABLE public.broker_positions (
    broker_account_id text NOT NULL,
    symbol text NOT NULL,
    qty numeric NOT NULL,
    avg_price numeric,
    market_value numeric,
    updated_at timestamptz NOT NULL DEFAULT now(),
    raw jsonb,
    UNIQUE (broker_account_id, symbol)
) WITH (fillfactor = 50)
"""
_CREATE_MARKS = """
CREATE TABLE public.broker_position_syncs (
    broker_account_id {account} PRIMARY KEY,
    synced_at timestamptz NOT NULL,
    trading_date date NOT NULL,
    reconciled_on date,
    open_breaks int NOT NULL
)
"""
# The index that ON CONFLICT needs: unique, over exactly these columns, for all rows, not deferrable.
_KEY = """
SELECT bool_and(i.indimmediate)
FROM pg_catalog.pg_index AS i
WHERE i.indrelid = %(table)s::regclass AND i.indisunique AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = cardinality(%(columns)s::text[])
    AND (
        SELECT array_agg(a.attname::text ORDER BY a.attname)
        FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    ) = %(columns)s::text[]
"""
_ADD_MARKS_KEY = "ALTER TABLE public.broker_position_syncs ADD PRIMARY KEY (broker_account_id)"
_ADD_KEY = "ALTER TABLE public.broker_positions ADD UNIQUE (broker_account_id, symbol)"
# Existing rows get no updated_at: theirs is unknown, and now() would pass old ones off as fresh.
_ADD_COLUMN = {
    "avg_price": ("ALTER TABLE public.broker_positions ADD COLUMN avg_price numeric",),
    "market_value": ("ALTER TABLE public.broker_positions ADD COLUMN market_value numeric",),
    "updated_at": (
        "ALTER TABLE public.broker_positions ADD COLUMN updated_at timestamptz",
        "ALTER TABLE public.broker_positions ALTER COLUMN updated_at SET DEFAULT now()",
    ),
    "raw": ("ALTER TABLE public.broker_positions ADD COLUMN raw jsonb",),
}

_TYPES = {
    "broker_account_id": ("text", "uuid"),
    "symbol": ("text",),
    "qty": ("number",),
    "avg_price": ("number",),
    "market_value": ("number",),
    "updated_at": ("timestamptz", "timestamp"),
}
_REQUIRED = ("broker_account_id", "symbol", "qty")
_ACCOUNT_TYPES = {"id": ("uuid",), "external_account_id": ("text",), "label": ("text",)}
_MARK_TYPES = {
    "synced_at": ("timestamptz",),
    "trading_date": ("date",),
    "reconciled_on": ("date",),
    "open_breaks": ("number",),
}
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True)
class Tables:
    """The existing tables: the kind of ``broker_positions`` (``pg_class.relkind``, None: absent); columns.

    ``positions``, ``accounts`` and ``marks`` give each column's type: ``text``, ``uuid``, ``number``,
    ``date``, ``timestamp``, ``timestamptz``, or the name of any other. ``accounts`` is empty where
    ``broker_accounts`` is absent, ``marks`` where ``broker_position_syncs`` is.
    """

    kind: str | None
    positions: Mapping[str, str]
    accounts: Mapping[str, str]
    marks: Mapping[str, str]

    @property
    def by_uuid(self) -> bool:
        """Whether accounts are uuids that refer to ``broker_accounts``."""
        return self.positions.get("broker_account_id") == "uuid"

    @property
    def account_type(self) -> str:
        """The type of an account's column: ``uuid`` or ``text``."""
        return "uuid" if self.by_uuid else "text"


def look_up(cursor: psycopg.Cursor[Any]) -> Tables:
    """Return the tables from the server's catalog, unchecked."""
    kind: str | None = None
    tables = ("broker_positions", "broker_accounts", "broker_position_syncs")
    columns: dict[str, dict[str, str]] = {table: {} for table in tables}
    for table, relkind, column, kept_as in cursor.execute(_CATALOG).fetchall():
        if table == "broker_positions":
            kind = relkind
        if column is not None:
            columns[table][column] = kept_as
    return Tables(kind, *(columns[table] for table in tables))


def usable_tables(cursor: psycopg.Cursor[Any]) -> Tables:
    """Return the tables. Raises ``Unusable`` where the engine can't use them."""
    tables = look_up(cursor)
    if tables.kind is None:
        raise Unusable(
            "there is no table public.broker_positions",
            remedy="run `execution-engine init-db`, which makes it.",
        )
    _check(tables)
    return tables


def check_marks(tables: Tables) -> None:
    """Raise ``Unusable`` where the table of sync marks is missing or doesn't fit the accounts."""
    if not tables.marks:
        raise Unusable(
            "there is no table public.broker_position_syncs",
            remedy="run `execution-engine init-db`, which makes it.",
        )
    types = {"broker_account_id": (tables.account_type,), **_MARK_TYPES}
    _check_columns("broker_position_syncs", tables.marks, types, required=tuple(types))


def init_db(server: Server) -> list[str]:
    """Create what is missing, and return a sentence for each change: none where nothing was missing.

    Nothing that exists is dropped or changed, and all changes are made or none. Raises ``ConfigurationError``
    for a table that the engine can't use, ``EngineError`` for any other failure.
    """

    def make(cursor: psycopg.Cursor[Any]) -> list[str]:
        cursor.execute(ONE_AT_A_TIME)
        tables = look_up(cursor)
        try:
            return [
                *_positions_made(cursor, tables),
                *_marks_made(cursor, tables),
                *_documents_made(cursor),
            ]
        except Unusable as error:
            raise ConfigurationError(
                f"{server.place}: {error}. Nothing was changed; {error.remedy}"
            ) from error

    return server.write(make)


def _positions_made(cursor: psycopg.Cursor[Any], tables: Tables) -> list[str]:
    if tables.kind is None:
        cursor.execute(_CREATE)
        return ["Created the table public.broker_positions."]
    _check_kind(tables)
    _check(tables)
    return _complete(cursor, tables)


def _marks_made(cursor: psycopg.Cursor[Any], tables: Tables) -> list[str]:
    if not tables.marks:
        cursor.execute(_CREATE_MARKS.format(account=tables.account_type))
        return ["Created the table public.broker_position_syncs."]
    check_marks(tables)
    if _is_unique(cursor, "broker_position_syncs", ["broker_account_id"]):
        return []
    cursor.execute(_ADD_MARKS_KEY)
    return ["Added the primary key (broker_account_id) to public.broker_position_syncs."]


def _documents_made(cursor: psycopg.Cursor[Any]) -> list[str]:
    if documents_exist(cursor):
        return []
    cursor.execute(CREATE)
    return [f"Created the table {TABLE}."]


def _complete(cursor: psycopg.Cursor[Any], tables: Tables) -> list[str]:
    import psycopg

    done = []
    for column, statements in _ADD_COLUMN.items():
        if column not in tables.positions:
            for statement in statements:
                cursor.execute(statement)
            done.append(f"Added the column {column} to public.broker_positions.")
    if _is_unique(cursor, "broker_positions", ["broker_account_id", "symbol"]):
        return done
    try:
        cursor.execute(_ADD_KEY)
    except psycopg.errors.UniqueViolation as error:
        raise Unusable(
            f"public.broker_positions holds two rows for one account and symbol "
            f"({error.diag.message_detail or 'the server names none'})",
            remedy="find out which row is right, delete the other, and run init-db again.",
        ) from error
    return [*done, "Added the unique constraint (broker_account_id, symbol) to public.broker_positions."]


def _is_unique(cursor: psycopg.Cursor[Any], table: str, columns: list[str]) -> bool:
    """Return whether rows are unique by these sorted columns. Raises ``Unusable`` if that is deferrable."""
    values = {"table": f"public.{table}", "columns": columns}
    ((immediate,),) = cursor.execute(_KEY, values).fetchall()
    if immediate is False:
        raise Unusable(
            f"the unique constraint ({', '.join(columns)}) of public.{table} is deferrable",
            remedy="drop it, since no load can use it, and run init-db again, which adds a plain one.",
        )
    return bool(immediate)


def _check_kind(tables: Tables) -> None:
    if tables.kind in _KINDS:
        raise Unusable(
            f"public.broker_positions is {_KINDS[tables.kind]}; expected a table",
            remedy="rename it, or let DATABASE_URL name another database; init-db then makes the table.",
        )


def _check(tables: Tables) -> None:
    """Raise ``Unusable`` where the existing columns can't be used."""
    _check_columns("broker_positions", tables.positions, _TYPES, required=_REQUIRED)
    if not tables.by_uuid:
        return
    if not tables.accounts:
        raise Unusable(
            "public.broker_positions refers to accounts by uuid and there is no table public.broker_accounts",
            remedy="create it: id uuid, broker, external_account_id and label (text), one row per account.",
        )
    _check_columns("broker_accounts", tables.accounts, _ACCOUNT_TYPES, required=tuple(_ACCOUNT_TYPES))


def _check_columns(
    table: str, columns: Mapping[str, str], types: Mapping[str, tuple[str, ...]], *, required: tuple[str, ...]
) -> None:
    for column, allowed in types.items():
        kept_as = columns.get(column)
        if kept_as in allowed or (kept_as is None and column not in required):
            continue
        found = f"has no column {column}" if kept_as is None else f"keeps {column} as {kept_as}"
        raise Unusable(
            f"public.{table} {found}; expected {column} as {' or '.join(allowed)}",
            remedy="correct it, or rename it and run `execution-engine init-db`, which makes a new one.",
        )
