"""Reading of many small files in one pass: the cost of typing and checking is paid once, not once a file.

Files with the same columns are read as if they were one. A file with any bad row is returned as not read, and
is read alone: files fail one by one, and their refusals are the same as alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from engine.intents.raw_table import RawTable, one_array
from engine.intents.reading import Context, IntentFile, judged, raw_rows

SMALL_BYTES = 1 << 14
MOST_FILES = 512
_MOST_ROWS = 64
"""Rows of a file that is read together with others."""


@dataclass(frozen=True)
class SmallFile:
    """A file's content, the time of the file and the time at which it is read, in us since 1970 UTC."""

    name: str
    content: bytes
    file_time_us: int
    now_us: int


@dataclass(frozen=True)
class _Rows:
    place: int
    file: SmallFile
    raw: RawTable


def read_together(files: Sequence[SmallFile], context: Context) -> dict[int, IntentFile]:
    """Return, by place in ``files``, those of which every row is an intent, as ``read_intent_file`` would.

    ``context`` says all but the times. Files that are missing in the answer are to be read alone: so are all
    in the session of an update, whose rows have an identity under other rules as well.
    """
    if context.previous:
        return {}
    alike: dict[Hashable, list[_Rows]] = {}
    for place, file in enumerate(files):
        # A file that can't be read, or that hits a defect, is read alone, which reports it.
        with suppress(Exception):
            raw = raw_rows(file.name, file.content, context.limits)
            if 0 < raw.rows <= _MOST_ROWS and not raw.refused:
                alike.setdefault(_layout(raw), []).append(_Rows(place, file, raw))
    found: dict[int, IntentFile] = {}
    for group in alike.values():
        if len(group) > 1:
            with suppress(Exception):
                found |= _judged(group, context)
    return found


def _layout(raw: RawTable) -> Hashable:
    """Return what files have in common whose rows may stand below each other."""
    columns = tuple((name, str(array.type)) for name, array in raw.columns.items())
    return columns, raw.names_differ_by_row, raw.index_names


def _judged(group: Sequence[_Rows], context: Context) -> Mapping[int, IntentFile]:
    rows = np.array([one.raw.rows for one in group])
    ends = np.cumsum(rows)
    total = int(ends[-1])
    of_group = replace(
        context,
        file_time_us=np.repeat(np.array([one.file.file_time_us for one in group], dtype=np.int64), rows),
        now_us=np.repeat(np.array([one.file.now_us for one in group], dtype=np.int64), rows),
    )
    together = judged("", _below_each_other(group, total), of_group)
    good = together.table["source_row"].to_numpy()
    starts = np.searchsorted(good, ends - rows)
    are_good = np.searchsorted(good, ends) - starts == rows
    table = _with_sources(together.table, group, np.repeat(np.arange(len(group)), rows)[good])
    held = together.held_bytes // len(group)
    return {
        one.place: _slice(one, replace(together, table=table, held_bytes=held), int(start))
        for one, start, is_good in zip(group, starts, are_good, strict=True)
        if is_good
    }


def _below_each_other(group: Sequence[_Rows], total: int) -> RawTable:
    """Return the rows of all, numbered from 0 throughout."""
    first = group[0].raw
    columns = {
        name: one_array(pa.chunked_array([one.raw.columns[name] for one in group]).unify_dictionaries())
        for name in first.columns
    }
    return replace(first, rows=total, columns=columns, row_numbers=np.arange(total, dtype=np.int64))


def _with_sources(table: pa.Table, group: Sequence[_Rows], files: np.ndarray) -> pa.Table:
    """Return a table whose rows say the file that they stand in, by its place in the group, and the row."""
    numbers = np.concatenate([one.raw.row_numbers for one in group])[table["source_row"].to_numpy()]
    names = pa.array([one.file.name for one in group], pa.string())
    sources = {
        "source_file": pa.DictionaryArray.from_arrays(pa.array(files.astype(np.int32)), names),
        "source_row": pa.array(numbers),
    }
    columns = [sources.get(name, table[name]) for name in table.column_names]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _slice(one: _Rows, together: IntentFile, start: int) -> IntentFile:
    rows = one.raw.rows
    return replace(
        together,
        name=one.file.name,
        rows=rows,
        table=together.table.slice(start, rows),
        refused=[],
        notes=list(together.notes),
        with_own_id=together.with_own_id[start : start + rows],
    )
