"""What every store of positions must do with the whole book of an account, and with the mark of its sync."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.stores.protocols import PositionStore, SyncMark
from tests.engine.stores.contract.position_stores import ODD, QUOTED, STORES, empty_store

NOON = datetime(2026, 3, 2, 17, 0, 0, 123456, tzinfo=UTC)
SESSION = date(2026, 3, 2)
Row = tuple[float, float, float]

SYMBOLS = st.sampled_from(["SPY", "QQQ", "BRK.B", "BTC/USD", "NULL", "NaN", "1E5", 'A"B', "Ü,;", "\\N"])
QUANTITIES = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-100, 100).map(float)
PRICES = st.none() | st.floats(min_value=0, allow_infinity=False)
BOOKS = st.dictionaries(SYMBOLS, st.tuples(QUANTITIES, PRICES, PRICES), max_size=8)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PositionStore:
    return empty_store(request, tmp_path)


def mark(seconds: float = 0, **said: Any) -> SyncMark:
    """Return the mark of a sync, so many seconds after noon."""
    usual: dict[str, Any] = {"trading_date": SESSION, "reconciled_on": SESSION, "open_breaks": 0}
    return SyncMark(synced_at=NOON + timedelta(seconds=seconds), **(usual | said))


def frame(rows: Mapping[str, tuple[float, float | None, float | None]]) -> pd.DataFrame:
    columns = ["qty", "avg_price", "market_value"]
    return pd.DataFrame(
        {
            "symbol": list(rows),
            **{
                name: pd.Series([row[nth] for row in rows.values()], dtype="float64")
                for nth, name in enumerate(columns)
            },
        }
    )


def book(**quantities: float) -> pd.DataFrame:
    return frame({symbol: (qty, None, None) for symbol, qty in quantities.items()})


def held(store: PositionStore, account: str = "a") -> dict[str, float]:
    """Return an account's quantities by symbol, each of which has one row.

    Asked for together with its other case: a name that wasn't asked for, and looks like one that was, would
    make it unavailable.
    """
    found = store.positions([account, account.swapcase()], as_of=pd.Timestamp(NOON))
    found = found[found["broker_account_id"] == account]
    assert found["symbol"].is_unique
    return dict(zip(found["symbol"], found["qty"], strict=True))


def fresh(store: PositionStore, *accounts: str, max_age_s: float = 60) -> list[tuple[Any, ...]]:
    """Return what may be used a minute from its sync, with None for what is unavailable."""
    found = store.positions(accounts, as_of=pd.Timestamp(NOON), max_age_s=max_age_s).astype(object)
    rows = found.where(found.notna(), None).itertuples(index=False, name=None)
    return sorted(rows, key=str)


def test_a_book_and_its_mark_come_back_as_they_were_kept(store: PositionStore) -> None:
    rows = {"SPY": (0.1, 500.25, 50.025), "QQQ": (-3.0, None, None), "IWM": (0.0, 1.0, 0.0)}
    kept = mark(trading_date=date(2026, 3, 3), reconciled_on=None, open_breaks=3)
    assert store.keep_book("a", frame(rows), mark=kept) == 3
    assert held(store) == {"SPY": 0.1, "QQQ": -3.0, "IWM": 0.0}
    assert store.sync_mark("a") == kept
    there = store.all_positions().set_index("symbol").loc[["SPY", "QQQ"]]
    assert there["avg_price"].fillna(-1).tolist() == [500.25, -1]
    assert there["market_value"].fillna(-1).tolist() == [50.025, -1]
    assert there["updated_at"].tolist() == [NOON, NOON]


def test_an_account_that_was_never_synced_has_no_mark(store: PositionStore) -> None:
    loaded = pd.DataFrame({"broker_account_id": ["a"], "symbol": ["SPY"], "qty": [1.0]})
    store.load_positions(loaded, updated_at=NOON)
    assert store.sync_mark("a") is None
    store.keep_book("a", book(SPY=1), mark=mark())
    assert store.sync_mark("b") is None


def test_a_mark_is_given_in_utc_whatever_its_zone_was(store: PositionStore) -> None:
    tokyo = pd.Timestamp(NOON).tz_convert("Asia/Tokyo").to_pydatetime()
    store.keep_book("a", book(SPY=1), mark=replace(mark(), synced_at=tokyo))
    found = store.sync_mark("a")
    assert found == mark()
    assert found is not None
    assert found.synced_at.utcoffset() == timedelta(0)


def test_a_symbol_that_the_book_lacks_becomes_0_without_prices_and_its_row_stays(
    store: PositionStore,
) -> None:
    store.keep_book("a", frame({"SPY": (5.0, 500.0, 2500.0), "QQQ": (1.0, 400.0, 400.0)}), mark=mark())
    assert store.keep_book("a", frame({"QQQ": (2.0, 401.0, 802.0)}), mark=mark(1)) == 2
    there = store.all_positions().set_index("symbol")
    assert there["qty"].to_dict() == {"SPY": 0.0, "QQQ": 2.0}
    assert there["avg_price"].isna().to_dict() == {"SPY": True, "QQQ": False}
    assert there["market_value"].isna().to_dict() == {"SPY": True, "QQQ": False}
    assert set(there["updated_at"]) == {NOON + timedelta(seconds=1)}


def test_a_symbol_that_comes_back_is_held_again(store: PositionStore) -> None:
    for second, there in enumerate([book(SPY=5), book(), book(SPY=-5)]):
        store.keep_book("a", there, mark=mark(second))
    assert held(store) == {"SPY": -5.0}


def test_a_symbol_takes_the_place_of_its_other_forms(store: PositionStore) -> None:
    loaded = {
        "broker_account_id": ["a", "a", "b"],
        "symbol": ["BTCUSD", "BRK/B", "BTCUSD"],
        "qty": [1.0, 2.0, 3.0],
    }
    store.load_positions(pd.DataFrame(loaded), updated_at=NOON)
    assert store.keep_book("a", frame({"BTC/USD": (4.0, None, None)}), mark=mark()) == 2
    assert held(store) == {"BTC/USD": 4.0, "BRK/B": 0.0}
    assert held(store, "b") == {"BTCUSD": 3.0}


def test_an_empty_book_makes_the_account_flat_and_is_a_sync_like_any_other(store: PositionStore) -> None:
    assert store.keep_book("a", book(), mark=mark()) == 0
    assert store.sync_mark("a") == mark()
    store.keep_book("a", book(SPY=5, QQQ=1), mark=mark(1))
    assert store.keep_book("a", book(), mark=mark(2)) == 2
    assert held(store) == {"SPY": 0.0, "QQQ": 0.0}
    assert store.sync_mark("a") == mark(2)


def test_a_book_is_one_accounts_only(store: PositionStore) -> None:
    accounts = ["a", "A", "b", QUOTED, ODD]
    for nth, account in enumerate(accounts):
        store.keep_book(account, book(SPY=nth, QQQ=1), mark=mark(nth))
    store.keep_book("b", book(), mark=mark(60))
    for nth, account in enumerate(accounts):
        assert held(store, account) == {"SPY": 0 if account == "b" else nth, "QQQ": account != "b"}
        assert store.sync_mark(account) == mark(60 if account == "b" else nth)


def test_the_same_book_kept_twice_is_kept_once(store: PositionStore) -> None:
    for _ in range(2):
        assert store.keep_book("a", book(SPY=5), mark=mark()) == 1
    assert held(store) == {"SPY": 5.0}
    assert store.sync_mark("a") == mark()


def test_a_mark_that_is_older_than_the_one_kept_is_refused_with_its_book(store: PositionStore) -> None:
    store.keep_book("a", book(SPY=5), mark=mark())
    with pytest.raises(
        EngineError,
        match=r"the book of a was read at 2026-03-02T17:00:00\.123455\+00:00, and one that is newer is kept, "
        r"of 2026-03-02T17:00:00\.123456\+00:00\)\. Nothing of this write was kept; another sync was faster",
    ) as caught:
        store.keep_book("a", book(SPY=4, QQQ=1), mark=mark(-0.000001))
    assert str(caught.value).startswith(store.place)
    assert held(store) == {"SPY": 5.0}
    assert store.sync_mark("a") == mark()
    store.keep_book("b", book(SPY=4), mark=mark(-60))
    assert held(store, "b") == {"SPY": 4.0}


def test_a_mark_without_a_zone_is_an_error(store: PositionStore) -> None:
    naive = replace(mark(), synced_at=NOON.replace(tzinfo=None))
    with pytest.raises(ValueError, match="without a zone"):
        store.keep_book("a", book(SPY=1), mark=naive)
    assert store.sync_mark("a") is None


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"qty": [1.0, math.nan]}, "the position of a in QQQ has the qty nan"),
        ({"qty": [1.0, math.inf]}, "the position of a in QQQ has the qty inf"),
        ({"qty": [1.0, None]}, "the position of a in QQQ has the qty nan"),
        ({"symbol": ["SPY", "SPY"]}, "the book of a names SPY twice"),
        ({"symbol": ["BRK.B", "BRK/B"]}, "the book of a names BRK/B twice"),
        ({"symbol": ["SPY", None]}, "a position of a has the symbol (None|nan)"),
        ({"symbol": ["SPY", " "]}, "a position of a has the symbol ' '"),
    ],
)
def test_a_book_that_cant_be_kept_is_refused_whole(
    store: PositionStore, fault: dict[str, Any], why: str
) -> None:
    store.keep_book("a", book(SPY=5), mark=mark())
    with pytest.raises(
        EngineError, match=rf"can't be written \({why}.*Nothing of this write was kept;"
    ) as said:
        store.keep_book("a", book(SPY=1, QQQ=2).assign(**fault), mark=mark(1))
    assert str(said.value).startswith(store.place)
    assert held(store) == {"SPY": 5.0}
    assert store.sync_mark("a") == mark()


def test_a_sync_after_a_load_and_a_load_after_a_sync_each_leave_the_whole_book(store: PositionStore) -> None:
    loaded = pd.DataFrame({"broker_account_id": "a", "symbol": ["SPY", "IWM"], "qty": [1.0, 2.0]})
    store.load_positions(loaded, updated_at=NOON)
    store.keep_book("a", book(SPY=5), mark=mark())
    assert held(store) == {"SPY": 5.0, "IWM": 0.0}
    store.load_positions(loaded.head(1), updated_at=NOON)
    assert held(store) == {"SPY": 1.0}
    assert store.sync_mark("a") == mark()


def test_whatever_books_follow_each_other_the_last_one_is_held_and_all_else_is_0(
    store: PositionStore,
) -> None:
    seen: set[str] = set()
    syncs = iter(range(100_000))

    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(BOOKS, min_size=1, max_size=3))
    def check(books: list[dict[str, Row]]) -> None:
        for rows in books:
            seen.update(rows)
            second = next(syncs)
            kept = mark(second, open_breaks=second, reconciled_on=SESSION if second % 2 else None)
            assert store.keep_book("a", frame(rows), mark=kept) == len(seen)
        gone = dict.fromkeys(seen, (0.0, None, None))
        there = store.all_positions().astype({"avg_price": object, "market_value": object})
        there = there.where(there.notna(), None)
        rows_there = {row.symbol: (row.qty, row.avg_price, row.market_value) for row in there.itertuples()}
        assert rows_there == gone | books[-1]
        assert held(store) == {symbol: qty for symbol, (qty, *_) in rows_there.items()}
        assert set(there["updated_at"]) == ({kept.synced_at} if seen else set())
        assert store.sync_mark("a") == kept

    check()


# --- how old a book may be


@pytest.mark.parametrize(
    ("age_s", "available"), [(0, True), (60, True), (60.000001, False), (-60, True), (-61, False)]
)
def test_an_account_whose_sync_is_too_far_away_is_unavailable_whole(
    store: PositionStore, age_s: float, available: bool
) -> None:
    store.keep_book("a", book(SPY=5, QQQ=1), mark=mark(-age_s))
    rows = [("a", "QQQ", 1.0), ("a", "SPY", 5.0)]
    assert fresh(store, "a") == (rows if available else [("a", None, None)])
    assert held(store) == {"SPY": 5.0, "QQQ": 1.0}


def test_a_stale_sync_that_found_nothing_is_unavailable_and_never_flat(store: PositionStore) -> None:
    store.keep_book("a", book(), mark=mark())
    assert fresh(store, "a") == []
    store.keep_book("b", book(), mark=mark(-61))
    assert fresh(store, "b") == [("b", None, None)]


def test_rows_that_are_fresh_by_themselves_dont_make_a_stale_sync_fresh(store: PositionStore) -> None:
    store.keep_book("a", book(SPY=5), mark=mark(-61))
    loaded = pd.DataFrame({"broker_account_id": ["a"], "symbol": ["QQQ"], "qty": [1.0]})
    store.load_positions(loaded, updated_at=NOON, replace_accounts=False)
    assert fresh(store, "a") == [("a", None, None)]


def test_a_stale_account_leaves_fresh_ones_and_those_without_a_mark_alone(store: PositionStore) -> None:
    loaded = pd.DataFrame({"broker_account_id": "c", "symbol": ["QQQ", "SPY"], "qty": [1.0, 2.0]})
    store.load_positions(loaded, updated_at=NOON)
    store.load_positions(loaded.tail(1), updated_at=NOON - timedelta(hours=1), replace_accounts=False)
    store.keep_book("a", book(SPY=5), mark=mark(-61))
    store.keep_book("b", book(SPY=6), mark=mark(-59))
    assert fresh(store, "a", "b", "c", "paper") == [
        ("a", None, None),
        ("b", "SPY", 6.0),
        ("c", "QQQ", 1.0),
        ("c", "SPY", None),
    ]


def test_only_the_accounts_asked_for_are_reported_to_be_stale(store: PositionStore) -> None:
    store.keep_book("a", book(SPY=5), mark=mark(-61))
    assert fresh(store, "b", QUOTED) == []
    assert fresh(store) == []


@pytest.mark.parametrize("max_age_s", [1e9, 1e300])
def test_without_an_age_limit_worth_the_name_any_sync_will_do(store: PositionStore, max_age_s: float) -> None:
    store.keep_book("a", book(SPY=5), mark=replace(mark(), synced_at=datetime(2000, 1, 1, tzinfo=UTC)))
    assert fresh(store, "a", max_age_s=max_age_s) == [("a", "SPY", 5.0)]


def test_a_stale_frame_has_the_same_types_as_any(store: PositionStore) -> None:
    store.keep_book("a", book(SPY=5), mark=mark(-61))
    assert store.positions(["a"], as_of=pd.Timestamp(NOON), max_age_s=60).dtypes.astype(str).to_dict() == {
        "broker_account_id": "str",
        "symbol": "str",
        "qty": "float64",
    }


# --- at the same time


def test_of_syncs_at_the_same_time_the_newest_is_kept_and_never_a_mixture(store: PositionStore) -> None:
    ready, refused = threading.Barrier(6), []
    store.keep_book("a", book(OLD=1), mark=mark(-1))

    def sync(second: int) -> None:
        rows = {f"S{second}-{n}": (float(second), None, None) for n in range(50)}
        ready.wait()
        try:
            store.keep_book("a", frame({**rows, "BOTH": (float(second), None, None)}), mark=mark(second))
        except EngineError as error:
            refused.append((second, str(error)))

    threads = [threading.Thread(target=sync, args=[second]) for second in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.sync_mark("a") == mark(5)
    assert {s: qty for s, qty in held(store).items() if qty} == {
        **{f"S5-{n}": 5.0 for n in range(50)},
        "BOTH": 5.0,
    }
    assert all("newer is kept" in said and second != 5 for second, said in refused)


def test_syncs_and_loads_at_the_same_time_leave_the_whole_book_of_one(store: PositionStore) -> None:
    ready = threading.Barrier(4)

    def sync(turn: int) -> None:
        rows: dict[str, tuple[float, None, None]] = {
            f"S{turn}-{n}": (float(turn), None, None) for n in range(50)
        }
        ready.wait()
        if turn % 2:
            store.keep_book("a", frame(rows), mark=mark())
        else:
            loaded = frame(rows).assign(broker_account_id="a")
            store.load_positions(loaded, updated_at=NOON)

    threads = [threading.Thread(target=sync, args=[turn]) for turn in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({qty for qty in held(store).values() if qty}) == 1
    assert len([qty for qty in held(store).values() if qty]) == 50


def test_syncs_of_several_accounts_at_the_same_time_are_all_kept(store: PositionStore) -> None:
    accounts = ["a", "A", "b", "c", "paper"]
    ready, faults = threading.Barrier(len(accounts)), []

    def sync(account: str) -> None:
        ready.wait()
        try:
            for second in range(3):
                store.keep_book(account, book(**{f"S{n}": second for n in range(50)}), mark=mark(second))
        except EngineError as error:
            faults.append(error)

    threads = [threading.Thread(target=sync, args=[account]) for account in accounts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for account in accounts:
        assert held(store, account) == {f"S{n}": 2.0 for n in range(50)}
        assert store.sync_mark(account) == mark(2)
