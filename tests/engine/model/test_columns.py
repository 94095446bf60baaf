"""Frames of any dtype become the same typed columns; what is of no such type is marked, never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.model.columns import (
    NumberColumn,
    TextColumn,
    TimeColumn,
    constant_text,
    flag_column,
    is_missing,
    number_column,
    text_column,
    time_column,
)

BAD = "bad"
HALF_PAST_TWO = 1_772_461_800_000_000
"""2026-03-02T14:30:00Z in microseconds since 1970."""


def objects(*values: object) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def texts(column: TextColumn) -> list[object]:
    """Return each row's text, None where missing, ``BAD`` where it was no text."""
    values = [value if isinstance(value, str) else BAD for value in column.values]
    return [None if code < 0 else values[code] for code in column.codes.tolist()]


def numbers(column: NumberColumn) -> list[object]:
    bad = np.zeros(len(column.numbers), dtype=bool) if column.bad is None else column.bad
    pairs = zip(column.numbers.tolist(), bad.tolist(), strict=True)
    return [BAD if is_bad else None if isnan(number) else number for number, is_bad in pairs]


def timestamps(column: TimeColumn) -> list[object]:
    rows = zip(column.us.tolist(), column.given.tolist(), column.bad.tolist(), strict=True)
    return [BAD if bad else us if given else None for us, given, bad in rows]


class NoOffset(tzinfo):
    """A zone that doesn't say how far it is from UTC."""

    def utcoffset(self, timestamp: datetime | None) -> timedelta | None:
        return None

    def dst(self, timestamp: datetime | None) -> timedelta | None:
        return None

    def tzname(self, timestamp: datetime | None) -> str | None:
        return None

    def __repr__(self) -> str:
        return "NoOffset()"


# 1. Text


@pytest.mark.parametrize(
    "dtype",
    [
        "str",
        "object",
        "category",
        "string",
        pd.ArrowDtype(pa.string()),
        pd.ArrowDtype(pa.large_string()),
        pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_text_is_the_same_in_every_dtype(dtype: Any) -> None:
    series = pd.Series(["SPY", None, "QQQ", "SPY"], dtype=dtype)
    assert texts(text_column(series)) == ["SPY", None, "QQQ", "SPY"]


@pytest.mark.parametrize(
    "dtype", ["str", "object", "category", "string", "float64", "int64", "bool", pd.ArrowDtype(pa.string())],
    ids=str,
)  # fmt: skip
def test_an_empty_column_of_any_dtype_is_text_of_no_rows(dtype: Any) -> None:
    assert texts(text_column(pd.Series([], dtype=dtype))) == []


def test_each_text_is_held_once() -> None:
    assert text_column(objects("b", "a", "b", "a")).values == ["b", "a"]


@pytest.mark.parametrize("missing", [None, nan, pd.NA, pd.NaT, np.float64(nan), np.float32(nan)])
def test_every_kind_of_nothing_is_missing_text(missing: object) -> None:
    assert texts(text_column(objects("SPY", missing))) == ["SPY", None]
    assert is_missing(missing)


@pytest.mark.parametrize(
    "value", [1, 1.5, True, b"SPY", ["SPY"], Decimal(1), datetime(2026, 3, 2, tzinfo=UTC)]
)
def test_what_is_no_text_is_marked_as_none(value: object) -> None:
    assert texts(text_column(objects("SPY", value, "QQQ"))) == ["SPY", BAD, "QQQ"]


@pytest.mark.parametrize(
    "series", [pd.Series([1, 2]), pd.Series([1, 2], dtype="category"), pd.Series([True] * 2)]
)
def test_a_column_of_numbers_or_flags_is_no_text(series: pd.Series) -> None:
    assert texts(text_column(series)) == [BAD, BAD]


def test_a_test_is_asked_once_per_distinct_text_and_never_about_what_is_none() -> None:
    asked: list[str] = []

    def is_spy(text: str) -> bool:
        asked.append(text)
        return text == "SPY"

    column = text_column(objects("SPY", "QQQ", None, 5, "SPY"))
    assert column.where(is_spy).tolist() == [True, False, False, False, True]
    assert asked == ["SPY", "QQQ"]


@pytest.mark.parametrize(("answer", "expected"), [(True, [True, False]), (False, [False, False])])
def test_a_missing_text_passes_no_test(answer: bool, expected: list[bool]) -> None:
    assert text_column(objects("SPY", None)).where(lambda text: answer).tolist() == expected


def test_one_text_is_shown_as_it_is_and_a_missing_one_as_none() -> None:
    column = text_column(objects("SPY", None))
    assert (column.text(0), column.text(1)) == ("SPY", None)


def test_a_constant_says_the_same_in_every_row_or_nothing() -> None:
    assert texts(constant_text("day", 2)) == ["day", "day"]
    assert texts(constant_text(None, 2)) == [None, None]


# 2. Numbers


@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "object", "Float64", "Int64", "Int8", "category", "Sparse[float64]",
     pd.ArrowDtype(pa.float64()), pd.ArrowDtype(pa.int16()), pd.ArrowDtype(pa.decimal128(9, 2))],
    ids=str,
)  # fmt: skip
def test_numbers_are_the_same_in_every_dtype(dtype: Any) -> None:
    values = [Decimal(5), None] if "decimal" in str(dtype) else [5, None]
    assert numbers(number_column(pd.Series(values, dtype=dtype))) == [5.0, None]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64", "float16", "UInt32"])
def test_integers_and_small_floats_are_numbers(dtype: str) -> None:
    assert numbers(number_column(pd.Series([5, 7], dtype=dtype))) == [5.0, 7.0]


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (1.5, 1.5), (Decimal("0.1"), 0.1), (Fraction(1, 4), 0.25), (np.int8(3), 3.0),
     (np.float32(0.5), 0.5), (2**70, 2.0**70), (-inf, -inf)],
)  # fmt: skip
def test_numbers_of_all_sorts_may_stand_among_objects(value: object, number: float) -> None:
    assert numbers(number_column(objects(value, None))) == [number, None]


@pytest.mark.parametrize("value", [10**400, Decimal("1e400"), Decimal("Infinity")])
def test_a_number_too_large_for_a_float_is_infinite_not_missing(value: object) -> None:
    assert numbers(number_column(objects(value))) == [inf]


@pytest.mark.parametrize("missing", [None, nan, pd.NA, Decimal("NaN"), np.float32(nan)])
def test_not_a_number_is_a_missing_number(missing: object) -> None:
    assert numbers(number_column(objects(1, missing))) == [1.0, None]


@pytest.mark.parametrize(
    "value",
    ["5", "", b"5", bytearray(b"5"), True, np.bool_(True), 1 + 2j, np.complex128(5), [5],
     np.array([5]), np.timedelta64(5, "s"), timedelta(5), datetime(2026, 3, 2, tzinfo=UTC), Decimal("sNaN")],
    ids=repr,
)  # fmt: skip
def test_what_is_no_number_is_a_bad_one_and_never_converted(value: object) -> None:
    column = number_column(objects(1, value))
    assert numbers(column) == [1.0, BAD]
    assert column.given().tolist() == [True, True]


@pytest.mark.parametrize(
    "series",
    [
        pd.Series([True, False]),
        pd.Series([True, False], dtype="boolean"),
        pd.Series(["5", "6"], dtype="str"),
        pd.Series(["5", "6"], dtype="category"),
        pd.Series([1 + 2j, 3]),
        pd.Series(pd.to_timedelta([5, 6], unit="s")),
        pd.Series(pd.interval_range(0, 2)),
    ],
    ids=lambda series: str(series.dtype),
)
def test_columns_of_text_flags_or_spans_are_no_numbers(series: pd.Series) -> None:
    assert numbers(number_column(series)) == [BAD, BAD]


# 3. Moments


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_a_timestamp_is_the_same_in_every_unit_and_zone(unit: str, zone: str) -> None:
    index = pd.DatetimeIndex(["2026-03-02T14:30:00Z", None]).as_unit(unit).tz_convert(zone)
    assert timestamps(time_column(pd.Series(index))) == [HALF_PAST_TWO, None]
    assert timestamps(time_column(pd.Series(index, dtype=object))) == [HALF_PAST_TWO, None]
    assert timestamps(time_column(pd.Series(index, dtype=pd.ArrowDtype(pa.timestamp(unit, zone))))) == [
        HALF_PAST_TWO,
        None,
    ]


def test_python_datetimes_with_an_offset_are_accepted() -> None:
    timestamp = datetime.fromisoformat("2026-03-02T09:30:00-05:00")
    assert timestamps(time_column(objects(timestamp, None, pd.NaT))) == [HALF_PAST_TWO, None, None]


@pytest.mark.parametrize(
    "value",
    [
        datetime.fromisoformat("2026-03-02"),
        datetime(2026, 3, 2, tzinfo=NoOffset()),
        time(14, 30, tzinfo=UTC),
        pd.Timestamp("2026-03-02"),
        np.datetime64("2026-03-02"),
        "2026-03-02T14:30:00Z",
        HALF_PAST_TWO,
    ],
    ids=repr,
)
def test_what_has_no_zone_or_is_no_timestamp_is_invalid(value: object) -> None:
    assert timestamps(time_column(objects(None, value))) == [None, BAD]


@pytest.mark.parametrize(
    "dtype", ["datetime64[ns]", "datetime64[s]", pd.ArrowDtype(pa.timestamp("us"))], ids=str
)
def test_a_column_of_naive_timestamps_is_bad_throughout(dtype: Any) -> None:
    assert timestamps(time_column(pd.Series(["2026-03-02T14:30:00", None], dtype=dtype))) == [BAD, None]


def test_a_timestamp_too_far_away_to_be_counted_is_a_bad_one() -> None:
    far = pd.Series(np.array([2**62], dtype="datetime64[s]")).dt.tz_localize("UTC")
    assert timestamps(time_column(far)) == [BAD]


# 4. Flags


@pytest.mark.parametrize("dtype", ["object", "boolean", pd.ArrowDtype(pa.bool_())], ids=str)
def test_flags_are_the_same_in_every_dtype_and_missing_is_no(dtype: Any) -> None:
    column = flag_column(pd.Series([True, False, None], dtype=dtype))
    assert column.flags.tolist() == [True, False, False]
    assert not column.bad.any()


def test_a_column_of_plain_flags_is_taken_as_it_is() -> None:
    column = flag_column(pd.Series([True, False]))
    assert (column.flags.tolist(), column.bad.tolist()) == ([True, False], [False, False])


@pytest.mark.parametrize("value", [1, 0, 1.0, "true", "", b"1", [True]])
def test_what_is_neither_yes_nor_no_is_bad(value: object) -> None:
    column = flag_column(objects(True, np.True_, value))
    assert (column.flags.tolist(), column.bad.tolist()) == ([True, True, False], [False, False, True])
