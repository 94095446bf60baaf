"""An asset as its broker records it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Whether an asset may be traded, in fractions of a share, and sold short; None where unknown.

    ``symbol``: in its canonical form.
    """

    symbol: str
    tradable: bool | None
    fractionable: bool | None
    shortable: bool | None

    @classmethod
    def unknown_to_broker(cls, symbol: str) -> Asset:
        """Return the record of a symbol that the broker itself reports not to have: nothing is allowed."""
        return cls(symbol=symbol, tradable=False, fractionable=False, shortable=False)
