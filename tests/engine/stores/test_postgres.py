"""What only PostgreSQL has: two forms of the table, odd columns, TLS, roles, addresses."""

from __future__ import annotations

import math
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest
import trustme
from psycopg import sql

from engine.errors import ConfigurationError, DataUnavailable, EngineError
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from engine.stores.protocols import SyncMark
from tests.servers.postgres import PostgresServer

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")
FIRST, SECOND, THIRD = (f"aaaaaaaa-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))


def run_sql(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def store(database_url: str) -> PostgresStore:
    """An empty store whose accounts are text."""
    store = PostgresStore(database_url)
    init_db(store.server)
    return store


@pytest.fixture
def uuid_store(database_url: str) -> PostgresStore:
    """A store of three accounts: paper (PA1), live (PA2) and another PA2 without a label."""
    run_sql(
        database_url,
        "CREATE TABLE broker_accounts"
        " (id uuid PRIMARY KEY, broker text, external_account_id text, label varchar(40))",
        f"INSERT INTO broker_accounts VALUES ('{FIRST}', 'alpaca', 'PA1', 'paper'),"
        f" ('{SECOND}', 'alpaca', 'PA2', 'live'), ('{THIRD}', 'other', 'PA2', NULL)",
        "CREATE TABLE broker_positions (broker_account_id uuid NOT NULL REFERENCES broker_accounts,"
        " symbol text NOT NULL, qty numeric NOT NULL)",
    )
    store = PostgresStore(database_url)
    init_db(store.server)
    run_sql(
        database_url,
        f"INSERT INTO broker_positions VALUES ('{FIRST}', 'SPY', 1), ('{SECOND}', 'SPY', 2),"
        f" ('{THIRD}', 'SPY', 3)",
    )
    return store


def book(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["broker_account_id", "symbol", "qty"])


def held(
    store: PostgresStore, *accounts: str, max_age_s: float | None = None
) -> list[tuple[str, str | None, float | None]]:
    frame = store.positions(accounts, as_of=NOON, max_age_s=max_age_s).astype(object)
    rows = frame.where(frame.notna(), None).itertuples(index=False, name=None)
    return sorted(rows, key=str)


def mark(seconds: float = 0) -> SyncMark:
    """Return the mark of a sync, so many seconds after noon."""
    timestamp = (NOON + timedelta(seconds=seconds)).to_pydatetime()
    return SyncMark(synced_at=timestamp, trading_date=date(2026, 3, 2), reconciled_on=None, open_breaks=1)


def whole_book(**quantities: float) -> pd.DataFrame:
    """Return a book as a sync brings it."""
    frame = pd.DataFrame({"symbol": list(quantities), "qty": list(quantities.values())})
    return frame.assign(avg_price=1.5, market_value=None).astype({"market_value": "float64"})


# --- accounts that are uuids


@pytest.mark.parametrize("name", ["paper", "PA1", FIRST, FIRST.upper()])
def test_an_account_is_found_by_label_external_id_or_id(uuid_store: PostgresStore, name: str) -> None:
    assert held(uuid_store, name) == [(name, "SPY", 1.0)]


@pytest.mark.parametrize("name", ["PA2", "pa1", "Paper", "", "nobody", "a\nb", FIRST.replace("-", "")])
def test_a_name_that_means_no_account_or_several_is_unavailable_and_never_flat(
    uuid_store: PostgresStore, name: str
) -> None:
    assert held(uuid_store, name, "live") == sorted([(name, None, None), ("live", "SPY", 2.0)], key=str)


@pytest.mark.parametrize("second", ["PA1", FIRST, FIRST.upper()])
def test_two_names_of_one_account_are_unavailable_lest_each_has_the_limits(
    uuid_store: PostgresStore, second: str
) -> None:
    assert sorted(held(uuid_store, "paper", second)) == sorted([("paper", None, None), (second, None, None)])


def test_a_known_account_without_rows_is_flat(uuid_store: PostgresStore) -> None:
    run_sql(uuid_store.url, "DELETE FROM broker_positions")
    assert held(uuid_store, "paper") == []


def test_a_label_that_spells_the_id_of_another_account_is_ambiguous(uuid_store: PostgresStore) -> None:
    run_sql(uuid_store.url, f"UPDATE broker_accounts SET label = '{FIRST}' WHERE id = '{SECOND}'")
    assert held(uuid_store, FIRST) == [(FIRST, None, None)]


def test_all_positions_shows_the_label_else_the_external_id_else_the_uuid(uuid_store: PostgresStore) -> None:
    run_sql(uuid_store.url, f"UPDATE broker_accounts SET label = '' WHERE id = '{FIRST}'")
    run_sql(uuid_store.url, f"UPDATE broker_accounts SET external_account_id = NULL WHERE id = '{THIRD}'")
    assert uuid_store.all_positions()["broker_account_id"].tolist() == ["PA1", THIRD, "live"]


def test_a_load_under_any_name_of_an_account_replaces_its_book(uuid_store: PostgresStore) -> None:
    uuid_store.load_positions(book(("PA1", "QQQ", 5)), updated_at=NOON)
    assert held(uuid_store, "paper") == [("paper", "QQQ", 5.0)]


@pytest.mark.parametrize(
    ("name", "why"), [("nobody", "'nobody' means no account"), ("PA2", "'PA2' means 2 accounts")]
)
def test_a_load_for_no_account_or_several_names_those_there_are_and_writes_nothing(
    uuid_store: PostgresStore, name: str, why: str
) -> None:
    with pytest.raises(
        EngineError, match=rf"{why} .*Nothing of this write was kept; use one of: PA2, live, paper"
    ):
        uuid_store.load_positions(book(("paper", "QQQ", 5), (name, "SPY", 9)), updated_at=NOON)
    assert held(uuid_store, "paper") == [("paper", "SPY", 1.0)]


def test_a_load_with_two_names_of_one_account_for_a_symbol_is_refused(uuid_store: PostgresStore) -> None:
    with pytest.raises(EngineError, match="two names of the account"):
        uuid_store.load_positions(book(("paper", "SPY", 5), ("PA1", "SPY", 9)), updated_at=NOON)
    assert held(uuid_store, "paper") == [("paper", "SPY", 1.0)]


@pytest.mark.parametrize("name", ["paper", "PA1", FIRST, FIRST.upper()])
def test_a_book_under_any_name_of_an_account_is_that_accounts(uuid_store: PostgresStore, name: str) -> None:
    assert uuid_store.keep_book(name, whole_book(QQQ=5), mark=mark()) == 2
    assert held(uuid_store, "paper") == [("paper", "QQQ", 5.0), ("paper", "SPY", 0.0)]
    assert held(uuid_store, "live") == [("live", "SPY", 2.0)]
    assert [uuid_store.sync_mark(other) for other in ("paper", "PA1", FIRST)] == [mark()] * 3
    assert uuid_store.sync_mark("live") is None


def test_of_two_names_of_one_account_the_older_sync_is_refused(uuid_store: PostgresStore) -> None:
    uuid_store.keep_book("paper", whole_book(QQQ=5), mark=mark())
    with pytest.raises(EngineError, match=r"the book of PA1 was read at .* newer is kept"):
        uuid_store.keep_book("PA1", whole_book(QQQ=6), mark=mark(-1))
    assert uuid_store.sync_mark("paper") == mark()


def test_a_stale_sync_under_one_name_makes_the_account_unavailable_under_all(
    uuid_store: PostgresStore,
) -> None:
    uuid_store.keep_book("paper", whole_book(QQQ=5), mark=mark(-61))
    for name in ("paper", "PA1", FIRST.upper()):
        assert held(uuid_store, name, max_age_s=60) == [(name, None, None)]
        assert (name, "QQQ", 5.0) in held(uuid_store, name)


@pytest.mark.parametrize(
    ("name", "why"), [("nobody", "'nobody' means no account"), ("PA2", "'PA2' means 2 accounts")]
)
def test_a_book_of_no_account_or_several_names_those_there_are_and_writes_nothing(
    uuid_store: PostgresStore, name: str, why: str
) -> None:
    with pytest.raises(EngineError, match=rf"{why} .*Nothing of this write was kept; use one of: PA2, live"):
        uuid_store.keep_book(name, whole_book(QQQ=5), mark=mark())
    with pytest.raises(DataUnavailable, match=rf"{why} .*Use one of: PA2, live, paper"):
        uuid_store.sync_mark(name)
    assert held(uuid_store, "paper", "live") == [("live", "SPY", 2.0), ("paper", "SPY", 1.0)]


# --- where the table of syncs is missing, or isn't what it should be


@pytest.fixture(params=["text", "uuid"])
def without_syncs(request: pytest.FixtureRequest) -> PostgresStore:
    """A store made before there were syncs: ``paper`` has 1 SPY, loaded at noon."""
    store: PostgresStore = request.getfixturevalue("store" if request.param == "text" else "uuid_store")
    run_sql(store.url, "DROP TABLE broker_position_syncs")
    store.load_positions(book(("paper", "SPY", 1)), updated_at=NOON)
    return store


def test_positions_are_read_as_before_there_were_syncs(without_syncs: PostgresStore) -> None:
    assert held(without_syncs, "paper") == [("paper", "SPY", 1.0)]
    assert held(without_syncs, "paper", max_age_s=60) == [("paper", "SPY", 1.0)]
    assert without_syncs.sync_mark("paper") is None
    assert len(without_syncs.all_positions()) >= 1


def test_a_book_can_be_kept_once_init_db_has_made_the_table_of_syncs(without_syncs: PostgresStore) -> None:
    assert without_syncs.check().endswith("; to sync into it, run init-db first")
    with pytest.raises(
        EngineError,
        match=r"no table public\.broker_position_syncs\)\. Nothing .* kept; run `execution-engine init-db`",
    ):
        without_syncs.keep_book("paper", whole_book(QQQ=5), mark=mark())
    assert held(without_syncs, "paper") == [("paper", "SPY", 1.0)]
    assert init_db(without_syncs.server) == ["Created the table public.broker_position_syncs."]
    without_syncs.keep_book("paper", whole_book(QQQ=5), mark=mark())
    assert held(without_syncs, "paper", max_age_s=0) == [("paper", "QQQ", 5.0), ("paper", "SPY", 0.0)]
    assert without_syncs.check().endswith("TLS on")


def test_a_table_of_syncs_of_another_form_is_unavailable_where_ages_count(store: PostgresStore) -> None:
    run_sql(store.url, "ALTER TABLE broker_position_syncs ALTER synced_at TYPE timestamp")
    assert held(store, "a") == []
    with pytest.raises(DataUnavailable, match="syncs keeps synced_at as timestamp; expected synced_at as"):
        held(store, "a", max_age_s=60)
    with pytest.raises(DataUnavailable, match="syncs keeps synced_at as timestamp"):
        store.sync_mark("a")
    with pytest.raises(
        EngineError, match=r"syncs keeps synced_at as timestamp.*Nothing of this write was kept"
    ):
        store.keep_book("a", whole_book(SPY=1), mark=mark())


def test_a_table_of_syncs_without_its_key_is_completed_by_init_db(store: PostgresStore) -> None:
    run_sql(store.url, "ALTER TABLE broker_position_syncs DROP CONSTRAINT broker_position_syncs_pkey")
    with pytest.raises(EngineError, match="Nothing of this write was kept; run `execution-engine init-db`"):
        store.keep_book("a", whole_book(SPY=1), mark=mark())
    assert init_db(store.server) == [
        "Added the primary key (broker_account_id) to public.broker_position_syncs."
    ]
    assert store.keep_book("a", whole_book(SPY=1), mark=mark()) == 1


@pytest.mark.parametrize("timestamp", ["infinity", "-infinity"])
def test_a_sync_of_unknown_time_is_stale_at_any_age(store: PostgresStore, timestamp: str) -> None:
    store.keep_book("a", whole_book(SPY=1), mark=mark())
    run_sql(store.url, f"UPDATE broker_position_syncs SET synced_at = '{timestamp}'")
    assert held(store, "a", max_age_s=1e9) == [("a", None, None)]
    with pytest.raises(DataUnavailable):
        store.sync_mark("a")


# --- columns


@pytest.mark.parametrize(
    ("kept", "qty"),
    [
        ("'NaN'", None),
        ("NULL", None),
        ("'Infinity'", math.inf),
        ("'-Infinity'", -math.inf),
        ("1e400", math.inf),
        ("123456789012345678901234567890.123456789", 123456789012345678901234567890.123456789),
        ("0.100000000000000000000", 0.1),
    ],
)
def test_a_numeric_becomes_the_nearest_float_and_none_becomes_nan(
    store: PostgresStore, kept: str, qty: float | None
) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions ALTER qty DROP NOT NULL",
        f"INSERT INTO broker_positions VALUES ('a', 'SPY', 1), ('a', 'QQQ', {kept})",
    )
    assert held(store, "a") == [("a", "QQQ", qty), ("a", "SPY", 1.0)]


@pytest.mark.parametrize("kept_as", ["double precision", "real", "varchar(9)", "char(9)", "integer"])
def test_columns_of_other_types_are_read_and_loaded_alike(store: PostgresStore, kept_as: str) -> None:
    number = kept_as in {"double precision", "real", "integer"}
    columns = ["qty"] if number else ["symbol", "broker_account_id"]
    for column in columns:
        run_sql(store.url, f"ALTER TABLE broker_positions ALTER {column} TYPE {kept_as}")
    qty = 7.0 if kept_as == "integer" else 0.1
    store.load_positions(book(("a", "SPY", qty), ("b", "SPY", -qty)), updated_at=NOON)
    store.load_positions(book(("a", "QQQ", qty)), updated_at=NOON)
    assert held(store, "a", "b") == [("a", "QQQ", qty), ("b", "SPY", -qty)]


@pytest.mark.parametrize("kept_as", ["numeric(12, 2)", "integer"])
def test_a_column_that_would_round_a_quantity_refuses_the_load(store: PostgresStore, kept_as: str) -> None:
    run_sql(store.url, f"ALTER TABLE broker_positions ALTER qty TYPE {kept_as}")
    with pytest.raises(
        EngineError, match=r"qty 0\.125 of a in SPY would be kept as 0.*Nothing of this write"
    ):
        store.load_positions(book(("a", "SPY", 0.125)), updated_at=NOON)
    assert held(store, "a") == []


@pytest.mark.parametrize("kept_as", ["numeric(12, 2)", "integer"])
def test_a_column_that_would_round_a_quantity_refuses_the_book(store: PostgresStore, kept_as: str) -> None:
    store.keep_book("a", whole_book(SPY=1), mark=mark())
    run_sql(store.url, f"ALTER TABLE broker_positions ALTER qty TYPE {kept_as}")
    with pytest.raises(
        EngineError, match=r"qty 0\.125 of a in QQQ would be kept as 0.*Nothing of this write"
    ):
        store.keep_book("a", whole_book(SPY=2, QQQ=0.125), mark=mark(1))
    assert held(store, "a") == [("a", "SPY", 1.0)]
    assert store.sync_mark("a") == mark()


@pytest.mark.parametrize("kept_as", ["double precision", "varchar(9)", "char(9)", "timestamp"])
def test_a_book_is_kept_in_columns_of_other_types_alike(store: PostgresStore, kept_as: str) -> None:
    columns = {"double precision": ["qty", "avg_price"], "timestamp": ["updated_at"]}
    for column in columns.get(kept_as, ["symbol", "broker_account_id"]):
        run_sql(store.url, f"ALTER TABLE broker_positions ALTER {column} TYPE {kept_as}")
    store.keep_book("a", whole_book(SPY=0.1, QQQ=1), mark=mark())
    assert store.keep_book("a", whole_book(SPY=0.2, IWM=1), mark=mark(1)) == 3
    expected = [("a", "IWM", 1.0), ("a", "QQQ", 0.0), ("a", "SPY", 0.2)]
    assert held(store, "a", max_age_s=1) == expected
    assert held(store, "a", max_age_s=0.999999) == [("a", None, None)]


def test_a_row_without_a_symbol_is_gone_once_the_account_is_synced(store: PostgresStore) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions ALTER symbol DROP NOT NULL",
        "INSERT INTO broker_positions VALUES ('a', NULL, 1), ('b', NULL, 1)",
    )
    store.keep_book("a", whole_book(SPY=2), mark=mark())
    assert held(store, "a", "b") == sorted([("a", "SPY", 2.0), ("b", None, 1.0)], key=str)


def test_rows_of_the_account_with_blanks_around_its_name_become_0_too(store: PostgresStore) -> None:
    run_sql(
        store.url,
        "INSERT INTO broker_positions VALUES (' a', 'SPY', 90), (E'a\\n', 'QQQ', 90), ('A', 'SPY', 90)",
    )
    assert store.keep_book("a", whole_book(IWM=1), mark=mark()) == 3
    assert held(store, "a", "A") == [
        ("A", "SPY", 90.0),
        ("a", "IWM", 1.0),
        ("a", "QQQ", 0.0),
        ("a", "SPY", 0.0),
    ]


def test_what_others_keep_beside_a_position_stays_and_raw_which_is_of_an_older_book_goes(
    store: PostgresStore,
) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions ADD note text",
        """INSERT INTO broker_positions VALUES ('a', 'SPY', 1, 1, 1, now(), '{"qty": "1"}', 'hedge'),"""
        """ ('a', 'QQQ', 1, 1, 1, now(), '{"qty": "1"}', 'core')""",
    )
    store.keep_book("a", whole_book(SPY=2), mark=mark())
    with psycopg.connect(store.url) as connection:
        rows = connection.execute(
            "SELECT symbol, qty, avg_price, market_value, raw, note FROM broker_positions ORDER BY symbol"
        ).fetchall()
    assert rows == [("QQQ", 0, None, None, None, "core"), ("SPY", 2, 1.5, None, None, "hedge")]


def load_one(store: PostgresStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)


def keep_one(store: PostgresStore) -> None:
    assert store.keep_book("a", whole_book(SPY=1), mark=mark()) == 1


@pytest.mark.parametrize("write", [load_one, keep_one])
@pytest.mark.parametrize(
    "change",
    ["DROP updated_at", "DROP raw", "DROP CONSTRAINT broker_positions_broker_account_id_symbol_key"],
)
def test_a_write_to_a_table_that_lacks_something_says_to_run_init_db(
    store: PostgresStore, change: str, write: Callable[[PostgresStore], None]
) -> None:
    run_sql(store.url, f"ALTER TABLE broker_positions {change}")
    with pytest.raises(EngineError, match="Nothing of this write was kept; run `execution-engine init-db`"):
        write(store)
    assert store.sync_mark("a") is None
    assert init_db(store.server)
    write(store)
    assert held(store, "a", max_age_s=0) == [("a", "SPY", 1.0)]


def test_a_row_without_a_symbol_is_given_without_one(store: PostgresStore) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions ALTER symbol DROP NOT NULL",
        "INSERT INTO broker_positions VALUES ('a', NULL, 1)",
    )
    assert held(store, "a") == [("a", None, 1.0)]
    store.load_positions(book(("a", "SPY", 2)), updated_at=NOON)
    assert held(store, "a") == [("a", "SPY", 2.0)]


@pytest.mark.parametrize("account", ["a\nb", "a\r\nb", '"', "\\", "\\.", "NULL", "a b", "ü🜚", "{a,b}"])
def test_an_account_may_be_any_text(store: PostgresStore, account: str) -> None:
    store.load_positions(book((account, "SPY", 1), ("a", "SPY", 2)), updated_at=NOON)
    assert held(store, account) == [(account, "SPY", 1.0)]
    assert store.all_positions()["broker_account_id"].tolist() == sorted([account, "a"])


@pytest.mark.parametrize("zone", ["timestamptz", "timestamp"])
def test_timestamps_without_a_zone_are_in_utc_whatever_the_database_is_set_to(
    store: PostgresStore, zone: str
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(store.url)["dbname"]
    run_sql(
        store.url,
        f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'",
        f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'",
        f"ALTER DATABASE {name} SET extra_float_digits = -15",
        f"ALTER TABLE broker_positions ALTER updated_at TYPE {zone}, ALTER qty TYPE double precision",
    )
    store.load_positions(book(("a", "SPY", 0.1 + 0.2)), updated_at=NOON - timedelta(seconds=1))
    assert held(store, "a", max_age_s=1) == [("a", "SPY", 0.1 + 0.2)]
    assert held(store, "a", max_age_s=0.999999) == [("a", "SPY", None)]
    assert store.all_positions()["updated_at"].tolist() == [NOON - timedelta(seconds=1)]


@pytest.mark.parametrize("timestamp", ["NULL", "'infinity'", "'-infinity'"])
def test_a_row_of_no_known_age_is_unavailable_where_ages_count(store: PostgresStore, timestamp: str) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions ALTER updated_at DROP NOT NULL",
        f"INSERT INTO broker_positions VALUES ('a', 'SPY', 1, NULL, NULL, {timestamp})",
    )
    assert held(store, "a", max_age_s=1e9) == [("a", "SPY", None)]
    assert held(store, "a") == [("a", "SPY", 1.0)]
    assert store.all_positions()["updated_at"].isna().all()


def test_a_load_clears_what_others_keep_in_raw(store: PostgresStore) -> None:
    run_sql(
        store.url,
        """INSERT INTO broker_positions VALUES ('a', 'SPY', 1, 1, 1, now(), '{"qty": "1"}')""",
    )
    store.load_positions(book(("a", "SPY", 2)), updated_at=NOON)
    with psycopg.connect(store.url) as connection:
        row = connection.execute("SELECT qty, avg_price, market_value, raw FROM broker_positions").fetchone()
    assert row == (2, None, None, None)


@pytest.mark.parametrize(
    ("change", "why", "remedy"),
    [
        (
            "DROP TABLE broker_positions",
            "there is no table public.broker_positions",
            "Run `execution-engine init-db`",
        ),
        ("ALTER TABLE broker_positions DROP symbol", "has no column symbol", "Correct it, or rename it"),
        ("ALTER TABLE broker_positions ALTER qty TYPE text", "keeps qty as text", "Correct it, or rename it"),
        ("ALTER TABLE broker_positions ALTER qty TYPE money", "keeps qty as money", "Correct it"),
        (
            "ALTER TABLE broker_positions ALTER broker_account_id TYPE uuid USING gen_random_uuid()",
            "there is no table public.broker_accounts",
            "Create it",
        ),
    ],
)
def test_a_table_that_cant_be_used_is_unavailable_with_a_remedy(
    store: PostgresStore, change: str, why: str, remedy: str
) -> None:
    run_sql(store.url, change)
    for read in (lambda: held(store, "a"), store.all_positions, store.check):
        with pytest.raises(
            DataUnavailable, match=rf"^PostgreSQL database .*can't be read \(.*{why}.*\)\. {remedy}"
        ):
            read()
    with pytest.raises(EngineError, match=rf"{why}.*Nothing of this write was kept; {remedy[0].lower()}"):
        store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)


def test_a_table_of_the_three_columns_alone_can_be_read(store: PostgresStore) -> None:
    for column in ("avg_price", "market_value", "updated_at", "raw"):
        run_sql(store.url, f"ALTER TABLE broker_positions DROP {column}")
    run_sql(store.url, "INSERT INTO broker_positions VALUES ('a', 'SPY', 1)")
    assert held(store, "a") == [("a", "SPY", 1.0)]
    assert store.all_positions()[["avg_price", "market_value", "updated_at"]].isna().all(axis=None)
    with pytest.raises(DataUnavailable, match=r"no column updated_at\)\. Run `execution-engine init-db`"):
        held(store, "a", max_age_s=60)


def test_positions_may_come_from_a_view(store: PostgresStore) -> None:
    run_sql(
        store.url,
        "ALTER TABLE broker_positions RENAME TO kept",
        "INSERT INTO kept VALUES ('a', 'SPY', 1)",
        "CREATE VIEW broker_positions AS SELECT * FROM kept",
    )
    assert held(store, "a") == [("a", "SPY", 1.0)]


@pytest.mark.parametrize(
    "names", [["paper"], ["paper", "live", "nobody", *(f"account-{n}" for n in range(1000))]]
)
@pytest.mark.parametrize("max_age_s", [None, 60])
def test_the_positions_of_a_batch_are_one_query_on_the_tables(
    store: PostgresStore, names: list[str], max_age_s: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep_book("paper", whole_book(SPY=1), mark=mark(-61))
    execute, queries = psycopg.Cursor.execute, []

    def noting(self: Any, query: str, *values: Any) -> Any:
        queries.append(query)
        return execute(self, query, *values)

    monkeypatch.setattr(psycopg.Cursor, "execute", noting)
    found = held(store, *names, max_age_s=max_age_s)
    assert found == [("paper", None, None) if max_age_s else ("paper", "SPY", 1.0)]
    assert len([query for query in queries if "FROM" in query and "public.broker_position" in query]) == 1


# --- connections


def settings_of(store: PostgresStore, *names: str) -> dict[str, str]:
    def ask(cursor: Any) -> dict[str, str]:
        return {name: cursor.execute(f"SELECT current_setting('{name}')").fetchone()[0] for name in names}

    return store.server.read(ask)


def test_the_server_has_an_earlier_deadline_than_we_have(store: PostgresStore) -> None:
    assert settings_of(
        PostgresStore(store.url, timeout_s=2), "statement_timeout", "lock_timeout", "transaction_read_only"
    ) == {"statement_timeout": "1600ms", "lock_timeout": "1s", "transaction_read_only": "on"}


def test_a_session_is_named_for_the_engine_unless_the_address_says_otherwise(store: PostgresStore) -> None:
    assert settings_of(store, "application_name") == {"application_name": "execution-engine"}
    named = PostgresStore(f"{store.url}?application_name=desk")
    assert settings_of(named, "application_name") == {"application_name": "desk"}


def is_encrypted(store: PostgresStore) -> Any:
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    return store.server.read(lambda cursor: cursor.execute(query).fetchall())


def test_tls_is_as_the_address_says(
    store: PostgresStore, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    assert is_encrypted(PostgresStore(f"{store.url}?sslmode=require")) == [(True,)]
    assert is_encrypted(PostgresStore(f"{store.url}?sslmode=disable")) == [(False,)]
    full = f"{store.url}?sslmode=verify-full&sslrootcert="
    assert is_encrypted(PostgresStore(full + str(postgres_server.ca_file))) == [(True,)]
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    with pytest.raises(
        DataUnavailable, match=r"certificate verify failed.*\)\. See that sslmode, sslrootcert"
    ):
        PostgresStore(f"{full}{other}").check()


def test_tls_is_as_the_environment_says(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.check().endswith("TLS on")
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert store.check().endswith("TLS off")


def test_a_check_says_what_is_there(store: PostgresStore, postgres_server: PostgresServer) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 2)), updated_at=NOON)
    version = store.server.read(lambda cursor: cursor.connection.info.server_version // 10000)
    assert store.check().startswith(f"PostgreSQL {version}.")
    assert store.check().endswith(", 1 account, 2 positions, TLS on")


def test_a_check_counts_the_accounts_there_are(uuid_store: PostgresStore) -> None:
    assert uuid_store.check().endswith(", 3 accounts, 3 positions, TLS on")


def test_a_missing_database_says_to_name_one(store: PostgresStore) -> None:
    with pytest.raises(DataUnavailable, match=r'database "\w+nowhere" does not exist\)\. Name a database'):
        PostgresStore(f"{store.url}nowhere").check()


def test_a_host_that_has_no_address_is_unavailable() -> None:
    with pytest.raises(DataUnavailable, match=r"nowhere\.invalid.*\)\. Correct the host"):
        PostgresStore("postgresql://nowhere.invalid/trading").check()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:secret@db.internal:5433/trading", "PostgreSQL database trading at db.internal:5433"),
        ("postgres://u:secret@db/trading", "PostgreSQL database trading at db:5432"),
        ("postgresql://u:secret@[::1]/trading", "PostgreSQL database trading at [::1]:5432"),
        ("postgresql://u:secret@a,b:7/t", "PostgreSQL database t at a:5432, b:7"),
        ("host=db password=secret user=desk", "PostgreSQL database desk at db:5432"),
        ("postgresql:///t?host=/run/pg&password=secret", "PostgreSQL database t at /run/pg, port 5432"),
        ("postgresql:///t", "PostgreSQL database t at the local socket, port 5432"),
        ("postgresql://u:sec@ret@db/trading", "PostgreSQL (DATABASE_URL)"),
        ("postgresql+psycopg://u:secret@db/trading", "PostgreSQL (DATABASE_URL)"),
        ("", "PostgreSQL (DATABASE_URL)"),
    ],
)
def test_the_place_says_where_it_is_and_holds_no_password(url: str, place: str) -> None:
    assert PostgresStore(url).place == place
    assert "sec" not in repr(PostgresStore(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense-secret",
        "postgresql+psycopg://u:secret@127.0.0.1:1/t",
        "postgresql://u:secret/more@127.0.0.1/t",
        "postgresql://u:1/secret@127.0.0.1/t",
        "postgresql://u:secret@more@127.0.0.1/t",
        "postgresql://u:secret%zz@127.0.0.1/t",
        "postgresql://127.0.0.1:1/t?passwort=secret",
        "host=127.0.0.1 password=my secret",
    ],
)
def test_an_address_that_is_none_is_a_configuration_error_and_not_repeated(url: str) -> None:
    store = PostgresStore(url)
    calls = (
        lambda: held(store, "a"),
        store.all_positions,
        store.check,
        lambda: store.load_positions(book(("a", "SPY", 1)), updated_at=NOON),
        lambda: init_db(store.server),
    )
    for call in calls:
        with pytest.raises(ConfigurationError, match=r"DATABASE_URL is no address .* Correct it") as caught:
            call()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_psycopg_is_loaded_only_once_it_is_used() -> None:
    program = (
        "import sys; from engine.stores.postgres.store import PostgresStore;"
        "import engine.stores.postgres.schema;"
        "PostgresStore('postgresql://127.0.0.1/t'); sys.exit('psycopg' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- roles


@pytest.fixture
def clerk(store: PostgresStore, postgres_server: PostgresServer) -> Iterator[tuple[PostgresStore, str]]:
    """The store as a role sees it that was granted nothing, and the role's name."""
    role, password = f"clerk_{secrets.token_hex(4)}", secrets.token_urlsafe(12)
    server = postgres_server
    run_sql(store.url, f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    known = psycopg.conninfo.conninfo_to_dict(store.url)
    url = f"postgresql://{role}:{password}@{server.host}:{server.port}/{known['dbname']}"
    yield PostgresStore(url), role
    run_sql(store.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_role_without_privileges_gets_which_to_grant(
    store: PostgresStore, clerk: tuple[PostgresStore, str]
) -> None:
    view, role = clerk
    with pytest.raises(
        DataUnavailable,
        match=rf'permission denied.*\)\. GRANT SELECT ON public\.broker_positions TO "{role}"',
    ):
        held(view, "a")
    run_sql(store.url, f"GRANT SELECT ON broker_positions TO {role}")
    assert held(view, "a") == []
    grant = rf'; GRANT SELECT, INSERT, UPDATE, DELETE ON public\.broker_positions TO "{role}"'
    with pytest.raises(EngineError, match=rf"permission denied.*Nothing of this write was kept{grant}"):
        view.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    run_sql(store.url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON broker_positions TO {role}")
    assert view.load_positions(book(("a", "SPY", 1)), updated_at=NOON) == 1


def test_a_role_without_privileges_on_the_syncs_reads_as_before_and_gets_what_to_grant(
    store: PostgresStore, clerk: tuple[PostgresStore, str]
) -> None:
    view, role = clerk
    run_sql(store.url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON broker_positions TO {role}")
    assert held(view, "a") == []
    grant = rf'ON public\.broker_position_syncs TO "{role}"'
    for read in (lambda: held(view, "a", max_age_s=60), lambda: view.sync_mark("a")):
        with pytest.raises(DataUnavailable, match=rf"permission denied.*\)\. GRANT SELECT {grant}"):
            read()
    with pytest.raises(EngineError, match=rf"Nothing .* kept; GRANT SELECT, INSERT, UPDATE, DELETE {grant}"):
        view.keep_book("a", whole_book(SPY=1), mark=mark())
    run_sql(store.url, f"GRANT SELECT, INSERT, UPDATE ON broker_position_syncs TO {role}")
    assert view.keep_book("a", whole_book(SPY=1), mark=mark()) == 1
    assert held(view, "a", max_age_s=0) == [("a", "SPY", 1.0)]


def test_a_policy_that_hides_marks_is_unavailable_and_never_a_fresh_book(
    store: PostgresStore, clerk: tuple[PostgresStore, str]
) -> None:
    view, role = clerk
    store.keep_book("a", whole_book(), mark=mark(-61))
    run_sql(
        store.url,
        f"GRANT SELECT ON broker_positions, broker_position_syncs TO {role}",
        "ALTER TABLE broker_position_syncs ENABLE ROW LEVEL SECURITY",
    )
    with pytest.raises(DataUnavailable, match=rf'row-level security.*ALTER ROLE "{role}" BYPASSRLS'):
        held(view, "a", max_age_s=60)


def test_a_role_that_may_not_see_the_accounts_is_reported_so(
    uuid_store: PostgresStore, postgres_server: PostgresServer
) -> None:
    role = f"clerk_{secrets.token_hex(4)}"
    run_sql(
        uuid_store.url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"GRANT SELECT ON broker_positions TO {role}",
    )
    name = psycopg.conninfo.conninfo_to_dict(uuid_store.url)["dbname"]
    view = PostgresStore(f"postgresql://{role}:x@{postgres_server.host}:{postgres_server.port}/{name}")
    with pytest.raises(DataUnavailable, match=rf'GRANT SELECT ON public\.broker_accounts TO "{role}"'):
        held(view, "paper")
    run_sql(uuid_store.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_policy_that_hides_rows_is_unavailable_and_never_flat(
    store: PostgresStore, clerk: tuple[PostgresStore, str]
) -> None:
    view, role = clerk
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    run_sql(
        store.url,
        f"GRANT SELECT ON broker_positions TO {role}",
        "ALTER TABLE broker_positions ENABLE ROW LEVEL SECURITY",
    )
    with pytest.raises(DataUnavailable, match=rf'row-level security.*ALTER ROLE "{role}" BYPASSRLS'):
        held(view, "a")
    assert held(store, "a") == [("a", "SPY", 1.0)]


def test_a_role_that_may_make_no_tables_gets_what_init_db_needs(
    store: PostgresStore, clerk: tuple[PostgresStore, str]
) -> None:
    view, _ = clerk
    run_sql(store.url, "DROP TABLE broker_positions")
    with pytest.raises(
        EngineError, match=r"permission denied for schema public.*GRANT USAGE ON SCHEMA public"
    ):
        init_db(view.server)


def test_a_wrong_password_is_named_and_not_shown(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    wrong = PostgresStore(store.url.replace(postgres_server.password, "hunter2%2F%40"))
    with pytest.raises(DataUnavailable, match=r"password authentication failed.*\)\. Correct user") as caught:
        wrong.check()
    assert "hunter2" not in str(caught.value)


def test_what_a_server_repeats_of_the_password_is_masked(
    store: PostgresStore, postgres_server: PostgresServer
) -> None:
    def telling(cursor: Any) -> None:
        cursor.execute(sql.SQL("SELECT {}::int").format(sql.Literal(postgres_server.password)))

    with pytest.raises(DataUnavailable, match=r"invalid input syntax for type integer: \"\*{4}\"") as caught:
        store.server.read(telling)
    assert postgres_server.password not in str(caught.value)


@pytest.mark.parametrize("account", ["' paper'", "E'paper\\n'"])
def test_blanks_around_an_account_in_the_table_hide_none_of_its_rows(
    store: PostgresStore, account: str
) -> None:
    run_sql(store.url, "DELETE FROM broker_positions")
    run_sql(
        store.url,
        f"INSERT INTO broker_positions (broker_account_id, symbol, qty) VALUES ({account}, 'SPY', 90)",
    )
    assert held(store, "paper") == [("paper", "SPY", 90.0)]


def test_a_row_without_an_account_is_handed_on_since_it_could_be_anybodys(store: PostgresStore) -> None:
    run_sql(store.url, "INSERT INTO broker_positions (broker_account_id, symbol, qty) VALUES (' ', 'X', 1)")
    frame = store.positions(["paper"], as_of=NOON)
    assert frame[frame["symbol"] == "X"]["broker_account_id"].isna().tolist() == [True]
