"""The requests that a fault strikes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class When:
    """The requests that a fault strikes: method and path (``*`` matches anything), how often, how likely."""

    method: str = "*"
    path: str = "/v2/*"
    times: int | None = 1
    probability: float | None = None


ANY = When()
"""The default of most faults: the next request to Alpaca."""
