"""Integers of more than 64 bits in JSON, which the fast parsers round silently, so that hashes differ."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

_LONG = re.compile(rb"[0-9]{20}|-[0-9]{19}")
"""Integers that the fast parsers may round: 2**64 and above, and below -2**63."""
_LENGTH, _STEP = 20, 8
_SHORT = 2_000
_READ_AS_INFINITE = 400


def may_have_long_integers(content: bytes) -> bool:
    """Return whether there are 20 digits in a row in JSON text, or 19 below 0, in a number or in a text.

    Wherever 19 digits stand, there is one at two places in a row that are eight apart, and at the three
    behind: only there is it looked at closely.
    """
    if len(content) < _SHORT:
        return _LONG.search(content) is not None
    letters = np.frombuffer(content, dtype=np.uint8)
    sampled = _are_digits(letters[::_STEP])
    places = np.flatnonzero(sampled[:-1] & sampled[1:]) * _STEP
    for beyond in (4, 11, 10, 9, *range(1, _STEP)):
        places = places[_are_digits(letters[np.minimum(places + beyond, len(letters) - 1)])]
    return any(
        _LONG.search(content, max(0, place - _STEP), place + _LENGTH) for place in _of_19(letters, places)
    )


def _are_digits(letters: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return (letters - ord("0")) < 10


def _of_19(letters: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> list[int]:
    """Return of the places where 12 digits begin those with seven more before or behind them."""
    more = np.zeros(len(places), dtype=np.int64)
    for way in (range(-1, -_STEP, -1), range(12, 12 + _STEP - 1)):
        goes_on = np.ones(len(places), dtype=bool)
        for offset in way:
            goes_on &= _are_digits(letters[np.clip(places + offset, 0, len(letters) - 1)])
            more += goes_on
    found: list[int] = places[more >= _STEP - 1].tolist()
    return found


def integer(digits: str) -> int | float:
    """Return an integer exactly; an excessively long one as infinity, which no rule accepts."""
    return int(digits) if len(digits) <= _READ_AS_INFINITE else float(digits)
