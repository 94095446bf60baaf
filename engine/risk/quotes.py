"""Quotes of a snapshot, and which of them may be used.

A quote is valid with both sides above 0, the ask at or above the bid, a spread and an age within the levels
that apply, a time that is not ahead of the clock, and no objection of its source. There is no fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.model.columns import is_missing, microseconds, number_column, text_column, time_column
from engine.model.quantity import NOT_A_QUANTITY, UNITS, Floats, Ints, Mask, round_to_units, shares_to_units
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.model.symbols import canonical_symbol
from engine.risk.buckets import Buckets
from engine.risk.inputs import RiskInputs
from engine.risk.levels import Level, Scope, judging
from engine.text.plain_text import trimmed

OK, ABSENT, UNAVAILABLE, AMBIGUOUS, NOT_A_PRICE, ZERO, ONE_SIDED, CROSSED, FUTURE, STALE, WIDE = range(11)
WORDS = (
    *("ok", "absent", "unavailable", "ambiguous", "not_a_price", "zero"),
    *("one_sided", "crossed", "future", "stale", "wide"),
)
"""What is wrong with a quote; ``unavailable``: there are no quotes at all, or one that names no symbol."""

MEANINGS = {
    "absent": "there is none of its symbol",
    "unavailable": "there are no quotes",
    "ambiguous": "there is more than one of its symbol",
    "not_a_price": "a side of it is no price",
    "zero": "both sides of it are 0",
    "one_sided": "it has one side only",
    "crossed": "its bid is above its ask",
    "future": "it is ahead of the clock",
    "stale": "it is older than max_quote_age_s",
    "wide": "its spread is above max_spread_pct",
    "halted": "trading in its symbol is halted",
    "unreadable": "the source has one that breaks its rules",
    "not_answered": "the source could not be asked",
}
"""What words of quotes mean, as messages write it; a source may have others."""

INTENTS = "intents"
"""The source whose prices are those that the intents name themselves."""

Codes = npt.NDArray[np.int64]
_NO_LIMIT = np.iinfo(np.int64).max
_CLOCK_SKEW_US = round(CLOCK_SKEW_LIMIT_S * 1e6)


def meaning(word: str) -> str:
    """Return what is wrong with a quote, for a message."""
    return f"its quote is {word}" + (f" ({MEANINGS[word]})" if word in MEANINGS else "")


@dataclass(frozen=True)
class QuoteLevels:
    """The levels at which the age (seconds) and the spread (percent of the mid) of quotes are limited."""

    ages: tuple[Level, ...] = ()
    spreads: tuple[Level, ...] = ()

    @classmethod
    def of(cls, ages: tuple[Level, ...], spreads: tuple[Level, ...]) -> QuoteLevels:
        """Return the levels with their names in one form."""
        return cls(_in_form(ages), _in_form(spreads))

    @property
    def are_everywhere(self) -> bool:
        """Whether they are the same for all accounts, symbols and strategies."""
        return all(level.scope.is_everything and not level.except_in for level in (*self.ages, *self.spreads))

    def by_bucket(self, buckets: Buckets) -> tuple[Ints, Ints]:
        """Return the oldest age in microseconds and the widest spread in units of 1e-9, per bucket."""
        return _tightest(self.ages, buckets, _age_us), _tightest(self.spreads, buckets, shares_to_units)

    def at(self, scope: Scope) -> tuple[int, int]:
        """Return the same for an account's symbol, or for a strategy's book in it (``scope_of``)."""
        ages = [_age_us(level.value) for level in judging(self.ages, scope)]
        spreads = [shares_to_units(level.value) for level in judging(self.spreads, scope)]
        return min(ages, default=_NO_LIMIT), min(spreads, default=_NO_LIMIT)


def scope_of(account: str | None, symbol: str | None, strategy: str | None = None) -> Scope:
    """Return the scope of some names, each in its one form."""
    return Scope(
        None if account is None else trimmed(account),
        None if symbol is None else canonical_symbol(symbol),
        None if strategy is None else trimmed(strategy),
    )


def _in_form(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    def form(scope: Scope) -> Scope:
        return scope_of(scope.account, scope.symbol, scope.strategy)

    return tuple(
        replace(level, scope=form(level.scope), except_in=tuple(map(form, level.except_in)))
        for level in levels
    )


def _age_us(seconds: float) -> int:
    return round(seconds * 1e6)


def _tightest(levels: tuple[Level, ...], buckets: Buckets, units: Callable[[float], int]) -> Ints:
    found = np.full(buckets.count, _NO_LIMIT, dtype=np.int64)
    for level in levels:
        np.minimum(found, units(level.value), out=found, where=buckets.at(level))
    return found


@dataclass(frozen=True)
class Quotes:
    """The quotes of a snapshot, one place per symbol, and one more at the end for symbols without any.

    ``bid`` and ``ask`` in units of 1e-9 USD (meaningless where the quote is not valid); ``fault``: what is
    wrong with it whatever the limits, as a code of ``words``; ``age_us``; ``spread``: percent of the mid in
    units of 1e-9, rounded up. ``of_intents``: the prices are those that the intents name.
    """

    place_of: dict[str, int]
    bid: Ints
    ask: Ints
    fault: Codes
    age_us: Ints
    spread: Ints
    of_intents: Mask
    words: tuple[str, ...]

    @classmethod
    def of(cls, inputs: RiskInputs) -> Quotes:
        """Return the quotes of the inputs; without any, every symbol's are unavailable."""
        frame = inputs.prices
        if frame is None:
            return _none(UNAVAILABLE)
        if not len(frame):
            return _none(ABSENT)
        symbols = text_column(frame["symbol"])
        place_of: dict[str, int] = {}
        forms = [
            place_of.setdefault(canonical_symbol(value), len(place_of))
            if isinstance(value, str) and trimmed(value)
            else -1
            for value in symbols.values
        ]
        places = np.array([*forms, -1], dtype=np.int64)[symbols.codes]
        if (places < 0).any():  # a quote of any symbol
            return _none(UNAVAILABLE)
        bid, ask = (number_column(frame[name]).numbers for name in ("bid", "ask"))
        of_intents = text_column(frame["source"]).where(INTENTS.__eq__)
        fault, words = _verdicts_of_source(frame)
        bid_units, ask_units = round_to_units(bid), round_to_units(ask)
        for code, wrong in _faults(bid, ask, bid_units, ask_units):
            fault[wrong & (fault == OK) & ~of_intents] = code
        age_us, ahead = _ages(frame, inputs)
        fault[ahead & (fault == OK) & ~of_intents] = FUTURE
        spread = _spreads(bid_units, ask_units, fault == OK)
        twice = np.append(np.bincount(places, minlength=len(place_of)) > 1, False)
        fault = _by_place(fault, places, ABSENT, len(twice))
        return cls(
            place_of,
            _by_place(bid_units, places, 0, len(twice)),
            _by_place(ask_units, places, 0, len(twice)),
            np.where(twice, AMBIGUOUS, fault),
            _by_place(age_us, places, 0, len(twice)),
            _by_place(spread, places, 0, len(twice)),
            _by_place(of_intents, places, 0, len(twice)).astype(bool),
            words,
        )

    @cached_property
    def everywhere(self) -> int:
        """The place of a symbol without a quote."""
        return len(self.place_of)

    def places(self, symbols: list[str | None]) -> Ints:
        """Return the places of symbols in their canonical form."""
        return np.array(
            [
                self.place_of.get(one, self.everywhere) if one is not None else self.everywhere
                for one in symbols
            ],
            dtype=np.int64,
        )

    def verdicts(self, places: Ints, max_age_us: Ints, max_spread: Ints) -> Codes:
        """Return for some quotes what is wrong with them by these limits, as codes of ``words``."""
        fault = self.fault[places]
        good = (fault == OK) & ~self.of_intents[places]
        wide = good & (self.spread[places] > max_spread)
        stale = good & (self.age_us[places] > max_age_us)
        return np.where(stale, STALE, np.where(wide, WIDE, fault))


def _none(fault: int) -> Quotes:
    nothing = np.zeros(1, dtype=np.int64)
    return Quotes({}, nothing, nothing, nothing + fault, nothing, nothing, np.zeros(1, dtype=bool), WORDS)


def _by_place(column: Ints | Mask, places: Ints, nothing: int, count: int) -> Ints:
    """Return a column of rows by place, ``nothing`` at the place of symbols without a row."""
    per_place = np.full(count, nothing, dtype=np.int64)
    per_place[places] = column
    return per_place


def _verdicts_of_source(frame: pd.DataFrame) -> tuple[Codes, tuple[str, ...]]:
    """Return the verdicts of the source as codes, and the words of these: any but ``ok`` is a fault."""
    column = text_column(frame["verdict"])
    words = list(WORDS)
    codes = []
    for value in column.values:
        word = trimmed(value) if isinstance(value, str) else ""
        if word and word not in words:
            words.append(word)
        codes.append(words.index(word) if word else UNAVAILABLE)
    return np.array([*codes, UNAVAILABLE], dtype=np.int64)[column.codes], tuple(words)


def _faults(bid: Floats, ask: Floats, bid_units: Ints, ask_units: Ints) -> tuple[tuple[int, Mask], ...]:
    """Return what is wrong with two sides, most fundamental first."""
    no_bid, no_ask = np.isnan(bid), np.isnan(ask)
    bad = (~no_bid & ((bid_units == NOT_A_QUANTITY) | (bid_units < 0))) | (
        ~no_ask & ((ask_units == NOT_A_QUANTITY) | (ask_units < 0))
    )
    return (
        (NOT_A_PRICE, bad),
        (ABSENT, no_bid & no_ask),
        (ZERO, ~(bid_units > 0) & ~(ask_units > 0)),
        (ONE_SIDED, ~(bid_units > 0) | ~(ask_units > 0)),
        (CROSSED, ask_units < bid_units),
    )


def _ages(frame: pd.DataFrame, inputs: RiskInputs) -> tuple[Ints, Mask]:
    """Return how old the quotes are, and which are further ahead of the clock than clocks may differ.

    The clock is the later of ``as_of`` and of when the inputs were read. A quote without a time is older than
    any limit.
    """
    quoted = time_column(frame["quote_at"])
    clocks = [
        microseconds(timestamp) for timestamp in (inputs.as_of, inputs.read_at) if not is_missing(timestamp)
    ]
    known = quoted.given & ~quoted.bad & bool(clocks)
    age_us = np.where(known, max(clocks, default=0) - quoted.us, _NO_LIMIT)
    return np.where(known, age_us, _NO_LIMIT), known & (age_us < -_CLOCK_SKEW_US)


def _spreads(bid: Ints, ask: Ints, usable: Mask) -> Ints:
    """Return the spreads in percent of the mid, in units of 1e-9, rounded up."""
    spreads = np.zeros(len(bid), dtype=np.int64)
    rows = np.flatnonzero(usable & (ask > 0))
    spreads[rows] = [
        -(-200 * UNITS * (offer - demand) // (offer + demand))
        for demand, offer in zip(bid[rows].tolist(), ask[rows].tolist(), strict=True)
    ]
    return spreads
