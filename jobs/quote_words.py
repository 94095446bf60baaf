"""Quotes that limits in money can't use, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from engine.model.symbols import canonical_symbol
from engine.record.run_folder import RunFolder
from engine.record.sealed_limits import config_of
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.risk.levels import Level, Scope, judging
from engine.risk.quotes import INTENTS, OK, Quotes, meaning, scope_of
from engine.run.risk_inputs import inputs_of

Unvalued = Mapping[str, Mapping[str, str]]
"""Per account, the symbols of its positions and working orders that have no usable quote, and why."""

_NAMED = 5


def unvalued(folder: RunFolder) -> Unvalued:
    """Return what a run's accounts hold or have working that could not be valued."""
    inputs, levels = inputs_of(folder), config_of(folder).quote_levels
    if inputs.prices is None:
        return {}
    quotes = Quotes.of(inputs)
    found: dict[str, dict[str, str]] = {}
    for account, symbol in sorted(_held(inputs) | _working(inputs)):
        place, limits = quotes.places([symbol]), levels.at(scope_of(account, symbol))
        code = int(quotes.verdicts(place, *(np.array([limit]) for limit in limits))[0])
        if code != OK:
            found.setdefault(account, {})[symbol] = quotes.words[code]
        elif quotes.of_intents[place][0]:
            found.setdefault(account, {})[symbol] = INTENTS
    return found


def _held(inputs: RiskInputs) -> set[tuple[str, str]]:
    frame = inputs.positions
    return set() if frame is None else _names(frame[frame["qty"] != 0])


def _working(inputs: RiskInputs) -> set[tuple[str, str]]:
    return set() if inputs.working_orders is None else _names(inputs.working_orders)


def _names(frame: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the accounts and symbols that rows name, in their one form."""
    named = frame[["broker_account_id", "symbol"]].dropna().drop_duplicates()
    pairs = zip(named["broker_account_id"], named["symbol"], strict=True)
    return {(str(account), canonical_symbol(str(symbol))) for account, symbol in pairs}


def what_is_unvalued(account: str, context: Mapping[str, Any]) -> str:
    """Return why an account's exposure is unknown, "" where each symbol of it has a quote."""
    words = context["unvalued"]().get(account) if "unvalued" in context else None
    if not words:
        return ""
    symbols = [f"{symbol} ({_why(word)})" for symbol, word in sorted(words.items())]
    more = f" and {len(symbols) - _NAMED} more" if len(symbols) > _NAMED else ""
    return f"what {account} holds or has working can't be valued: {', '.join(symbols[:_NAMED])}{more}"


def _why(word: str) -> str:
    return "EXEC_PRICES=intents has no quotes" if word == INTENTS else meaning(word)


def unusable(row: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """Return what is wrong with the quote of an order's symbol, with its figures and the limit."""
    word = str(row.get("quote"))
    text, limits = meaning(word), context.get("limits")
    key = {"stale": "max_quote_age_s", "wide": "max_spread_pct"}.get(word)
    if key is None or limits is None:
        return text
    level = tightest(key, row, limits)
    if level is None:
        return text
    if word == "wide":
        sides = (row.get("judged_bid"), row.get("judged_ask"))
        figures = "" if None in sides else f"{sides[0]:,.9g} bid, {sides[1]:,.9g} ask; "
        return f"{text}: {figures}at most {level.value:g} % of the mid by {level.source}"
    quote_at = row.get("judged_quote_at")
    figures = "" if quote_at is None else f"of {quote_at:%Y-%m-%d %H:%M:%S} UTC; "
    return f"{text}: {figures}at most {level.value:g} s by {level.source}"


def tightest(key: str, row: Mapping[str, Any], limits: RiskConfig) -> Level | None:
    """Return the tightest level of a limit that an order is judged by, None where there is none."""
    names = (row["broker_account_id"], canonical_symbol(row["symbol"] or ""), row.get("strategy_id"))
    levels = judging(limits.levels(key), Scope(*names))
    return min(levels, key=lambda level: float(level.value), default=None)
