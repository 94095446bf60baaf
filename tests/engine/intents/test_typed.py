"""Raw columns to typed ones: what counts as text, a number, a moment or a flag, in every Arrow type."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.intents.raw_table import ODD
from engine.intents.typed import trimmed_text, typed_column
from engine.model.columns import FlagColumn, NumberColumn, TextColumn, TimeColumn
from engine.model.schema import Kind
from tests.engine.intents.files import HALF_PAST_TWO_US

BAD = "bad"


def read(kind: Kind, values: Sequence[object] | pa.Array, arrow: pa.DataType | None = None) -> list[Any]:
    """Return each row's value, None where missing, ``BAD`` where it is none of its kind."""
    array = values if isinstance(values, pa.Array) else pa.array(values, type=arrow)
    column = typed_column(kind, array)
    if isinstance(column, TextColumn):
        texts = [value if isinstance(value, str) else BAD for value in column.values]
        return [None if code < 0 else texts[code] for code in column.codes.tolist()]
    if isinstance(column, NumberColumn):
        bad = np.zeros(len(array), dtype=bool) if column.bad is None else column.bad
        pairs = zip(column.numbers.tolist(), bad.tolist(), strict=True)
        return [BAD if is_bad else None if isnan(number) else number for number, is_bad in pairs]
    if isinstance(column, TimeColumn):
        rows = zip(column.us.tolist(), column.given.tolist(), column.bad.tolist(), strict=True)
        return [BAD if is_bad else us if is_given else None for us, is_given, is_bad in rows]
    assert isinstance(column, FlagColumn)
    return [
        BAD if bad else flag for flag, bad in zip(column.flags.tolist(), column.bad.tolist(), strict=True)
    ]


# 1. Text


def test_text_is_trimmed_and_blank_text_is_missing() -> None:
    assert read("text", [" a b ", "\tc\n", "", "  ", None]) == ["a b", "c", None, None, None]


def test_symbols_are_upper_case_and_words_lower_case_and_text_is_left_alone() -> None:
    assert read("upper", ["spy ", "Brk.b"]) == ["SPY", "BRK.B"]
    assert read("enum", [" BUY", "Stop_Limit"]) == ["buy", "stop_limit"]
    assert read("text", ["MomentumV2"]) == ["MomentumV2"]


@pytest.mark.parametrize("letters", ["\ufb01", "\u017fpy", "\u0131bm", "\u00df"])
def test_letters_that_only_become_ascii_in_capitals_are_no_symbols(letters: str) -> None:
    assert letters.upper().isascii()
    assert read("upper", [letters]) == [letters]


def test_a_kelvin_sign_is_no_k() -> None:
    assert read("enum", ["FO\u212a"]) == ["FO\u212a"]


def test_the_same_text_in_several_spellings_is_one_text() -> None:
    column = typed_column("upper", pa.array(["spy", "SPY ", "Spy"]))
    assert isinstance(column, TextColumn)
    assert (column.codes.tolist(), column.values) == ([0, 0, 0], ["SPY"])


@pytest.mark.parametrize(
    "arrow",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
        pa.dictionary(pa.int64(), pa.string()),
    ],
    ids=str,
)
def test_text_is_the_same_in_every_type_of_text(arrow: pa.DataType) -> None:
    array = pa.array(["spy", None, "QQQ", "spy"]).cast(arrow)
    assert read("upper", array) == ["SPY", None, "QQQ", "SPY"]
    assert trimmed_text(array).to_pylist() == ["spy", None, "QQQ", "spy"] or pa.types.is_string_view(arrow)


@pytest.mark.parametrize("arrow", [pa.int8(), pa.uint64(), pa.dictionary(pa.int8(), pa.int64())], ids=str)
def test_integers_stand_for_their_digits(arrow: pa.DataType) -> None:
    array = pa.array([7, None]).cast(arrow) if not pa.types.is_dictionary(arrow) else _coded([7, None])
    assert read("text", array) == ["7", None]
    assert trimmed_text(array).to_pylist() == ["7", None]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, None]),
        pa.array([True, None]),
        pa.array([b"SPY", None]),
        pa.array([date(2026, 3, 2), None]),
        pa.array([Decimal(1), None]),
        pa.array([["SPY"], None]),
        pa.array([{"a": 1}, None]),
    ],
    ids=lambda array: str(array.type),
)
def test_what_is_neither_text_nor_an_integer_is_no_text(array: pa.Array) -> None:
    assert read("text", array) == [BAD, None]
    assert trimmed_text(array).to_pylist() == [ODD, None]


def test_a_value_that_was_marked_as_odd_is_no_text() -> None:
    assert read("text", [ODD + "1.5", "x"]) == [BAD, "x"]


# 2. Numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("+1.5", 1.5),
        ("-1.5", -1.5),
        ("-0", 0.0),
        (" 2 ", 2.0),
        ("1e3", 1000.0),
        ("1E-9", 1e-9),
        ("007", 7.0),
        ("0.1", 0.1),
        ("1e400", inf),
        ("-1e999", -inf),
        ("1e-400", 0.0),
        ("", None),
        ("  ", None),
    ],
)
def test_decimal_numbers_are_read_from_text(text: str, number: float | None) -> None:
    assert read("quantity", [text]) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "1,5",
        "1,000",
        "1_000",
        "abc",
        "nan",
        "NaN",
        "inf",
        "-Infinity",
        "1e",
        "e5",
        ".",
        "+",
        "1 2",
        "0x10",
        "1e1000",
        "$5",
        "5%",
        "--5",
        "+-5",
        "\u0663",
        "\uff15",
        "\u00a05",
        "5\u2212",
        "true",
        "1.5.2",
        "\x005",
    ],
)
def test_what_is_no_decimal_number_is_a_bad_one(text: str) -> None:
    assert read("quantity", ["1", text, None]) == [1.0, BAD, None]


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=200)
def test_a_number_written_by_anyone_is_read_as_the_float_nearest_to_it(number: float) -> None:
    expected = [number, number, float(f"{number:.12g}")]
    assert read("number", [repr(number), f"{number:.17e}", f"{number:.12g}"]) == expected


@pytest.mark.parametrize(
    "arrow",
    [
        pa.int8(),
        pa.uint16(),
        pa.int64(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.decimal128(9, 2),
        pa.decimal256(50, 9),
        pa.string(),
        pa.large_string(),
    ],
    ids=str,
)
def test_numbers_are_the_same_in_every_type(arrow: pa.DataType) -> None:
    values = [Decimal(5), None] if pa.types.is_decimal(arrow) else [5, None]
    array = pa.array(values, type=arrow) if not _is_text(arrow) else pa.array(["5", None], type=arrow)
    assert read("quantity", array) == [5.0, None]


def test_numbers_by_code_are_numbers() -> None:
    assert read("quantity", _coded([5.5, None])) == [5.5, None]
    assert read("quantity", pa.array(["5.5", None, "x"]).dictionary_encode()) == [5.5, None, BAD]


def test_integers_beyond_a_float_are_numbers_too_large_not_errors() -> None:
    assert read("quantity", [2**63 - 1]) == [float(2**63)]


def test_not_a_number_is_a_missing_number() -> None:
    assert read("quantity", [nan, None, 1.5]) == [None, None, 1.5]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, None]),
        pa.array([date(2026, 3, 2), None]),
        pa.array([1, None], pa.timestamp("us")),
        pa.array([1, None], pa.duration("s")),
        pa.array([b"5", None]),
        pa.array([[5], None]),
        pa.array([{"a": 5}, None]),
    ],
    ids=lambda array: str(array.type),
)
def test_other_types_are_no_numbers(array: pa.Array) -> None:
    assert read("quantity", array) == [BAD, None]


# 3. Moments


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T14:30:00Z",
        "2026-03-02t14:30:00z",
        "2026-03-02 14:30:00+00:00",
        "2026-03-02T14:30Z",
        "2026-03-02T14:30:00.000000000Z",
        "2026-03-02T09:30:00-05:00",
        "2026-03-02T09:30:00-0500",
        "2026-03-02T09:30:00-05",
        "2026-03-02 20:00:00 +05:30",
        " 2026-03-02T14:30:00Z ",
    ],
)
def test_a_timestamp_may_be_written_in_any_zone(text: str) -> None:
    assert read("time", [text]) == [HALF_PAST_TWO_US]


def test_a_timestamp_keeps_its_microseconds() -> None:
    assert read("time", ["2026-03-02T14:30:00.123456Z"]) == [HALF_PAST_TWO_US + 123_456]


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02T14:30:00",
        "2026-03-02",
        "14:30Z",
        "2026-02-30T14:30:00Z",
        "2026-13-01T00:00:00Z",
        "now",
        "1772461800",
        "2026-03-02T25:00:00Z",
        "03/02/2026 14:30Z",
        "2026-03-02T14:30:00 EST",
        "2026-03-02T14:30:00+99:00",
        "0000-01-01T00:00:00Z",
        "12026-03-02T14:30:00Z",
        "2026-03-02T14:30:00Z2026-03-02T14:30:00Z",
        "\x00true",
    ],
)
def test_what_has_no_zone_or_is_no_timestamp_is_invalid(text: str) -> None:
    assert read("time", ["2026-03-02T14:30:00Z", text, None]) == [HALF_PAST_TWO_US, BAD, None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+05:30"])
def test_a_timestamp_with_a_zone_is_valid_in_every_unit(unit: str, zone: str) -> None:
    array = pa.array([HALF_PAST_TWO_US, None], pa.timestamp("us", tz=zone)).cast(pa.timestamp(unit, tz=zone))
    assert read("time", array) == [HALF_PAST_TWO_US, None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_timestamp_without_a_zone_is_invalid(unit: str) -> None:
    assert read("time", [1, None], pa.timestamp(unit)) == [BAD, None]


@pytest.mark.parametrize(
    ("unit", "count"),
    [("s", 2**62), ("ms", 2**62), ("us", 2**62), ("s", 253_402_300_800), ("s", -(2**61)), ("ms", 2**63 - 1)],
)
def test_a_timestamp_after_the_year_9999_is_invalid_and_not_another_one(unit: str, count: int) -> None:
    assert read("time", [count, None], pa.timestamp(unit, tz="UTC")) == [BAD, None]


def test_the_last_microsecond_of_the_year_9999_is_a_timestamp() -> None:
    assert read("time", ["9999-12-31T23:59:59Z"]) == [253_402_300_799_000_000]
    assert read("time", [253_402_300_799], pa.timestamp("s", tz="UTC")) == [253_402_300_799_000_000]


@pytest.mark.parametrize(
    "array", [pa.array([1, None]), pa.array([date(2026, 3, 2), None]), pa.array([1.5, None])], ids=str
)
def test_numbers_and_dates_are_no_timestamps(array: pa.Array) -> None:
    assert read("time", array) == [BAD, None]


# 4. Flags


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("1", True),
        ("true", True),
        (" Yes ", True),
        ("ON", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("off", False),
        ("", False),
        (" ", False),
        (None, False),
        (ODD + "true", True),
        (ODD + "false", False),
    ],
)
def test_flags_are_words(text: str | None, flag: bool) -> None:
    assert read("flag", [text, "1"]) == [flag, True]


@pytest.mark.parametrize("text", ["2", "y", "t", "wahr", "1.0", "nan", "-1"])
def test_another_word_is_no_flag(text: str) -> None:
    assert read("flag", ["1", text]) == [True, BAD]


def test_flags_may_be_booleans_or_integers() -> None:
    assert read("flag", [True, False, None]) == [True, False, False]
    assert read("flag", [1, 0, None, 2]) == [True, False, False, BAD]
    assert read("flag", _coded([True, None])) == [True, False]


@pytest.mark.parametrize(
    "array", [pa.array([1.0, None]), pa.array([b"1", None]), pa.array([[True], None])], ids=str
)
def test_other_types_are_no_flags(array: pa.Array) -> None:
    assert read("flag", array) == [BAD, False]


# 5. Nothing at all


@pytest.mark.parametrize("kind", ["text", "upper", "enum", "quantity", "number", "time", "flag"])
def test_a_column_of_nothing_is_missing_throughout(kind: Kind) -> None:
    missing = False if kind == "flag" else None
    for array in (pa.nulls(2), pa.nulls(2, pa.string()), pa.nulls(2, pa.dictionary(pa.int32(), pa.string()))):
        assert read(kind, array) == [missing, missing]
        assert read(kind, array.slice(0, 0)) == []


def _coded(values: list[object]) -> pa.Array:
    return pa.array(values).dictionary_encode()


def _is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


@pytest.mark.parametrize("kind", ["text", "symbol", "enum", "number", "flag", "time"])
def test_many_values_are_read_as_the_same_ones_in_a_few_rows(kind: Kind) -> None:
    few = pa.array([" a ", None, "1.5", "true", "2026-03-02T14:30:00Z", "a", "", "BRK/B"], pa.string())
    many = pa.concat_arrays([few] * 50)
    read, again = typed_column(kind, few), typed_column(kind, many)
    for name, value in vars(read).items():
        other = getattr(again, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.tile(value, 50), other)
        else:
            assert value == other
