"""The identity that rows had under other rules: those of an earlier version, or with other names ignored.

Needed only in a session in which a run under other rules has sent something: its orders are recognised, and
not sent again under another id. In version 1 each spelling of a symbol made another id, and the row may
be spelt differently by now: so a row has one identity per spelling of its symbol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.intents.identity import IdentityRules, content_digests, content_hashes, derived_ids
from engine.intents.local_times import InboxZone, with_zone
from engine.intents.metadata import metadata_of
from engine.intents.naming import named_columns
from engine.intents.raw_table import RawTable
from engine.intents.typed import typed_column
from engine.model.columns import Column, TextColumn
from engine.model.schema import INTENT_FIELDS, Kind
from engine.model.symbols import spellings

_FIRST_KINDS: Mapping[str, Kind] = {"symbol": "upper"}
"""Fields that had another kind in version 1."""


@dataclass(frozen=True)
class PreviousIdentity:
    """Per row: the id that would have been derived (whether or not the row has one), and its content hash.

    ``respelt``: the same with the other spellings of the rows' symbols, where these counted.
    """

    ids: pa.Array
    content_hashes: npt.NDArray[np.int64]
    respelt: tuple[PreviousIdentity, ...] = ()


def previous_identity(
    raw: RawTable, rules: IdentityRules, trading_date: date, *, zone: InboxZone | None
) -> PreviousIdentity:
    """Return the identity of a file's rows under ``rules``; ``zone`` is that of times that name none."""
    if rules.version == 1:
        fields = {field.name: raw.columns[field.name] for field in INTENT_FIELDS if field.name in raw.columns}
        extra = {name: column for name, column in raw.columns.items() if name not in fields}
        kinds = _FIRST_KINDS
    else:
        named = named_columns("", raw)
        fields, extra, kinds = dict(named.fields), dict(named.extra), {}
    fields = with_zone(fields, zone)
    columns: dict[str, Column] = {
        field.name: typed_column(kinds.get(field.name, field.kind), fields[field.name])
        for field in INTENT_FIELDS
        if field.name in fields and field.name not in {"client_intent_id", "metadata"}
    }
    given = fields.get("metadata")
    words = metadata_of(given, extra, raw.rows, rules.ignores).words if extra or given is not None else None

    def identity(columns: Mapping[str, Column]) -> PreviousIdentity:
        digests = content_digests(columns, words, raw.rows, trading_date)
        return PreviousIdentity(derived_ids(digests), content_hashes(digests))

    symbols = columns.get("symbol")
    if rules.version > 1 or not isinstance(symbols, TextColumn):
        return identity(columns)
    respelt = tuple(identity({**columns, "symbol": other}) for other in _respelt(symbols))
    return replace(identity(columns), respelt=respelt)


def _respelt(symbols: TextColumn) -> Iterator[TextColumn]:
    """Yield the column in the other spellings of its symbols; a symbol with fewer of them stays as it is."""
    others = [spellings(symbol)[1:] if isinstance(symbol, str) else [] for symbol in symbols.values]
    for nth in range(max(map(len, others), default=0)):
        values = [
            spelt[nth] if nth < len(spelt) else symbol
            for symbol, spelt in zip(symbols.values, others, strict=True)
        ]
        yield TextColumn(symbols.codes, values)
