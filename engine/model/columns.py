"""A batch of intents as typed columns: the one place where frames of any dtype become numpy arrays.

The rule book and the reader of files both use them, so that one contract, ``engine.model.contract``, serves
both.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from math import isnan
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.model.metadata_rows import unkeepable_rows
from engine.model.quantity import Floats, Ints, Mask, to_units

MISSING = -1
_NOT_A_TIME = np.iinfo(np.int64).min
Codes = npt.NDArray[np.integer[Any]]


class NotText:
    """Stands for a value of a text column that is not text."""

    def __repr__(self) -> str:
        return "something that is no text"


NOT_TEXT = NotText()


@dataclass(frozen=True)
class TextColumn:
    """Text by code: ``values[codes[i]]`` is row i's text; code -1 is a missing one.

    ``values`` holds each text once; a value that is not a ``str`` was not text in its source.
    """

    codes: Codes
    values: Sequence[object]

    def where(self, test: Callable[[str], bool]) -> Mask:
        """Return the mask of rows whose text passes ``test``, which is called once per distinct text."""
        answers = [isinstance(value, str) and test(value) for value in self.values]
        if all(answers):
            return self.given().copy()
        if not any(answers):
            return np.zeros(len(self.codes), dtype=bool)
        return np.array([*answers, False])[self.codes]

    def given(self) -> Mask:
        """Return the mask of rows that have a value; not to be changed."""
        return self._given

    @cached_property
    def _given(self) -> Mask:
        return np.asarray(self.codes >= 0)

    def with_default(self, text: str) -> TextColumn:
        """Return the column with a text in the place of missing ones."""
        given = self.given()
        if given.all():
            return self
        codes = np.where(given, self.codes, len(self.values)).astype(np.int64)
        return TextColumn(codes, [*self.values, text])

    def mapped(self, form: Callable[[str], str]) -> TextColumn:
        """Return the column with ``form`` applied to each text; texts that become equal are merged."""
        values = [form(value) if isinstance(value, str) else value for value in self.values]
        if values == list(self.values):
            return self
        place: dict[object, int] = {}
        codes = [place.setdefault(value, len(place)) for value in values]
        return TextColumn(np.array([*codes, MISSING])[self.codes], list(place))

    def text(self, row: int) -> str | None:
        """Return one row's value for messages, None where missing."""
        code = int(self.codes[row])
        return None if code < 0 else str(self.values[code])


@dataclass(frozen=True)
class NumberColumn:
    """float64 numbers, NaN where missing; ``bad`` marks the rows whose value is not a number."""

    numbers: Floats
    bad: Mask | None = None

    @cached_property
    def units(self) -> Ints:
        """The numbers in units, ``NOT_A_QUANTITY`` where that is not exact; not to be changed."""
        return to_units(self.numbers)

    @cached_property
    def are_numbers(self) -> Mask:
        """The rows that have a number; not to be changed."""
        return ~np.isnan(self.numbers)

    def given(self) -> Mask:
        """Return the mask of rows that have a value, good or bad; not to be changed."""
        return self.are_numbers if self.bad is None else self.are_numbers | self.bad


@dataclass(frozen=True)
class TimeColumn:
    """Timestamps as int64 microseconds since 1970 UTC; ``bad`` marks values that are none, or lack a zone."""

    us: npt.NDArray[np.int64]
    given: Mask
    bad: Mask


@dataclass(frozen=True)
class FlagColumn:
    """True or false; ``bad`` marks values that are neither."""

    flags: Mask
    bad: Mask


@dataclass(frozen=True)
class JsonColumn:
    """Metadata; ``wrong`` marks the rows without an object, or with one that can't be kept."""

    wrong: Mask


def text_column(series: pd.Series) -> TextColumn:
    """Read a frame's column as text; keys may be str, object or category."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        categories = series.cat.categories.tolist()
        return TextColumn(series.cat.codes.to_numpy(), [_text_or_not(value) for value in categories])
    if isinstance(series.dtype, pd.StringDtype):
        codes, uniques = pd.factorize(series)
        return TextColumn(codes, uniques.tolist())
    index: dict[Hashable, int] = {}
    values: list[object] = []
    codes = np.empty(len(series), dtype=np.int64)
    for row, value in enumerate(series.tolist()):
        if isinstance(value, str):
            key: object = value
        elif is_missing(value):
            codes[row] = MISSING
            continue
        else:
            key = NOT_TEXT
        code = index.setdefault(key, len(values))
        if code == len(values):
            values.append(key)
        codes[row] = code
    return TextColumn(codes, values)


def constant_text(value: str | None, rows: int) -> TextColumn:
    """Return a column with the same text in every row, or missing in every row (None)."""
    code = MISSING if value is None else 0
    return TextColumn(np.full(rows, code, dtype=np.int8), [] if value is None else [value])


def number_column(series: pd.Series) -> NumberColumn:
    """Read a frame's column as float64. Text and booleans are no numbers."""
    kind = getattr(series.dtype, "kind", "O")
    if isinstance(series.dtype, np.dtype) and kind in "fiu":
        return NumberColumn(series.to_numpy(dtype=np.float64))
    if not isinstance(series.dtype, np.dtype) and kind in "fiu":
        return NumberColumn(series.to_numpy(dtype=np.float64, na_value=np.nan))
    numbers = np.full(len(series), np.nan)
    bad = np.zeros(len(series), dtype=bool)
    for row, value in enumerate(series.tolist()):
        if is_missing(value):
            continue
        number = _as_float(value)
        if number is None:
            bad[row] = True
        else:
            numbers[row] = number
    return NumberColumn(numbers, bad)


def time_column(series: pd.Series) -> TimeColumn:
    """Read a frame's column as timestamps. A timestamp without a zone is bad."""
    dtype = series.dtype
    if isinstance(dtype, pd.DatetimeTZDtype):
        try:
            us = np.asarray(series.dt.as_unit("us").array.view("int64"))  # UTC, whatever the zone
        except (OverflowError, ValueError):  # a timestamp beyond the range of microseconds
            given = series.notna().to_numpy()
            return TimeColumn(np.zeros(len(series), dtype=np.int64), given, given)
        return TimeColumn(us, us != _NOT_A_TIME, np.zeros(len(series), dtype=bool))
    us = np.zeros(len(series), dtype=np.int64)
    given = np.zeros(len(series), dtype=bool)
    bad = np.zeros(len(series), dtype=bool)
    for row, value in enumerate(series.tolist()):
        if is_missing(value):
            continue
        given[row] = True
        if isinstance(value, datetime) and value.utcoffset() is not None:
            us[row] = microseconds(pd.Timestamp(value))
        else:
            bad[row] = True
    return TimeColumn(us, given, bad)


def flag_column(series: pd.Series) -> FlagColumn:
    """Read a frame's column as true or false; missing is false."""
    if series.dtype == np.dtype(bool):
        return FlagColumn(series.to_numpy(), np.zeros(len(series), dtype=bool))
    values = series.tolist()
    flags = np.array([value is True or value is np.True_ for value in values], dtype=bool)
    bad = np.array(
        [not (isinstance(value, bool | np.bool_) or is_missing(value)) for value in values], dtype=bool
    )
    return FlagColumn(flags, bad)


def json_column(series: pd.Series) -> JsonColumn:
    """Read a frame's column as metadata."""
    return JsonColumn(unkeepable_rows(series))


def microseconds(timestamp: pd.Timestamp) -> int:
    """Return a timestamp with a zone as microseconds since 1970 UTC (``.value`` would be nanoseconds)."""
    return int(timestamp.tz_convert("UTC").as_unit("us").asm8.astype(np.int64))


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN, NaT or NA."""
    if isinstance(value, float | np.floating):
        return isnan(value)
    return value is None or value is pd.NA or value is pd.NaT


def _text_or_not(value: object) -> object:
    return value if isinstance(value, str) else NOT_TEXT


def _as_float(value: object) -> float | None:
    if isinstance(value, bool | np.bool_ | np.timedelta64) or not isinstance(value, Real | Decimal):
        return None
    try:
        return float(value)
    except OverflowError:
        return np.inf
    except ValueError:  # a signaling NaN
        return None


Column = TextColumn | NumberColumn | TimeColumn | FlagColumn | JsonColumn
Columns = Mapping[str, Column]
