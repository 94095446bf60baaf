"""What the venue asks of the world around it: the time, prices and the list of assets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Protocol


class Clock(Protocol):
    """The simulated time."""

    def now_ns(self) -> int:
        """Give the moment, nanoseconds since 1970 UTC."""


class Quote(Protocol):
    """The best prices on either side."""

    @property
    def bid(self) -> Decimal:
        """Give the price at which one can sell."""

    @property
    def ask(self) -> Decimal:
        """Give the price at which one can buy."""


class Market(Protocol):
    """The prices of every symbol at every moment; asking changes nothing."""

    def knows(self, symbol: str) -> bool:
        """Say whether it has prices of the symbol."""

    def price(self, symbol: str, t_ns: int) -> Decimal:
        """Give the last price at a moment."""

    def quote(self, symbol: str, t_ns: int) -> Quote:
        """Give the best bid and ask at a moment."""

    def extremes(self, symbol: str, from_ns: int, to_ns: int) -> tuple[Decimal, Decimal]:
        """Give the lowest and the highest price after ``from_ns`` and up to ``to_ns``."""

    def first_at_or_below(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Give the first moment after ``from_ns`` and up to ``to_ns`` with the price at a level or below."""

    def first_at_or_above(self, symbol: str, level: Decimal, from_ns: int, to_ns: int) -> int | None:
        """Give the first moment after ``from_ns`` and up to ``to_ns`` with the price at a level or above."""

    def open_price(self, symbol: str, day: date) -> Decimal:
        """Give the price of the opening auction."""

    def close_price(self, symbol: str, day: date) -> Decimal:
        """Give the price of the closing auction."""

    def previous_close(self, symbol: str, t_ns: int) -> Decimal:
        """Give the closing price of the session before the one a moment belongs to."""


class Asset(Protocol):
    """One line of the list of assets."""

    @property
    def id(self) -> str:
        """Give Alpaca's id, a UUID."""

    @property
    def symbol(self) -> str:
        """Give the symbol."""

    @property
    def exchange(self) -> str:
        """Give the exchange it is listed on."""

    @property
    def status(self) -> str:
        """Say whether it is active or inactive."""

    @property
    def tradable(self) -> bool:
        """Say whether orders are taken."""

    @property
    def shortable(self) -> bool:
        """Say whether it can be sold short."""

    @property
    def fractionable(self) -> bool:
        """Say whether it trades in parts of a share."""

    @property
    def marginable(self) -> bool:
        """Say whether it can be bought on margin."""

    def body(self) -> dict[str, Any]:
        """Give Alpaca's JSON object."""


class Assets(Protocol):
    """The list of assets."""

    def get(self, symbol_or_id: str) -> Asset | None:
        """Find one by symbol or id."""

    def listing(
        self,
        status: str | None = None,
        asset_class: str | None = None,
        exchange: str | None = None,
        *,
        attributes: Collection[str] = (),
    ) -> Sequence[Asset]:
        """Give those that match all that is asked, and any of the attributes."""
