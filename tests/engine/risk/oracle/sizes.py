"""The rules on the size of one order: its slippage, the usual quantity, its share of the daily volume."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from tests.engine.risk.oracle.levels import FAIL, PASS, UNAVAILABLE, Finding, Level, judged, levels_of
from tests.engine.risk.oracle.rows import unless_reducing
from tests.engine.risk.oracle.state import State, traded_qty
from tests.engine.risk.oracle.words import (
    Row,
    exact,
    given,
    has_null_key,
    instrument,
    is_missing,
    is_quantity,
    number,
)

DAYS = timedelta(days=10)


def max_slippage_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        slippage = number(row.get("estimated_slippage"))
        if slippage is None or not slippage.is_finite():
            return UNAVAILABLE
        return FAIL if abs(slippage) > exact(level.value) else PASS

    return judged(levels_of(row, "max_slippage", state.config), check)


def quantity_looks_like_notional(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        usual = state.known.usual_quantities
        if usual is None or has_null_key(usual, "strategy_id", "symbol"):
            return UNAVAILABLE
        if given(row, "notional"):
            return PASS
        if not is_quantity(row.get("qty")):
            return UNAVAILABLE
        mine = [
            each["qty"]
            for each in usual
            if each["strategy_id"] == row.get("strategy_id")
            and instrument(each["symbol"]) == instrument(row.get("symbol"))
        ]
        if not mine:
            return FAIL
        qty = the_one_above_zero(mine)
        if qty is None:
            return UNAVAILABLE
        return FAIL if exact(row["qty"]) > qty * exact(level.value) else PASS

    return unless_reducing(judged(levels_of(row, "max_qty_ratio_to_usual", state.config), check), row, state)


def max_pct_adv_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        volumes = state.known.average_volumes
        qty = traded_qty(row, state)
        if volumes is None or has_null_key(volumes, "symbol") or qty is None:
            return UNAVAILABLE
        mine = [each for each in volumes if instrument(each["symbol"]) == instrument(row.get("symbol"))]
        if not all(is_recent(each["measured_on"], state.known.trading_date) for each in mine):
            return UNAVAILABLE
        shares = the_one_above_zero([each["shares"] for each in mine])
        if shares is None:
            return UNAVAILABLE
        return FAIL if qty * 100 > shares * exact(level.value) else PASS

    return unless_reducing(judged(levels_of(row, "max_pct_adv", state.config), check), row, state)


def the_one_above_zero(values: Sequence[object]) -> Decimal | None:
    """Return the number that all of some values are, None where they differ, or are no number above 0."""
    numbers = {number(each) for each in values}
    (only,) = numbers if len(numbers) == 1 else (None,)
    return only if only is not None and only.is_finite() and only > 0 else None


def is_recent(measured_on: object, session: date) -> bool:
    if is_missing(measured_on) or not isinstance(measured_on, str):
        return False
    try:
        return timedelta(0) <= session - date.fromisoformat(measured_on) <= DAYS
    except ValueError:
        return False
