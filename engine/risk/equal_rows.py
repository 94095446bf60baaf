"""Rows of a batch that are equal in several columns of integers: a compiled hash, or a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.model.quantity import Ints
from engine.risk.compiled import compiled, use_compiled

_ROOM = 2**62


def combined(codes: Sequence[Ints], counts: Sequence[int]) -> list[Ints]:
    """Return columns of codes, from 0 to below a count each, as few columns that tell the same rows apart."""
    columns: list[Ints] = []
    room = 0
    for code, count in zip(codes, counts, strict=True):
        if count * room and count * room < _ROOM:
            columns[-1] = columns[-1] * count + code
            room *= count
        else:
            columns.append(code)
            room = count
    return columns


def first_equal(columns: Sequence[Ints]) -> Ints:
    """Return, per row, the first row with the same numbers in every column."""
    rows = len(columns[0])
    telling = [column for column in columns if rows and column.min() != column.max()]
    first_row = np.arange(rows, dtype=np.int64)
    if not telling:
        first_row[:] = 0
    elif use_compiled(rows):
        table = np.full(1 << (2 * rows).bit_length(), -1, dtype=np.int64)
        compiled(match_rows)(np.vstack(telling), table, first_row)
    else:
        seen: dict[Any, int] = {}
        keys = zip(*(column.tolist() for column in telling), strict=True)
        first_row[:] = [seen.setdefault(key, row) for row, key in enumerate(keys)]
    return first_row


def match_rows(columns: Any, table: Any, first_row: Any) -> None:
    """Fill ``first_row`` by an open-addressing hash table, as ``engine.risk.identity.match_ids`` does.

    ``table``, its size a power of two, is -1 where empty, else a row number below the last 31 bits of that
    row's digest. Rows are entered by the first eight bits of their digests, so that only a 256th of the table
    is in use at a time; equal rows stay in their order.
    """
    prime = np.uint64(0x9E3779B97F4A7C15)
    rows = columns.shape[1]
    digests = np.zeros(rows, dtype=np.uint64)
    for column in range(len(columns)):
        for row in range(rows):
            digest = (digests[row] ^ np.uint64(columns[column, row])) * prime
            digests[row] = digest ^ digest >> np.uint64(29)
    ends = np.zeros(257, dtype=np.int64)
    for row in range(rows):
        digest = digests[row] * np.uint64(0xBF58476D1CE4E5B9)
        digests[row] = digest ^ digest >> np.uint64(32)
        ends[np.int64(digests[row] >> np.uint64(56)) + 1] += 1
    for before in range(256):
        ends[before + 1] += ends[before]
    order = np.empty(rows, dtype=np.int64)
    by_part = np.empty(rows, dtype=np.uint64)
    for row in range(rows):
        part = np.int64(digests[row] >> np.uint64(56))
        order[ends[part]] = row
        by_part[ends[part]] = digests[row]
        ends[part] += 1

    last_slot = np.int64(len(table) - 1)
    unused = np.uint64(64)
    while last_slot >> (np.int64(64) - np.int64(unused)):
        unused -= np.uint64(1)
    for place in range(rows):
        row = order[place]
        slot = np.int64(by_part[place] >> unused)
        tag = np.int64(by_part[place] & np.uint64(0x7FFFFFFF))
        while table[slot] >= 0:
            other = table[slot] & 0x7FFFFFFF
            same = table[slot] >> 32 == tag
            if same:
                for column in range(len(columns)):
                    same = same and columns[column, other] == columns[column, row]
            if same:
                first_row[row] = other
                break
            slot = (slot + 1) & last_slot
        if table[slot] < 0:
            table[slot] = (tag << 32) + row
