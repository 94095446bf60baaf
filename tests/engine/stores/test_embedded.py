from __future__ import annotations

import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.errors import DataUnavailable, EngineError
from engine.stores import embedded
from engine.stores.embedded import POSITION_COLUMNS, EmbeddedStore

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")
SESSION = date(2026, 3, 2)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "engine.db")


def book(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["broker_account_id", "symbol", "qty"])


def held(
    store: EmbeddedStore, *accounts: str, max_age_s: float | None = None
) -> list[tuple[str, str, float]]:
    frame = store.positions(accounts, as_of=NOON, max_age_s=max_age_s)
    return sorted(frame.itertuples(index=False, name=None))


def trade(
    order: str, *, account: str = "paper", day: str = "2026-03-02", filled: float = 1
) -> dict[str, Any]:
    return {
        "broker_order_id": order,
        "broker_account_id": account,
        "trading_date": day,
        "filled_qty": filled,
        "raw_fill": {"price": "500.10"},
    }


def counted(store: EmbeddedStore, *accounts: str, day: date = SESSION) -> dict[str, int]:
    frame = store.trade_counts(accounts, day)
    return dict(zip(frame["broker_account_id"], frame["trades"], strict=True))


# --- positions


def test_positions_come_back_as_they_were_loaded(store: EmbeddedStore) -> None:
    loaded = store.load_positions(
        book(("paper", "SPY", 0.1), ("paper", "QQQ", -3), ("b", "SPY", 0)), updated_at=NOON
    )
    assert loaded == 3
    assert held(store, "paper", "b") == [("b", "SPY", 0.0), ("paper", "QQQ", -3.0), ("paper", "SPY", 0.1)]


def test_only_the_accounts_asked_for_are_given(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("b", "SPY", 2)), updated_at=NOON)
    assert held(store, "b", "b", "unknown") == [("b", "SPY", 2.0)]


def test_no_accounts_give_no_positions(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    assert held(store) == []


def test_an_account_id_is_compared_as_it_is_and_never_as_sql(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a' OR '1'='1", "SPY", 2)), updated_at=NOON)
    assert held(store, "a' OR '1'='1") == [("a' OR '1'='1", "SPY", 2.0)]
    assert held(store, "A") == []


@pytest.mark.parametrize("filled", [False, True])
def test_frames_have_the_same_types_filled_or_empty(store: EmbeddedStore, filled: bool) -> None:
    if filled:
        store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
        store.write_ledger([trade("o-1", account="a")])
    assert store.positions(["a"], as_of=NOON).dtypes.astype(str).to_dict() == {
        "broker_account_id": "str",
        "symbol": "str",
        "qty": "float64",
    }
    assert store.trade_counts(["a"], SESSION).dtypes.astype(str).to_dict() == {
        "broker_account_id": "str",
        "trades": "int64",
    }
    types = ["str", "str", "float64", "float64", "float64", "datetime64[us, UTC]"]
    assert store.all_positions().dtypes.astype(str).to_dict() == dict(
        zip(POSITION_COLUMNS, types, strict=True)
    )


def test_more_accounts_than_a_query_has_variables_are_read_in_one_query(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [f"account-{number}" for number in range(40_000)]
    store.load_positions(book(("account-39999", "SPY", 7), ("other", "SPY", 8)), updated_at=NOON)
    store.write_ledger([trade("o-1", account="account-3"), trade("o-2", account="other")])
    queries = []
    read = EmbeddedStore._read

    def counting(self: EmbeddedStore, query: str, values: tuple[str, ...]) -> Any:
        queries.append(query)
        return read(self, query, values)

    monkeypatch.setattr(EmbeddedStore, "_read", counting)
    assert held(store, *accounts) == [("account-39999", "SPY", 7.0)]
    assert counted(store, *accounts) == {"account-3": 1}
    assert len(queries) == 2


@pytest.mark.parametrize(
    ("age_s", "available"), [(0, True), (60, True), (60.000001, False), (-60, True), (-61, False)]
)
def test_rows_further_than_the_age_limit_from_now_are_unavailable(
    store: EmbeddedStore, age_s: float, available: bool
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON - timedelta(seconds=age_s))
    (row,) = held(store, "a", max_age_s=60)
    assert (row[2] == 1.0) == available
    assert math.isnan(row[2]) != available


def test_a_stale_row_leaves_fresh_ones_alone(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON - timedelta(hours=1))
    store.load_positions(book(("b", "SPY", 2)), updated_at=NOON)
    frame = store.positions(["a", "b"], as_of=NOON, max_age_s=60).set_index("broker_account_id")
    assert frame["qty"].isna().to_dict() == {"a": True, "b": False}


@pytest.mark.parametrize("max_age_s", [None, 1e9, 1e300])
def test_without_an_age_limit_worth_the_name_any_age_will_do(
    store: EmbeddedStore, max_age_s: float | None
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert held(store, "a", max_age_s=max_age_s) == [("a", "SPY", 1.0)]


def test_ages_are_the_same_in_any_zone(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON.tz_convert("Asia/Tokyo"))
    frame = store.positions(["a"], as_of=NOON.tz_convert("America/New_York"), max_age_s=0)
    assert frame["qty"].tolist() == [1.0]


def test_a_load_without_a_zone_is_an_error(store: EmbeddedStore) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        store.load_positions(book(("a", "SPY", 1)), updated_at=datetime.fromisoformat("2026-03-02"))


def test_a_load_is_the_whole_book_of_each_account_it_names(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 2), ("b", "SPY", 3)), updated_at=NOON)
    store.load_positions(book(("a", "SPY", 5)), updated_at=NOON)
    assert held(store, "a", "b") == [("a", "SPY", 5.0), ("b", "SPY", 3.0)]


def test_a_load_that_replaces_no_accounts_keeps_symbols_it_doesnt_name(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 2)), updated_at=NOON)
    store.load_positions(book(("a", "SPY", 5)), updated_at=NOON, replace_accounts=False)
    assert held(store, "a") == [("a", "QQQ", 2.0), ("a", "SPY", 5.0)]


def test_all_positions_shows_prices_where_known_and_when_it_was_updated(store: EmbeddedStore) -> None:
    store.load_positions(
        book(("b", "SPY", 1), ("a", "SPY", 2)).assign(avg_price=[500.5, None], market_value=[None, 3.0]),
        updated_at=NOON,
    )
    frame = store.all_positions()
    assert frame["broker_account_id"].tolist() == ["a", "b"]
    assert frame["avg_price"].fillna(-1).tolist() == [-1, 500.5]
    assert frame["market_value"].fillna(-1).tolist() == [3.0, -1]
    assert frame["updated_at"].tolist() == [NOON, NOON]


@pytest.mark.parametrize("qty", [math.nan, None])
def test_a_position_without_a_quantity_is_refused_and_nothing_is_written(
    store: EmbeddedStore, qty: Any
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    with pytest.raises(
        EngineError, match=r"engine\.db: can't be written .*qty.* Nothing of this write was kept"
    ):
        store.load_positions(book(("a", "QQQ", 2), ("a", "SPY", qty)), updated_at=NOON)
    assert held(store, "a") == [("a", "SPY", 1.0)]


def test_two_rows_for_one_key_are_refused(store: EmbeddedStore) -> None:
    with pytest.raises(EngineError, match="positions of a name SPY twice"):
        store.load_positions(book(("a", "SPY", 1), ("a", "SPY", 1)), updated_at=NOON)


# --- ledger


def test_partial_fills_4_7_10_are_one_document_and_one_trade(store: EmbeddedStore) -> None:
    for filled in (4, 7, 10):
        store.write_ledger([trade("o-1", filled=filled)])
    assert store.ledger_document("o-1") == trade("o-1", filled=10)
    assert counted(store, "paper") == {"paper": 1}


def test_partial_fills_in_one_write_are_one_document(store: EmbeddedStore) -> None:
    assert store.write_ledger([trade("o-1", filled=filled) for filled in (4, 10, 7)]) == 1
    assert store.ledger_document("o-1") == trade("o-1", filled=10)


def test_syncing_again_the_next_day_changes_nothing(store: EmbeddedStore) -> None:
    store.write_ledger([trade("o-1")])
    assert store.write_ledger([trade("o-1", day="2026-03-03")]) == 0
    assert counted(store, "paper", day=date(2026, 3, 3)) == {}
    assert counted(store, "paper") == {"paper": 1}


def test_trades_are_counted_per_account_and_session(store: EmbeddedStore) -> None:
    store.write_ledger(
        [
            trade("o-1"),
            trade("o-2"),
            trade("o-3", account="b"),
            trade("o-4", account="c"),
            trade("o-5", day="2026-02-27"),
        ]
    )
    assert counted(store, "paper", "b", "idle") == {"paper": 2, "b": 1}


def test_an_order_without_fills_has_no_document(store: EmbeddedStore) -> None:
    store.write_ledger([trade("o-1")])
    assert store.ledger_document("o-2") is None


def test_fields_of_an_earlier_write_stay(store: EmbeddedStore) -> None:
    store.write_ledger([trade("o-1") | {"strategy_id": "momentum", "metadata": {"a": 1}}])
    store.write_ledger([{"broker_order_id": "o-1", "metadata": {"b": "ü"}}])
    assert store.ledger_document("o-1") == trade("o-1") | {
        "strategy_id": "momentum",
        "metadata": {"a": 1, "b": "ü"},
    }


@pytest.mark.parametrize(
    "fault",
    [
        {"broker_order_id": ""},
        {"broker_account_id": None},
        {"trading_date": "20260302"},
        {"trading_date": "2026-03-02T10:00"},
        {"trading_date": "yesterday"},
        {"filled_qty": math.nan},
        {"limit_price": math.nan},
        {"filled_at": datetime(2026, 3, 2, tzinfo=UTC)},
    ],
)
def test_a_document_that_cant_be_kept_is_refused_and_none_of_its_batch_is_kept(
    store: EmbeddedStore, fault: dict[str, Any]
) -> None:
    with pytest.raises(EngineError, match="ledger document"):
        store.write_ledger([trade("o-1"), trade("o-2") | fault])
    assert store.ledger_document("o-1") is None


# --- the file


def test_reading_without_a_file_gives_an_empty_book_and_makes_none(store: EmbeddedStore) -> None:
    assert held(store, "a") == []
    assert counted(store, "a") == {}
    assert store.all_positions().empty
    assert store.ledger_document("o-1") is None
    assert not store.path.exists()


def test_the_first_write_makes_the_file_and_its_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "new" / "data" / "engine.db")
    store.write_ledger([])
    assert [path.name for path in store.path.parent.iterdir()] == ["engine.db"]


def test_odd_characters_in_the_path_are_no_part_of_an_address(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "a?mode=memory#%41 ü" / "engine.db")
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    assert held(store, "a") == [("a", "SPY", 1.0)]
    assert store.path.is_file()


def damage_header(path: Path) -> None:
    path.write_bytes(b"no database" + path.read_bytes()[11:])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2])


def put_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_a_fifo_there(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_a_dangling_link_there(path: Path) -> None:
    path.unlink()
    path.symlink_to("not mounted")


def put_another_database_there(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")


def lose_the_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE broker_positions")
        connection.execute("DROP TABLE ledger_trades")


def give_it_a_newer_layout(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")


DAMAGES = [
    damage_header,
    cut_to_nothing,
    cut_in_half,
    put_a_folder_there,
    put_a_fifo_there,
    put_a_dangling_link_there,
    put_another_database_there,
    lose_the_tables,
    give_it_a_newer_layout,
]


@pytest.fixture
def filled_store(store: EmbeddedStore) -> EmbeddedStore:
    store.load_positions(book(*(("a", f"S{number}", 1.0) for number in range(500))), updated_at=NOON)
    store.write_ledger([trade(f"o-{number}", account="a") for number in range(500)])
    return store


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_unavailable_and_never_an_empty_book(
    filled_store: EmbeddedStore, damage: Any
) -> None:
    damage(filled_store.path)
    reads = (
        lambda: filled_store.positions(["a"], as_of=NOON),
        lambda: filled_store.trade_counts(["a"], SESSION),
        filled_store.all_positions,
        lambda: filled_store.ledger_document("o-1"),
    )
    for read in reads:
        with pytest.raises(DataUnavailable, match=r"engine\.db: can't be read \(.+\)\. See that the file is"):
            read()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_written_to(filled_store: EmbeddedStore, damage: Any) -> None:
    damage(filled_store.path)
    with pytest.raises(EngineError, match=r"engine\.db: can't be written \(.+\)"):
        filled_store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)


def test_a_folder_that_cant_be_entered_is_unavailable_and_never_an_empty_book(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match="Not a directory"):
        EmbeddedStore(tmp_path / "data" / "engine.db").positions(["a"], as_of=NOON)


def test_a_document_that_is_no_json_is_unavailable(store: EmbeddedStore) -> None:
    store.write_ledger([trade("o-1")])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE ledger_trades SET document = '{'")
    with pytest.raises(DataUnavailable):
        store.ledger_document("o-1")
    with pytest.raises(EngineError):
        store.write_ledger([trade("o-1", filled=2)])


def test_a_file_that_stays_locked_is_unavailable_within_the_timeout(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    monkeypatch.setattr(embedded, "BUSY_TIMEOUT_S", 0.2)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(DataUnavailable, match=r"database is locked\)\. Wait for the other process"):
            held(store, "a")
        with pytest.raises(
            EngineError, match=r"database is locked\)\. Nothing .* wait for the other process"
        ):
            store.load_positions(book(("a", "SPY", 2)), updated_at=NOON)
        assert time.monotonic() - started < 2
    assert held(store, "a") == [("a", "SPY", 1.0)]


def test_a_file_that_is_unlocked_in_time_is_read(store: EmbeddedStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    with closing(sqlite3.connect(store.path, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.2, connection.rollback)
        release.start()
        assert held(store, "a") == [("a", "SPY", 1.0)]
        release.join()


def test_a_job_that_is_killed_in_the_middle_of_a_write_leaves_the_book_as_it_was(
    store: EmbeddedStore,
) -> None:
    store.load_positions(book(*(("a", f"S{number}", 1.0) for number in range(5000))), updated_at=NOON)
    # So small a cache makes SQLite write pages into the file long before the commit that never comes.
    program = f"""
import os, signal, sqlite3
connection = sqlite3.connect({str(store.path)!r}, isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE broker_positions SET qty = 2.0")
os.kill(os.getpid(), signal.SIGKILL)
"""
    before = store.path.read_bytes()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert store.path.read_bytes() != before
    assert set(store.positions(["a"], as_of=NOON)["qty"]) == {1.0}
    assert store.path.read_bytes() == before


def test_a_job_that_is_killed_at_any_instant_leaves_one_whole_book(store: EmbeddedStore) -> None:
    program = f"""
import itertools, pathlib
import pandas as pd
from engine.stores.embedded import EmbeddedStore
store = EmbeddedStore(pathlib.Path({str(store.path)!r}))
symbols = [f"S{{number}}" for number in range(300)]
print("ready", flush=True)
for turn in itertools.count(1):
    frame = pd.DataFrame({{"broker_account_id": "a", "symbol": symbols, "qty": float(turn)}})
    store.load_positions(frame, updated_at=pd.Timestamp("2026-03-02", tz="UTC"))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as job:
        assert job.stdout is not None
        job.stdout.readline()
        while not store.path.exists():
            time.sleep(0.001)
        time.sleep(random.random() / 10)
        job.kill()
    frame = store.positions(["a"], as_of=NOON)
    assert len(frame) in {0, 300}
    assert frame["qty"].nunique() <= 1


def test_a_job_that_is_killed_while_it_makes_the_file_leaves_none(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_ledger([trade("o-1")])
    assert held(store, "a") == []


def test_two_jobs_that_make_the_file_at_once_lose_nothing(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def overtaken(draft: Path, path: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        EmbeddedStore(path).write_ledger([trade("o-1")])
        link(draft, path)

    monkeypatch.setattr(os, "link", overtaken)
    store.write_ledger([trade("o-2")])
    assert counted(store, "paper") == {"paper": 2}


def test_sqlite_is_imported_only_once_there_is_a_file_to_read(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from engine.stores.embedded import EmbeddedStore;"
        f"EmbeddedStore(pathlib.Path({str(tmp_path / 'engine.db')!r})).all_positions();"
        "sys.exit('sqlite3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
