"""What can be ordered from Alpaca: the one list from which the venue rules and the table in the docs follow.

Shares and funds of US exchanges only. Crypto and option orders are not supported: Alpaca has other rules for
them, which are not implemented. Sources: Alpaca's pages "Orders at Alpaca" and "Fractional Trading".
"""

from __future__ import annotations

from dataclasses import dataclass

ASSET_CLASSES = ("EQUITY", "US_EQUITY")

_DAY_OR_GTC = ("day", "gtc")
_ANY_TIME = ("day", "gtc", "opg", "cls", "ioc", "fok")


@dataclass(frozen=True)
class Kind:
    """One kind of order, and what it may be combined with.

    ``fractions``: fractions of a share, and a notional instead of a quantity; only for the day.
    ``extended_hours``: day and gtc only.
    """

    order_class: str
    order_type: str
    times_in_force: tuple[str, ...] = _DAY_OR_GTC
    fractions: bool = False
    extended_hours: bool = False


KINDS = (
    Kind("simple", "market", _ANY_TIME, fractions=True),
    Kind("simple", "limit", _ANY_TIME, fractions=True, extended_hours=True),
    Kind("simple", "stop", fractions=True),
    Kind("simple", "stop_limit", fractions=True),
    Kind("simple", "trailing_stop"),
    Kind("bracket", "market"),
    Kind("bracket", "limit"),
    Kind("oto", "market"),
    Kind("oto", "limit"),
    Kind("oto", "stop"),
    Kind("oto", "stop_limit"),
    Kind("oco", "limit"),
)
"""Every kind of order that is supported; an order of any other is refused before it is sent."""


def kinds_of(order_class: str) -> dict[str, Kind]:
    """Return the kinds of an order class by order type."""
    return {kind.order_type: kind for kind in KINDS if kind.order_class == order_class}


def as_table() -> str:
    """Return the list as the Markdown table of the docs."""
    lines = [
        "| `order_class` | `order_type` | `time_in_force` | fractions, `notional` | `extended_hours` |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {kind.order_class} | {kind.order_type} | {', '.join(kind.times_in_force)} "
        f"| {'day only' if kind.fractions else 'no'} "
        f"| {' or '.join(_DAY_OR_GTC) if kind.extended_hours else 'no'} |"
        for kind in KINDS
    ]
    return "\n".join(lines)
