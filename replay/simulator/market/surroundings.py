"""The protocols that the venue requires: clock, prices and list of assets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol


class Clock(Protocol):
    """The simulated time."""

    def now_ns(self) -> int:
        """Return the current time, nanoseconds since 1970 UTC."""


class Quote(Protocol):
    """The best bid and ask."""

    @property
    def bid(self) -> Decimal:
        """The price at which one can sell."""

    @property
    def ask(self) -> Decimal:
        """The price at which one can buy."""


class Market(Protocol):
    """The prices of every symbol at every time; its methods change nothing."""

    def knows(self, symbol: str) -> bool:
        """Return whether it has prices of the symbol."""

    def price(self, symbol: str, t_ns: int) -> Decimal:
        """Return the last price at a timestamp."""

    def quote(self, symbol: str, t_ns: int) -> Quote:
        """Return the best bid and ask at a timestamp."""

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        """Return the lowest and the highest price after ``from_ns`` and up to ``to_ns``."""

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time after ``from_ns``, up to ``to_ns``, with the price at or below a level."""

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Return the first time after ``from_ns``, up to ``to_ns``, with the price at or above a level."""

    def open_price(self, symbol: str, day: date) -> Decimal:
        """Return the price of the opening auction."""

    def close_price(self, symbol: str, day: date) -> Decimal:
        """Return the price of the closing auction."""


class Asset(Protocol):
    """One line of the list of assets."""

    @property
    def id(self) -> str:
        """Its id, a UUID."""

    @property
    def symbol(self) -> str:
        """Its symbol."""

    @property
    def exchange(self) -> str:
        """The exchange it is listed on."""

    @property
    def status(self) -> str:
        """``active`` or ``inactive``."""

    @property
    def tradable(self) -> bool:
        """Whether orders are accepted."""

    @property
    def shortable(self) -> bool:
        """Whether it can be sold short."""

    @property
    def fractionable(self) -> bool:
        """Whether it trades in fractions of a share."""

    @property
    def marginable(self) -> bool:
        """Whether it can be bought on margin."""

    def body(self) -> dict[str, Any]:
        """Return Alpaca's JSON object."""


class Assets(Protocol):
    """The list of assets."""

    def get(self, symbol_or_id: str) -> Asset | None:
        """Return an asset by symbol or id, None if there is none."""

    def changed(self, symbol: str, **flags: Any) -> Assets:
        """Return the same list with other flags, or another status, of one asset."""

    def listing(
        self,
        status: str | None = None,
        exchange: str | None = None,
        *,
        attributes: Collection[str] = (),
    ) -> Sequence[Asset]:
        """Return the assets that match all filters and any of the attributes."""
