"""What is known of the accounts: the risk inputs, read row by row; None is what can't be known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from engine import RiskInputs
from tests.engine.risk.oracle.words import (
    QUANTITY_BOUND,
    Row,
    count_of,
    has_null_key,
    in_units,
    is_missing,
    is_symbol,
    is_text,
    key_of,
    number,
    records,
)

LARGEST_SUM = Decimal(4 * 10**9)


@dataclass(frozen=True)
class Known:
    """The risk inputs, with each frame as its rows, or None."""

    as_of: datetime
    trading_date: date
    kill_switch: bool
    allowed_ids: frozenset[tuple[str, str]]
    positions: list[Row] | None
    daily_trades: list[Row] | None
    working_orders: list[Row] | None
    unreconciled: list[Row] | None
    strategy_positions: list[Row] | None
    strategy_trades: list[Row] | None
    working_order_terms: list[Row] | None
    assets: list[Row] | None
    session_hours: list[Row] | None
    earlier_orders: list[Row] | None
    earlier_batches: list[Row] | None
    latches: list[Row] | None
    trading_states: list[Row] | None
    overrides: list[Row] | None
    reconciled: list[Row] | None
    prices: list[Row] | None
    account_figures: list[Row] | None
    traded_notional: list[Row] | None
    usual_quantities: list[Row] | None
    average_volumes: list[Row] | None

    @classmethod
    def of(cls, inputs: RiskInputs) -> Known:
        plain = ("as_of", "trading_date", "kill_switch", "allowed_ids")
        frames: dict[str, Any] = {
            each.name: records(getattr(inputs, each.name)) for each in fields(cls) if each.name not in plain
        }
        return cls(**{name: getattr(inputs, name) for name in plain}, **frames)


def position_held(row: Row, known: Known, strategy: str | None = None) -> Decimal | None:
    """Return the position in the row's symbol, of its account or of a strategy's own book, in shares."""
    if not is_text(row.get("broker_account_id")) or not is_symbol(row.get("symbol")):
        return None
    positions = known.positions if strategy is None else known.strategy_positions
    if positions is None or has_null_key(positions, "broker_account_id"):
        return None
    own = [each for each in positions if each["broker_account_id"] == row["broker_account_id"]]
    if has_null_key(own, "symbol"):
        return None
    if strategy is not None:
        named = [each for each in positions if not is_missing(each["symbol"])]
        if has_null_key(named, "strategy_id"):  # one without a symbol concerns its own account alone
            return None
        own = [each for each in own if each["strategy_id"] == strategy]
    held = [number(each["qty"]) for each in own if key_of(each) == key_of(row)]
    if len(held) > 1:
        return None
    qty = held[0] if held else Decimal(0)
    if qty is None or not qty.is_finite() or abs(qty) >= QUANTITY_BOUND:
        return None
    return in_units(qty)


def orders_at_work(row: Row, known: Known, strategy: str | None = None) -> list[Row] | None:
    """Return the working orders of the row's account, all of them or those of a strategy.

    An order without a strategy is the account's alone.
    """
    orders = known.working_orders if strategy is None else known.working_order_terms
    if strategy is not None and orders is not None:
        orders = [each for each in orders if not is_missing(each["strategy_id"])]
    if orders is None or has_null_key(orders, "broker_account_id", "symbol"):
        return None
    return [
        each
        for each in orders
        if each["broker_account_id"] == row.get("broker_account_id")
        and (strategy is None or each["strategy_id"] == strategy)
    ]


def remaining_qty(order: Row) -> Decimal | None:
    return number(order["remaining_qty"])


def working_quantities(
    row: Row,
    known: Known,
    strategy: str | None = None,
    remaining: Callable[[Row], Decimal | None] = remaining_qty,
) -> tuple[Decimal, Decimal] | None:
    """Sum the working buys and the working sells of the row's symbol; ``remaining``: the shares of each.

    None where one of them can't be read, or where a sum is beyond what the engine's integers are meant for.
    """
    orders = orders_at_work(row, known, strategy)
    if orders is None:
        return None
    sums = {"buy": Decimal(0), "sell": Decimal(0)}
    for order in orders:
        if key_of(order) != key_of(row):
            continue
        qty = remaining(order)
        if order["side"] not in ("buy", "sell") or qty is None or not 0 <= qty < QUANTITY_BOUND:
            return None
        sums[order["side"]] += in_units(qty)
    if max(sums.values()) > LARGEST_SUM:
        return None
    return sums["buy"], sums["sell"]


def trades_booked(row: Row, known: Known, *, strategy: str | None, symbol: bool) -> Decimal | None:
    """Return today's trades in the ledger: of the account, or of a strategy, or in the row's symbol.

    One count for each account; of strategies and symbols the rows add up.
    """
    of_account = strategy is None and not symbol
    counts = known.daily_trades if of_account else known.strategy_trades
    if counts is None or has_null_key(counts, "broker_account_id"):
        return None
    own = [each for each in counts if each["broker_account_id"] == row["broker_account_id"]]
    if of_account and len(own) > 1:
        return None
    if strategy is not None:
        own = [each for each in own if each["strategy_id"] == strategy]
    if symbol:
        if has_null_key(own, "symbol"):
            return None
        own = [each for each in own if key_of(each) == key_of(row)]
    trades = [count_of(each["trades"]) for each in own]
    known_trades = [each for each in trades if each is not None]
    return sum(known_trades, Decimal(0)) if len(known_trades) == len(trades) else None
