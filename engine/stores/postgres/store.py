"""Positions in PostgreSQL: ``public.broker_positions``, in either of the two forms of ``schema``.

Rows leave the server as one CSV value and enter a frame through pyarrow, without becoming Python objects.
An account is never formatted into a query. Where accounts are uuids, an intent's name is looked up among ids,
external ids and labels of ``public.broker_accounts``. A name of no account, or of several, is unavailable and
never flat. So are two names of one account: each would have separate limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.errors import EngineError
from engine.ledger.documents import checked_document
from engine.stores.account_book import check_each_once, checked_book
from engine.stores.names_alike import alike_in_ascii, judged_rows
from engine.stores.postgres.accounts import MATCHED, SHOWN_ACCOUNT
from engine.stores.postgres.documents import read_document, replace_document
from engine.stores.postgres.schema import Tables, check_marks, usable_tables
from engine.stores.postgres.server import Server, Unusable
from engine.stores.postgres.writing import as_kept, load_rows, read_mark, utc_text, write_book
from engine.stores.protocols import SyncMark, checked_agent_document_name
from engine.text.plain_text import is_plain

if TYPE_CHECKING:
    import psycopg

# Types of the frames: text (str), number (float64), timestamp (UTC; in transit as microseconds since 1970).
_POSITIONS = {"broker_account_id": "text", "symbol": "text", "qty": "number"}
_BOOK = {**_POSITIONS, "avg_price": "number", "market_value": "number", "updated_at": "timestamp"}
_BOOK_ORDER = 'ORDER BY broker_account_id COLLATE "C", symbol COLLATE "C"'

_LONGEST_AGE_S = 1e9  # 31 years: practically no limit, and far from the end of the calendar

# Rows are returned under the requested name, whatever the column's collation calls equal. A row without an
# account could be any account's: it is returned as it is, and so is each name that was not requested and may
# look like one that was (``names_alike``). An account whose sync is stale has only the row that marks it so:
# the symbols that it holds by now are unknown.
_BY_TEXT = """
WITH wanted AS (SELECT name FROM unnest(%(accounts)s::text[]) AS given (name)),
stale AS ({stale})
SELECT wanted.name AS broker_account_id, held.symbol::text AS symbol, {qty} AS qty
FROM wanted
JOIN public.broker_positions AS held ON btrim(held.broker_account_id::text, E' \\t\\r\\n') = wanted.name
WHERE wanted.name NOT IN (SELECT name FROM stale)
UNION ALL
SELECT name, NULL, NULL FROM stale
UNION ALL
SELECT NULL, held.symbol::text, NULL FROM public.broker_positions AS held
WHERE btrim(held.broker_account_id::text, E' \\t\\r\\n') = '' OR held.broker_account_id IS NULL
UNION ALL
SELECT DISTINCT held.broker_account_id::text, NULL, NULL::numeric FROM public.broker_positions AS held
WHERE (
        held.broker_account_id::text COLLATE "C" ~ '[^ -~]'
        OR lower(replace(held.broker_account_id::text, ' ', '') COLLATE "C") = ANY(%(alike)s::text[])
    )
    AND btrim(held.broker_account_id::text, E' \\t\\r\\n') NOT IN (SELECT name FROM wanted)
"""
_BY_UUID = (
    MATCHED
    + """,
stale AS ({stale})
SELECT wanted.name AS broker_account_id, held.symbol::text AS symbol, {qty} AS qty
FROM wanted
LEFT JOIN matched USING (name)
LEFT JOIN public.broker_positions AS held ON held.broker_account_id = matched.id
WHERE (matched.id IS NULL OR held.broker_account_id IS NOT NULL)
    AND wanted.name NOT IN (SELECT name FROM stale)
UNION ALL
SELECT name, NULL, NULL FROM stale
UNION ALL
SELECT NULL, held.symbol::text, NULL FROM public.broker_positions AS held WHERE held.broker_account_id IS NULL
UNION ALL
SELECT DISTINCT other.name, NULL, NULL::numeric
FROM public.broker_accounts AS a
CROSS JOIN LATERAL (VALUES (a.label::text), (a.external_account_id::text)) AS other (name)
WHERE a.id NOT IN (SELECT id FROM matched) AND other.name NOT IN (SELECT name FROM wanted)
    AND (
        other.name COLLATE "C" ~ '[^ -~]'
        OR lower(replace(other.name, ' ', '') COLLATE "C") = ANY(%(alike)s::text[])
    )
    AND EXISTS (SELECT FROM public.broker_positions AS held WHERE held.broker_account_id = a.id)
"""
)
_NONE_STALE = "SELECT name FROM wanted WHERE false"
_STALE = """
SELECT {names}.name FROM {names}
JOIN public.broker_position_syncs AS mark ON mark.broker_account_id = {names}.{key}
WHERE (mark.synced_at BETWEEN %(first)s::timestamptz AND %(last)s::timestamptz) IS NOT TRUE
"""
_ALL = """
SELECT {account} AS broker_account_id, held.symbol::text AS symbol, held.qty, {avg_price} AS avg_price,
    {market_value} AS market_value, {updated_at} AS updated_at
FROM public.broker_positions AS held
{join}
"""
_ACCOUNT_OF_ROW = SHOWN_ACCOUNT.format(id="held.broker_account_id")


@dataclass(frozen=True)
class PostgresStore:
    """Positions in the PostgreSQL database at ``url`` (libpq's URL or key=value form, used unchanged).

    Each call makes a connection of its own, so that a store may be shared by threads, and ends within
    ``timeout_s``, whatever the server does. Raises ``DataUnavailable`` for reading, ``EngineError`` for
    writing, and ``ConfigurationError`` for an invalid ``url``.
    """

    url: str = field(repr=False)
    timeout_s: float = 10.0

    @property
    def place(self) -> str:
        """Where the store is, for people; holds no secret."""
        return self.server.place

    @property
    def server(self) -> Server:
        """The server, for calls that are not about positions."""
        return Server(self.url, self.timeout_s)

    def positions(
        self, accounts: Sequence[str], *, as_of: pd.Timestamp, max_age_s: float | None = None
    ) -> pd.DataFrame:
        """Return the positions of ``accounts``: ``broker_account_id, symbol, qty`` (float64, signed shares).

        ``qty`` is NaN, which is unavailable, where the row was updated at an unknown time, or more than
        ``max_age_s`` away from ``as_of`` (timezone-aware; None: any age is accepted). An account of which
        ``broker_accounts`` has none or several has one row without a symbol; so has one whose latest sync was
        more than ``max_age_s`` away. Without the table of syncs only the age of each row counts.
        """
        age = timedelta(seconds=_LONGEST_AGE_S if max_age_s is None else min(max_age_s, _LONGEST_AGE_S))
        bounds = {"first": utc_text(as_of - age), "last": utc_text(as_of + age)}
        wanted = list(dict.fromkeys(accounts))
        if not wanted:
            return _frame(b"", _POSITIONS)

        def read(cursor: psycopg.Cursor[Any]) -> pd.DataFrame:
            tables = usable_tables(cursor)
            qty = "held.qty" if max_age_s is None else _fresh_qty(tables)
            stale = _NONE_STALE if max_age_s is None else _stale(tables)
            query = (_BY_UUID if tables.by_uuid else _BY_TEXT).format(qty=qty, stale=stale)
            names = {"accounts": wanted, "alike": alike_in_ascii(wanted)}
            found = _judged(_queried(cursor, query, {**names, **bounds}, _POSITIONS), wanted)
            others = found["broker_account_id"].notna() & ~found["broker_account_id"].isin(wanted)
            return found[~others].reset_index(drop=True) if tables.by_uuid else found

        return self.server.read(read)

    def all_positions(self) -> pd.DataFrame:
        """Return every position: ``POSITION_COLUMNS``, by account and symbol.

        ``avg_price`` and ``market_value`` are NaN where unknown, ``updated_at`` is in UTC. An account that
        is a uuid is shown by its label, else its external id, else its uuid.
        """

        def read(cursor: psycopg.Cursor[Any]) -> pd.DataFrame:
            query = _all_positions_query(usable_tables(cursor))
            return _queried(cursor, query, {}, _BOOK, order=_BOOK_ORDER)

        return self.server.read(read)

    def load_positions(
        self, frame: pd.DataFrame, *, updated_at: datetime, replace_accounts: bool = True
    ) -> int:
        """Write positions, all or none, and return how many.

        ``frame``: ``broker_account_id, symbol, qty`` and, where known, ``avg_price, market_value``; one row
        per account and symbol. It is the whole book of every account that it names, so that other symbols of
        theirs are removed; with ``replace_accounts=False`` they stay. ``updated_at`` is timezone-aware.
        """
        timestamp = utc_text(updated_at)
        rows = self._rows(frame)
        return self.server.write(
            lambda cursor: load_rows(cursor, rows, timestamp=timestamp, replace_accounts=replace_accounts)
        )

    def keep_book(self, account: str, book: pd.DataFrame, *, mark: SyncMark) -> int:
        """Make ``book`` the account's whole book and keep the mark, both or neither; return the rows written.

        ``book``: ``symbol`` (text), ``qty``, ``avg_price``, ``market_value`` (float64; NaN is unknown,
        which ``qty`` may not be), one row per symbol. A kept symbol that the book lacks becomes 0, without
        prices, and its row stays. All rows of the account then have ``mark.synced_at``; a mark older than
        the one kept is refused.
        """
        checked = checked_book(book, account=account, place=self.place)
        utc_text(mark.synced_at)
        return self.server.write(lambda cursor: write_book(cursor, account, checked, mark=mark))

    def sync_mark(self, account: str) -> SyncMark | None:
        """Return the mark of the account's newest sync, None where there never was one.

        It is also None where the table of syncs is missing, since no mark can have been kept.
        """
        return self.server.read(lambda cursor: read_mark(cursor, account))

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Return a document of the engine, None where none was ever kept under that name.

        Raises ``DataUnavailable``, and ``ValueError`` for a name that is not ``[a-z0-9-]{1,64}``.
        """
        checked_agent_document_name(name)
        return self.server.read(lambda cursor: read_document(cursor, name))

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing`` (None: nothing); return whether it was.

        ``new`` holds only what JSON can. Raises ``EngineError``, and ``ValueError`` as
        ``agent_document`` does.
        """
        checked_agent_document_name(name)
        document = checked_document(new, f"the agent's document {name!r}")
        return self.server.write(lambda cursor: replace_document(cursor, name, document, replacing=replacing))

    def check(self) -> str:
        """Try connection and table; return a phrase about what was found. Raises ``DataUnavailable``."""

        def read(cursor: psycopg.Cursor[Any]) -> str:
            tables = usable_tables(cursor)
            _queried(cursor, f"{_all_positions_query(tables)} LIMIT 1", {}, _BOOK)
            accounts = "SELECT count(DISTINCT broker_account_id) FROM public.broker_positions"
            if tables.by_uuid:
                accounts = "SELECT count(*) FROM public.broker_accounts"
            positions = "SELECT count(*) FROM public.broker_positions"
            found = cursor.execute(f"SELECT current_setting('server_version'), ({accounts}), ({positions})")
            version, accounts_found, positions_found = found.fetchall()[0]
            tls = "on" if cursor.connection.pgconn.ssl_in_use else "off"
            return (
                f"PostgreSQL {version.split()[0]}, {accounts_found} account{'s' * (accounts_found != 1)}, "
                f"{positions_found} position{'s' * (positions_found != 1)}, TLS {tls}"
                + ("" if tables.marks else "; to sync into it, run init-db first")
            )

        return self.server.read(read)

    def _rows(self, frame: pd.DataFrame) -> list[tuple[Any, ...]]:
        check_each_once(frame)
        numbers = [_numbers(frame, name) for name in ("qty", "avg_price", "market_value")]
        rows = list(zip(frame["broker_account_id"].tolist(), frame["symbol"].tolist(), *numbers, strict=True))
        for account, symbol, qty, *_ in rows:
            if qty is None:
                raise EngineError(
                    f"{self.place}: can't be written (the position of {account} in {symbol} has no qty). "
                    f"Nothing of this write was kept; add one, 0 for flat, and load again."
                )
        return rows


def _judged(found: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    """Return the rows as ``judged_rows`` does, calling it only for those that may have to change."""
    names = found["broker_account_id"]
    plain = {symbol: is_plain(symbol) for symbol in found["symbol"].dropna().unique()}
    is_odd = (names.notna() & ~names.isin(wanted)) | found["symbol"].isin([s for s in plain if not plain[s]])
    if not is_odd.any():
        return found
    odd = found[is_odd].astype(object).where(found[is_odd].notna(), None)
    judged = pd.DataFrame(judged_rows(odd.itertuples(index=False, name=None), wanted), columns=found.columns)
    every = pd.concat([found[~is_odd], judged.astype(found.dtypes.to_dict())], ignore_index=True)
    in_doubt = every[every["symbol"].isna()]
    return every.drop(index=in_doubt.index[in_doubt.duplicated("broker_account_id")]).reset_index(drop=True)


def _fresh_qty(tables: Tables) -> str:
    if "updated_at" not in tables.positions:
        raise Unusable(
            "EXEC_POSITIONS_MAX_AGE_S is set and public.broker_positions has no column updated_at",
            remedy="run `execution-engine init-db`, which adds it, and load the positions again.",
        )
    first, last = (as_kept(tables, f"%({name})s") for name in ("first", "last"))
    return f"CASE WHEN held.updated_at BETWEEN {first} AND {last} THEN held.qty END"


def _stale(tables: Tables) -> str:
    """Return the query for the names of accounts whose sync is stale; none is without a table of marks."""
    if not tables.marks:
        return _NONE_STALE
    check_marks(tables)
    return _STALE.format(
        **({"names": "matched", "key": "id"} if tables.by_uuid else {"names": "wanted", "key": "name"})
    )


def _all_positions_query(tables: Tables) -> str:
    there = {
        name: f"held.{name}" if name in tables.positions else "NULL" for name in ("avg_price", "market_value")
    }
    timestamp = "NULL"
    if "updated_at" in tables.positions:
        us = "(extract(epoch FROM held.updated_at) * 1000000)::bigint"
        timestamp = f"CASE WHEN isfinite(held.updated_at) THEN {us} END"
    account, join = "held.broker_account_id::text", ""
    if tables.by_uuid:
        account = _ACCOUNT_OF_ROW
        join = "LEFT JOIN public.broker_accounts AS a ON a.id = held.broker_account_id"
    return _ALL.format(account=account, join=join, updated_at=timestamp, **there)


def _queried(
    cursor: psycopg.Cursor[Any], query: str, values: dict[str, Any], types: dict[str, str], *, order: str = ""
) -> pd.DataFrame:
    """Return a query's rows as a frame.

    The server makes one CSV value of them: COPY, which sends them one by one, takes twice the time. Text is
    quoted and NULL is not, so that empty text differs from NULL.
    """
    cells = [
        f"""coalesce('"' || replace({name}, '"', '""') || '"', '')"""
        if kind == "text"
        else f"coalesce({name}::text, '')"
        for name, kind in types.items()
    ]
    line = " || ',' || ".join(cells)
    # The last line needs a newline as well: without one pyarrow 26 reads an empty last cell as a quoted one.
    cursor.execute(f"SELECT string_agg({line} || E'\\n', '' {order}) FROM ({query}) AS found", values)
    reply = cursor.pgresult
    if reply is None:
        raise ValueError("there is no reply")
    return _frame(reply.get_value(0, 0) or b"", types)


def _frame(rows: bytes, types: dict[str, str]) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import csv

    kinds = {"text": pa.string(), "number": pa.float64(), "timestamp": pa.int64()}
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    table = schema.empty_table()
    if rows:  # pyarrow reads no columns from an empty file, even where they are named
        table = csv.read_csv(
            pa.BufferReader(rows),
            read_options=csv.ReadOptions(column_names=schema.names, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    kinds["timestamp"] = pa.timestamp("us", tz="UTC")
    frame: pd.DataFrame = table.cast(pa.schema([(n, kinds[kind]) for n, kind in types.items()])).to_pandas()
    return frame


def _numbers(frame: pd.DataFrame, name: str) -> list[float | None]:
    if name not in frame and name != "qty":
        return [None] * len(frame)
    numbers = frame[name].to_numpy(dtype="float64", na_value=math.nan).tolist()
    return [None if math.isnan(number) else number for number in numbers]
