from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from textwrap import indent
from typing import Any

import pandas as pd
import pytest

from engine.errors import DataUnavailable, EngineError, StoreDamaged
from engine.stores.embedded import file as embedded_file
from engine.stores.embedded.file import SCHEMA_VERSION, EmbeddedFile
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import SyncMark
from tests.engine.stores.trades import SESSION, bought, counted, trade

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")


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


def keep(store: EmbeddedStore, *, synced_at: pd.Timestamp = NOON) -> int:
    """Make 5 SPY the whole book of ``paper``."""
    frame = book(("paper", "SPY", 5.0)).assign(avg_price=500.0, market_value=2500.0)
    mark = SyncMark(
        synced_at=synced_at.to_pydatetime(), trading_date=SESSION, reconciled_on=None, open_breaks=0
    )
    return store.keep_book("paper", frame.drop(columns="broker_account_id"), mark=mark)


def test_more_accounts_than_a_query_has_variables_are_read_in_one_query(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [f"account-{number}" for number in range(40_000)]
    store.load_positions(book(("account-39999", "SPY", 7), ("other", "SPY", 8)), updated_at=NOON)
    store.write_ledger([trade("o-1", account="account-3"), trade("o-2", account="other")])
    queries = []
    read = EmbeddedFile.read

    def counting(self: EmbeddedFile, query: Any, values: tuple[str, ...]) -> Any:
        queries.append(query)
        return read(self, query, values)

    monkeypatch.setattr(EmbeddedFile, "read", counting)
    assert held(store, *accounts) == [("account-39999", "SPY", 7.0)]
    assert held(store, *accounts, max_age_s=60) == [("account-39999", "SPY", 7.0)]
    assert counted(store, *accounts) == {"account-3": 1}
    assert len(queries) == 4  # and one for documents that the count would pass over


# --- the file


def test_a_reader_sees_each_write_of_others_at_once(store: EmbeddedStore) -> None:
    other = EmbeddedStore(store.path)
    for qty in range(1, 20):
        other.load_positions(book(("paper", "SPY", qty)), updated_at=NOON)
        assert held(store, "paper") == [("paper", "SPY", float(qty))]


def test_a_file_that_is_put_in_the_place_of_the_one_before_is_the_one_that_is_read(
    store: EmbeddedStore, tmp_path: Path
) -> None:
    store.load_positions(book(("paper", "SPY", 1)), updated_at=NOON)
    assert held(store, "paper") == [("paper", "SPY", 1.0)]
    restored = EmbeddedStore(tmp_path / "restored.db")
    restored.load_positions(book(("paper", "SPY", 2)), updated_at=NOON)
    restored.path.replace(store.path)
    assert held(store, "paper") == [("paper", "SPY", 2.0)]
    store.path.unlink()
    assert held(store, "paper") == []


def test_a_layout_that_nobody_here_knows_is_refused_by_readers_that_were_there_before_it(
    store: EmbeddedStore,
) -> None:
    store.load_positions(book(("paper", "SPY", 1)), updated_at=NOON)
    assert held(store, "paper") == [("paper", "SPY", 1.0)]
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for _ in range(2):
        with pytest.raises(DataUnavailable, match=f"layout {SCHEMA_VERSION + 1}"):
            held(store, "paper")


def test_many_threads_read_and_one_writes_at_the_same_time(store: EmbeddedStore) -> None:
    store.load_positions(book(("paper", "SPY", 1)), updated_at=NOON)
    seen: set[float] = set()

    def read() -> None:
        for _ in range(50):
            seen.update(qty for _, _, qty in held(store, "paper"))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for qty in (2, 3):
        store.load_positions(book(("paper", "SPY", qty)), updated_at=NOON)
    for thread in threads:
        thread.join()
    assert seen <= {1.0, 2.0, 3.0}
    assert held(store, "paper") == [("paper", "SPY", 3.0)]


def test_reading_without_a_file_gives_an_empty_book_and_makes_none(store: EmbeddedStore) -> None:
    assert held(store, "a") == []
    assert counted(store, "a") == {}
    assert store.all_positions().empty
    assert held(store, "a", max_age_s=60) == []
    assert store.sync_mark("a") is None
    assert store.ledger_document("o-1") is None
    assert store.account_documents("a", since=SESSION) == []
    assert store.net_positions("a") == {}
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
        connection.execute("DROP TABLE agent_documents")
        connection.execute("DROP TABLE broker_position_syncs")


def give_it_a_newer_layout(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


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
        lambda: filled_store.strategy_trade_counts(["a"], SESSION),
        filled_store.all_positions,
        lambda: filled_store.positions(["a"], as_of=NOON, max_age_s=60),
        lambda: filled_store.sync_mark("a"),
        lambda: filled_store.ledger_document("o-1"),
        lambda: filled_store.ledger_documents(["o-1"]),
        lambda: filled_store.has_documents("a"),
        lambda: filled_store.adjustments("a", since=SESSION),
        lambda: filled_store.account_documents("a", since=SESSION),
        lambda: filled_store.net_positions("a"),
        lambda: filled_store.strategy_book("a"),
        lambda: filled_store.agent_document("state"),
        filled_store.check,
    )
    for read in reads:
        with pytest.raises(
            DataUnavailable,
            match=r"engine\.db: can't be read \(.+\)\. (Restore it|A newer|See that the file is)",
        ):
            read()


@pytest.mark.parametrize(
    ("damage", "remedy", "not_said"),
    [
        (give_it_a_newer_layout, "A newer engine wrote it: update the engine.", "ledger rebuild"),
        (cut_to_nothing, "Restore it from a backup; where there is none, move it away and run", "update"),
        (damage_header, "which makes it again from the record.", "update"),
    ],
)
def test_what_to_do_depends_on_what_is_wrong_with_the_file(
    filled_store: EmbeddedStore, damage: Any, remedy: str, not_said: str
) -> None:
    damage(filled_store.path)
    with pytest.raises(StoreDamaged) as raised:
        filled_store.agent_document("state")
    assert remedy in str(raised.value)
    assert not_said not in str(raised.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_not_written_to(filled_store: EmbeddedStore, damage: Any) -> None:
    damage(filled_store.path)
    with pytest.raises(EngineError, match=r"engine\.db: can't be written \(.+\)"):
        filled_store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    with pytest.raises(EngineError, match=r"engine\.db: can't be written \(.+\)"):
        keep(filled_store)


def test_a_folder_that_cant_be_entered_is_unavailable_and_never_an_empty_book(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(DataUnavailable, match="a part of its path is no folder"):
        EmbeddedStore(tmp_path / "data" / "engine.db").positions(["a"], as_of=NOON)


def test_a_document_that_is_no_json_is_unavailable(store: EmbeddedStore) -> None:
    store.write_ledger([trade("o-1")])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE ledger_trades SET document = '{'")
    with pytest.raises(DataUnavailable):
        store.ledger_document("o-1")
    with pytest.raises(DataUnavailable):
        store.trade_counts(["paper"], SESSION)
    with pytest.raises(DataUnavailable):
        store.net_positions("paper")
    with pytest.raises(DataUnavailable):
        store.strategy_trade_counts(["paper"], SESSION)
    with pytest.raises(DataUnavailable):
        store.strategy_book("paper")
    with pytest.raises(DataUnavailable):
        store.account_documents("paper", since=SESSION)
    with pytest.raises(EngineError):
        store.write_ledger([trade("o-1", filled=2)])


@pytest.mark.parametrize("count", ["trade_counts", "strategy_trade_counts"])
def test_documents_that_a_count_would_pass_over_are_found_by_the_index(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    """However many documents there are: a count costs what the documents of its session cost."""
    store.write_ledger([bought("o-1", "SPY", 1)])
    asked: list[tuple[str, tuple[str, ...]]] = []
    read = EmbeddedFile.read

    def noting(self: EmbeddedFile, query: Any, values: tuple[str, ...]) -> Any:
        asked.append((query, values))
        return read(self, query, values)

    monkeypatch.setattr(EmbeddedFile, "read", noting)
    getattr(store, count)(["paper"], SESSION)
    with closing(sqlite3.connect(store.path)) as connection:
        plans = [
            step[3]
            for query, values in asked
            for step in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)
        ]
    searched = [step for step in plans if "ledger_trades" in step]
    assert len(searched) > 2
    assert all(step.startswith("SEARCH ledger_trades USING") for step in searched)


@pytest.mark.parametrize("filled", ['"10"', "true", "-1.0", "null", "[10]", "1e400", "NaN"])
def test_a_quantity_that_others_wrote_and_that_is_none_is_unavailable(
    store: EmbeddedStore, filled: str
) -> None:
    store.write_ledger([bought("o-1", "SPY", 1), bought("o-2", "SPY", 1)])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        text = json.dumps(bought("o-2", "SPY", 7)).replace("7,", f"{filled},")
        connection.execute("UPDATE ledger_trades SET document = ? WHERE broker_order_id = 'o-2'", (text,))
    with pytest.raises(DataUnavailable):
        store.net_positions("paper")


@pytest.mark.parametrize("document", ["[]", "1", "null", '"text"', "{}"])
def test_a_document_that_holds_nothing_cant_be_summed(store: EmbeddedStore, document: str) -> None:
    store.write_ledger([bought("o-1", "SPY", 1)])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE ledger_trades SET document = ?", (document,))
    with pytest.raises(DataUnavailable, match=r"engine\.db: Ledger document 'o-1' can't be counted"):
        store.net_positions("paper")


def test_a_document_that_is_no_map_is_unavailable(store: EmbeddedStore) -> None:
    store.replace_agent_document("state", {"state": "INIT"}, replacing=None)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE agent_documents SET document = '[]'")
    with pytest.raises(DataUnavailable, match="which is no map"):
        store.agent_document("state")


def test_it_says_where_it_is_and_what_is_in_it(store: EmbeddedStore) -> None:
    assert store.place == str(store.path)
    assert store.check().startswith("no file yet")
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 1)), updated_at=NOON)
    store.write_ledger([trade("o-1")])
    assert store.check() == "2 positions, 1 trades"


# --- a file of an older layout


HALTED = {"state": "HALTED", "why": "flash crash ü"}
STATE_TABLE_OF_LAYOUT_2 = """
CREATE TABLE agent_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    document TEXT NOT NULL
);
"""


TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger_trades'"


def make_it_layout_4(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute(TRIGGERS).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.executescript(
            "DROP TABLE ledger_checkpoints; DROP INDEX ledger_trades_by_account; PRAGMA user_version = 4"
        )


def make_it_layout_3(path: Path) -> None:
    make_it_layout_4(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE broker_position_syncs; PRAGMA user_version = 3")


def make_it_layout_3_with_a_state(path: Path) -> None:
    make_it_layout_3(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO agent_documents VALUES ('state', ?)", (json.dumps(HALTED),))


def make_it_layout_4_with_a_state(path: Path) -> None:
    make_it_layout_4(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO agent_documents VALUES ('state', ?)", (json.dumps(HALTED),))


def make_it_layout_1(path: Path) -> None:
    make_it_layout_3(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE agent_documents; PRAGMA user_version = 1")


def make_it_layout_2(path: Path) -> None:
    make_it_layout_1(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"{STATE_TABLE_OF_LAYOUT_2} PRAGMA user_version = 2")


def make_it_layout_2_with_a_state(path: Path) -> None:
    make_it_layout_2(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO agent_state VALUES (1, ?)", (json.dumps(HALTED),))


OLD_LAYOUTS = {
    "layout 1": (make_it_layout_1, None),
    "layout 2, empty": (make_it_layout_2, None),
    "layout 2": (make_it_layout_2_with_a_state, HALTED),
    "layout 3, empty": (make_it_layout_3, None),
    "layout 3": (make_it_layout_3_with_a_state, HALTED),
    "layout 4, empty": (make_it_layout_4, None),
    "layout 4": (make_it_layout_4_with_a_state, HALTED),
}


@pytest.fixture(params=list(OLD_LAYOUTS))
def old(request: pytest.FixtureRequest, store: EmbeddedStore) -> tuple[EmbeddedStore, dict[str, Any] | None]:
    """A store whose file is of an older layout, and the agent's state in it."""
    make_old, state = OLD_LAYOUTS[request.param]
    store.load_positions(book(("paper", "SPY", 1)), updated_at=NOON)
    store.write_ledger([trade("o-1")])
    make_old(store.path)
    return store, state


def layout(store: EmbeddedStore) -> int:
    with closing(sqlite3.connect(store.path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_a_file_of_an_older_layout_is_read_as_it_is(old: tuple[EmbeddedStore, Any]) -> None:
    store, state = old
    before = store.path.read_bytes()
    assert held(store, "paper") == [("paper", "SPY", 1.0)]
    assert held(store, "paper", max_age_s=60) == [("paper", "SPY", 1.0)]
    assert store.sync_mark("paper") is None
    assert counted(store, "paper") == {"paper": 1}
    assert store.agent_document("state") == state
    assert store.agent_document("lease-paper") is None
    assert store.path.read_bytes() == before


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.replace_agent_document("lease-paper", {"holder": "alice"}, replacing=None),
        lambda store: store.write_ledger([trade("o-2")]),
        lambda store: store.load_positions(book(("b", "SPY", 1)), updated_at=NOON),
    ],
)
def test_a_file_of_an_older_layout_is_renewed_by_a_write_and_keeps_what_it_had(
    old: tuple[EmbeddedStore, Any], write: Callable[[EmbeddedStore], object]
) -> None:
    store, state = old
    assert write(store)
    assert layout(store) == SCHEMA_VERSION
    assert held(store, "paper") == [("paper", "SPY", 1.0)]
    assert store.ledger_document("o-1") == trade("o-1")
    assert store.agent_document("state") == state
    keep(store)
    assert held(store, "paper", max_age_s=60) == [("paper", "SPY", 5.0)]


def test_a_book_is_kept_in_a_file_of_an_older_layout(old: tuple[EmbeddedStore, Any]) -> None:
    store, state = old
    assert keep(store) == 1
    assert layout(store) == SCHEMA_VERSION
    assert held(store, "paper") == [("paper", "SPY", 5.0)]
    assert store.sync_mark("paper") is not None
    assert store.agent_document("state") == state


def test_a_book_that_is_refused_leaves_the_older_layout(old: tuple[EmbeddedStore, Any]) -> None:
    store, _ = old
    before = store.path.read_bytes()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON broker_positions BEGIN SELECT raise(ABORT, 'no'); END"
        )
    with pytest.raises(EngineError, match=r"can't be written \(no\)"):
        keep(store)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DROP TRIGGER refuse")
    assert layout(store) < SCHEMA_VERSION
    assert len(store.path.read_bytes()) == len(before)
    assert held(store, "paper") == [("paper", "SPY", 1.0)]


@pytest.mark.parametrize(
    ("field", "damaged"),
    [("synced_at", "yesterday"), ("trading_date", "2026"), ("reconciled_on", ""), ("synced_at", b"1")],
)
def test_a_mark_that_cant_be_read_is_unavailable_and_never_none(
    store: EmbeddedStore, field: str, damaged: object
) -> None:
    keep(store)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE broker_position_syncs SET {field} = ?", (damaged,))
    with pytest.raises(DataUnavailable, match="can't be read"):
        store.sync_mark("paper")


def test_a_mark_whose_timestamp_cant_be_read_is_stale(store: EmbeddedStore) -> None:
    keep(store)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE broker_position_syncs SET synced_at = 'yesterday'")
    assert store.positions(["paper"], as_of=NOON, max_age_s=60)["symbol"].isna().tolist() == [True]


def test_the_state_of_an_older_layout_is_replaced_on_its_own_condition(
    old: tuple[EmbeddedStore, Any],
) -> None:
    store, state = old
    assert not store.replace_agent_document("state", {"state": "READY"}, replacing={"state": "?"})
    assert store.replace_agent_document("state", {"state": "READY"}, replacing=state)
    assert store.agent_document("state") == {"state": "READY"}


def test_a_write_that_fails_leaves_the_older_layout(old: tuple[EmbeddedStore, Any]) -> None:
    store, _ = old
    before = store.path.read_bytes()
    with pytest.raises(EngineError):
        store.write_ledger([{"broker_order_id": "o-2"}])
    assert store.path.read_bytes() == before


def test_an_older_layout_without_its_state_is_unavailable_and_never_a_fresh_agent(
    store: EmbeddedStore,
) -> None:
    store.write_ledger([trade("o-1")])
    make_it_layout_2(store.path)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("DROP TABLE agent_state")
    with pytest.raises(DataUnavailable):
        store.agent_document("state")
    with pytest.raises(EngineError):
        store.write_ledger([trade("o-2")])
    assert layout(store) == 2


def test_a_file_that_stays_locked_is_unavailable_within_the_timeout(
    store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    monkeypatch.setattr(embedded_file, "BUSY_TIMEOUT_S", 0.2)
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


def killed_at_some_instant(store: EmbeddedStore, work: str) -> None:
    """Let a process do ``work`` over and over, to which ``turn`` is 1, 2 and so on, and kill it."""
    program = f"""
import itertools, pathlib
from datetime import UTC, date, datetime, timedelta
import pandas as pd
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import SyncMark
store = EmbeddedStore(pathlib.Path({str(store.path)!r}))
for turn in itertools.count(1):{indent(work, "    ")}"""
    with subprocess.Popen([sys.executable, "-c", program]) as job:
        while not store.path.exists():
            assert job.poll() is None
            time.sleep(0.001)
        time.sleep(random.random() / 10)
        job.kill()


def test_a_job_that_is_killed_at_any_instant_leaves_one_whole_book(store: EmbeddedStore) -> None:
    killed_at_some_instant(
        store,
        """
symbols = [f"S{number}" for number in range(300)]
frame = pd.DataFrame({"broker_account_id": "a", "symbol": symbols, "qty": float(turn)})
store.load_positions(frame, updated_at=pd.Timestamp("2026-03-02", tz="UTC"))
""",
    )
    frame = store.positions(["a"], as_of=NOON)
    assert len(frame) in {0, 300}
    assert frame["qty"].nunique() <= 1


def test_a_sync_that_is_killed_at_any_instant_leaves_one_whole_book_and_its_mark(
    store: EmbeddedStore,
) -> None:
    killed_at_some_instant(
        store,
        """
symbols = [f"S{number}" for number in range(turn % 2, 300)]
frame = pd.DataFrame({"symbol": symbols, "qty": float(turn), "avg_price": 1.0, "market_value": 1.0})
synced_at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=turn)
mark = SyncMark(synced_at=synced_at, trading_date=date(2026, 3, 2), reconciled_on=None, open_breaks=turn)
store.keep_book("a", frame, mark=mark)
""",
    )
    mark = store.sync_mark("a")
    turn = mark.open_breaks if mark else 0
    expected = {f"S{number}": float(turn) for number in range(turn % 2, 300)} if turn else {}
    if turn > 1 and turn % 2:
        expected["S0"] = 0.0
    frame = store.positions(["a"], as_of=NOON)
    assert dict(zip(frame["symbol"], frame["qty"], strict=True)) == expected


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
        "import sys, pathlib; from engine.stores.embedded.store import EmbeddedStore;"
        f"EmbeddedStore(pathlib.Path({str(tmp_path / 'engine.db')!r})).all_positions();"
        "sys.exit('sqlite3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
