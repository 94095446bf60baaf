"""The rules in money that judge an order or a file by itself, and losses of accounts."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from statistics import median
from typing import Any

from tests.engine.risk.oracle.counts import is_of_file
from tests.engine.risk.oracle.levels import (
    FAIL,
    OFF,
    PASS,
    UNAVAILABLE,
    Finding,
    Level,
    heaviest,
    judged,
    levels_of,
)
from tests.engine.risk.oracle.quotes import (
    order_notional,
    order_price,
    quote_of,
    quotes_are_unavailable,
    rounded_up,
)
from tests.engine.risk.oracle.rows import unless_reducing
from tests.engine.risk.oracle.state import State
from tests.engine.risk.oracle.words import (
    Row,
    exact,
    given,
    has_null_key,
    in_units,
    instrument,
    is_cancel,
    key_of,
    number,
)


def max_batch_notional_exceeded(row: Row, state: State) -> Finding:
    """Refuse every order of a file that is worth too much, and by itself one whose worth is unknown."""
    if is_cancel(row):
        return Finding(OFF)
    mine = [each for each in state.let_in if is_of_file(each, row)]
    found = [worth_of_file(each, mine, state) for each in state.orders_of_batch if is_of_file(each, row)]
    failing = [one for one in found if one.verdict == FAIL and one.shown is not None]
    whole = min(failing, key=lambda one: one.shown.order if one.shown else 0) if failing else heaviest(*found)
    levels = levels_of(row, "max_batch_notional_usd", state.config)
    if usual_worth(row, state):
        levels += levels_of(row, "max_batch_ratio_to_median", state.config)
    own = judged(levels, lambda _: UNAVAILABLE if order_notional(row, state) is None else PASS)
    return heaviest(whole, unless_reducing(own, row, state))


def worth_of_file(row: Row, mine: list[Row], state: State) -> Finding:
    def worth(orders: list[Row]) -> Decimal:
        return sum((order_notional(each, state) or Decimal(0) for each in orders), Decimal(0))

    def is_counted(row: Row) -> bool:
        return row in mine and order_notional(row, state) is not None

    def check(level: Level) -> str:
        counted = [
            each
            for each in mine
            if each["broker_account_id"] == row["broker_account_id"]
            and (level.strategy is None or each["strategy_id"] == level.strategy)
            and (level.scope.symbol is None or key_of(each) == key_of(row))
        ]
        return FAIL if is_counted(row) and worth(counted) > exact(level.value) else PASS

    def unusual(level: Level) -> str:
        batches = state.known.earlier_batches
        if batches is None or has_null_key(batches, "strategy_id"):
            return UNAVAILABLE
        usual = usual_worth(row, state)
        if not usual or not is_counted(row):
            return PASS
        counted = [each for each in mine if each["strategy_id"] == row["strategy_id"]]
        return FAIL if worth(counted) > median(usual) * exact(level.value) else PASS

    both = [
        *((level, check) for level in levels_of(row, "max_batch_notional_usd", state.config)),
        *((level, unusual) for level in levels_of(row, "max_batch_ratio_to_median", state.config)),
    ]
    findings = [judged([level], judge) for level, judge in sorted(both, key=lambda one: one[0].order)]
    return heaviest(*findings, Finding(OFF))


def usual_worth(row: Row, state: State) -> list[Decimal]:
    """Return what the orders of the strategy's earlier runs were worth, where that is known."""
    batches = state.known.earlier_batches
    if batches is None or has_null_key(batches, "strategy_id"):
        return []
    mine = [number(each["notional"]) for each in batches if each["strategy_id"] == row.get("strategy_id")]
    return [each for each in mine if each is not None and each.is_finite() and each >= 0]


NEED_A_PRICE = (
    *("max_order_notional_usd", "max_batch_notional_usd", "price_collar_pct", "stop_collar_pct"),
    *("max_daily_loss_usd", "max_drawdown_usd", "max_position_notional_usd", "max_daily_notional_usd"),
    *("buying_power_buffer_pct", "max_gross_exposure_usd", "max_net_exposure_usd"),
)
"""The limits that need a price."""


def unpriced(row: Row, state: State) -> Finding:
    if not any(levels_of(row, key, state.config) for key in NEED_A_PRICE):
        return Finding(OFF)
    if quotes_are_unavailable(state):
        found = Finding(UNAVAILABLE)
    else:
        quote = quote_of(row, state)
        named = quote is not None and (quote.ask is not None or order_price(row, state) is not None)
        found = Finding(PASS if named else FAIL)
    return unless_reducing(found, row, state)


def max_order_notional_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        worth = order_notional(row, state)
        if worth is None:
            return UNAVAILABLE
        return FAIL if worth > exact(level.value) else PASS

    return unless_reducing(judged(levels_of(row, "max_order_notional_usd", state.config), check), row, state)


def price_collar_breached(row: Row, state: State) -> Finding:
    def check(level: Level, prices: list[tuple[Any, Decimal]]) -> str:
        quote = quote_of(row, state)
        if not prices:
            return PASS
        if quote is None or quote.ask is None or quote.bid is None:
            return UNAVAILABLE
        collar = exact(level.value)
        beyond = [
            price * 100 > quote.ask * (100 + collar)
            if side == "buy"
            else price * 100 < quote.bid * (100 - collar)
            for side, price in prices
        ]
        return FAIL if any(beyond) else PASS

    side = row.get("side")
    exits = side if row.get("order_class") == "oco" else {"buy": "sell", "sell": "buy"}.get(str(side))
    limits = [
        (side, "limit_price"),
        (exits, "take_profit_limit_price"),
        (exits, "stop_loss_limit_price"),
    ]
    stops = [(side, "stop_price"), (exits, "stop_loss_stop_price")]
    of_limits = [(of, exact(row[name])) for of, name in limits if given(row, name)]
    of_stops = [(of, exact(row[name])) for of, name in stops if given(row, name)]
    of_stops += trailing_stop_now(row, state)
    both = [
        *((level, of_limits) for level in levels_of(row, "price_collar_pct", state.config)),
        *((level, of_stops) for level in levels_of(row, "stop_collar_pct", state.config)),
    ]
    found = [
        judged([level], partial(check, prices=prices))
        for level, prices in sorted(both, key=lambda one: one[0].order)
    ]
    return heaviest(*found, Finding(OFF))


def trailing_stop_now(row: Row, state: State) -> list[tuple[Any, Decimal]]:
    """Return the price at which a trailing stop would stand now; any price where there is no quote."""
    if not given(row, "trail_price") and not given(row, "trail_percent"):
        return []
    quote = quote_of(row, state)
    if quote is None or quote.ask is None or quote.bid is None:
        return [(row["side"], Decimal(1))]
    from_price = quote.ask if row["side"] == "buy" else quote.bid
    if given(row, "trail_price"):
        distance = exact(row["trail_price"])
    else:
        distance = rounded_up(from_price * exact(row["trail_percent"]) / 100, "1e-9")
    return [(row["side"], from_price + distance if row["side"] == "buy" else from_price - distance)]


def daily_loss_limit_reached(row: Row, state: State) -> Finding:
    def check(level: Level, figure: str) -> str:
        latches = state.known.latches
        loss = loss_of(row.get("broker_account_id"), figure, state)
        if latches is not None and ("daily_loss_limit_reached", row.get("broker_account_id")) in [
            (each["rule"], each["broker_account_id"]) for each in latches
        ]:
            return FAIL
        if loss is not None and loss >= exact(level.value):
            return FAIL
        return UNAVAILABLE if loss is None or latches is None else PASS

    both = [
        *((level, "start_equity") for level in levels_of(row, "max_daily_loss_usd", state.config)),
        *((level, "peak_equity") for level in levels_of(row, "max_drawdown_usd", state.config)),
    ]
    found = [judged([level], partial(check, figure=figure)) for level, figure in in_order(both)]
    return unless_reducing(heaviest(*found, Finding(OFF)), row, state)


def in_order(levels: list[tuple[Level, str]]) -> list[tuple[Level, str]]:
    return sorted(levels, key=lambda one: one[0].order)


def loss_of(account: object, figure: str, state: State) -> Decimal | None:
    figures, positions = state.known.account_figures, state.known.positions
    if figures is None or has_null_key(figures, "broker_account_id"):
        return None
    mine = [each for each in figures if each["broker_account_id"] == account]
    if len(mine) != 1 or positions is None or has_null_key(positions, "broker_account_id"):
        return None
    before, equity = number(mine[0][figure]), number(mine[0]["cash"])
    held = [each for each in positions if each["broker_account_id"] == account]
    symbols = [instrument(each["symbol"]) for each in held]
    if before is None or equity is None or has_null_key(held, "symbol") or len(set(symbols)) < len(symbols):
        return None
    for each in held:
        qty = number(each["qty"])
        if qty is None or not qty.is_finite() or abs(qty) >= 10**9:
            return None
        if in_units(qty) == 0:
            continue
        quote = quote_of({"broker_account_id": account, "symbol": each["symbol"]}, state)
        price = None if quote is None else quote.bid if qty > 0 else quote.ask
        if price is None:
            return None
        equity += in_units(qty) * price
    return before - equity
