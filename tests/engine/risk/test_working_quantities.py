"""Working orders by notional: the quantity that a valid quote gives them, rounded up, and none otherwise."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.quantity import UNITS, round_to_units
from engine.risk import evaluate
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs

AS_OF = pd.Timestamp("2026-03-02T17:00:00Z")
FRESH = AS_OF - pd.Timedelta(seconds=1)
CONFIG = RiskConfig(max_position_qty=10.0)


def quote(**said: Any) -> pd.DataFrame:
    plain: dict[str, Any] = {"symbol": "SPY", "bid": 20.0, "ask": 20.1, "last": np.nan, "quote_at": FRESH}
    return pd.DataFrame([plain | {"source": "file", "feed": None, "verdict": "ok"} | said])


def judged(
    prices: pd.DataFrame | None, *, qty: float = 1.0, side: str = "buy", **working: Any
) -> tuple[str, float]:
    """Return the position rule's verdict on an order, and the projection, beside an order at work."""
    row = {"broker_account_id": "a", "symbol": "SPY", "side": "buy", "remaining_qty": np.nan} | working
    inputs = RiskInputs(
        as_of=AS_OF,
        trading_date=date(2026, 3, 2),
        positions=pd.DataFrame(columns=["broker_account_id", "symbol", "qty"]),
        daily_trades=pd.DataFrame(columns=["broker_account_id", "trades"]),
        working_orders=pd.DataFrame([row]),
        prices=prices,
    )
    order = {"strategy_id": "s", "broker_account_id": "a", "symbol": "SPY", "side": side, "qty": qty}
    found = evaluate(pd.DataFrame([{"client_intent_id": "i", **order}]), inputs, CONFIG).iloc[0]
    return str(found["check_max_position_size_exceeded"]), float(found["projected_qty"])


def test_what_is_left_of_the_notional_counts_at_the_bid() -> None:
    assert judged(quote(), remaining_notional=180.0) == ("pass", 10.0)
    assert judged(quote(), remaining_notional=180.000001) == ("fail", 10.00000005)
    assert judged(quote(), remaining_notional=180.0, side="sell") == ("pass", -1.0)


def test_an_order_of_which_nothing_is_left_counts_nothing() -> None:
    assert judged(quote(), remaining_notional=0.0, qty=10.0) == ("pass", 10.0)


@pytest.mark.parametrize(
    "prices",
    [
        None,
        quote(verdict="halted"),
        quote(symbol="KO"),
        quote(bid=0.0),
        quote(quote_at=AS_OF - pd.Timedelta(seconds=61)),
        quote(ask=22.0),
        quote(source="intents", bid=np.nan, ask=np.nan),
        pd.concat([quote(), quote()]),
    ],
)
def test_without_a_valid_quote_the_symbol_is_unavailable(prices: pd.DataFrame | None) -> None:
    verdict, projected = judged(prices, remaining_notional=20.0)
    assert (verdict, np.isnan(projected)) == ("unavailable", True)


@pytest.mark.parametrize("working", [{}, {"remaining_notional": np.nan}, {"remaining_notional": -1.0}])
def test_what_has_no_known_notional_either_is_unavailable(working: dict[str, Any]) -> None:
    assert judged(quote(), **working)[0] == "unavailable"


@given(st.integers(1, 10**11), st.integers(1, 10**8))
def test_the_quantity_is_never_below_the_exact_one_and_hardly_above(cents: int, bid: int) -> None:
    notional, price = Decimal(cents) / 100, Decimal(bid) / 10_000
    exact = notional / price
    if exact >= 10**9 - 1:
        return
    prices = quote(bid=float(price), ask=float(price))
    _, projected = judged(prices, remaining_notional=float(notional), qty=1e-9)
    units = int(round_to_units(np.array([projected]))[0]) - 1
    least = int((exact * UNITS).to_integral_value(ROUND_CEILING))
    step = max(1, 10 ** (len(str(least)) - 15))
    assert least <= units + step <= least + 3 * step
