"""The rules in money that judge an order or a file by itself, and losses of accounts."""

from __future__ import annotations

from decimal import Decimal

from tests.engine.risk.oracle.levels import (
    FAIL,
    PASS,
    UNAVAILABLE,
    Finding,
    Level,
    heaviest,
    judged,
    levels_of,
)
from tests.engine.risk.oracle.quotes import quote_of
from tests.engine.risk.oracle.rows import unless_reducing
from tests.engine.risk.oracle.state import State
from tests.engine.risk.oracle.words import Row, exact, has_null_key, in_units, instrument, number


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
    found = [
        judged([level], lambda one, figure=figure: check(one, figure)) for level, figure in in_order(both)
    ]
    return unless_reducing(heaviest(*found, Finding("off")), row, state)


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
