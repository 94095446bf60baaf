"""Rows that may share account and id with another row, found by hash before any text is compared."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.raw_table import one_array
from engine.intents.row_hashes import Words, text_words
from engine.model.quantity import Mask

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_WORD = 8
_LONGEST = 48
"""Characters of an id that are hashed; a well-formed one has no more."""
_ROWS_AT_ONCE = 16_384
_PLACES_OF_EACH, _FEWEST_PLACES = 16, 1 << 16


def may_be_repeated(tables: list[pa.Table]) -> Mask:
    """Return, for the rows of all tables in a row, which may share account and id with one of the others.

    Every row that does is among them; by chance some others are. The tables have columns
    ``broker_account_id`` and ``client_intent_id``.
    """
    ids = [one_array(table["client_intent_id"]) for table in tables]
    size = min(max(map(_longest, ids), default=0), _LONGEST)
    hashes = np.concatenate(
        [
            _hashes(one_array(table["broker_account_id"]), _as_words(texts, size + -size % _WORD))
            for table, texts in zip(tables, ids, strict=True)
        ]
    )
    return among_repeated(hashes)


def among_repeated(hashes: Words) -> Mask:
    """Return which hashes occur more than once; by chance some others are among them."""
    ordered = np.sort(hashes)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return np.zeros(len(hashes), dtype=bool)
    places = 1 << max(_FEWEST_PLACES, _PLACES_OF_EACH * len(shared)).bit_length()
    is_shared = np.zeros(places, dtype=bool)
    is_shared[shared & np.uint64(places - 1)] = True
    found: Mask = is_shared[hashes & np.uint64(places - 1)]
    return found


def _hashes(accounts: pa.Array, ids: Words) -> Words:
    """Return a hash per row, equal where account and id are."""
    seeds = text_words(accounts)
    hashes = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        mixed = seeds[rows]
        for word in ids[rows].T:
            mixed = (mixed ^ word) * _PRIME
            mixed ^= mixed >> _SHIFT
        hashes[rows] = mixed
    return hashes


def _as_words(ids: pa.Array, size: int) -> Words:
    """Return the first ``size`` bytes of each id, zeros where it has fewer, as (rows, words)."""
    if not size or not len(ids):
        return np.zeros((len(ids), size // _WORD), dtype=np.uint64)
    if _longest(ids) > size:
        ids = pc.binary_slice(ids.cast(pa.binary()), 0, size).view(pa.string())
    if pc.min(pc.binary_length(ids)).as_py() < size:
        ids = pc.ascii_rpad(ids, size, "\0")
    _, starts, characters = ids.buffers()
    first = np.frombuffer(starts, dtype=np.int32)[ids.offset]
    words: Words = np.frombuffer(characters, np.uint64, len(ids) * size // _WORD, first)
    return words.reshape(len(ids), size // _WORD)


def _longest(ids: pa.Array) -> int:
    return int(pc.max(pc.binary_length(ids)).as_py() or 0)
