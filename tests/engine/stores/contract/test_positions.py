"""What every store of positions must do, asked of each of them."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.errors import EngineError
from engine.stores.protocols import POSITION_COLUMNS, PositionStore
from tests.engine.stores.contract.position_stores import ODD, QUOTED, STORES, empty_store

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PositionStore:
    return empty_store(request, tmp_path)


def book(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["broker_account_id", "symbol", "qty"])


def held(
    store: PositionStore, *accounts: str, max_age_s: float | None = None
) -> list[tuple[str, str, float]]:
    frame = store.positions(accounts, as_of=NOON, max_age_s=max_age_s)
    return sorted(frame.itertuples(index=False, name=None))


def test_positions_come_back_as_they_were_loaded(store: PositionStore) -> None:
    loaded = store.load_positions(
        book(("paper", "SPY", 0.1), ("paper", "QQQ", -3), ("b", "SPY", 0)), updated_at=NOON
    )
    assert loaded == 3
    assert held(store, "paper", "b") == [("b", "SPY", 0.0), ("paper", "QQQ", -3.0), ("paper", "SPY", 0.1)]


@pytest.mark.parametrize("qty", [0.1 + 0.2, 1e-9, -999_999_999.999999, 1e300, 5e-324, 123456789012345678.0])
def test_a_quantity_comes_back_to_its_last_bit(store: PositionStore, qty: float) -> None:
    store.load_positions(book(("a", "SPY", qty)), updated_at=NOON)
    assert held(store, "a") == [("a", "SPY", qty)]


@pytest.mark.parametrize("symbol", ["NA", "NULL", "NAN", "TRUE", "1E5", "BRK.B", 'A"B', "A,B", ""])
def test_a_symbol_is_text_whatever_it_spells(store: PositionStore, symbol: str) -> None:
    store.load_positions(book(("NULL", symbol, 1)), updated_at=NOON)
    assert held(store, "NULL") == [("NULL", symbol, 1.0)]
    assert store.all_positions()["symbol"].tolist() == [symbol]


def test_only_the_accounts_asked_for_are_given(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("b", "SPY", 2)), updated_at=NOON)
    assert held(store, "b", "b", "c") == [("b", "SPY", 2.0)]


def test_no_accounts_give_no_positions(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    assert held(store) == []


def test_an_account_id_is_compared_as_it_is_and_never_as_sql(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1), (QUOTED, "SPY", 2), (ODD, "SPY", 3)), updated_at=NOON)
    assert held(store, QUOTED) == [(QUOTED, "SPY", 2.0)]
    assert held(store, ODD) == [(ODD, "SPY", 3.0)]
    assert held(store, "b") == []


@pytest.mark.parametrize("filled", [False, True])
def test_frames_have_the_same_types_filled_or_empty(store: PositionStore, filled: bool) -> None:
    if filled:
        store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    for accounts in ([], ["a"]):
        assert store.positions(accounts, as_of=NOON).dtypes.astype(str).to_dict() == {
            "broker_account_id": "str",
            "symbol": "str",
            "qty": "float64",
        }
    types = ["str", "str", "float64", "float64", "float64", "datetime64[us, UTC]"]
    assert store.all_positions().dtypes.astype(str).to_dict() == dict(
        zip(POSITION_COLUMNS, types, strict=True)
    )


@pytest.mark.parametrize(
    ("age_s", "available"), [(0, True), (60, True), (60.000001, False), (-60, True), (-61, False)]
)
def test_rows_further_than_the_age_limit_from_now_are_unavailable(
    store: PositionStore, age_s: float, available: bool
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON - timedelta(seconds=age_s))
    (row,) = held(store, "a", max_age_s=60)
    assert (row[2] == 1.0) == available
    assert math.isnan(row[2]) != available


def test_a_stale_row_leaves_fresh_ones_alone(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON - timedelta(hours=1))
    store.load_positions(book(("b", "SPY", 2)), updated_at=NOON)
    frame = store.positions(["a", "b"], as_of=NOON, max_age_s=60).set_index("broker_account_id")
    assert frame["qty"].isna().to_dict() == {"a": True, "b": False}


@pytest.mark.parametrize("max_age_s", [None, 1e9, 1e300])
def test_without_an_age_limit_worth_the_name_any_age_will_do(
    store: PositionStore, max_age_s: float | None
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=datetime(2000, 1, 1, tzinfo=UTC))
    assert held(store, "a", max_age_s=max_age_s) == [("a", "SPY", 1.0)]


def test_ages_are_the_same_in_any_zone(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON.tz_convert("Asia/Tokyo"))
    frame = store.positions(["a"], as_of=NOON.tz_convert("America/New_York"), max_age_s=0)
    assert frame["qty"].tolist() == [1.0]


def test_a_load_without_a_zone_is_an_error(store: PositionStore) -> None:
    with pytest.raises(ValueError, match="without a zone"):
        store.load_positions(book(("a", "SPY", 1)), updated_at=datetime.fromisoformat("2026-03-02"))


def test_a_load_is_the_whole_book_of_each_account_it_names(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 2), ("b", "SPY", 3)), updated_at=NOON)
    store.load_positions(book(("a", "SPY", 5)), updated_at=NOON)
    assert held(store, "a", "b") == [("a", "SPY", 5.0), ("b", "SPY", 3.0)]


def test_a_load_that_replaces_no_accounts_keeps_symbols_it_doesnt_name(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 2)), updated_at=NOON)
    store.load_positions(book(("a", "SPY", 5)), updated_at=NOON, replace_accounts=False)
    assert held(store, "a") == [("a", "QQQ", 2.0), ("a", "SPY", 5.0)]


@pytest.mark.parametrize("forms", [("SPY", "SPY"), ("BRK.B", "BRK/B"), ("BTCUSD", "BTC/USD")])
def test_a_load_with_two_rows_of_one_instrument_is_refused(
    store: PositionStore, forms: tuple[str, str]
) -> None:
    with pytest.raises(EngineError, match=r"positions of a name .* twice; expected one row"):
        store.load_positions(book(("a", forms[0], 1), ("a", forms[1], 1)), updated_at=NOON)
    assert held(store, "a") == []


def test_a_load_of_nothing_changes_nothing(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    assert store.load_positions(book(), updated_at=NOON) == 0
    assert held(store, "a") == [("a", "SPY", 1.0)]


def test_loads_at_the_same_time_leave_the_whole_book_of_one(store: PositionStore) -> None:
    store.load_positions(book(("a", "OLD", 1)), updated_at=NOON)
    ready = threading.Barrier(4)

    def load(turn: int) -> None:
        frame = book(*(("a", f"S{turn}-{n}", float(turn)) for n in range(50)))
        ready.wait()
        store.load_positions(frame, updated_at=NOON)

    threads = [threading.Thread(target=load, args=[turn]) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held(store, "a")) == 50
    assert len({qty for *_, qty in held(store, "a")}) == 1


def test_all_positions_come_by_account_and_symbol_capitals_first(store: PositionStore) -> None:
    store.load_positions(book(("b", "A", 1), ("a", "b", 2), ("a", "C", 3), ("A", "C", 4)), updated_at=NOON)
    frame = store.all_positions()[["broker_account_id", "symbol"]]
    assert list(frame.itertuples(index=False, name=None)) == [("A", "C"), ("a", "C"), ("a", "b"), ("b", "A")]


def test_all_positions_shows_prices_where_known_and_when_it_was_updated(store: PositionStore) -> None:
    store.load_positions(
        book(("b", "SPY", 1), ("a", "SPY", 2)).assign(avg_price=[500.5, None], market_value=[None, 3.0]),
        updated_at=NOON,
    )
    frame = store.all_positions()
    assert frame["broker_account_id"].tolist() == ["a", "b"]
    assert frame["avg_price"].fillna(-1).tolist() == [-1, 500.5]
    assert frame["market_value"].fillna(-1).tolist() == [3.0, -1]
    assert frame["updated_at"].tolist() == [NOON, NOON]


def test_a_load_forgets_prices_that_it_doesnt_know(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1)).assign(avg_price=2.0, market_value=2.0), updated_at=NOON)
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON, replace_accounts=False)
    assert store.all_positions()[["avg_price", "market_value"]].isna().all(axis=None)


@pytest.mark.parametrize("qty", [math.nan, None])
def test_a_position_without_a_quantity_is_refused_and_nothing_is_written(
    store: PositionStore, qty: Any
) -> None:
    store.load_positions(book(("a", "SPY", 1)), updated_at=NOON)
    with pytest.raises(
        EngineError, match=r"can't be written .*qty.* Nothing of this write was kept"
    ) as caught:
        store.load_positions(book(("a", "QQQ", 2), ("a", "SPY", qty)), updated_at=NOON)
    assert str(caught.value).startswith(store.place)
    assert held(store, "a") == [("a", "SPY", 1.0)]


def test_two_rows_for_one_key_are_refused(store: PositionStore) -> None:
    with pytest.raises(EngineError, match="positions of a name SPY twice"):
        store.load_positions(book(("a", "SPY", 1), ("a", "SPY", 1)), updated_at=NOON)
    assert held(store, "a") == []


def test_a_check_says_how_many_positions_there_are(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1), ("a", "QQQ", 1)), updated_at=NOON)
    assert "2 positions" in store.check()
