"""Identity of rows: content hashes and derived ids, by which two rows are the same order.

A row's content is hashed field by field in a fixed layout of eight bytes each, so that the hash depends on
the row's values only: not on the file's format or name, its other rows, or absent columns. So equal rows are
one order, in whatever file they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from engine.intents.row_hashes import Word, Words, row_hashes
from engine.model.columns import Column, FlagColumn, NumberColumn, TextColumn, TimeColumn
from engine.model.field_names import folded
from engine.model.schema import INTENT_FIELDS

_FIELDS = [field for field in INTENT_FIELDS if field.name != "client_intent_id"]
_DIGEST_BYTES = 16
_TEXT_BYTES = 2**31
_FEW = 1_000

IDENTITY_VERSION = 2
"""In version 1 the n-th of equal rows was an order of its own, index columns and fields in another spelling
were metadata, and symbols counted as they were written."""


@dataclass(frozen=True)
class IdentityRules:
    """The rules of identity: their version, and the names in metadata that don't count, folded."""

    version: int = IDENTITY_VERSION
    ignores: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ignored_names: Iterable[str]) -> IdentityRules:
        """Return the current rules with these names in metadata left out."""
        return cls(IDENTITY_VERSION, frozenset(map(folded, ignored_names)))

    @classmethod
    def of_record(cls, start: Mapping[str, Any]) -> IdentityRules:
        """Return the rules that a run began with (``run.json``)."""
        recorded = start.get("identity", {"version": 1, "ignores": []})
        return cls(int(recorded["version"]), frozenset(map(folded, recorded["ignores"])))

    def record(self) -> dict[str, object]:
        """Return the record of the rules for ``run.json``."""
        return {"version": self.version, "ignores": sorted(self.ignores)}


def content_digests(
    columns: Mapping[str, Column], metadata: Words | None, rows: int, trading_date: date
) -> Words:
    """Return 16 bytes per row: a hash of the trading date and of all the row's fields but its id.

    They come as two words, (rows, 2), whose bytes are the digest's in their order. A field that is missing
    counts as its default. ``metadata`` is a hash per row, None where all have none.
    """
    words = [_column_words(field.name, field.default, columns.get(field.name)) for field in _FIELDS]
    if metadata is not None:
        words[-1] = metadata
    layout = [trading_date.toordinal(), *words]
    return row_hashes(layout, rows) if rows > _FEW else _few_hashes(layout, rows)


def _few_hashes(words: Sequence[Word], rows: int) -> Words:
    """Return the same as ``row_hashes``; faster for a few rows."""
    layout = np.empty((rows, len(words)), dtype=np.uint64)
    for place, column in enumerate(words):
        layout[:, place] = column
    digests = b"".join(map(xxh3_128_digest, layout.view(f"V{8 * len(words)}").ravel().tolist()))
    return np.frombuffer(digests, dtype=np.uint64).reshape(rows, 2)


def content_hashes(digests: Words) -> npt.NDArray[np.int64]:
    """Return the first half of each digest as an int64, the form that the sealed batch keeps."""
    return digests[:, 0].astype(np.uint64).view(np.int64)


def derived_ids(digests: Words) -> pa.Array:
    """Return 32 hexadecimal characters per row: its digest."""
    rows, size = len(digests), 2 * _DIGEST_BYTES
    characters = pa.py_buffer(_hexadecimals()[digests.view(np.uint16)])
    kind, offset = (pa.string(), np.int32) if size * rows < _TEXT_BYTES else (pa.large_string(), np.int64)
    starts = pa.py_buffer(np.arange(0, (rows + 1) * size, size, dtype=offset))
    return pa.Array.from_buffers(kind, rows, [None, starts, characters]).cast(pa.string())


@cache
def _hexadecimals() -> npt.NDArray[np.uint32]:
    """Return the four hexadecimal characters of each pair of bytes."""
    pairs = np.arange(1 << 16, dtype=np.uint16).tobytes()
    return np.frombuffer(pairs.hex().encode(), dtype=np.uint32)


def _column_words(name: str, default: str | None, column: Column | None) -> Words | int:
    if column is None:
        return _missing(name, default)
    if isinstance(column, TextColumn):
        hashes = [_hash(str(value)) for value in column.values]
        return np.array([*hashes, _missing(name, default)], dtype=np.uint64)[column.codes]
    if isinstance(column, NumberColumn):
        numbers = column.numbers + 0.0  # -0.0 counts as 0.0
        return np.where(np.isnan(numbers), np.uint64(0), ~numbers.view(np.uint64))
    if isinstance(column, TimeColumn):
        return np.where(column.given, column.us.view(np.uint64) + np.uint64(1), np.uint64(0))
    if isinstance(column, FlagColumn):
        return column.flags.astype(np.uint64)
    raise AssertionError(f"{name} is a column of no kind")


@cache
def _missing(name: str, default: str | None) -> int:
    return _hash(default) if default is not None and name != "extended_hours" else 0


def _hash(text: str) -> int:
    return int(xxh3_64_intdigest(text.encode(errors="surrogatepass")))
