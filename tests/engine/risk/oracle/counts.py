"""The rules that add up: trades, positions, orders of a run, working orders, open positions, equal orders."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from statistics import median

import pandas as pd

from tests.engine.risk.oracle.known import orders_at_work, position_held, trades_booked
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
from tests.engine.risk.oracle.state import State, book_of, signed_qty, traded_qty
from tests.engine.risk.oracle.words import (
    Row,
    count_of,
    exact,
    has_null_key,
    is_cancel,
    is_missing,
    is_symbol,
    is_text,
    is_timestamp,
    key_of,
    number,
)


def counts_in_symbol(level: Level) -> bool:
    return level.scope.symbol is not None


def trades_today(row: Row, state: State, level: Level) -> Decimal | None:
    """Count today's trades, the working orders and the intents allowed so far, of whatever a level counts."""
    strategy, symbol = level.strategy, counts_in_symbol(level)
    if not is_text(row.get("broker_account_id")) or (symbol and not is_symbol(row.get("symbol"))):
        return None
    booked = trades_booked(row, state.known, strategy=strategy, symbol=symbol)
    working = orders_at_work(row, state.known, strategy)
    if booked is None or working is None:
        return None
    if symbol:
        working = [each for each in working if key_of(each) == key_of(row)]
    return booked + len(working) + len(state.orders(row, strategy=strategy, symbol=symbol))


def max_daily_trades_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        trades = trades_today(row, state, level)
        return UNAVAILABLE if trades is None else FAIL if trades >= level.value else PASS

    return judged(levels_of(row, "max_daily_trades", state.config), check)


def projected(row: Row, state: State, strategy: str | None) -> Decimal | None:
    """Return the position that the rule compares with the limit, or None where it can't be had."""
    book = book_of(row, state, strategy)
    if book is None or row.get("side") not in ("buy", "sell") or traded_qty(row, state) is None:
        return None
    if state.config.position_projection == "net":
        if book.buys is None or book.sells is None:
            return None
        return book.held + book.buys - book.sells + signed_qty(row, state)
    if row["side"] == "buy":
        return None if book.buys is None else book.held + book.buys + signed_qty(row, state)
    return None if book.sells is None else book.held - book.sells + signed_qty(row, state)


def max_position_size_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        qty, limit = projected(row, state, level.strategy), exact(level.value)
        if qty is None:
            return UNAVAILABLE
        if state.config.position_projection == "worst_case":
            return FAIL if (qty > limit if row["side"] == "buy" else qty < -limit) else PASS
        now = qty - signed_qty(row, state)
        if abs(qty) < abs(now) and now * qty >= 0:
            return PASS
        return FAIL if abs(qty) > limit else PASS

    return judged(levels_of(row, "max_position_qty", state.config), check)


def max_orders_per_run_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        if not is_text(row.get("broker_account_id")):
            return UNAVAILABLE
        orders = state.orders(row, strategy=level.strategy, symbol=counts_in_symbol(level))
        return FAIL if len(orders) >= level.value else PASS

    return judged(levels_of(row, "max_orders_per_run", state.config), check)


def max_working_orders_exceeded(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        symbol = counts_in_symbol(level)
        working = orders_at_work(row, state.known, level.strategy)
        if working is None or not is_text(row.get("broker_account_id")):
            return UNAVAILABLE
        if symbol:
            working = [each for each in working if key_of(each) == key_of(row)]
        orders = state.orders(row, strategy=level.strategy, symbol=symbol)
        return FAIL if len(working) + len(orders) >= level.value else PASS

    return judged(levels_of(row, "max_working_orders", state.config), check)


def max_open_positions_exceeded(row: Row, state: State) -> Finding:
    """Count the symbols with a position or an order; an order in one that has either adds nothing."""

    def check(level: Level) -> str:
        known, strategy = state.known, level.strategy
        positions = known.positions if strategy is None else known.strategy_positions
        working = orders_at_work(row, known, strategy)
        if positions is None or working is None or has_null_key(positions, "broker_account_id"):
            return UNAVAILABLE
        mine = [
            each
            for each in positions
            if each["broker_account_id"] == row["broker_account_id"]
            and (strategy is None or each["strategy_id"] == strategy or is_missing(each["strategy_id"]))
        ]
        if has_null_key(mine, "symbol"):
            return UNAVAILABLE
        open_now = {key_of(each)[1] for each in (*working, *state.orders(row, strategy=strategy))}
        for each in mine:
            held = position_held(each, known, strategy)
            if held is None:
                return UNAVAILABLE
            if held != 0:
                open_now.add(key_of(each)[1])
        if key_of(row)[1] in open_now:
            return PASS
        return FAIL if len(open_now) + 1 > level.value else PASS

    return judged(levels_of(row, "max_open_positions", state.config), check)


SAME = ("side", "qty", "notional", "limit_price", "stop_price")


def is_the_same(one: Row, other: Row) -> bool:
    """Return whether two orders are of one account, strategy, symbol, side, quantity and price."""
    return (
        key_of(one) == key_of(other)
        and one["strategy_id"] == other["strategy_id"]
        and one["side"] == other["side"]
        and all(number(one.get(name)) == number(other.get(name)) for name in SAME[1:])
    )


def duplicate_order(row: Row, state: State) -> Finding:
    def check(level: Level) -> str:
        earlier = state.known.earlier_orders
        if earlier is None or has_null_key(earlier, "broker_account_id", "strategy_id", "symbol"):
            return UNAVAILABLE
        window = longest_window(row, state)
        recent = [each for each in earlier if is_the_same(each, row)]
        if window is not None:
            if any(not is_timestamp(each["sent_at"]) for each in recent):
                return UNAVAILABLE
            recent = [each for each in recent if state.known.as_of - each["sent_at"] <= window]
        now = [each for each in state.orders(row, symbol=True) if is_the_same(each, row)]
        return FAIL if len(recent) + len(now) >= level.value else PASS

    return judged(levels_of(row, "max_equal_orders", state.config), check)


def longest_window(row: Row, state: State) -> pd.Timedelta | None:
    """Return the longest window that is set for a row, since it refuses more; None for the whole session."""
    windows = [level.value for level in levels_of(row, "equal_orders_window_s", state.config)]
    return pd.Timedelta(seconds=max(windows)) if windows else None


def max_batch_orders_exceeded(row: Row, state: State) -> Finding:
    """Refuse every order of a file with too many: what is found for one of them holds for all."""
    if is_cancel(row):
        return Finding(OFF)
    mine = [each for each in state.let_in if is_of_file(each, row)]
    found = [_orders_of_file(each, mine, state) for each in state.orders_of_batch if is_of_file(each, row)]
    worst = heaviest(*found)
    if worst.verdict != FAIL:
        return worst
    failing = [one for one in found if one.verdict == FAIL and one.shown is not None]
    first = min(failing, key=lambda one: one.shown.order if one.shown else 0)
    return replace(first, lacks_data=worst.lacks_data)


def is_of_file(one: Row, other: Row) -> bool:
    names = (one.get("source_file"), other.get("source_file"))
    return names[0] == names[1] or all(is_missing(name) for name in names)


def _orders_of_file(row: Row, mine: list[Row], state: State) -> Finding:
    def check(level: Level) -> str:
        counted = [
            each
            for each in mine
            if each["broker_account_id"] == row["broker_account_id"]
            and (level.strategy is None or each["strategy_id"] == level.strategy)
            and (not counts_in_symbol(level) or key_of(each) == key_of(row))
        ]
        return FAIL if row in mine and len(counted) > level.value else PASS

    def unusual(level: Level) -> str:
        batches = state.known.earlier_batches
        if batches is None or has_null_key(batches, "strategy_id"):
            return UNAVAILABLE
        if row not in mine:
            return PASS
        own = [count_of(each["orders"]) for each in batches if each["strategy_id"] == row["strategy_id"]]
        counts = [each for each in own if each is not None]
        if len(counts) < len(own):
            return UNAVAILABLE
        if not counts:
            return PASS
        orders = len([each for each in mine if each["strategy_id"] == row["strategy_id"]])
        return FAIL if orders > exact(level.value) * median(counts) else PASS

    both = [
        *((level, check) for level in levels_of(row, "max_batch_orders", state.config)),
        *((level, unusual) for level in levels_of(row, "max_batch_ratio_to_median", state.config)),
    ]
    findings = [judged([level], judge) for level, judge in sorted(both, key=lambda one: one[0].order)]
    return heaviest(*findings) if findings else Finding(OFF)


def trades_figures(row: Row, state: State, found: Finding) -> dict[str, Decimal | None]:
    level = found.shown
    if level is None:
        return {"trades_today": None, "trades_limit": None}
    return {
        "trades_today": trades_today(row, state, level),
        "trades_limit": limit_shown(row, state, "max_daily_trades", found, level),
    }


def position_figures(row: Row, state: State, found: Finding) -> dict[str, Decimal | None]:
    level = found.shown
    if level is None:
        return {"current_qty": None, "projected_qty": None, "position_limit_qty": None}
    return {
        "current_qty": position_held(row, state.known, level.strategy),
        "projected_qty": projected(row, state, level.strategy),
        "position_limit_qty": limit_shown(row, state, "max_position_qty", found, level),
    }


def limit_shown(row: Row, state: State, key: str, found: Finding, shown: Level) -> Decimal:
    """Return the limit of the first failing level, else the smallest of those that count the same."""
    if found.verdict == FAIL:
        return exact(shown.value)
    in_symbol = key == "max_daily_trades"
    alike = [
        level.value
        for level in levels_of(row, key, state.config)
        if level.strategy == shown.strategy
        and (not in_symbol or counts_in_symbol(level) == counts_in_symbol(shown))
    ]
    return exact(min(alike))
