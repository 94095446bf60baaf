"""The list of assets: a few hundred well-known US shares and funds, and every other symbol with prices.

``assets.csv`` is written by hand: names and exchanges are real, flags need not equal Alpaca's. Some lines
serve refusals: OCGN is not fractionable, AMC not shortable, LCID hard to borrow, HIHO not marginable, TCEHY
not tradable, TWTR inactive.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

TABLE = Path(__file__).parent / "assets.csv"
CLASS = "us_equity"

_NAMESPACE = uuid5(NAMESPACE_URL, "execution-engine/simulator/assets")
_FLAGS = ("tradable", "marginable", "shortable", "easy_to_borrow", "fractionable")
_WITH_OPTIONS = ("fractional_eh_enabled", "has_options", "overnight_tradable")


@dataclass(frozen=True)
class Asset:
    """One line of the list."""

    symbol: str
    name: str
    exchange: str
    status: str = "active"
    tradable: bool = True
    marginable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    fractionable: bool = True

    @cached_property
    def id(self) -> str:
        """The asset's id: a UUID derived from its symbol, the same in every simulator; not Alpaca's own."""
        return str(uuid5(_NAMESPACE, self.symbol))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Alpaca's attributes: every fractionable asset has options and trades at all hours."""
        return _WITH_OPTIONS if self.fractionable else ()

    def body(self) -> dict[str, Any]:
        """Return Alpaca's JSON object; margin is 30 per cent, or 100 where it is not marginable."""
        margin = 30 if self.marginable else 100
        return {
            "id": self.id,
            "class": CLASS,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "name": self.name,
            "status": self.status,
            "tradable": self.tradable,
            "marginable": self.marginable,
            "maintenance_margin_requirement": margin,
            "margin_requirement_long": str(margin),
            "margin_requirement_short": str(margin),
            "shortable": self.shortable,
            "easy_to_borrow": self.easy_to_borrow,
            "borrow_status": "easy_to_borrow" if self.easy_to_borrow else "hard_to_borrow",
            "fractionable": self.fractionable,
            "attributes": list(self.attributes),
        }


class Assets:
    """All assets, indexed by symbol and id."""

    def __init__(self, assets: Iterable[Asset]) -> None:
        self._sorted = sorted(assets, key=lambda asset: (asset.exchange, asset.symbol))
        self._found = {key: asset for asset in self._sorted for key in (asset.symbol, asset.id)}

    def changed(self, symbol: str, **flags: Any) -> Assets:
        """Return the same list with other flags, or another status, of one asset."""
        return Assets(replace(one, **flags) if one.symbol == symbol else one for one in self._sorted)

    @classmethod
    def load(cls, extra_symbols: Iterable[str] = ()) -> Assets:
        """Return the shipped list; extra symbols are added as NASDAQ shares with all flags set."""
        return _loaded(tuple(extra_symbols))

    def get(self, symbol_or_id: str) -> Asset | None:
        """Return an asset by its symbol (case-sensitive) or id, None if there is none."""
        return self._found.get(symbol_or_id) or self._found.get(symbol_or_id.lower())

    def listing(
        self,
        status: str | None = None,
        exchange: str | None = None,
        *,
        attributes: Collection[str] = (),
    ) -> list[Asset]:
        """Return the assets that match all filters and any of ``attributes``, by exchange and symbol."""
        return [
            asset
            for asset in self._sorted
            if (not status or asset.status == status)
            and (not exchange or asset.exchange == exchange)
            and (not attributes or not set(attributes).isdisjoint(asset.attributes))
        ]


def _read(line: dict[str, str]) -> Asset:
    flags = {flag: line[flag] == "yes" for flag in _FLAGS}
    return Asset(line["symbol"], line["name"], line["exchange"], line["status"], **flags)


@cache
def _loaded(extra_symbols: tuple[str, ...]) -> Assets:
    with TABLE.open(encoding="ascii", newline="") as lines:
        assets = {line["symbol"]: _read(line) for line in csv.DictReader(lines)}
    for symbol in extra_symbols:
        assets.setdefault(symbol, Asset(symbol, symbol, "NASDAQ"))
    return Assets(assets.values())
