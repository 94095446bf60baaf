"""What a row is judged against: what is known, the limits, and the rows allowed before it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import partial

from engine import RiskConfig
from tests.engine.risk.oracle.known import Known, position_held, remaining_qty, working_quantities
from tests.engine.risk.oracle.quotes import quote_of, rounded_up
from tests.engine.risk.oracle.words import QUANTITY_BOUND, Row, exact, is_cancel, is_quantity, key_of, number


@dataclass
class State:
    """The batch so far.

    ``opened``: the allowed rows that did not reduce a position. ``orders_of_batch``: all its orders.
    ``let_in``: those that row rules let through, which whole-file rules count. ``refused_groups``: those that
    a refusal of one of their rows refuses.
    """

    known: Known
    config: RiskConfig
    allowed: list[Row] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)
    orders_of_batch: list[Row] = field(default_factory=list)
    let_in: list[Row] = field(default_factory=list)
    refused_groups: Collection[tuple[str, str | None]] = ()

    def orders(
        self, row: Row, *, strategy: str | None = None, symbol: bool = False, side: str | None = None
    ) -> list[Row]:
        """Return the allowed orders of the row's account, of a strategy, in the row's symbol, of a side."""
        return [
            each
            for each in self.allowed
            if not is_cancel(each)
            and each["broker_account_id"] == row.get("broker_account_id")
            and (strategy is None or each["strategy_id"] == strategy)
            and (not symbol or key_of(each) == key_of(row))
            and (side is None or each["side"] == side)
        ]

    def shares(self, row: Row, side: str, strategy: str | None = None) -> Decimal | None:
        """Sum the allowed shares of one side in the row's symbol; None where one has no known quantity."""
        orders = self.orders(row, strategy=strategy, symbol=True, side=side)
        shares = [traded_qty(each, self) for each in orders]
        known = [each for each in shares if each is not None]
        return sum(known, Decimal(0)) if len(known) == len(shares) else None


@dataclass(frozen=True)
class Book:
    """Position, open buys and open sells in a symbol: working and allowed ones; None for an unknown sum."""

    held: Decimal
    buys: Decimal | None
    sells: Decimal | None


def book_of(row: Row, state: State, strategy: str | None = None) -> Book | None:
    """Return the book of the row's account in its symbol, or a strategy's own; None where it is unknown."""
    held = position_held(row, state.known, strategy)
    working = working_quantities(row, state.known, strategy, partial(remaining_shares, state=state))
    if held is None or working is None:
        return None
    buys, sells = state.shares(row, "buy", strategy), state.shares(row, "sell", strategy)
    return Book(
        held,
        None if buys is None else working[0] + buys,
        None if sells is None else working[1] + sells,
    )


def reduces(row: Row, state: State, strategy: str | None = None) -> bool | None:
    """Return whether an order reduces a position, whatever else fills; None where that is unknown."""
    book, qty = book_of(row, state, strategy), traded_qty(row, state)
    if book is None or row.get("side") not in ("buy", "sell") or qty is None:
        return None
    held, before = (book.held, book.sells) if row["side"] == "sell" else (-book.held, book.buys)
    return None if before is None else qty + before <= held


def remaining_shares(order: Row, state: State) -> Decimal | None:
    """Return the shares of a working order that may still fill; of one by notional what that buys."""
    qty, notional = remaining_qty(order), number(order.get("remaining_notional"))
    if qty is not None or notional is None or notional < 0:
        return qty
    quote = quote_of(order, state)
    if quote is None or quote.bid is None:
        return None
    return (notional / quote.bid).quantize(Decimal("1e-9"), ROUND_CEILING)


def traded_qty(row: Row, state: State) -> Decimal | None:
    """Return the shares of an order; one by notional is divided by the bid, where that may be used."""
    if is_quantity(row.get("qty")):
        return exact(row["qty"])
    quote = quote_of(row, state)
    if not is_quantity(row.get("notional")) or quote is None or quote.bid is None:
        return None
    qty = rounded_up(exact(row["notional"]) / quote.bid, "1e-9")
    return qty if qty < QUANTITY_BOUND else None


def signed_qty(row: Row, state: State) -> Decimal:
    qty = traded_qty(row, state)
    assert qty is not None
    return qty if row["side"] == "buy" else -qty
