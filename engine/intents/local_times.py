"""Times without a zone, read in the zone that ``EXEC_INBOX_TZ`` names.

They get their offset before any other step, so that a row has the same id as one that has the offset in the
file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.contract import Violation
from engine.model.quantity import Mask
from engine.model.schema import INTENT_FIELDS

_NAIVE = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?$"
_DAY, _TO_THE_MINUTE = 10, 16
_TIMES = {field.name for field in INTENT_FIELDS if field.kind == "time"}


@dataclass(frozen=True)
class InboxZone:
    """The value of ``EXEC_INBOX_TZ``: the IANA zone of times without a zone, None for unset."""

    name: str | None

    def remedied(self, found: Violation, column: pa.Array) -> Iterator[Violation]:
        """Yield a violation as two, the times that lack a zone with their own remedy."""
        if not found.rows.any():
            return
        naive = found.rows.copy()
        naive[naive] = _lacks_a_zone(column.filter(pa.array(naive)))
        if naive.any():
            with_offset = "Write it with its offset, such as 2026-03-02T14:30:00-05:00"
            remedy = (
                f"{with_offset}, or set EXEC_INBOX_TZ to the zone of such times."
                if self.name is None
                else f"{with_offset}: a clock change in {self.name} (EXEC_INBOX_TZ) repeats or skips it."
            )
            yield replace(found, remedy=remedy, rows=naive)
        if (found.rows & ~naive).any():
            yield replace(found, rows=found.rows & ~naive)


def with_remedies(
    found: list[Violation], fields: Mapping[str, pa.Array], zone: InboxZone | None
) -> Iterator[Violation]:
    """Yield the violations; where the setting is read, those of times have a remedy for the zone."""
    for violation in found:
        if zone is not None and violation.field in _TIMES & fields.keys():
            yield from zone.remedied(violation, fields[violation.field])
        else:
            yield violation


def with_zone(fields: Mapping[str, pa.Array], zone: InboxZone | None) -> dict[str, pa.Array]:
    """Return raw fields in which the times have an offset, as ``with_offsets``; unchanged without a zone."""
    if zone is None or zone.name is None:
        return dict(fields)
    return {**fields, **{name: with_offsets(fields[name], zone.name) for name in _TIMES & fields.keys()}}


def with_offsets(array: pa.Array, zone: str) -> pa.Array:
    """Return a raw column of times in which those without a zone have the offset that ``zone`` had then.

    ``zone`` is an IANA name. Text and timestamps without a zone come back as text. A local time that a clock
    change repeats or skips stays without an offset, and so does whatever is no time: both are refused later.
    """
    texts = _texts(array)
    if texts is None:
        return array
    encoded = pc.dictionary_encode(texts)
    return pc.take(_spelled_out(encoded.dictionary, zone), encoded.indices)


def _texts(array: pa.Array) -> pa.Array | None:
    """Return a column's times as text, None where it has none that may lack a zone."""
    if pa.types.is_timestamp(array.type):
        return None if array.type.tz is not None else array.cast(pa.string())
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array if pa.types.is_string(array.type) else None


def _lacks_a_zone(array: pa.Array) -> Mask:
    texts = _texts(array)
    if texts is None:
        return np.zeros(len(array), dtype=bool)
    naive = pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _NAIVE)
    lacks: Mask = pc.fill_null(naive, False).to_numpy(zero_copy_only=False)
    return lacks


def _spelled_out(texts: pa.Array, zone: str) -> pa.Array:
    """Return distinct texts, those that are local times with one offset with it."""
    bare = pc.utf8_trim_whitespace(texts)
    minutes = pc.utf8_slice_codeunits(bare, 0, _TO_THE_MINUTE)
    minutes = pc.if_else(pc.match_substring_regex(bare, _NAIVE), minutes, pa.scalar(None, pa.string()))
    encoded = pc.dictionary_encode(minutes)
    offsets = pc.take(_offsets(encoded.dictionary, zone), encoded.indices)
    parts = [
        pc.utf8_slice_codeunits(bare, 0, _DAY),
        pc.utf8_slice_codeunits(bare, _DAY + 1, _TO_THE_MINUTE),
    ]
    rest = pc.binary_join_element_wise(pc.utf8_slice_codeunits(bare, _TO_THE_MINUTE), offsets, "")
    local = pc.binary_join_element_wise(pc.binary_join_element_wise(*parts, "T"), rest, "")
    return pc.coalesce(local, texts)


def _offsets(minutes: pa.Array, zone: str) -> pa.Array:
    """Return the offset of each local minute, which its seconds share; null where there is no single one."""
    import pandas as pd

    spelled = pd.Series(pc.replace_substring(minutes, " ", "T").to_pylist(), dtype=object)
    local = pd.to_datetime(spelled, format="%Y-%m-%dT%H:%M", errors="coerce").dt.as_unit("s")
    utc = local.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert(None)
    ahead = pa.array((local - utc).dt.total_seconds(), from_pandas=True)
    encoded = pc.dictionary_encode(ahead)
    spelled_out = pa.array(map(_offset, encoded.dictionary.to_pylist()), pa.string())
    return pc.take(spelled_out, encoded.indices)


def _offset(ahead_s: float) -> str | None:
    """Return an offset in ISO 8601; None for one with seconds, as in the nineteenth century."""
    if ahead_s % 60:
        return None
    minutes = int(ahead_s) // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
