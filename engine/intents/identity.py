"""What makes two rows the same order: content hashes and derived ids.

A row's content is hashed field by field in a fixed layout of eight bytes each, so that it depends on what
the row says and on nothing else: not on the file's format or name, its other rows, or absent columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from engine.columns import Column, FlagColumn, NumberColumn, TextColumn, TimeColumn
from engine.schema import INTENT_FIELDS

_FIELDS = [field for field in INTENT_FIELDS if field.name != "client_intent_id"]
_WORDS = len(_FIELDS) + 1
_DIGEST_BYTES = 16
_ROWS_AT_ONCE = 65_536

Words = npt.NDArray[np.uint64]


def content_digests(
    columns: Mapping[str, Column], metadata: Words | None, rows: int, trading_date: date
) -> bytes:
    """Give 16 bytes per row: a hash of the trading date and of all the row's fields but its id.

    A field that is missing counts as its default. ``metadata`` is a hash per row, None where all have none.
    """
    words = [_column_words(field.name, field.default, columns.get(field.name)) for field in _FIELDS]
    if metadata is not None:
        words[-1] = metadata
    parts: list[bytes] = []
    for start in range(0, rows, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, rows)
        layout = np.zeros((stop - start, _WORDS), dtype=np.uint64)
        layout[:, 0] = trading_date.toordinal()
        for place, column in enumerate(words, start=1):
            layout[:, place] = column if isinstance(column, int) else column[start:stop]
        parts += map(xxh3_128_digest, layout.view(f"V{8 * _WORDS}").ravel().tolist())
    return b"".join(parts)


def content_hashes(digests: bytes) -> npt.NDArray[np.int64]:
    """Give the first half of each digest as an int64, the form that the sealed batch keeps."""
    return np.frombuffer(digests, dtype=np.int64)[::2].copy()


def derived_ids(digests: bytes, needed: npt.NDArray[np.bool_]) -> pa.Array:
    """Give 32 hexadecimal characters per row: the digest, for repetitions hashed with their number.

    Rows with the same digest are told apart by their order among the rows that are ``needed``: a file
    that grows gives its first rows the same ids as before.
    """
    import pandas as pd

    first_halves = pd.Series(content_hashes(digests))
    repeated = np.flatnonzero(needed & first_halves.duplicated(keep=False).to_numpy())
    told_apart = bytearray(digests)
    occurrences: dict[bytes, int] = {}
    for row in repeated.tolist():
        place = slice(row * _DIGEST_BYTES, (row + 1) * _DIGEST_BYTES)
        digest = digests[place]
        occurrence = occurrences.get(digest, 0)
        occurrences[digest] = occurrence + 1
        if occurrence:
            told_apart[place] = xxh3_128_digest(digest + occurrence.to_bytes(8, "little"))
    characters = pa.py_buffer(told_apart.hex().encode())
    rows = len(digests) // _DIGEST_BYTES
    starts = np.arange(0, (rows + 1) * 2 * _DIGEST_BYTES, 2 * _DIGEST_BYTES, dtype=np.int64)
    long_text = pa.Array.from_buffers(pa.large_string(), rows, [None, pa.py_buffer(starts), characters])
    return long_text.cast(pa.string())


def _column_words(name: str, default: str | None, column: Column | None) -> Words | int:
    if column is None:
        return _missing(name, default)
    if isinstance(column, TextColumn):
        hashes = [_hash(str(value)) for value in column.values]
        return np.array([*hashes, _missing(name, default)], dtype=np.uint64)[column.codes]
    if isinstance(column, NumberColumn):
        numbers = column.numbers + 0.0  # of two zeros one
        return np.where(np.isnan(numbers), np.uint64(0), ~numbers.view(np.uint64))
    if isinstance(column, TimeColumn):
        return np.where(column.given, column.us.view(np.uint64) + np.uint64(1), np.uint64(0))
    if isinstance(column, FlagColumn):
        return column.flags.astype(np.uint64)
    raise AssertionError(f"{name} is a column of no kind")


def _missing(name: str, default: str | None) -> int:
    return _hash(default) if default is not None and name != "extended_hours" else 0


def _hash(text: str) -> int:
    return int(xxh3_64_intdigest(text.encode(errors="surrogatepass")))
