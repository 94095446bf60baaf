"""What the stores that are servers cost, against the fastest that their libraries can."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from engine.stores.postgres.writing import csv_rows
from engine.stores.protocols import PositionStore, SyncMark
from tests.benchmarks import data
from tests.benchmarks.timing import Figure, Timing, best_of, quietly, ratio_of
from tests.servers.firestore import FirestoreEmulator
from tests.servers.postgres import PostgresServer

NOW = datetime(2026, 3, 2, 17, tzinfo=UTC)
ROWS, DOCUMENTS = 10_000, 1_000
ABOVE_EMBEDDED_AT_MOST_S = 1.0


def positions_from_postgres() -> Iterator[Figure]:
    """Read ten thousand positions into a frame, against ADBC, the fastest way we know; then write them."""
    import adbc_driver_postgresql.dbapi as adbc
    import psycopg

    accounts = [f"account-{nth}" for nth in range(10)]
    with PostgresServer.running() as server, server.database() as database:
        url = server.url(database)
        store = PostgresStore(url)
        init_db(store.server)
        store.load_positions(_book(accounts), updated_at=NOW)
        query = (
            "SELECT broker_account_id, symbol, qty::float8 FROM public.broker_positions "
            f"WHERE broker_account_id IN ({', '.join(repr(account) for account in accounts)})"
        )

        def ours() -> None:
            assert len(store.positions(accounts, as_of=pd.Timestamp(NOW))) == ROWS

        def read_by_adbc(connection: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute(query)
                assert len(cursor.fetch_arrow_table().to_pandas()) == ROWS

        def adbc_alone() -> None:
            with adbc.connect(url, autocommit=True) as connection:
                read_by_adbc(connection)

        timing, theirs = best_of(15, ours), best_of(15, adbc_alone)
        connecting = best_of(15, lambda: psycopg.connect(url).close())
        with adbc.connect(url, autocommit=True) as connection:
            reading = best_of(15, lambda: read_by_adbc(connection))
    name = "10,000 positions from PostgreSQL"
    yield ratio_of(name, ROWS, timing, theirs, at_most=2.0, against="ADBC, which connects as we do")
    fastest = Timing(connecting.seconds + reading.seconds)
    against = "psycopg's connecting and ADBC's reading, the fastest of both"
    yield ratio_of(name, ROWS, timing, fastest, at_most=2.0, against=against)

    yield from _positions_synced()


def _positions_synced() -> Iterator[Figure]:
    """Keep a book of ten thousand positions, nearly all of which are there, against the bare writing of them.

    The yardsticks make the rows of the same frame, connect as we do, and keep nothing that others could have
    changed meanwhile: a COPY into a temporary table without an index, an ``executemany`` into a bare table.
    """
    import psycopg

    book = _whole_book()
    name = "10,000 positions synced into"
    with PostgresServer.running() as server, server.database() as database:
        url = server.url(database)
        store = PostgresStore(url)
        init_db(store.server)

        def bare_copy() -> None:
            with psycopg.connect(url) as connection, connection.cursor() as cursor:
                cursor.execute(
                    "CREATE TEMPORARY TABLE bare (a text, s text, q numeric, p numeric, v numeric)"
                )
                with cursor.copy("COPY bare FROM STDIN (FORMAT csv)") as copy:
                    copy.write(csv_rows("paper", book))

        syncs = iter(range(1000))
        first = best_of(1, lambda: _sync(store, book, next(syncs)))
        timing, bare = best_of(15, lambda: _sync(store, book, next(syncs))), best_of(15, bare_copy)
        against = "psycopg's COPY of the same CSV into a temporary table"
        yield ratio_of(
            f"{name} PostgreSQL", ROWS, timing, bare, at_most=3.0, against=against,
            first_seconds=round(first.seconds, 4),
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        embedded = EmbeddedStore(Path(folder) / "engine.db")
        rows = [("paper", *row) for row in book.itertuples(index=False, name=None)]

        def bare_inserts() -> None:
            path = Path(folder) / "bare.db"
            path.unlink(missing_ok=True)
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("CREATE TABLE bare (a TEXT, s TEXT, q REAL, p REAL, v REAL)")
                connection.executemany("INSERT INTO bare VALUES (?, ?, ?, ?, ?)", rows)

        timing, bare = best_of(15, lambda: _sync(embedded, book, next(syncs))), best_of(15, bare_inserts)
        yield {
            "name": f"{name} the embedded store", "n": ROWS, "seconds": round(timing.seconds, 4),
            "rate": round(ROWS / timing.seconds), "ratio": round(timing.seconds / bare.seconds, 3),
            "asked": None, "met": None, "against": "executemany into a bare table of a new file",
        }  # fmt: skip


def _sync(store: PositionStore, book: pd.DataFrame, second: int) -> None:
    mark = SyncMark(
        synced_at=NOW + timedelta(seconds=second), trading_date=NOW.date(), reconciled_on=None, open_breaks=0
    )
    assert store.keep_book("paper", book, mark=mark) == ROWS


def documents_to_firestore() -> Iterator[Figure]:
    """Write a thousand new ledger documents, against the library's batches of 500 ``set(merge=True)``."""
    from google.cloud import firestore

    with FirestoreEmulator.running() as emulator:
        os.environ["FIRESTORE_EMULATOR_HOST"] = emulator.address
        store, client = FirestoreStore("bench-ours"), firestore.Client(project="bench-theirs")
        rounds = iter(range(1000))

        def ours() -> None:
            assert store.write_ledger(_documents(next(rounds))) == DOCUMENTS

        def yardstick() -> None:
            documents = _documents(next(rounds))
            for start in range(0, DOCUMENTS, 500):
                batch = client.batch()
                for document in documents[start : start + 500]:
                    reference = client.collection("ledger_trades").document(document["broker_order_id"])
                    batch.set(reference, document, merge=True)
                batch.commit()

        for _ in range(4):  # the emulator's Java compiles itself as it goes
            ours()
            yardstick()
        spans = [(best_of(1, ours).seconds, best_of(1, yardstick).seconds) for _ in range(10)]
        timing, theirs = (Timing(min(side)) for side in zip(*spans, strict=True))
        name = "1,000 new ledger documents to Firestore"
        yield ratio_of(name, DOCUMENTS, timing, theirs, at_most=1.5, against="WriteBatch of 500, twice")


def dry_run_of_100_on_servers() -> Iterator[Figure]:
    """A whole dry run of 100 on both servers and on the embedded store, in turns; and where the time goes."""
    with ExitStack() as started:
        server = started.enter_context(PostgresServer.running())
        database = started.enter_context(server.database())
        emulator = started.enter_context(FirestoreEmulator.running())
        url = server.url(database)
        init_db(PostgresStore(url).server)
        on_servers = {
            "DATABASE_URL": url,
            "FIREBASE_PROJECT_ID": "bench-start",
            "FIRESTORE_EMULATOR_HOST": emulator.address,
        }
        spans = [(_dry_run({}), _dry_run(on_servers)) for _ in range(9)]
        imports = {name: _import(name) for name in ("psycopg", "google.cloud.firestore")}
    embedded, servers = (min(side) for side in zip(*spans, strict=True))
    above = servers - embedded
    yield {
        "name": "dry run of 100 intents on PostgreSQL and Firestore", "n": 100, "seconds": round(servers, 3),
        "embedded_seconds": round(embedded, 3), "above_seconds": round(above, 3),
        "asked": ABOVE_EMBEDDED_AT_MOST_S, "met": above <= ABOVE_EMBEDDED_AT_MOST_S,
        "of_which_imports": imports, "rest_seconds": round(above - sum(imports.values()), 3),
    }  # fmt: skip


def _dry_run(env: dict[str, str]) -> float:
    command = Path(sys.executable).with_name("execution-engine")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "inbox").mkdir()
        (Path(folder) / "inbox" / "intents.jsonl").write_bytes(data.intent_file("jsonl", 100, bad=False))
        own = {"EXEC_DATA_DIR": folder, "EXEC_INBOX_SETTLE_S": "0", **env}
        return best_of(1, partial(quietly, [str(command), "run"], {**os.environ, **own})).seconds


def _import(name: str) -> float:
    """Return what a library adds to a process that has pandas and pyarrow already."""
    bare = [sys.executable, "-c", "import pandas, pyarrow.parquet"]
    with_it = [sys.executable, "-c", f"import pandas, pyarrow.parquet, {name}"]
    pairs = [(best_of(1, partial(quietly, bare)), best_of(1, partial(quietly, with_it))) for _ in range(7)]
    without, both = (min(timing.seconds for timing in side) for side in zip(*pairs, strict=True))
    return round(float(both - without), 3)


def _book(accounts: list[str]) -> pd.DataFrame:
    each = ROWS // len(accounts)
    rows = [(account, f"S{nth:05}", float(nth) + 0.5) for account in accounts for nth in range(each)]
    return pd.DataFrame(rows, columns=["broker_account_id", "symbol", "qty"])


def _whole_book() -> pd.DataFrame:
    rows = [(f"S{nth:05}", nth + 0.5, nth * 1.37 + 0.01, nth * 13.7) for nth in range(ROWS)]
    return pd.DataFrame(rows, columns=["symbol", "qty", "avg_price", "market_value"])


def _documents(turn: int) -> list[dict[str, Any]]:
    head = {
        "broker_account_id": "paper",
        "strategy_id": "momentum",
        "symbol": "SPY",
        "side": "buy",
        "qty": 10.0,
    }
    fills = {"filled_qty": 10.0, "filled_avg_price": 500.25, "filled_at": "2026-03-02T17:00:00+00:00"}
    return [
        {
            "broker_order_id": f"order-{turn}-{nth}",
            "trading_date": "2026-03-02",
            **head,
            **fills,
            "raw_broker_order": {"id": f"order-{turn}-{nth}", "qty": "10", "status": "filled", "legs": None},
            "raw_fill": {"price": "500.25", "qty": "10", "side": "buy", "type": "fill"},
        }
        for nth in range(DOCUMENTS)
    ]
