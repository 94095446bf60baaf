"""Changes of the data of single symbols on their way into an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Body = dict[str, Any]

At = Callable[[int], Body]
"""Returns a part of a symbol's data as it was so many nanoseconds ago."""


class Distorting(Protocol):
    """What is to be wrong with the data of one answer."""

    def lacks(self, symbol: str) -> bool:
        """Return whether a symbol is to be absent."""

    def is_null(self, symbol: str) -> bool:
        """Return whether all of a symbol's data is to be null."""

    def part(self, symbol: str, name: str, at: At) -> Body | None:
        """Return one part of a symbol's data, by its name in a snapshot."""


class Undistorted:
    """Answers as the market is."""

    def lacks(self, symbol: str) -> bool:
        """Return False."""
        del symbol
        return False

    def is_null(self, symbol: str) -> bool:
        """Return False."""
        del symbol
        return False

    def part(self, symbol: str, name: str, at: At) -> Body | None:
        """Return the current part."""
        del symbol, name
        return at(0)
