"""What a rule consists of: its limit, its figures, and one function that judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from engine.risk.levels import ACCOUNT, ALL, STRATEGY, STRATEGY_SYMBOL, SYMBOL

ALL_SCOPES = (ALL, ACCOUNT, SYMBOL, STRATEGY, STRATEGY_SYMBOL)
"""Every section of a limits file."""

EVERYWHERE_ONLY = (ALL,)
"""``[limits]`` alone."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that a person sets: a key of the limits file and an environment variable.

    ``parse``: as in ``engine.settings.values``, ``(name, text) -> value``; raises ``ConfigurationError``.
    ``unit``: as pages and messages print it (shares, orders, seconds, "" for none). ``scopes``: the kinds
    of sections that may set it. ``env``: its variable, "" where only a limits file sets it. ``default``:
    its value where neither the variable nor ``[limits]`` sets it; None for no limit. ``meaning``: one
    line for pages. ``tighter``: which of two values lets fewer orders through, "neither" where no value
    does; "" for what its kind suggests: the smaller number, the shorter list, true, the later word of a
    ``Choice``.
    """

    key: str
    unit: str
    parse: Callable[[str, str], Any]
    meaning: str
    env: str = ""
    scopes: tuple[int, ...] = ALL_SCOPES
    default: Any = None
    tighter: Literal["", "less", "more", "neither"] = ""


@dataclass(frozen=True)
class Figure:
    """A number that explains a verdict: a column of the decisions (float64, NaN where unavailable)."""

    name: str
    unit: str
