"""New orders that differ from sent ones in their metadata only, and may be repeats."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.column_names import shown_name
from engine.intents.row_hashes import text_words
from engine.model.schema import INTENT_FIELDS

_COMPARED = [
    field.name for field in INTENT_FIELDS if field.name not in {"client_intent_id", "created_at", "metadata"}
]
NEEDED_COLUMNS = [*_COMPARED, "metadata", "source_file", "source_row"]
"""Columns of the rows that were sent."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_NAMES_SHOWN = 5
_REMEDY = (
    "If they are the same orders, name what doesn't identify a row in EXEC_IDENTITY_IGNORES, "
    "or give each order a client_intent_id."
)


def near_repeats(
    batch: pa.Table, sent: pa.Table, run_id: str, files: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yield file and message for the files of a batch with rows that differ from sent ones in metadata only.

    ``files`` are those without ``created_at``; rows with an id of their own are left out. Colliding hashes
    can only cause an extra message.
    """
    names = batch["source_file"].cast(pa.string())
    asked = batch.filter(pc.and_(pc.is_in(names, pa.array(list(files), pa.string())), _has_derived_id(batch)))
    place = pc.index_in(pa.array(_said(asked)), value_set=pa.array(_said(sent)))
    alike = asked.append_column("place", place).filter(place.is_valid())
    if not alike.num_rows:
        return
    found = alike.select(["source_file", "source_row", "metadata", "place"]).to_pandas()
    for file, rows in found.groupby(found["source_file"].astype(str), sort=True):
        first = rows.iloc[0]
        other = sent.slice(int(first["place"]), 1).to_pylist()[0]
        keys = _different_keys(first["metadata"], other["metadata"])
        then = f"{other['source_file']}:{other['source_row']} of run {run_id}"
        found_here = f"new orders that differ from ones sent before in metadata only: {len(rows)}"
        example = f"row {first['source_row']} from {then} in {keys}"
        yield str(file), f"{found_here} (such as {example}). {_REMEDY}"


def _has_derived_id(batch: pa.Table) -> pa.Array:
    """Return which rows' ids begin with their content hash."""
    rows = batch.num_rows
    characters = pa.py_buffer(batch["content_hash"].to_numpy().tobytes().hex().encode())
    starts = pa.py_buffer(np.arange(0, (rows + 1) * 16, 16, dtype=np.int64))
    hashes = pa.Array.from_buffers(pa.large_string(), rows, [None, starts, characters]).cast(pa.string())
    return pc.equal(pc.utf8_slice_codeunits(batch["client_intent_id"].combine_chunks(), 0, 16), hashes)


def _said(table: pa.Table) -> npt.NDArray[np.uint64]:
    """Return a hash per row of all its fields except id, time and metadata."""
    words = np.zeros(table.num_rows, dtype=np.uint64)
    for name in _COMPARED:
        words = (words ^ _words(table[name].combine_chunks())) * _PRIME
        words ^= words >> np.uint64(29)
    return words


def _words(column: pa.Array) -> npt.NDArray[np.uint64]:
    if pa.types.is_dictionary(column.type):
        return text_words(column)
    if pa.types.is_floating(column.type):
        numbers = np.asarray(pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)) + 0.0
        return numbers.view(np.uint64)
    integers = pc.fill_null(column.cast(pa.int64()), -1)
    words: npt.NDArray[np.uint64] = integers.to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64)
    return words


def _different_keys(one: str, other: str) -> str:
    said, said_then = json.loads(one), json.loads(other)
    keys = sorted(key for key in said.keys() | said_then.keys() if said.get(key) != said_then.get(key))
    more = f" and {len(keys) - _NAMES_SHOWN} more" if len(keys) > _NAMES_SHOWN else ""
    return ", ".join(map(shown_name, keys[:_NAMES_SHOWN])) + more
