"""``init_db``: from every state that a database may be in."""

from __future__ import annotations

import threading
from typing import Any

import pandas as pd
import psycopg
import pytest

from engine.errors import ConfigurationError, EngineError
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")
MARKS = "Created the table public.broker_position_syncs."
DOCUMENTS = "Created the table public.execution_engine_documents."
CREATED = ["Created the table public.broker_positions.", MARKS, DOCUMENTS]
KEY = "Added the unique constraint (broker_account_id, symbol) to public.broker_positions."
COLUMNS = [
    f"Added the column {name} to public.broker_positions."
    for name in ("avg_price", "market_value", "updated_at", "raw")
]
ACCOUNTS = (
    "CREATE TABLE broker_accounts (id uuid PRIMARY KEY, broker text, external_account_id text, label text)"
)
THREE = "CREATE TABLE broker_positions (broker_account_id text, symbol text, qty numeric)"
BY_UUID = THREE.replace("broker_account_id text", "broker_account_id uuid")
SYNCS = (
    "CREATE TABLE broker_position_syncs (broker_account_id varchar PRIMARY KEY, synced_at timestamptz,"
    " trading_date date, reconciled_on date, open_breaks bigint, note text)"
)
FULL = THREE.replace(")", ", avg_price real, market_value real, updated_at timestamp, raw text, note text{})")


def run_sql(url: str, *statements: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def everything(url: str) -> list[Any]:
    """Return all columns, indexes, defaults and rows of what is in ``public``."""
    there = run_sql(
        url,
        "SELECT table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    )
    there += run_sql(url, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    tables = {name for name, *_ in there if isinstance(name, str) and name.startswith("broker_")}
    return there + [run_sql(url, f"SELECT * FROM {name} ORDER BY 1") for name in sorted(tables)]


def load_and_read(store: PostgresStore) -> None:
    frame = pd.DataFrame({"broker_account_id": ["paper"], "symbol": ["SPY"], "qty": [1.5]})
    for _ in range(2):
        store.load_positions(frame, updated_at=NOON)
    assert store.positions(["paper"], as_of=NOON, max_age_s=0)["qty"].tolist() == [1.5]


@pytest.mark.parametrize(
    ("statements", "done"),
    [
        ([], CREATED),
        ([THREE], [*COLUMNS, KEY, MARKS, DOCUMENTS]),
        ([FULL.format("")], [KEY, MARKS, DOCUMENTS]),
        ([FULL.format(", UNIQUE (symbol, broker_account_id)")], [MARKS, DOCUMENTS]),
        ([FULL.format(", PRIMARY KEY (broker_account_id, symbol)")], [MARKS, DOCUMENTS]),
        (
            [FULL.format(""), "CREATE UNIQUE INDEX ON broker_positions (broker_account_id, symbol)"],
            [MARKS, DOCUMENTS],
        ),
        ([FULL.format(", UNIQUE (broker_account_id, symbol, note)")], [KEY, MARKS, DOCUMENTS]),
        ([FULL.format(", UNIQUE (broker_account_id, symbol)"), SYNCS], [DOCUMENTS]),
        (
            [FULL.format(", UNIQUE (broker_account_id, symbol)"), SYNCS.replace(" PRIMARY KEY", "")],
            ["Added the primary key (broker_account_id) to public.broker_position_syncs.", DOCUMENTS],
        ),
        (
            [
                FULL.format(""),
                "CREATE UNIQUE INDEX ON broker_positions (broker_account_id, symbol) WHERE qty > 0",
            ],
            [KEY, MARKS, DOCUMENTS],
        ),
        (
            [FULL.format(""), "CREATE UNIQUE INDEX ON broker_positions (broker_account_id) INCLUDE (symbol)"],
            [KEY, MARKS, DOCUMENTS],
        ),
        ([THREE, "ALTER TABLE broker_positions ADD raw jsonb"], [*COLUMNS[:3], KEY, MARKS, DOCUMENTS]),
        (
            [THREE, "ALTER TABLE broker_positions ADD raw jsonb", "ALTER TABLE broker_positions DROP raw"],
            [*COLUMNS, KEY, MARKS, DOCUMENTS],
        ),
    ],
)
def test_what_is_missing_is_made_once(database_url: str, statements: list[str], done: list[str]) -> None:
    store = PostgresStore(database_url)
    if statements:
        run_sql(database_url, *statements)
    assert init_db(store.server) == done
    before = everything(database_url)
    assert init_db(store.server) == []
    assert everything(database_url) == before
    load_and_read(store)


def test_a_table_by_uuid_is_completed_alike(database_url: str) -> None:
    store = PostgresStore(database_url)
    run_sql(
        database_url,
        ACCOUNTS,
        "INSERT INTO broker_accounts VALUES (gen_random_uuid(), 'alpaca', 'PA1', 'paper')",
        BY_UUID.replace("uuid", "uuid REFERENCES broker_accounts"),
    )
    assert init_db(store.server) == [*COLUMNS, KEY, MARKS, DOCUMENTS]
    assert init_db(store.server) == []
    load_and_read(store)


def test_the_table_it_creates_is_the_documented_one(database_url: str) -> None:
    init_db(PostgresStore(database_url).server)
    assert run_sql(
        database_url,
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_name = 'broker_positions' ORDER BY ordinal_position",
    ) == [
        ("broker_account_id", "text", "NO", None),
        ("symbol", "text", "NO", None),
        ("qty", "numeric", "NO", None),
        ("avg_price", "numeric", "YES", None),
        ("market_value", "numeric", "YES", None),
        ("updated_at", "timestamp with time zone", "NO", "now()"),
        ("raw", "jsonb", "YES", None),
    ]


@pytest.mark.parametrize("account", ["text", "uuid"])
def test_the_table_of_syncs_that_it_creates_keeps_accounts_as_positions_do(
    database_url: str, account: str
) -> None:
    if account == "uuid":
        run_sql(database_url, ACCOUNTS, BY_UUID)
    init_db(PostgresStore(database_url).server)
    assert run_sql(
        database_url,
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_name = 'broker_position_syncs' ORDER BY ordinal_position",
    ) == [
        ("broker_account_id", account, "NO"),
        ("synced_at", "timestamp with time zone", "NO"),
        ("trading_date", "date", "NO"),
        ("reconciled_on", "date", "YES"),
        ("open_breaks", "integer", "NO"),
    ]


def test_rows_that_were_there_stay_and_are_of_no_known_age(database_url: str) -> None:
    store = PostgresStore(database_url)
    run_sql(database_url, THREE, "INSERT INTO broker_positions VALUES ('paper', 'SPY', 3)")
    init_db(store.server)
    run_sql(database_url, "INSERT INTO broker_positions VALUES ('paper', 'QQQ', 4)")
    now = pd.Timestamp(run_sql(database_url, "SELECT now()")[0][0])
    assert store.positions(["paper"], as_of=now)["qty"].tolist() == [3, 4]
    fresh = store.positions(["paper"], as_of=now, max_age_s=3600).set_index("symbol")["qty"]
    assert fresh.isna().to_dict() == {"SPY": True, "QQQ": False}


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["CREATE VIEW broker_positions AS SELECT 1 AS qty"], "is a view; expected a table"),
        (["CREATE MATERIALIZED VIEW broker_positions AS SELECT 1 AS qty"], "is a materialized view"),
        ([THREE.replace("symbol", "ticker")], "has no column symbol"),
        ([THREE.replace("qty numeric", "qty text")], "keeps qty as text; expected qty as number"),
        ([THREE.replace("account_id text", "account_id integer")], "keeps broker_account_id as number"),
        ([THREE, "ALTER TABLE broker_positions ADD updated_at text"], "keeps updated_at as text"),
        ([BY_UUID], "there is no table public.broker_accounts"),
        ([FULL.format(", UNIQUE (broker_account_id, symbol) DEFERRABLE")], "is deferrable"),
        ([THREE, SYNCS.replace("varchar", "uuid")], r"syncs keeps broker_account_id as uuid; expected"),
        (
            [BY_UUID, ACCOUNTS, SYNCS],
            r"syncs keeps broker_account_id as text; expected broker_account_id as uuid",
        ),
        ([SYNCS.replace("trading_date date", "trading_date text")], "syncs keeps trading_date as text"),
        ([SYNCS.replace(", open_breaks bigint", "")], "syncs has no column open_breaks"),
        (
            [SYNCS.replace("synced_at timestamptz", "synced_at timestamp")],
            "syncs keeps synced_at as timestamp;",
        ),
        ([BY_UUID, ACCOUNTS.replace("label", "name")], r"broker_accounts has no column label"),
        ([BY_UUID, ACCOUNTS.replace("id uuid", "id text")], r"broker_accounts keeps id as text"),
        (
            [THREE, "INSERT INTO broker_positions VALUES ('a', 'SPY', 1), ('a', 'SPY', 2), ('b', 'SPY', 2)"],
            r"two rows for one account and symbol \(Key \(broker_account_id, symbol\)=\(a, SPY\)",
        ),
    ],
)
def test_a_table_that_cant_be_used_is_left_as_it_is(
    database_url: str, statements: list[str], why: str
) -> None:
    run_sql(database_url, *statements)
    before = everything(database_url)
    with pytest.raises(ConfigurationError, match=rf"{why}.* Nothing was changed; \w+ .*\.$") as caught:
        init_db(PostgresStore(database_url).server)
    assert caught.value.exit_code == 2
    assert everything(database_url) == before


@pytest.mark.parametrize("statements", [[], [THREE]])
def test_of_several_at_the_same_time_one_makes_it(database_url: str, statements: list[str]) -> None:
    if statements:
        run_sql(database_url, *statements)
    ready, done = threading.Barrier(4), []

    def init() -> None:
        ready.wait()
        done.append(init_db(PostgresStore(database_url).server))

    threads = [threading.Thread(target=init) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, done)) == [
        0,
        0,
        0,
        len([*COLUMNS, KEY, MARKS, DOCUMENTS] if statements else CREATED),
    ]


def test_a_lock_on_the_table_is_not_waited_for_for_ever(database_url: str) -> None:
    run_sql(database_url, THREE)
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT * FROM broker_positions")
        with pytest.raises(
            EngineError, match=r"lock timeout.*Nothing of this write was kept; end the session"
        ):
            init_db(PostgresStore(database_url, timeout_s=1).server)
    assert init_db(PostgresStore(database_url).server) == [*COLUMNS, KEY, MARKS, DOCUMENTS]
