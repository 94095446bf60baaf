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


Parse = Callable[[str, Any], Any]
Kind = Literal["number", "flag", "names", "word"]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that a person sets: a key of the limits file and an environment variable.

    ``parse``: ``(name, text) -> value``, as in ``engine.settings.values``; of a ``names`` limit also
    ``(name, list) -> value``. Raises ``ConfigurationError``. ``kind``: what a limits file has: a number,
    true or false, a list of names, or one word. ``unit``: as pages and messages print it (shares, orders,
    seconds; "" for none). ``scopes``: the kinds of sections that may set it. ``env``: its variable, "" where
    only a limits file sets it. ``default``: its value where neither the variable nor ``[limits]`` sets it;
    None for no limit. ``meaning``: one line for pages. ``off``: a value that switches nothing on, such as
    False for a flag. ``looser``: the direction in which fewer orders are refused: ``higher``, ``lower``,
    ``fewer`` or ``more`` names; "" where neither is.
    """

    key: str
    unit: str
    parse: Parse
    meaning: str
    kind: Kind = "number"
    env: str = ""
    scopes: tuple[int, ...] = ALL_SCOPES
    default: Any = None
    off: Any = None
    looser: Literal["higher", "lower", "fewer", "more", ""] = "higher"


@dataclass(frozen=True)
class Figure:
    """A number that explains a verdict: a column of the decisions (float64, NaN where unavailable)."""

    name: str
    unit: str
