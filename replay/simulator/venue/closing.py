"""Closing positions: in full, by shares or by percentage."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal

from replay.simulator.account.book import Position, side_that_closes
from replay.simulator.decimals import EXACT, ONE, SHARE_STEP, ZERO, is_whole, number, places, times
from replay.simulator.intake import messages
from replay.simulator.intake.order_requests import OrderRequest

_ALL = Decimal(100)
_MOST_PLACES = 9


def request_to_close(position: Position, query: Mapping[str, str]) -> OrderRequest:
    """Return the market order that closes ``qty``, ``percentage`` or, without either, everything."""
    return OrderRequest(
        symbol=position.asset.symbol,
        side=side_that_closes(position),
        type="market",
        time_in_force="day",
        qty=_shares(position, query),
    )


def _shares(position: Position, query: Mapping[str, str]) -> Decimal:
    qty, percentage = _read(query, "qty"), _read(query, "percentage")
    existing = abs(position.qty)
    if qty is not None and percentage is not None:
        raise messages.QTY_AND_PERCENTAGE()
    if qty is not None:
        if qty <= ZERO:
            raise messages.QTY_NOT_POSITIVE()
        if places(qty) > _MOST_PLACES:
            raise messages.QTY_TOO_FINE()
        return qty
    if percentage is None:
        return existing
    if not ZERO < percentage <= _ALL:
        raise messages.BAD_PERCENTAGE()
    if places(percentage) > _MOST_PLACES:
        raise messages.PERCENTAGE_TOO_FINE()
    step = ONE if is_whole(existing) else SHARE_STEP
    part = EXACT.divide(times(existing, percentage), _ALL).quantize(step, rounding=ROUND_FLOOR, context=EXACT)
    if part <= ZERO:
        raise messages.QTY_NOT_POSITIVE()
    return part


def _read(query: Mapping[str, str], name: str) -> Decimal | None:
    text = query.get(name)
    if not text:
        return None
    value = number(text)
    if value is None:
        raise messages.BAD_PARAMETER(name)
    return value
