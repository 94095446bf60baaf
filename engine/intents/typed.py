"""Raw columns to typed ones: text trimmed, symbols canonical, enums lower-cased, text read as numbers.

A value that can't be read becomes a *bad* one; ``engine.model.contract`` reports the expected one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.raw_table import ODD
from engine.model.columns import (
    MISSING,
    NOT_TEXT,
    Column,
    FlagColumn,
    NumberColumn,
    TextColumn,
    TimeColumn,
)
from engine.model.quantity import Mask
from engine.model.schema import Kind
from engine.model.symbols import canonical_symbol
from engine.settings.values import OFF_WORDS, ON_WORDS
from engine.text.plain_text import BLANKS, trimmed

_NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?\s*$"
_FEW = 16
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)? ?(Z|[+-]\d\d(:?\d\d)?)", re.IGNORECASE)


# The years 1 to 9999, which is what dates are in Python, JSON and most databases.
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999


def typed_column(kind: Kind, array: pa.Array) -> Column:
    """Read a raw column as a field's kind."""
    if pa.types.is_dictionary(array.type) and not _is_text(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return _BY_KIND[kind](array)


def trimmed_text(array: pa.Array) -> pa.Array:
    """Return a text column trimmed, blank texts null; other values have the mark ``ODD``."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_integer(array.type):
        array = array.cast(pa.string())
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return pc.if_else(pc.is_valid(array), ODD, pa.scalar(None, pa.string()))
    text = pc.utf8_trim(array.cast(pa.string()), characters=BLANKS)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _text(array: pa.Array, case: Callable[[str], str] = str) -> TextColumn:
    if pa.types.is_integer(array.type):
        array = array.cast(pa.string())
    if not _is_text(array.type):
        return TextColumn(np.where(_given(array), 0, MISSING).astype(np.int8), [NOT_TEXT])
    codes, texts = _encoded(array)
    written = [_trimmed(text, case) for text in texts]
    spelled = [ODD if text.startswith(ODD) else text for text in written]
    place = {text: code for code, text in enumerate(dict.fromkeys(filter(None, spelled)))}
    renumbered = np.array([*(place.get(text, MISSING) for text in spelled), MISSING])
    return TextColumn(
        renumbered[codes].astype(np.int32), [NOT_TEXT if text == ODD else text for text in place]
    )


def _trimmed(text: str, case: Callable[[str], str]) -> str:
    """Return text trimmed and in another case, for ASCII only: the ligature "ﬁ" is not FI."""
    name = trimmed(text)
    return case(name) if name.isascii() else name


def _number(array: pa.Array) -> NumberColumn:
    if pa.types.is_null(array.type):
        return NumberColumn(np.full(len(array), np.nan))
    if pa.types.is_decimal(array.type):
        # Through text: Arrow's own cast of 0.100000 returns 0.09999999999999999, not the nearest float.
        return NumberColumn(_floats(array.cast(pa.string()).cast(pa.float64())))
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return NumberColumn(_floats(array.cast(pa.float64(), safe=False)))
    if not _is_text(array.type):
        return NumberColumn(np.full(len(array), np.nan), _given(array))
    codes, texts = _encoded(array)
    values = pa.array(texts, type=pa.string())
    numeric = pc.match_substring_regex(values, _NUMBER)
    bare = pc.utf8_trim_whitespace(values)
    plain = pc.if_else(pc.starts_with(bare, "+"), pc.utf8_slice_codeunits(bare, 1), bare)
    numbers = _floats(pc.if_else(numeric, plain, pa.scalar(None, pa.string())).cast(pa.float64()))
    bad = ~numeric.to_numpy(zero_copy_only=False) & (pc.utf8_length(bare).to_numpy() > 0)
    bad = np.append(bad, False)[codes]
    return NumberColumn(np.append(numbers, np.nan)[codes], bad if bad.any() else None)


def _flag(array: pa.Array) -> FlagColumn:
    if pa.types.is_boolean(array.type):
        flags = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
        return FlagColumn(flags, np.zeros(len(array), dtype=bool))
    if pa.types.is_integer(array.type):
        array = array.cast(pa.string())
    if not _is_text(array.type):
        return FlagColumn(np.zeros(len(array), dtype=bool), _given(array))
    codes, texts = _encoded(array)
    words = [text.removeprefix(ODD).strip().lower() for text in texts]
    flags = np.array([*(word in ON_WORDS for word in words), False])
    bad = np.array([*(bool(word) and word not in ON_WORDS | OFF_WORDS for word in words), False])
    return FlagColumn(flags[codes], bad[codes])


def _time(array: pa.Array) -> TimeColumn:
    given = _given(array)
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        us, wrapped = _microseconds(array)
        return TimeColumn(us, given, given & (wrapped | ~_within_years(us)))
    if not _is_text(array.type):
        return TimeColumn(np.zeros(len(array), dtype=np.int64), given, given)
    codes, texts = _encoded(array)
    us_of, bad_of = _timestamps([text.strip() for text in texts])
    blank = np.array([*(not text.strip() for text in texts), True])
    return TimeColumn(us_of[codes], ~blank[codes], bad_of[codes])


def _microseconds(array: pa.Array) -> tuple[np.ndarray, Mask]:
    """Return timestamps as int64 microseconds, and which of them are too far away for that."""
    us = array.cast(pa.timestamp("us", tz="UTC"), safe=False)
    if array.type.unit in {"us", "ns"}:
        return _integers(us), np.zeros(len(array), dtype=bool)
    back = us.cast(array.type, safe=False)
    return _integers(us), _integers(back) != _integers(array)


def _timestamps(texts: list[str]) -> tuple[np.ndarray, Mask]:
    """Read distinct texts as int64 microseconds; a last element stands for missing ones."""
    import pandas as pd

    zoned = [_ZONED.fullmatch(text) is not None for text in texts]
    wanted = [text.upper() if is_zoned else None for text, is_zoned in zip(texts, zoned, strict=True)]
    timestamps = pd.to_datetime(pd.Series(wanted, dtype=object), utc=True, format="ISO8601", errors="coerce")
    us = timestamps.dt.as_unit("us").fillna(pd.Timestamp(0, tz="UTC")).astype("int64").to_numpy()
    bad = np.array([bool(text) for text in texts], dtype=bool) & (
        timestamps.isna().to_numpy() | ~_within_years(us)
    )
    return np.append(us, 0), np.append(bad, False)


def _within_years(us: np.ndarray) -> Mask:
    within: Mask = (us >= _FIRST_US) & (us <= _LAST_US)
    return within


def _encoded(array: pa.Array) -> tuple[np.ndarray, list[str]]:
    """Return the code of each value, -1 where null, and the distinct values."""
    if len(array) <= _FEW and pa.types.is_string(array.type):
        return _encoded_few(array.to_pylist())
    encoded = array if pa.types.is_dictionary(array.type) else pc.dictionary_encode(array)
    codes = pc.fill_null(encoded.indices, MISSING).to_numpy(zero_copy_only=False)
    return codes, encoded.dictionary.to_pylist()


def _encoded_few(values: list[str | None]) -> tuple[np.ndarray, list[str]]:
    """Return the same of a few values, for which Arrow's call takes longer than its work."""
    place: dict[str, int] = {}
    codes = [MISSING if value is None else place.setdefault(value, len(place)) for value in values]
    return np.array(codes, dtype=np.int32), list(place)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or (
            pa.types.is_dictionary(kind)
            and (pa.types.is_string(kind.value_type) or pa.types.is_large_string(kind.value_type))
        )
    )


def _given(array: pa.Array) -> Mask:
    given: Mask = pc.is_valid(array).to_numpy(zero_copy_only=False)
    return given


def _floats(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(array, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def _integers(array: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(array.cast(pa.int64()), 0).to_numpy(zero_copy_only=False))


_BY_KIND: dict[Kind, Callable[[pa.Array], Column]] = {
    "text": _text,
    "upper": lambda array: _text(array, str.upper),
    "symbol": lambda array: _text(array, canonical_symbol),
    "enum": lambda array: _text(array, str.lower),
    "quantity": _number,
    "number": _number,
    "flag": _flag,
    "time": _time,
}
