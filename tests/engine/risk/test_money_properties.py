"""Limits in money: nothing unpriced passes, and no price of a strategy's own lets more through."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs, evaluate
from tests.engine.risk import oracle
from tests.engine.risk.frames_drawn import inputs_with, orders
from tests.engine.risk.limits_drawn import values_of
from tests.engine.risk.oracle.known import Known
from tests.engine.risk.oracle.quotes import order_price, quote_of
from tests.engine.risk.oracle.state import State, book_of, reduces
from tests.engine.risk.oracle.words import exact
from tests.engine.risk.strategies import frame_of
from tests.engine.risk.tables import AS_OF
from tests.engine.risk.test_rule_book_properties import WITHOUT_SHRINKING, Asked
from tests.engine.risk.test_valuing import ORDER, quotes

TOTALS = (
    *("max_position_notional_usd", "max_daily_notional_usd", "buying_power_buffer_pct"),
    *("max_gross_exposure_usd", "max_net_exposure_usd"),
)
IN_MONEY = (
    *("max_order_notional_usd", "max_batch_notional_usd", "price_collar_pct", "stop_collar_pct"),
    *TOTALS,
)
OWN_PRICES = (
    *("limit_price", "stop_price", "trail_price", "trail_percent", "reference_price"),
    *("take_profit_limit_price", "stop_loss_stop_price", "stop_loss_limit_price"),
)
FRAMES = ("prices", "account_figures", "latches", "working_order_terms", "traded_notional")


@st.composite
def in_money(draw: Any) -> Asked:
    """A batch under one limit in money or more, and no other."""
    limits = draw(values_of((*IN_MONEY, "max_daily_loss_usd"), at_least=1))
    config = RiskConfig(max_position_qty=10_000, max_daily_trades=1000, **limits)
    return Asked(frame_of(draw(orders())), draw(inputs_with(FRAMES)), config)


@given(in_money())
@settings(WITHOUT_SHRINKING, max_examples=40)
def test_an_order_without_a_price_passes_only_where_it_reduces_a_position(case: Asked) -> None:
    state = State(Known.of(case.inputs), case.config)
    decided = evaluate(case.intents, case.inputs, case.config)
    for row, is_allowed in zip(case.rows, decided["allowed"], strict=True):
        if is_allowed and not oracle.is_cancel(row):
            assert order_price(row, state) is not None or reduces(row, state), f"{row}\n{case!r}"
        if is_allowed:
            state.allowed.append(row)


@given(in_money())
@settings(WITHOUT_SHRINKING, max_examples=40)
def test_no_price_of_a_strategys_own_lets_an_order_pass(case: Asked) -> None:
    """Where quotes are the source, what passes with own prices passes alone as a market order."""
    frame = case.inputs.prices
    quotes = None if frame is None else frame.assign(source="alpaca")
    inputs = replace(case.inputs, prices=quotes)
    for row in case.rows:
        if oracle.is_cancel(row):
            continue
        plain = {name: cell for name, cell in row.items() if name not in OWN_PRICES}
        plain |= {"order_type": "market", "order_class": "simple"}
        with_own, without = (
            evaluate(frame_of([one]), inputs, case.config)["allowed"].item() for one in (row, plain)
        )
        assert without or not with_own, f"{row}\n{case!r}"


@given(in_money(), st.sampled_from((0.01, 10.0, 500.0)))
@settings(WITHOUT_SHRINKING, max_examples=25)
def test_a_reference_price_lets_no_order_pass_whatever_the_source(case: Asked, reference: float) -> None:
    without = case.intents.assign(reference_price=float("nan"))
    named = case.intents.assign(reference_price=reference)
    for nth in range(len(case.intents)):
        one, other = (
            evaluate(frame.iloc[[nth]], case.inputs, case.config)["allowed"].item()
            for frame in (named, without)
        )
        assert other or not one, case


def test_each_collar_has_its_own_figures() -> None:
    nothing = pd.DataFrame(columns=["broker_account_id", "symbol", "qty", "trades", "side", "remaining_qty"])
    known = {"positions": nothing, "daily_trades": nothing, "working_orders": nothing, "prices": quotes({})}
    inputs = RiskInputs(as_of=AS_OF, trading_date=AS_OF.date(), **known)
    order = ORDER | {"client_intent_id": "a", "order_type": "stop_limit", "stop_price": 106.05}
    intents = pd.DataFrame([order | {"limit_price": 111.1}])
    decided = evaluate(intents, inputs, RiskConfig(price_collar_pct=5, stop_collar_pct=8))
    names = ["quote_bid", "quote_ask", "limit_beyond_pct", "price_collar_limit_pct", "stop_beyond_pct"]
    figures = decided[[*names, "stop_collar_limit_pct"]].iloc[0].tolist()
    assert figures == pytest.approx([99.0, 101.0, 10.0, 5.0, 5.0, 8.0])
    assert decided["limit_source"].tolist() == ["EXEC_PRICE_COLLAR_PCT"]


WORST: dict[str, Any] = {"max_gross_exposure_usd": 1500.0, "max_position_notional_usd": 1000.0}


@given(orders(), inputs_with(("prices", "working_order_terms")))
@settings(WITHOUT_SHRINKING, max_examples=40)
def test_no_fills_breach_a_limit_on_exposure_or_the_worth_of_a_position(
    rows: list[dict[str, Any]], inputs: RiskInputs
) -> None:
    """Each symbol is worst where one side fills whole, at the ask; an order that reduces makes none worse."""
    inputs = replace(inputs, overrides=None)
    rows = [row for row in rows if oracle.is_missing(row.get("notional"))]
    config = RiskConfig(max_position_qty=10_000, max_daily_trades=1000, **WORST)
    decisions = evaluate(frame_of(rows), inputs, config)
    state = State(Known.of(inputs), config)
    for row, is_allowed in zip(rows, decisions["allowed"], strict=True):
        opens = not oracle.is_cancel(row) and not reduces(row, state)
        if is_allowed:
            state.allowed.append(row)
        if not (is_allowed and opens):
            continue
        account, most = {"broker_account_id": row["broker_account_id"]}, Decimal(0)
        for symbol in ("SPY", "BRK.B", "BTC/USD"):
            key = account | {"symbol": symbol, "strategy_id": None}
            book, quote = book_of(key, state), quote_of(key, state)
            assert book is not None
            assert book.buys is not None
            assert book.sells is not None
            sides = max(book.held + book.buys, book.sells - book.held, Decimal(0))
            ask = quote.ask if quote is not None and quote.ask is not None else Decimal(9)
            if sides and (quote is None or quote.ask is None):  # the intents name the prices, of limit orders
                assert not book.held
            most += sides * ask
            if oracle.key_of(key) == oracle.key_of(row):
                grown = book.held + book.buys if row["side"] == "buy" else book.sells - book.held
                assert grown * ask <= exact(WORST["max_position_notional_usd"]), f"{row} {inputs}"
        assert most <= exact(WORST["max_gross_exposure_usd"]), f"{row} {inputs}"
