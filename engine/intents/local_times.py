"""Times without a zone, read in the zone that ``EXEC_INBOX_TZ`` names.

They are written out with their offset before anything else looks at them, so that a row has the same id as
one that names its offset itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns import MISSING
from engine.schema import INTENT_FIELDS

_NAIVE = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?", re.ASCII)
_MINUTE = timedelta(minutes=1)
_TIMES = {field.name for field in INTENT_FIELDS if field.kind == "time"}


def with_zone(fields: Mapping[str, pa.Array], zone: str | None) -> dict[str, pa.Array]:
    """Return raw fields in which the times have an offset, as ``with_offsets``; unchanged without a zone."""
    times = (
        {} if zone is None else {name: with_offsets(fields[name], zone) for name in _TIMES & fields.keys()}
    )
    return {**fields, **times}


def with_offsets(array: pa.Array, zone: str) -> pa.Array:
    """Return a raw column of times in which those without a zone have the offset that ``zone`` had then.

    ``zone`` is an IANA name. Text and timestamps without a zone come back as text. A local time that a clock
    change repeats or skips stays without an offset, and so does whatever is no time: both are refused later.
    """
    if pa.types.is_timestamp(array.type):
        return array if array.type.tz is not None else _texts_with_offsets(array.cast(pa.string()), zone)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return _texts_with_offsets(array, zone) if pa.types.is_string(array.type) else array


def _texts_with_offsets(array: pa.Array, zone: str) -> pa.Array:
    encoded = pc.dictionary_encode(array)
    there = ZoneInfo(zone)
    texts = [_with_offset(text, there) for text in encoded.dictionary.to_pylist()]
    codes = pc.fill_null(encoded.indices, MISSING).to_numpy(zero_copy_only=False)
    spelled = np.array([*texts, None], dtype=object)[codes]
    return pa.array(spelled, type=pa.string())


def _with_offset(text: str, zone: ZoneInfo) -> str:
    naive = _NAIVE.fullmatch(text.strip())
    if naive is None:
        return text
    day, minute, seconds = naive.groups(default="")
    offset = _offset(f"{day}T{minute}", zone)
    return text if offset is None else f"{day}T{minute}{seconds}{offset}"


@lru_cache(maxsize=1 << 16)
def _offset(minute: str, zone: ZoneInfo) -> str | None:
    """Return the offset of a local minute, whose seconds all have it; None where there is no single one."""
    try:
        local = datetime.fromisoformat(minute)
        early, late = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    except (ValueError, OverflowError):
        return None
    if early is None or early != late or early % _MINUTE:
        return None
    sign = "-" if early < timedelta(0) else "+"
    minutes = abs(early) // _MINUTE
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"
