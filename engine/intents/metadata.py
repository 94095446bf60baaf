"""Metadata: a row's values beyond the contract's fields, as JSON for people and as a hash for identity.

The ``metadata`` column and all unknown columns are one object per row. It is kept as it was given; for
identity it counts by its values: 1, 1.0 and the text "1" are the same, nulls and the order of keys don't
count. So a row keeps its id when its file is written in another format, or grows by a row that turns a
column of integers into one of floats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from xxhash import xxh3_64_intdigest, xxh3_128_hexdigest

from engine.intents.raw_table import python_values
from engine.model.columns import MISSING
from engine.model.field_names import folded
from engine.model.keeping import (
    METADATA,
    SURELY_WITHIN_METADATA,
    Unkeepable,
    are_plain,
    is_simple,
    too_large,
    unkeepable_metadata,
    unkeepable_value,
)
from engine.model.quantity import Mask

_Held = TypeVar("_Held")
Words = npt.NDArray[np.uint64]

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_MAY_SAY_MORE = frozenset("-0123456789TtFf")
_ALL_BITS = 2**64 - 1
_HASHED_FROM_LEVEL = 4


@dataclass(frozen=True)
class Metadata:
    """``texts``: canonical JSON per row; ``words``: a hash per row of its values, 0 for none.

    ``bad`` marks rows whose metadata is not an object, ``clashing`` those with one key in two places.
    ``unkeepable`` are those of which the ledger could not keep a part, with the first such part.
    """

    texts: list[str]
    words: Words
    bad: Mask
    clashing: Mask
    unkeepable: Mapping[int, Unkeepable] = field(default_factory=dict)

    def of(self, rows: Mask) -> Metadata:
        """Return the metadata of some rows."""
        texts = [self.texts[row] for row in np.flatnonzero(rows)]
        return Metadata(texts, self.words[rows], self.bad[rows], self.clashing[rows])


def metadata_of(
    given: pa.Array | None,
    unknown: Mapping[str, pa.Array],
    rows: int,
    ignored: frozenset[str] = frozenset(),
) -> Metadata:
    """Read the metadata column, if there is one, together with the unknown columns.

    The ``ignored`` names (folded) are kept as all are, and don't count in the hash.
    """
    columns = {name: _Distinct.of(unknown[name]) for name in sorted(unknown)}
    clashing = np.zeros(rows, dtype=bool)
    unkeepable = _unkeepable_columns(columns)
    if given is None:
        nowhere, texts = np.zeros(rows, dtype=bool), _texts_of(columns, rows)
        unkeepable |= _too_large(texts, but=unkeepable)
        return Metadata(texts, _words_of(_counted(columns, ignored), rows), nowhere, clashing, unkeepable)
    objects, bad = _objects(given)
    unkeepable |= _unkeepable_objects(objects)
    for name, column in columns.items():
        for row in np.flatnonzero(column.codes != MISSING).tolist():
            clashing[row] |= name in objects[row]
            objects[row][name] = column.values[column.codes[row]]
    counted = [_counted(said, ignored) for said in objects]
    words = [sum(map(_member_hash, said, said.values())) & _ALL_BITS for said in counted]
    maybe = [_json_text(said) for said in objects]
    bad |= np.array([text is None for text in maybe], dtype=bool)
    written = [text or "{}" for text in maybe]
    unkeepable |= _too_large(written, but=unkeepable)
    return Metadata(written, np.array(words, dtype=np.uint64), bad, clashing, unkeepable)


def _unkeepable_columns(columns: Mapping[str, _Distinct]) -> dict[int, Unkeepable]:
    """Return the rows of unknown columns that hold what the ledger can't keep, NaN (a missing one) aside."""
    found: dict[int, Unkeepable] = {}
    for name, column in columns.items():
        if unkeepable_value(name, None) is None and are_plain(column.values):
            continue
        for code, value in enumerate(column.values):
            is_missing = isinstance(value, float) and isnan(value)
            part = unkeepable_value(name, None if is_missing else value)
            if part is not None:
                own = replace(part, path=part.path.removeprefix("metadata."))
                found.update(dict.fromkeys(np.flatnonzero(column.codes == code).tolist(), own))
    return found


def _unkeepable_objects(objects: Sequence[dict[str, Any]]) -> dict[int, Unkeepable]:
    parts = ((row, unkeepable_metadata(said)) for row, said in enumerate(objects) if not is_simple(said))
    return {row: part for row, part in parts if part is not None}


def _too_large(texts: Sequence[str], *, but: Container[int]) -> dict[int, Unkeepable]:
    """Return the rows whose metadata is too large as a whole, ``but`` those that are refused already."""
    long = [row for row, text in enumerate(texts) if len(text) > SURELY_WITHIN_METADATA and row not in but]
    parts = {row: too_large(json.loads(texts[row]), METADATA, path="metadata") for row in long}
    return {row: part for row, part in parts.items() if part is not None}


@dataclass(frozen=True)
class _Distinct:
    """A column by code: ``values[codes[i]]`` is row i's value, code -1 a missing one."""

    codes: npt.NDArray[np.int64]
    values: Sequence[Any]

    @classmethod
    def of(cls, array: pa.Array) -> _Distinct:
        try:
            encoded = array if pa.types.is_dictionary(array.type) else pc.dictionary_encode(array)
        except pa.ArrowNotImplementedError:  # nested types
            values = python_values(array)
            return cls(np.where(pc.is_valid(array), np.arange(len(array)), MISSING), values)
        codes = pc.fill_null(encoded.indices.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
        return cls(codes, python_values(encoded.dictionary))


def _counted(members: Mapping[str, _Held], ignored: frozenset[str]) -> Mapping[str, _Held]:
    if not ignored:
        return members
    return {name: held for name, held in members.items() if folded(name) not in ignored}


def _words_of(columns: Mapping[str, _Distinct], rows: int) -> Words:
    words = np.zeros(rows, dtype=np.uint64)
    for name, column in columns.items():
        hashes = [_member_hash(name, value) for value in column.values]
        words += np.array([*hashes, 0], dtype=np.uint64)[column.codes]
    return words


def _texts_of(columns: Mapping[str, _Distinct], rows: int) -> list[str]:
    """Return the JSON of rows that have unknown columns only, each distinct value written once."""
    members = []
    for name, column in columns.items():
        texts = [_member_text(name, value) for value in column.values]
        members.append(np.array([*texts, ""], dtype=object)[column.codes].tolist())
    joined = ["{" + ",".join(filter(None, said)) + "}" for said in zip(*members, strict=True)]
    return joined if members else ["{}"] * rows


def _member_text(name: str, value: Any) -> str:
    return (_json_text({name: value}) or "{}")[1:-1]


def _json_text(value: dict[str, Any]) -> str | None:
    """Return canonical JSON, None for what is nested too deeply to be written."""
    import orjson

    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # beyond orjson: integers of more than 64 bits, half a surrogate pair, odd keys
        try:
            return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
        except (RecursionError, TypeError):
            return None


def _objects(array: pa.Array) -> tuple[list[dict[str, Any]], Mask]:
    """Read a metadata column: objects, or text that is a JSON object. Also returns the rows with neither."""
    is_map = pa.types.is_map(array.type)
    objects: list[dict[str, Any]] = []
    bad = np.zeros(len(array), dtype=bool)
    for row, given in enumerate(python_values(array)):
        value = given
        if isinstance(given, str):
            value = _parsed(given) if given.strip() else {}
        elif is_map and given is not None:
            value = {str(key): held for key, held in given}
            bad[row] = len(value) != len(given)
        if value is not None and not isinstance(value, dict):
            bad[row] = True
        objects.append(value if isinstance(value, dict) else {})
    return objects, bad


def _parsed(text: str) -> object:
    """Return text parsed as JSON; other text unchanged."""
    try:
        return json.loads(text, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError):
        return text


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _member_hash(name: str, value: Any) -> int:
    said = _said(value)
    if said is None:
        return 0
    return int(xxh3_64_intdigest(f"{name}\0{said}".encode(errors="surrogatepass")))


def _said(value: Any, level: int = 0) -> str | None:
    """Return a value as text that is the same in every format, None for no value.

    Text of an object within an object is quoted again on each level, which doubles it: from
    ``_HASHED_FROM_LEVEL`` on a hash stands for it.
    """
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        members = {str(key): _said(held, level + 1) for key, held in value.items()}
        said = {key: text for key, text in members.items() if text is not None}
        return _in_place(json.dumps(said, sort_keys=True), level)
    if isinstance(value, list | tuple):
        return _in_place(json.dumps([_said(held, level + 1) for held in value]), level)
    text = "" if value is None else str(value).strip()
    if not text or text[0] not in _MAY_SAY_MORE:
        return text or None
    number = _JSON_NUMBER.fullmatch(text)
    if number:
        return _number(float(text)) if number[1] or number[2] else text
    return text.lower() if text.lower() in {"true", "false"} else text


def _in_place(text: str, level: int) -> str:
    if level < _HASHED_FROM_LEVEL:
        return text
    return xxh3_128_hexdigest(text.encode(errors="surrogatepass"))


def _number(value: float) -> str | None:
    if isnan(value):
        return None
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else repr(value)
