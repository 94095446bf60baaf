"""Accounts whose names look like the one that is asked for: nothing is known of it then."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from engine.config import RiskConfig
from engine.inputs import RiskInputs
from engine.risk import evaluate
from engine.schema import inputs_schemas
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
        ("\uff50aper", "risk_data_unavailable"),
        ("other", "ok"),
        ("k\u00f6ln", "ok"),
        ("Paper", "ok"),
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
