"""Positions as JSON bodies."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from replay.simulator.account.book import Position
from replay.simulator.decimals import ZERO, minus, plain, plus, ratio, times
from replay.simulator.market.tape import Tape

_FRACTION_STEP = Decimal("1e-16")


def position_body(position: Position, tape: Tape, t_ns: int, last_day: date) -> dict[str, Any]:
    """Return Alpaca's JSON object of a position at the prices of a timestamp; ``last_day`` closed last.

    The day's gain is measured from the last close for overnight shares, and from their cost for others.
    """
    symbol, qty, cost = position.asset.symbol, position.qty, position.cost
    price = tape.price(symbol, t_ns)
    last_close = tape.close_price(symbol, last_day)
    value = times(qty, price)
    gain = minus(value, cost)
    overnight = _overnight(position)
    average = position.average_price()
    today_basis = plus(times(overnight, last_close), times(qty - overnight, average))
    if overnight == ZERO:
        today_basis = cost
    today = minus(value, today_basis)
    return {
        "asset_id": position.asset.id,
        "symbol": symbol,
        "exchange": position.asset.exchange,
        "asset_class": "us_equity",
        "asset_marginable": position.asset.marginable,
        "qty": plain(qty),
        "avg_entry_price": plain(average),
        "side": "long" if qty > ZERO else "short",
        "market_value": plain(value),
        "cost_basis": plain(cost),
        "unrealized_pl": plain(gain),
        "unrealized_plpc": _part(gain, abs(cost)),
        "unrealized_intraday_pl": plain(today),
        "unrealized_intraday_plpc": _part(today, abs(today_basis)),
        "current_price": plain(price),
        "lastday_price": plain(last_close),
        "change_today": _part(minus(price, last_close), last_close),
        "qty_available": plain(position.available if qty > ZERO else -position.available),
    }


def _overnight(position: Position) -> Decimal:
    """Return the shares held since the start of the trading day."""
    if (position.opening_qty > ZERO) != (position.qty > ZERO):
        return ZERO
    return min(position.opening_qty, position.qty, key=abs)


def _part(amount: Decimal, of: Decimal) -> str:
    return plain(ratio(amount, of, _FRACTION_STEP)) if of else "0"
