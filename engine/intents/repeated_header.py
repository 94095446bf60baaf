"""Headers in the middle of a CSV, as ``to_csv(mode="a")`` leaves them when it is called twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import UnreadableFile
from engine.intents.problems import Problem, RefusedRow
from engine.intents.raw_table import RawTable
from engine.model.columns import MISSING
from engine.model.field_names import field_named
from engine.model.quantity import Mask
from engine.model.schema import FIELD_BY_NAME

_ROWS_LOOKED_AT = 100
_FIELDS_OF_A_HEADER = 3


def without_repeated_headers(name: str, raw: RawTable) -> RawTable:
    """Return the rows of a CSV, all columns text, with each repetition of its header refused as one row.

    Raises ``UnreadableFile`` for a header with other columns, below which values would be read as what they
    are not.
    """
    symbol = next((column for column in raw.columns if field_named(column) == "symbol"), None)
    if symbol is None:
        return raw
    suspects = _is_in(raw.columns[symbol], [*raw.columns, *FIELD_BY_NAME])
    if not suspects.any():
        return raw
    repeated = suspects.copy()
    for column, array in raw.columns.items():
        repeated &= _is_in(array, [column])
    _check_other_headers(name, raw, np.flatnonzero(suspects & ~repeated)[:_ROWS_LOOKED_AT])
    refused = [_refusal(name, int(number)) for number in raw.row_numbers[repeated]]
    return replace(raw.of(~repeated), refused=[*raw.refused, *refused])


def _is_in(array: pa.Array, words: list[str]) -> Mask:
    if pa.types.is_dictionary(array.type):
        codes = pc.fill_null(array.indices, MISSING).to_numpy()
        coded: Mask = np.append(_is_in(array.dictionary, words), False)[codes]
        return coded
    found: Mask = pc.is_in(pc.utf8_trim_whitespace(array), pa.array(words)).to_numpy(zero_copy_only=False)
    return found


def _check_other_headers(name: str, raw: RawTable, rows: np.ndarray) -> None:
    for row, held in zip(rows.tolist(), raw.raw(rows.tolist()), strict=True):
        fields = {field_named(cell) for cell in held.values() if isinstance(cell, str)} - {None}
        if len(fields) >= _FIELDS_OF_A_HEADER:
            raise UnreadableFile(
                f"{name}: line {raw.row_numbers[row]} is a header with other columns than the first one",
                remedy="Write rows with other columns to a file of their own.",
            )


def _refusal(name: str, number: int) -> RefusedRow:
    remedy = 'Append without it: to_csv(…, mode="a", header=False).'
    return RefusedRow((Problem(name, number, "row", "the header again", "one header, at the top", remedy),))
