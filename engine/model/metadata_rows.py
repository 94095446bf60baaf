"""Rows of a batch with metadata that can't be kept: ``engine.model.keeping`` applied to a whole column.

Most rows have ``{}``, one of a few objects, or a small flat one: Arrow recognizes these in bulk, and only the
rest is parsed, each distinct text once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.keeping import unkeepable_metadata
from engine.model.quantity import Mask

_NOTHING = "{}"
_SAMPLE = 1_000
_SURELY_SHORT = 900
"""Bytes of JSON in which neither a key nor the number of values can be beyond any limit."""
_KEY = r'"[A-Za-z][^"\\\x00-\x1f]*"'
_VALUE = (
    r'(?:"[^"\\\x00-\x1f]*"|-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?|true|false|null)'
)
_FLAT = rf"^\{{{_KEY}:{_VALUE}(?:,{_KEY}:{_VALUE})*\}}$"


def unkeepable_rows(metadata: pd.Series) -> Mask:
    """Return the mask of rows whose metadata, objects or JSON, can't be kept; missing is fine."""
    if isinstance(metadata.dtype, pd.CategoricalDtype):
        wrong = _unkeepable(metadata.cat.categories.tolist())
        flagged: Mask = np.array([*wrong, False])[metadata.cat.codes.to_numpy()]
        return flagged
    try:
        texts = pa.array(metadata, type=pa.large_string(), from_pandas=True)
    except (pa.ArrowException, UnicodeError, TypeError, ValueError):  # objects, halves of surrogate pairs
        return np.array(_unkeepable(metadata.tolist()), dtype=bool)
    return _of_texts(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts)


def _of_texts(texts: pa.Array) -> Mask:
    if _all_are_nothing(texts):
        return np.zeros(len(texts), dtype=bool)
    doubtful = np.flatnonzero(pc.fill_null(pc.not_equal(texts, _NOTHING), False).to_numpy(False))
    wrong = np.zeros(len(texts), dtype=bool)
    if not len(doubtful):
        return wrong
    texts = texts.take(pa.array(doubtful))
    if len(texts.slice(0, _SAMPLE).unique()) > _SAMPLE // 2:
        flat = pc.match_substring_regex(texts, _FLAT)
        is_fine = pc.and_(flat, pc.less_equal(pc.binary_length(texts), _SURELY_SHORT))
        left = np.flatnonzero(~is_fine.to_numpy(False))
        doubtful, texts = doubtful[left], texts.take(pa.array(left))
    codes = pc.dictionary_encode(texts)
    answers = np.array(_unkeepable(codes.dictionary.to_pylist()), dtype=bool)
    wrong[doubtful] = answers[codes.indices.to_numpy()]
    return wrong


def _all_are_nothing(texts: pa.Array) -> bool:
    """Return whether every text is ``{}``, by its bytes."""
    _, offsets, content = texts.buffers()
    if texts.null_count or content is None:
        return False
    starts = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if starts[-1] - starts[0] != 2 * len(texts) or (np.diff(starts) != 2).any():
        return False
    pairs = np.frombuffer(content, dtype=np.uint8)[starts[0] : starts[-1]].view(np.uint16)
    return bool((pairs == np.frombuffer(_NOTHING.encode(), dtype=np.uint16)[0]).all())


def _unkeepable(values: Sequence[object]) -> list[bool]:
    return [unkeepable_metadata(value) is not None for value in values]
