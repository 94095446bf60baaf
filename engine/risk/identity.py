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
    if bool(compiled(any_forbidden)(content)):
        proper = pc.fill_null(pc.match_substring_regex(text, f"^(?:{ID_PATTERN})$"), False)
        wrong = ~proper.to_numpy(zero_copy_only=False)
    table = np.full(size, -1, dtype=np.int64)
    compiled(match_ids)(starts, content, accounts, wrong, table, first_row, valid)


def any_forbidden(content: Any) -> Any:
    """Return whether any character is not in ``A-Z a-z 0-9 _ -``; branch-free, so that it is vectorized."""
    wrong = np.uint8(0)
    for i in range(len(content)):
        c = content[i]
        letter = ((c | 32) >= 97) & ((c | 32) <= 122)
        digit = (c >= 48) & (c <= 57)
        wrong |= np.uint8(~(letter | digit | (c == 95) | (c == 45)) & 1)
    return wrong


def match_ids(
    starts: Any, content: Any, accounts: Any, wrong: Any, table: Any, first_row: Any, valid: Any
) -> None:
    """Fill ``first_row`` and ``valid`` from ids in Arrow's form: id i is ``content[starts[i]:starts[i+1]]``.

    ``table`` is an open-addressing hash table, its size a power of two: -1 where empty, else a row number
    below 31 bits of that row's digest, which is taken eight characters at a time. Digests come first and
    in a loop of their own: the second loop then waits for many places of the table at once.
    """
    last_slot = np.uint64(len(table) - 1)
    prime = np.uint64(0x9E3779B97F4A7C15)
    digests = np.empty(len(accounts), dtype=np.uint64)
    for row in range(len(accounts)):
        start, end = starts[row], starts[row + 1]
        length = end - start
        valid[row] = 1 <= length <= _LONGEST and not wrong[row]
        if not valid[row] or accounts[row] < 0:
            continue
        digest = np.uint64(length) * prime ^ np.uint64(accounts[row])
        i = start
        while i + 8 <= end:
            word = np.uint64(content[i])
            word |= np.uint64(content[i + 1]) << np.uint64(8)
            word |= np.uint64(content[i + 2]) << np.uint64(16)
            word |= np.uint64(content[i + 3]) << np.uint64(24)
            word |= np.uint64(content[i + 4]) << np.uint64(32)
            word |= np.uint64(content[i + 5]) << np.uint64(40)
            word |= np.uint64(content[i + 6]) << np.uint64(48)
            word |= np.uint64(content[i + 7]) << np.uint64(56)
            digest = (digest ^ word) * prime
            digest ^= digest >> np.uint64(29)
            i += 8
        while i < end:
            digest = (digest ^ np.uint64(content[i])) * prime
            i += 1
        digests[row] = digest ^ digest >> np.uint64(32)

    for row in range(len(accounts)):
        if not valid[row] or accounts[row] < 0:
            continue
        start = starts[row]
        length = starts[row + 1] - start
        slot = digests[row] & last_slot
        tag = np.int64(digests[row] >> np.uint64(33))
        while table[slot] >= 0:
            other = table[slot] & 0x7FFFFFFF
            same = (
                table[slot] >> 32 == tag
                and accounts[other] == accounts[row]
                and starts[other + 1] - starts[other] == length
            )
            if same:
                for j in range(length):
                    same = same and content[starts[other] + j] == content[start + j]
            if same:
                first_row[row] = other
                break
            slot = (slot + np.uint64(1)) & last_slot
        if table[slot] < 0:
            table[slot] = (tag << 32) + row
