"""Accounts whose names look like the one that is asked for: nothing is known of it then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from engine.model.schema import inputs_schemas
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import PositionStore
from tests.engine.stores.contract.position_stores import STORES, empty_store

NOON = pd.Timestamp("2026-03-02T17:00:00", tz="UTC")
OF_ANY_NAME = [name for name in STORES if not name.endswith("uuid")]
"""Where accounts are uuids, the table of accounts says which names there are."""


@pytest.fixture(params=OF_ANY_NAME)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> PositionStore:
    return empty_store(request, tmp_path)


def book(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["broker_account_id", "symbol", "qty"])


def reason_of_an_order(store: PositionStore) -> str:
    """Return the reason with which one share of SPY for the account ``paper`` is judged."""
    said = {"strategy_id": "s", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1.0}
    nothing = inputs_schemas()
    inputs = RiskInputs(
        as_of=NOON,
        trading_date=NOON.date(),
        positions=store.positions(["paper"], as_of=NOON),
        daily_trades=nothing["daily_trades"].empty_table().to_pandas(),
        working_orders=nothing["working_orders"].empty_table().to_pandas(),
    )
    intents = pd.DataFrame([said | {"client_intent_id": "i"}])
    return str(evaluate(intents, inputs, RiskConfig())["reason"].iloc[0])


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ("paper\u200b", "risk_data_unavailable"),
        ("pa\u00adper", "risk_data_unavailable"),
        ("paper\u00a0", "risk_data_unavailable"),
        ("Paper", "risk_data_unavailable"),
        ("PAPER\u200b", "risk_data_unavailable"),
        ("\ufeffpaper", "risk_data_unavailable"),
        ("\uff50aper", "risk_data_unavailable"),
        ("other", "ok"),
        ("k\u00f6ln", "ok"),
        ("K\u00d6LN", "ok"),
        ("papers", "ok"),
        ("pa per", "ok"),
    ],
)
def test_an_account_whose_name_looks_like_the_one_asked_for_leaves_nothing_known(
    store: PositionStore, account: str, expected: str
) -> None:
    store.load_positions(book((account, "SPY", 60.0), ("paper", "QQQ", 1.0)), updated_at=NOON)
    assert reason_of_an_order(store) == expected


def test_an_account_that_is_asked_for_by_an_odd_name_comes_back_as_it_is(store: PositionStore) -> None:
    store.load_positions(book(("k\u00f6ln", "SPY", 60.0)), updated_at=NOON)
    frame = store.positions(["k\u00f6ln"], as_of=NOON)
    assert list(frame.itertuples(index=False, name=None)) == [("k\u00f6ln", "SPY", 60.0)]


@pytest.mark.parametrize("store", STORES, indirect=True)
def test_two_accounts_that_are_both_asked_for_are_two_whatever_their_case(store: PositionStore) -> None:
    store.load_positions(book(("a", "SPY", 1.0), ("A", "SPY", 2.0)), updated_at=NOON)
    frame = store.positions(["a", "A"], as_of=NOON)
    assert sorted(frame.itertuples(index=False, name=None)) == [("A", "SPY", 2.0), ("a", "SPY", 1.0)]


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("max_age_s", [None, 60.0])
def test_an_account_that_another_looks_like_is_unavailable_and_no_other_one(
    store: PositionStore, max_age_s: float | None
) -> None:
    store.load_positions(book(("A", "SPY", 2.0), ("b", "SPY", 3.0)), updated_at=NOON)
    frame = store.positions(["a", "b"], as_of=NOON, max_age_s=max_age_s).set_index("broker_account_id")
    assert sorted(frame.index) == ["a", "b"]
    assert pd.isna(frame.loc["a", "symbol"])
    assert pd.isna(frame.loc["a", "qty"])
    assert frame.loc["b"].tolist() == ["SPY", 3.0]


@pytest.mark.parametrize("name", ["K\u00d6LN", "k\u00f6ln\u200b", "ko\u0308ln", "\u212a\u00f6ln"])
def test_names_beyond_ascii_are_folded_too(store: PositionStore, name: str) -> None:
    store.load_positions(book((name, "SPY", 2.0)), updated_at=NOON)
    (row,) = store.positions(["k\u00f6ln"], as_of=NOON).itertuples(index=False, name=None)
    assert row[0] == "k\u00f6ln"
    assert pd.isna(row[1])


@pytest.mark.parametrize("store", STORES, indirect=True)
@pytest.mark.parametrize("symbol", ["SPY\u200b", "SPY\u00a0", "\uff33PY", "S\u00adPY"])
def test_a_symbol_that_looks_like_another_makes_its_account_unavailable_and_no_other_one(
    store: PositionStore, symbol: str
) -> None:
    store.load_positions(book(("a", symbol, 60.0), ("a", "QQQ", 1.0), ("b", "SPY", 3.0)), updated_at=NOON)
    frame = store.positions(["a", "b"], as_of=NOON)
    rows = [tuple(None if pd.isna(cell) else cell for cell in row) for row in frame.itertuples(index=False)]
    assert sorted(rows, key=str) == [("a", "QQQ", 1.0), ("a", None, None), ("b", "SPY", 3.0)]


def test_a_name_that_is_kept_as_bytes_is_no_other_name(tmp_path: Path) -> None:
    store = EmbeddedStore(tmp_path / "engine.db")
    store.load_positions(book(("paper", "SPY", 60.0)), updated_at=NOON)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE broker_positions SET broker_account_id = CAST('paper' AS BLOB)")
    assert reason_of_an_order(store) == "risk_data_unavailable"
