"""Assembly of files into one batch: rows in a fixed order, duplicates set aside, conflicts refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.id_hashes import among_repeated, may_be_repeated
from engine.intents.identity import IdentityRules
from engine.intents.problems import WHOLE_FILE, Problem, RefusedRow
from engine.intents.raw_table import one_array
from engine.intents.reading import IntentFile
from engine.model.quantity import Mask
from engine.model.schema import intents_schema

MOST_CONFLICTS = 10_000
"""The most rows that are refused one by one because another order has their id; the rest are counted."""
_OWN_ID = "Give this order an id of its own, or leave the id out."
DUPLICATE_REMEDY = "To mean it again, give it a client_intent_id or a created_at of its own."


@dataclass(frozen=True)
class Duplicate:
    """A row that repeats another row: same account, id and content."""

    file: str
    row: int
    broker_account_id: str
    client_intent_id: str
    said_in: str

    @property
    def message(self) -> str:
        """Return the finding as a sentence with the remedy."""
        return f"{self.file}:{self.row}: the same order as {self.said_in}. {DUPLICATE_REMEDY}"

    def record(self) -> dict[str, object]:
        """Return the record of the finding."""
        return {
            "file": self.file,
            "row": self.row,
            "broker_account_id": self.broker_account_id,
            "client_intent_id": self.client_intent_id,
            "said_in": self.said_in,
            "message": self.message,
        }


DUPLICATES_SCHEMA = pa.schema(
    [
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int64()),
        ("broker_account_id", pa.dictionary(pa.int32(), pa.string())),
        ("client_intent_id", pa.string()),
        ("said_in", pa.string()),
    ]
)
"""Duplicates as a table; a large file that was written twice can have a million of them."""


@dataclass(frozen=True)
class Assembled:
    """A batch in its sealed order, and the rows that are not in it; ``duplicates``: ``DUPLICATES_SCHEMA``."""

    table: pa.Table
    duplicates: pa.Table
    conflicts: list[RefusedRow]
    conflicts_by_file: Mapping[str, int] = dataclass_field(default_factory=dict)

    def listed_duplicates(self, at_most: int | None = None) -> list[Duplicate]:
        """Return the duplicates one by one, in the order of the batch."""
        return [Duplicate(*row.values()) for row in self.duplicates.slice(0, at_most).to_pylist()]


KNOWN_SCHEMA = pa.schema(
    [
        ("broker_account_id", pa.string()),
        ("client_intent_id", pa.string()),
        ("content_hash", pa.int64()),
        ("said_in", pa.string()),
    ]
)
"""Rows of earlier runs of the day that were sent (in a dry run: allowed); ``said_in`` names the place."""

_KEY = ("broker_account_id", "client_intent_id")
_NOTHING_PREVIOUS: Mapping[IdentityRules, pa.Table] = {}


def assemble(
    files: Sequence[IntentFile],
    known: pa.Table,
    known_before: Mapping[IdentityRules, pa.Table] = _NOTHING_PREVIOUS,
) -> Assembled:
    """Return the batch of some files, in the order (created_at, file, row), with repeated ids set aside.

    Of two rows with the same account and id the first in that order is kept; ``known`` rows
    (``KNOWN_SCHEMA``) come before all. Same content is a duplicate, other content a conflict. Rows that are
    ``known_before``, under other rules of identity, are recognised by the ids and contents under these.
    """
    files = [file for file in files if file.table.num_rows]
    if not files:
        return Assembled(intents_schema().empty_table(), DUPLICATES_SCHEMA.empty_table(), [])
    table = _in_order(
        pa.concat_tables(_with_previous(files, known_before)).unify_dictionaries().combine_chunks()
    )
    table, before = table.select(intents_schema().names), _previous_of(table, files, known_before)
    known = pa.concat_tables([known, *known_before.values()]).combine_chunks()
    are_derived = not (known.num_rows or any(file.with_own_id.any() for file in files))
    first = _first_places(table, known, before, are_derived=are_derived)
    places = np.arange(known.num_rows, known.num_rows + table.num_rows)
    repeated = np.flatnonzero(first != places)
    if not len(repeated):
        return Assembled(table, DUPLICATES_SCHEMA.empty_table(), [])
    same = _say_the_same(table, known, before, first, repeated)
    aside = table.take(pa.array(repeated))
    origins = _origins(table, known, first[repeated])
    keep = np.ones(table.num_rows, dtype=bool)
    keep[repeated] = False
    return Assembled(
        _kept(table, keep),
        _duplicates(aside.filter(pa.array(same)), origins.filter(pa.array(same))),
        *_conflicts(aside.filter(pa.array(~same)), origins.filter(pa.array(~same))),
    )


def _kept(table: pa.Table, keep: Mask) -> pa.Table:
    """Return the rows to keep; columns with one value in all rows are sliced, not copied."""
    rows, wanted = int(np.count_nonzero(keep)), pa.array(keep)
    columns = [
        column.slice(0, rows) if _is_constant(one_array(column)) else column.filter(wanted)
        for column in table.columns
    ]
    return pa.Table.from_arrays(columns, schema=table.schema)


def _is_constant(column: pa.Array) -> bool:
    if pa.types.is_dictionary(column.type) and len(column.dictionary) == 1:
        return column.null_count in {0, len(column)}
    return bool(column.null_count == len(column))


@dataclass(frozen=True)
class _Before:
    """The rows of a batch under other rules: ``ids``, null for rows with an id of their own, and hashes.

    ``start`` and ``stop`` are the places of the rows that are known under these rules. Rules under which each
    spelling of a symbol counted have one of these per spelling.
    """

    ids: pa.ChunkedArray
    content_hashes: npt.NDArray[np.int64]
    start: int
    stop: int


def _with_previous(
    files: Sequence[IntentFile], known_before: Mapping[IdentityRules, pa.Table]
) -> list[pa.Table]:
    """Return the files' tables, with two columns more for each spelling under each of the other rules."""
    spellings = _spellings(files, known_before)
    tables = []
    for file in files:
        table = file.table
        for number, (rules, nth) in enumerate(spellings):
            previous = file.previous[rules]
            previous = [previous, *previous.respelt][min(nth, len(previous.respelt))]
            derived = pc.if_else(pa.array(file.with_own_id), pa.scalar(None, pa.string()), previous.ids)
            table = table.append_column(f"id_{number}", derived)
            table = table.append_column(f"hash_{number}", pa.array(previous.content_hashes))
        tables.append(table)
    return tables


def _spellings(
    files: Sequence[IntentFile], known_before: Mapping[IdentityRules, pa.Table]
) -> list[tuple[IdentityRules, int]]:
    """Return the rules, each once for every spelling that the file with the most of them has."""
    return [
        (rules, nth)
        for rules in known_before
        for nth in range(1 + max(len(file.previous[rules].respelt) for file in files))
    ]


def _previous_of(
    table: pa.Table, files: Sequence[IntentFile], known_before: Mapping[IdentityRules, pa.Table]
) -> list[_Before]:
    places, stop = {}, 0
    for rules, known in known_before.items():
        places[rules] = (stop, stop + known.num_rows)
        stop += known.num_rows
    return [
        _Before(table[f"id_{number}"], table[f"hash_{number}"].to_numpy(), *places[rules])
        for number, (rules, _) in enumerate(_spellings(files, known_before))
    ]


def _duplicates(aside: pa.Table, origins: pa.Array) -> pa.Table:
    columns = ("source_file", "source_row", "broker_account_id", "client_intent_id")
    return pa.table([*(aside[name] for name in columns), origins], schema=DUPLICATES_SCHEMA)


def _in_order(table: pa.Table) -> pa.Table:
    created = table["created_at"].cast(pa.int64()).to_numpy()
    files = one_array(table["source_file"])
    names = files.dictionary.to_pylist()
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    file_rank = rank[files.indices.to_numpy()]
    row = table["source_row"].to_numpy()
    if len(names) == 1 and bool((np.diff(created) >= 0).all()) and bool((np.diff(row) > 0).all()):
        return table
    return table.take(pa.array(np.lexsort((row, file_rank, created)))).combine_chunks()


def _first_places(
    table: pa.Table, known: pa.Table, before: Sequence[_Before], *, are_derived: bool
) -> npt.NDArray[np.int64]:
    """Return, for each row, where its account and id come first: in ``known``, or behind it in the table.

    Rows with one account and id share the place, even where only one of them has an id that is known under
    other rules. ``are_derived``: nothing is known, and all ids of the table are derived from the content.
    """
    rows = known.num_rows + table.num_rows
    if before:
        asked = np.ones(rows, dtype=bool)
    elif are_derived:
        asked = among_repeated(table["content_hash"].to_numpy().view(np.uint64))
    else:
        asked = may_be_repeated([known, table])
    places_of_table, places = np.arange(known.num_rows, rows), np.flatnonzero(asked)
    if not len(places):
        return places_of_table
    asked_known, asked_here = asked[: known.num_rows], asked[known.num_rows :]
    keys = [
        _keys(known.filter(pa.array(asked_known))),
        _keys(table.select(_KEY).filter(pa.array(asked_here))),
    ]
    all_keys = pa.chunked_array([chunk for part in keys for chunk in part.chunks], type=pa.string())
    codes = pc.dictionary_encode(all_keys).combine_chunks().indices.to_numpy()
    first = np.empty(int(codes.max()) + 1, dtype=np.int64)
    first[codes[::-1]] = places[::-1]
    of_table = codes[int(np.count_nonzero(asked_known)) :]
    for under in before:
        known_keys = _keys(known.slice(under.start, under.stop - under.start))
        found = pc.index_in(
            _joined(table["broker_account_id"], under.ids), value_set=known_keys.combine_chunks()
        )
        matched = found.is_valid().to_numpy()
        known_places = pc.fill_null(found, 0).to_numpy().astype(np.int64) + under.start
        np.minimum.at(first, of_table[matched], known_places[matched])
    places_of_table[asked_here] = first[of_table]
    return places_of_table


def _say_the_same(
    table: pa.Table,
    known: pa.Table,
    before: Sequence[_Before],
    first: npt.NDArray[np.int64],
    asked: npt.NDArray[np.int64],
) -> Mask:
    """Return which ``asked`` rows have the content of the row at their ``first`` place, under its rules.

    Rows with a derived id always do, since the id is derived from the content.
    """
    places, now = first[asked], table["content_hash"].to_numpy()
    is_known = places < known.num_rows
    hashes = now[np.where(is_known, 0, places - known.num_rows)]
    hashes[is_known] = known["content_hash"].to_numpy()[places[is_known]]
    is_under_todays = np.ones(len(asked), dtype=bool)
    same: Mask = np.zeros(len(asked), dtype=bool)
    for under in before:
        there = (places >= under.start) & (places < under.stop)
        is_under_todays &= ~there
        is_derived = under.ids.is_valid().to_numpy()[asked]
        same |= there & (is_derived | (hashes == under.content_hashes[asked]))
    same |= is_under_todays & (hashes == now[asked])
    return same


def _keys(table: pa.Table) -> pa.ChunkedArray:
    return _joined(*(table[name] for name in _KEY))


def _joined(accounts: pa.ChunkedArray, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(accounts.cast(pa.string()), ids, "\x00")


def _origins(table: pa.Table, known: pa.Table, places: npt.NDArray[np.int64]) -> pa.Array:
    """Return the places as text."""
    is_known = places < known.num_rows
    of_known = known["said_in"].take(pa.array(np.where(is_known, places, 0))) if known.num_rows else None
    rows = table.select(["source_file", "source_row"]).take(
        pa.array(np.where(is_known, 0, places - known.num_rows))
    )
    here = pc.binary_join_element_wise(
        rows["source_file"].cast(pa.string()), rows["source_row"].cast(pa.string()), ":"
    )
    words = here if of_known is None else pc.if_else(pa.array(is_known), of_known, here)
    return words.combine_chunks()


def _conflicts(aside: pa.Table, origins: pa.Array) -> tuple[list[RefusedRow], dict[str, int]]:
    """Return the rows with another content under a used id, and their number by file.

    Beyond ``MOST_CONFLICTS``, the rest of a file is one entry.
    """
    listed = aside.slice(0, MOST_CONFLICTS).to_pylist()
    said_in = origins.slice(0, MOST_CONFLICTS).to_pylist()
    found = [_conflict(row, origin) for row, origin in zip(listed, said_in, strict=True)]
    by_file = _rows_by_file(aside)
    for file, rows in _rows_by_file(aside.slice(MOST_CONFLICTS)).items():
        rule = f"{rows} more rows have ids under which other orders were dropped"
        found.append(RefusedRow((Problem(file, WHOLE_FILE, "client_intent_id", None, rule, _OWN_ID),)))
    return found, by_file


def _rows_by_file(table: pa.Table) -> dict[str, int]:
    counts = table["source_file"].cast(pa.string()).value_counts().to_pylist()
    return {pair["values"]: pair["counts"] for pair in counts}


def _conflict(said: Mapping[str, Any], origin: str) -> RefusedRow:
    row = {name: value for name, value in said.items() if value is not None}
    problem = Problem(
        row["source_file"],
        row["source_row"],
        "client_intent_id",
        row["client_intent_id"],
        f"an id that no other order has; {origin} used it for another one",
        _OWN_ID,
    )
    return RefusedRow((problem,), row)
