"""Limits files of the tests, and limits that they may set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.risk.levels import STRATEGY, LimitsFile
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_of_book import KEYS
from engine.risk.rule import EVERYWHERE_ONLY, Limit
from engine.settings.values import as_count, as_flag, as_names, as_quantity, as_symbols, one_of, some_of


def _flag(key: str, **of: Any) -> Limit:
    return Limit(key=key, unit="", kind="flag", parse=as_flag, meaning=f"a flag, {key}", **of)


def _names(key: str, parse: Callable[[str, Any], frozenset[str]], **of: Any) -> Limit:
    return Limit(key=key, unit="", kind="names", parse=parse, meaning=f"a list, {key}", **of)


def _word(key: str, *words: str, **of: Any) -> Limit:
    meaning = f"a word, {key}"
    return Limit(
        key=key,
        unit="",
        kind="word",
        parse=one_of(*words),
        meaning=meaning,
        off=words[0],
        scopes=(STRATEGY,),
        **of,
    )


NONE: frozenset[str] = frozenset()
STRATEGIES = (STRATEGY,)
KNOWN = {
    limit.key: limit
    for limit in (
        Limit(key="max_position_qty", unit="shares", parse=as_quantity, meaning="position", default=100.0),
        Limit(key="max_daily_trades", unit="trades", parse=as_count, meaning="trades", default=50),
        Limit(key="max_order_notional_usd", unit="USD", parse=as_quantity, meaning="worth of an order"),
        Limit(key="max_gross_exposure_usd", unit="USD", parse=as_quantity, meaning="exposure"),
        Limit(key="buying_power_buffer_pct", unit="%", parse=as_quantity, meaning="buffer", looser="lower"),
        _flag("allow_short", off=True),
        _flag("reduce_only", off=False),
        _flag("require_authorised_strategies", off=False, scopes=EVERYWHERE_ONLY),
        _names("allowed_symbols", as_symbols, off=None, looser="more"),
        _names("restricted_symbols", as_symbols, off=NONE, looser="fewer"),
        _names("accounts", as_names, off=None, looser="more", scopes=STRATEGIES),
        _names("sides", some_of("buy", "sell"), off=None, looser="more", scopes=STRATEGIES),
        _word("on_refusal", "row", "strategy", "file"),
        _word("share", "first_come", "pro_rata", looser=""),
    )
}
RULES = {
    "kill_switch_enabled": (),
    "max_position_size_exceeded": ("max_position_qty",),
    "max_daily_trades_exceeded": ("max_daily_trades",),
    "max_order_notional_exceeded": ("max_order_notional_usd",),
    "restricted_symbol": ("restricted_symbols", "allowed_symbols"),
    "short_sale_not_allowed": ("allow_short",),
}
HEAD = """\
version = 1
owner = "risk desk"
review_by = 2027-03-31
acknowledged_off = ["*"]
"""
FIRST_LINE = HEAD.count("\n") + 1
"""The line of what is written below the head."""


def of_book(body: str) -> LimitsFile:
    """Return a file with the limits of the rule book."""
    return parse_limits_file(HEAD + body, path="limits.toml", known=KEYS)


def limits(body: str = "", *, head: str = HEAD) -> LimitsFile:
    return parse_limits_file(head + body, path="limits.toml", known=KNOWN)
