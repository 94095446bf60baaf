"""Writing positions into PostgreSQL: a file's, or the whole book of an account with the mark of its sync.

Rows go to the server by COPY into a temporary table and from there into ``public.broker_positions``, within
the transaction of the cursor that is passed in; then they are read back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pandas as pd

from engine.stores.account_book import OLDER_REMEDY, other_forms, why_older
from engine.stores.postgres.accounts import account_ids
from engine.stores.postgres.schema import Tables, check_marks, usable_tables
from engine.stores.postgres.server import Unusable
from engine.stores.protocols import SyncMark

if TYPE_CHECKING:
    import psycopg

_LOADING = """
CREATE TEMPORARY TABLE loading (
    broker_account_id {account} NOT NULL, symbol text NOT NULL, qty numeric NOT NULL,
    avg_price numeric, market_value numeric
) ON COMMIT DROP
"""
# Two loads of one account that don't see each other's uncommitted rows would leave a mixture of both.
_ONE_LOAD_AT_A_TIME = "LOCK TABLE public.broker_positions IN SHARE ROW EXCLUSIVE MODE"
_DELETE = """
DELETE FROM public.broker_positions AS held
WHERE held.broker_account_id IN (SELECT broker_account_id FROM pg_temp.loading) AND NOT EXISTS (
    SELECT FROM pg_temp.loading AS new
    WHERE new.broker_account_id = held.broker_account_id AND new.symbol = held.symbol
)
"""
_UPSERT = """
INSERT INTO public.broker_positions
    (broker_account_id, symbol, qty, avg_price, market_value, updated_at, raw)
SELECT broker_account_id, symbol, qty, avg_price, market_value, {timestamp}, NULL
FROM pg_temp.loading AS new {which}
ON CONFLICT (broker_account_id, symbol) DO UPDATE SET
    qty = excluded.qty, avg_price = excluded.avg_price, market_value = excluded.market_value,
    updated_at = excluded.updated_at, raw = excluded.raw
"""
# Nearly all rows of a sync exist already: to update them takes half the time of INSERT … ON CONFLICT.
# Missing rows are inserted afterwards.
_UPDATE = """
UPDATE public.broker_positions AS held SET
    qty = new.qty, avg_price = new.avg_price, market_value = new.market_value,
    updated_at = {timestamp}, raw = NULL
FROM pg_temp.loading AS new
WHERE held.broker_account_id = new.broker_account_id AND held.symbol = new.symbol
"""
_MISSING = """
WHERE NOT EXISTS (
    SELECT FROM public.broker_positions AS held
    WHERE held.broker_account_id = new.broker_account_id AND held.symbol = new.symbol
)
"""
# Without LIMIT: hoping for an early end, the server would look each row up in the index.
_NOT_KEPT = """
SELECT new.broker_account_id::text, new.symbol, new.qty::text, held.qty::text
FROM pg_temp.loading AS new
LEFT JOIN public.broker_positions AS held USING (broker_account_id, symbol)
WHERE held.qty::text::numeric IS DISTINCT FROM new.qty
"""

# Syncs of one account wait for each other at the row of the mark; other accounts continue. A load of a file
# waits, too: its lock on the table and the rows written here exclude each other.
_MARK = """
INSERT INTO public.broker_position_syncs AS kept
    (broker_account_id, synced_at, trading_date, reconciled_on, open_breaks)
VALUES (%(account)s, %(synced_at)s, %(trading_date)s, %(reconciled_on)s, %(open_breaks)s)
ON CONFLICT (broker_account_id) DO UPDATE SET
    synced_at = excluded.synced_at, trading_date = excluded.trading_date,
    reconciled_on = excluded.reconciled_on, open_breaks = excluded.open_breaks
WHERE (kept.synced_at > excluded.synced_at) IS NOT TRUE
"""
_KEPT_MARK = """
SELECT synced_at, trading_date, reconciled_on, open_breaks FROM public.broker_position_syncs
WHERE broker_account_id = %(account)s
"""
_OWN_ROWS = {
    "text": "btrim(held.broker_account_id::text, E' \\t\\r\\n') = %(account)s",
    "uuid": "held.broker_account_id = %(account)s",
}
"""The condition for the account's rows, the same as where they are read."""
_VANISHED = """
UPDATE public.broker_positions AS held
SET qty = 0, avg_price = NULL, market_value = NULL, updated_at = {timestamp}, raw = NULL
WHERE {own} AND NOT EXISTS (
    SELECT FROM pg_temp.loading AS new
    WHERE new.broker_account_id = held.broker_account_id AND new.symbol = held.symbol
)
RETURNING held.symbol
"""
_OTHER_FORMS = "DELETE FROM public.broker_positions AS held WHERE {own} AND held.symbol = ANY(%(symbols)s)"
_NAMELESS = "DELETE FROM public.broker_positions AS held WHERE {own} AND held.symbol IS NULL"


def utc_text(timestamp: datetime) -> str:
    """Return a timestamp as the server reads it, in UTC. Raises ``ValueError`` for one without a zone."""
    if timestamp.tzinfo is None:
        raise ValueError(
            f"the timestamp is {timestamp!s}, without a zone. Add one, such as tz_localize('UTC')."
        )
    return timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_kept(tables: Tables, timestamp: str) -> str:
    """Return a timestamp as the table keeps it; a column without a zone counts as UTC."""
    zone = " AT TIME ZONE 'UTC'" if tables.positions.get("updated_at") == "timestamp" else ""
    return f"({timestamp}::timestamptz{zone})"


def csv_rows(id_: str, book: pd.DataFrame) -> bytes:
    """Return a book as CSV: text is quoted, also where it is empty; unknown values are left empty."""
    import pyarrow as pa
    from pyarrow import csv

    columns = {"broker_account_id": pa.repeat(pa.scalar(id_, pa.string()), len(book))}
    columns |= {name: pa.array(book[name], from_pandas=True) for name in book.columns}
    written = BytesIO()
    csv.write_csv(
        pa.table(columns), written, csv.WriteOptions(include_header=False, quoting_style="all_valid")
    )
    return written.getvalue()


def load_rows(
    cursor: psycopg.Cursor[Any], rows: Sequence[tuple[Any, ...]], *, timestamp: str, replace_accounts: bool
) -> int:
    """Write rows of ``broker_account_id, symbol, qty, avg_price, market_value``, and return how many."""
    tables = usable_tables(cursor)
    written = _under_uuids(cursor, rows) if tables.by_uuid else rows
    cursor.execute(_ONE_LOAD_AT_A_TIME)
    cursor.execute(_LOADING.format(account=tables.account_type))
    with cursor.copy("COPY pg_temp.loading FROM STDIN") as copy:
        for row in written:
            copy.write_row(row)
    if replace_accounts:
        cursor.execute(_DELETE)
    cursor.execute(_UPSERT.format(timestamp=as_kept(tables, "%s"), which=""), [timestamp])
    _check_kept(cursor)
    return len(written)


def write_book(cursor: psycopg.Cursor[Any], account: str, book: pd.DataFrame, *, mark: SyncMark) -> int:
    """Make a checked ``book`` the account's, and keep the mark; return how many rows were written."""
    tables = usable_tables(cursor)
    check_marks(tables)
    id_ = account_ids(cursor, [account])[account] if tables.by_uuid else account
    own, timestamp = {"account": id_}, {"timestamp": utc_text(mark.synced_at)}
    _keep_mark(cursor, account, id_, mark)
    cursor.execute(_LOADING.format(account=tables.account_type))
    with cursor.copy("COPY pg_temp.loading FROM STDIN (FORMAT csv)") as copy:
        copy.write(csv_rows(id_, book))
    formats = {"timestamp": as_kept(tables, "%(timestamp)s"), "own": _OWN_ROWS[tables.account_type]}
    if cursor.execute(_UPDATE.format(**formats), timestamp).rowcount < len(book):
        cursor.execute(_UPSERT.format(**formats, which=_MISSING), timestamp)
    vanished = cursor.execute(_VANISHED.format(**formats), own | timestamp).fetchall()
    others = other_forms((symbol for (symbol,) in vanished), book["symbol"].tolist())
    if others:
        cursor.execute(_OTHER_FORMS.format(**formats), own | {"symbols": others})
    if (None,) in vanished:  # a row without a symbol would keep the account unavailable for ever
        cursor.execute(_NAMELESS.format(**formats), own)
    _check_kept(cursor)
    return len(book) + len(vanished) - len(others)


def read_mark(cursor: psycopg.Cursor[Any], account: str) -> SyncMark | None:
    """Return the mark of an account, None where there is none, or no table for it."""
    tables = usable_tables(cursor)
    if not tables.marks:
        return None
    check_marks(tables)
    id_ = account_ids(cursor, [account])[account] if tables.by_uuid else account
    return _kept_mark(cursor, id_)


def _keep_mark(cursor: psycopg.Cursor[Any], account: str, id_: str, mark: SyncMark) -> None:
    values = {
        "account": id_,
        "synced_at": utc_text(mark.synced_at),
        "trading_date": mark.trading_date,
        "reconciled_on": mark.reconciled_on,
        "open_breaks": mark.open_breaks,
    }
    if cursor.execute(_MARK, values).rowcount != 1:
        kept = _kept_mark(cursor, id_)
        newer = mark.synced_at if kept is None else kept.synced_at
        raise Unusable(why_older(account, mark.synced_at, newer), remedy=OLDER_REMEDY)


def _kept_mark(cursor: psycopg.Cursor[Any], id_: str) -> SyncMark | None:
    row = cursor.execute(_KEPT_MARK, {"account": id_}).fetchone()
    if row is None:
        return None
    synced_at, trading_date, reconciled_on, open_breaks = row
    return SyncMark(
        synced_at=synced_at.astimezone(UTC),
        trading_date=trading_date,
        reconciled_on=reconciled_on,
        open_breaks=int(open_breaks),
    )


def _under_uuids(cursor: psycopg.Cursor[Any], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows with each account's uuid in place of its name. Raises ``Unusable``."""
    ids = account_ids(cursor, list(dict.fromkeys(row[0] for row in rows)))
    written: dict[tuple[str, str], tuple[Any, ...]] = {}
    for name, symbol, *numbers in rows:
        id_ = ids[name]
        if (id_, symbol) in written:
            raise Unusable(
                f"two names of the account {id_}, one of them {name!r}, have a row for {symbol}",
                remedy="use one name per account, with one row per symbol.",
            )
        written[id_, symbol] = (id_, symbol, *numbers)
    return list(written.values())


def _check_kept(cursor: psycopg.Cursor[Any]) -> None:
    """Read the rows back: a column with few decimals rounds silently, and a trigger may do anything."""
    lost = cursor.execute(_NOT_KEPT).fetchone()
    if lost is not None:
        account, symbol, sent, kept = lost
        raise Unusable(
            f"the qty {sent} of {account} in {symbol} would be kept as {kept}",
            remedy="let public.broker_positions keep qty as numeric without precision, or double precision.",
        )
