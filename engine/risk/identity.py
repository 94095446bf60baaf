"""Client intent ids: which are valid, and which rows of a batch have the same one.

An id belongs to an account: the same text under two accounts is two ids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.model.columns import TextColumn
from engine.model.quantity import Mask
from engine.model.schema import ID_PATTERN
from engine.risk.compiled import compiled, use_compiled

_LONGEST = 48


@dataclass(frozen=True)
class Identity:
    """``first_row[i]``: the first row with row i's account and id (i itself where it has no valid id)."""

    first_row: npt.NDArray[np.int32]
    valid: Mask


def identify(ids: pd.Series | None, accounts: TextColumn) -> Identity:
    """Return the compared ids of all rows of a batch."""
    rows = len(accounts.codes)
    first_row = np.arange(rows, dtype=np.int32)
    valid = np.zeros(rows, dtype=bool)
    if ids is None or rows == 0:
        return Identity(first_row, valid)
    if use_compiled(rows) and isinstance(ids.dtype, pd.StringDtype):
        _identify_compiled(ids, accounts.codes, first_row, valid)
    else:
        _identify_plainly(ids, accounts.codes, first_row, valid)
    return Identity(first_row, valid)


def _identify_plainly(
    ids: pd.Series, accounts: npt.NDArray[np.integer], first_row: npt.NDArray[np.int32], valid: Mask
) -> None:
    matches = re.compile(ID_PATTERN).fullmatch
    seen: dict[tuple[int, str], int] = {}
    for row, (account, text) in enumerate(zip(accounts.tolist(), ids.tolist(), strict=True)):
        if isinstance(text, str) and matches(text):
            valid[row] = True
            if account >= 0:
                first_row[row] = seen.setdefault((account, text), row)


def _identify_compiled(
    ids: pd.Series, accounts: npt.NDArray[np.integer], first_row: npt.NDArray[np.int32], valid: Mask
) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.array(ids)
    text = (text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text).cast(pa.large_string())
    _, offsets, characters = text.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    content = np.frombuffer(characters, dtype=np.uint8) if characters is not None else np.zeros(1, np.uint8)
    size = 1 << (2 * len(ids)).bit_length()
    wrong = text.is_null().to_numpy(zero_copy_only=False)
    words, rest = content[: len(content) // 8 * 8].view(np.uint64), content[len(content) // 8 * 8 :]
    if bool(compiled(any_forbidden)(words, rest)):
        proper = pc.fill_null(pc.match_substring_regex(text, f"^(?:{ID_PATTERN})$"), False)
        wrong = ~proper.to_numpy(zero_copy_only=False)
    table = np.full(size, -1, dtype=np.int64)
    compiled(match_ids)(starts, content, accounts, wrong, table, first_row, valid)


def any_forbidden(words: Any, rest: Any) -> Any:
    """Return whether any character is not in ``A-Z a-z 0-9 _ -``, other than 0 if so.

    ``words``: eight characters each, of which every one is tested at once: a sum of at most 127 and a number
    sets its highest bit from a certain character on, and never carries into the next one. ``rest``: the
    characters after the last word.
    """
    every, highest = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
    ones = np.uint64(0x0101010101010101)
    wrong = np.uint64(0)
    for i in range(len(words)):
        low = words[i] & every
        lower = low | (ones << np.uint64(5))
        letter = (lower + ones * np.uint64(128 - 97)) & ~(lower + ones * np.uint64(128 - 123))
        digit = (low + ones * np.uint64(128 - 48)) & ~(low + ones * np.uint64(128 - 58))
        underscore = ~((low ^ (ones * np.uint64(95))) + every)
        hyphen = ~((low ^ (ones * np.uint64(45))) + every)
        wrong |= (~(letter | digit | underscore | hyphen) | words[i]) & highest
    for i in range(len(rest)):
        c = rest[i]
        lower_c = c | np.uint8(32)
        is_letter = (lower_c >= np.uint8(97)) & (lower_c <= np.uint8(122))
        is_digit = (c >= np.uint8(48)) & (c <= np.uint8(57))
        if not (is_letter | is_digit | (c == np.uint8(95)) | (c == np.uint8(45))):
            wrong |= highest
    return wrong


def match_ids(
    starts: Any, content: Any, accounts: Any, wrong: Any, table: Any, first_row: Any, valid: Any
) -> None:
    """Fill ``first_row`` and ``valid`` from ids in Arrow's form: id i is ``content[starts[i]:starts[i+1]]``.

    ``table`` is an open-addressing hash table, its size a power of two: -1 where empty, else a row number
    below the last 31 bits of that row's digest, which is taken eight characters at a time. A row's place
    follows from the first bits of its digest. Rows are entered by the first eight of them, so that only a
    256th of the table is in use at a time and stays in the cache; rows of one id stay in their order.
    Unsigned numbers as places spare a test for negative ones at each character.
    """
    one, eight = np.uint64(1), np.uint64(8)
    prime = np.uint64(0x9E3779B97F4A7C15)
    digests = np.empty(len(accounts), dtype=np.uint64)
    ends = np.zeros(257, dtype=np.int64)
    for row in range(len(accounts)):
        start, end = np.uint64(starts[row]), np.uint64(starts[row + 1])
        length = end - start
        valid[row] = one <= length and length <= np.uint64(_LONGEST) and not wrong[row]
        if not valid[row] or accounts[row] < 0:
            continue
        digest = length * prime ^ np.uint64(accounts[row])
        i = start
        while i + eight <= end:
            word = np.uint64(content[i])
            word |= np.uint64(content[i + one]) << eight
            word |= np.uint64(content[i + np.uint64(2)]) << np.uint64(16)
            word |= np.uint64(content[i + np.uint64(3)]) << np.uint64(24)
            word |= np.uint64(content[i + np.uint64(4)]) << np.uint64(32)
            word |= np.uint64(content[i + np.uint64(5)]) << np.uint64(40)
            word |= np.uint64(content[i + np.uint64(6)]) << np.uint64(48)
            word |= np.uint64(content[i + np.uint64(7)]) << np.uint64(56)
            digest = (digest ^ word) * prime
            digest ^= digest >> np.uint64(29)
            i += eight
        while i < end:
            digest = (digest ^ np.uint64(content[i])) * prime
            i += one
        digests[row] = digest ^ digest >> np.uint64(32)
        ends[np.int64(digests[row] >> np.uint64(56)) + 1] += 1

    for before in range(256):
        ends[before + 1] += ends[before]
    rows = np.empty(ends[256], dtype=np.int64)
    by_part = np.empty(ends[256], dtype=np.uint64)
    for row in range(len(accounts)):
        if valid[row] and accounts[row] >= 0:
            part = np.int64(digests[row] >> np.uint64(56))
            rows[ends[part]] = row
            by_part[ends[part]] = digests[row]
            ends[part] += 1

    last_slot = np.int64(len(table) - 1)
    unused = np.uint64(64)
    while last_slot >> (np.int64(64) - np.int64(unused)):
        unused -= one
    for place in range(len(rows)):
        row = rows[place]
        slot = np.int64(by_part[place] >> unused)
        tag = np.int64(by_part[place] & np.uint64(0x7FFFFFFF))
        while table[slot] >= 0:
            other = table[slot] & 0x7FFFFFFF
            same = table[slot] >> 32 == tag and accounts[other] == accounts[row]
            if same:
                first, size = starts[row], starts[row + 1] - starts[row]
                same = starts[other + 1] - starts[other] == size
                if same:
                    for j in range(size):
                        same = same and content[starts[other] + j] == content[first + j]
            if same:
                first_row[row] = other
                break
            slot = (slot + 1) & last_slot
        if table[slot] < 0:
            table[slot] = (tag << 32) + row
