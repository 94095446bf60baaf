"""Numbers of an input frame by symbol, or by strategy and symbol, looked up for the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.quantity import BOUND, NOT_A_QUANTITY, UNITS, Floats, Ints, Mask, to_units
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.risk.cells import names_every
from engine.text.plain_text import trimmed

_MOST = int(BOUND) * UNITS
_DENSE_BOUND = 10_000_000
_FORMS: dict[str, Callable[[str], str]] = {"strategy_id": trimmed, "symbol": canonical_symbol}


@dataclass(frozen=True)
class NamedValues:
    """The value of each name that occurs in a batch, such as a symbol.

    ``of_row``: the place of each row's name, -1 where it has no well-formed one. Per name: its ``number``
    (NaN where it is unknown, or two rows of the frame differ), and whether the frame ``has`` it.
    """

    of_row: Ints
    number: Floats
    has: Mask

    @classmethod
    def of(cls, frame: pd.DataFrame, column: str, batch: Batch, by: Sequence[str]) -> NamedValues | None:
        """Return a column of a frame. ``by``: the columns that name its rows, ``symbol`` or ``strategy_id``.

        None where a row of the frame lacks a name: it could be any.
        """
        if not all(names_every(frame, name) for name in by):
            return None
        numbers = number_column(frame[column]).numbers.tolist() if len(frame) else []
        number_of: dict[tuple[str, ...], float] = {}
        for key, number in zip(_keys(frame, by), numbers, strict=True):
            number_of[key] = number if number_of.get(key, number) == number else np.nan
        of_row, wanted = _names(batch, by)
        return cls(
            of_row,
            np.array([number_of.get(name, np.nan) for name in wanted], dtype=np.float64),
            np.array([name in number_of for name in wanted], dtype=bool),
        )

    @property
    def is_positive(self) -> Mask:
        """Which names have a finite number above 0."""
        return np.isfinite(self.number) & (self.number > 0)

    def times(self, factor: Fraction) -> Ints:
        """Return each positive number times a factor, exact, in units rounded down; 0 for others.

        What is beyond any quantity is the largest one.
        """
        units, usable = to_units(self.number), self.is_positive
        times, part = factor.numerator, factor.denominator
        found = [min(unit * times // part, _MOST) for unit in np.where(usable, units, 0).tolist()]
        for place in np.flatnonzero(usable & (units == NOT_A_QUANTITY)).tolist():  # of more digits, or larger
            found[place] = min(int(exact(self.number[place]) * factor * UNITS), _MOST)
        return np.array(found, dtype=np.int64)

    def by_row(self, per_name: Floats) -> Floats:
        """Return values of names for each row, NaN where a row has no name."""
        return np.append(per_name, np.nan)[self.of_row]


def exact(number: float) -> Fraction:
    """Return a float as the decimal that it is written as: 0.1 is one tenth."""
    return Fraction(repr(float(number)))


def _keys(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[str, ...]]:
    columns = []
    for name in by:
        column = text_column(frame[name])
        texts = [_FORMS[name](str(value)) for value in column.values]
        columns.append([texts[code] for code in column.codes.tolist()])
    return list(zip(*columns, strict=True))


def _names(batch: Batch, by: Sequence[str]) -> tuple[Ints, list[tuple[str, ...]]]:
    """Return the place of each row's name among those that occur, and these."""
    numbered = [{"symbol": batch.symbols, "strategy_id": batch.strategies}[name] for name in by]
    code, known = np.zeros(batch.rows, dtype=np.int64), np.ones(batch.rows, dtype=bool)
    possible = 1
    for one in numbered:
        code = code * (len(one.code_of) + 1) + one.codes + 1
        known &= one.codes >= 0
        possible *= len(one.code_of) + 1
    occurring, place = _renumbered(code[known], possible)
    of_row = np.full(batch.rows, -1, dtype=np.int64)
    of_row[known] = place
    names: list[list[str]] = []
    for name, one in zip(reversed(by), reversed(numbered), strict=True):
        occurring, rest = np.divmod(occurring, len(one.code_of) + 1)
        texts = [_FORMS[name](text) for text in one.code_of]
        names.insert(0, [texts[place - 1] for place in rest.tolist()])
    return of_row, list(zip(*names, strict=True))


def _renumbered(codes: Ints, possible: int) -> tuple[Ints, Ints]:
    """Return the codes that occur, in order, and the place of each among them."""
    if possible > _DENSE_BOUND:
        occurring, place = np.unique(codes, return_inverse=True)
        return occurring, place.astype(np.int64)
    present = np.zeros(possible, dtype=bool)
    present[codes] = True
    occurring = np.flatnonzero(present)
    number = np.zeros(possible, dtype=np.int64)
    number[occurring] = np.arange(len(occurring))
    return occurring, number[codes]
