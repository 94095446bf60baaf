"""Several files to one batch: a fixed order, duplicates recognised, conflicts refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.intents.problems import Problem, RefusedRow
from engine.intents.reading import IntentFile
from engine.schema import intents_schema

DUPLICATE_REMEDY = "To mean it again, give it a client_intent_id or a created_at of its own."


@dataclass(frozen=True)
class Duplicate:
    """A row that says again what another row said: same account, id and content."""

    file: str
    row: int
    broker_account_id: str
    client_intent_id: str
    said_in: str

    @property
    def message(self) -> str:
        """The finding in words, with what to do."""
        return f"{self.file}:{self.row}: the same order as {self.said_in}. {DUPLICATE_REMEDY}"

    def record(self) -> dict[str, object]:
        """Give the finding as it is written down."""
        return {
            "file": self.file,
            "row": self.row,
            "broker_account_id": self.broker_account_id,
            "client_intent_id": self.client_intent_id,
            "said_in": self.said_in,
            "message": self.message,
        }


@dataclass(frozen=True)
class Assembled:
    """A batch in its sealed order, and the rows that are not in it."""

    table: pa.Table
    duplicates: list[Duplicate]
    conflicts: list[RefusedRow]


KNOWN_SCHEMA = pa.schema(
    [
        ("broker_account_id", pa.string()),
        ("client_intent_id", pa.string()),
        ("content_hash", pa.int64()),
        ("said_in", pa.string()),
    ]
)
"""Rows of earlier runs of the day that were sent (in a dry run: allowed); ``said_in`` names the place."""


def assemble(files: Sequence[IntentFile], known: pa.Table) -> Assembled:
    """Put files together in the order (created_at, file, row) and set repeated ids aside.

    Of two rows with the same account and id the one that comes first in that order stands; ``known`` rows
    (``KNOWN_SCHEMA``) come before all. Same content is a duplicate, other content a conflict.
    """
    files = [file for file in files if file.table.num_rows]
    if not files:
        return Assembled(intents_schema().empty_table(), [], [])
    tables = [file.table for file in files]
    table = _in_order(pa.concat_tables(tables).unify_dictionaries().combine_chunks())
    if len(files) == 1 and files[0].distinct_ids and not known.num_rows:
        return Assembled(table, [], [])
    first = _first_places(table, known)
    places = np.arange(known.num_rows, known.num_rows + table.num_rows)
    repeated = np.flatnonzero(first != places)
    if not len(repeated):
        return Assembled(table, [], [])
    hashes = np.concatenate([known["content_hash"].to_numpy(), table["content_hash"].to_numpy()])
    duplicates: list[Duplicate] = []
    conflicts: list[RefusedRow] = []
    aside = table.take(pa.array(repeated))
    files_, rows = aside["source_file"].to_pylist(), aside["source_row"].to_pylist()
    ids, accounts = aside["client_intent_id"].to_pylist(), aside["broker_account_id"].to_pylist()
    origins = _origins(table, known, first[repeated])
    same = hashes[first[repeated]] == hashes[places[repeated]]
    for i, is_same in enumerate(same.tolist()):
        if is_same:
            duplicates.append(Duplicate(files_[i], rows[i], accounts[i], ids[i], origins[i]))
        else:
            conflicts.append(_conflict(aside, i, origins[i]))
    keep = np.ones(table.num_rows, dtype=bool)
    keep[repeated] = False
    return Assembled(table.filter(pa.array(keep)), duplicates, conflicts)


def _in_order(table: pa.Table) -> pa.Table:
    created = table["created_at"].cast(pa.int64()).to_numpy()
    files = table["source_file"].combine_chunks()
    names = files.dictionary.to_pylist()
    rank = np.empty(len(names), dtype=np.int64)
    rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    file_rank = rank[files.indices.to_numpy()]
    row = table["source_row"].to_numpy()
    if len(names) == 1 and bool((np.diff(created) >= 0).all()) and bool((np.diff(row) > 0).all()):
        return table
    return table.take(pa.array(np.lexsort((row, file_rank, created)))).combine_chunks()


def _first_places(table: pa.Table, known: pa.Table) -> npt.NDArray[np.int64]:
    """Give, for each row, where its account and id come first: in ``known``, or behind it in the table."""
    keys = pa.chunked_array([*_keys(known).chunks, *_keys(table).chunks], type=pa.string())
    codes = pc.dictionary_encode(keys).combine_chunks().indices.to_numpy()
    first = np.empty(int(codes.max()) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    places: npt.NDArray[np.int64] = first[codes[known.num_rows :]]
    return places


def _keys(table: pa.Table) -> pa.ChunkedArray:
    account = table["broker_account_id"].cast(pa.string())
    return pc.binary_join_element_wise(account, table["client_intent_id"], "\x00")


def _origins(table: pa.Table, known: pa.Table, places: npt.NDArray[np.int64]) -> list[str]:
    said_in = known["said_in"]
    files, rows = table["source_file"], table["source_row"]
    return [
        said_in[place].as_py()
        if place < known.num_rows
        else f"{files[place - known.num_rows].as_py()}:{rows[place - known.num_rows].as_py()}"
        for place in places.tolist()
    ]


def _conflict(aside: pa.Table, i: int, origin: str) -> RefusedRow:
    row = {name: value for name, value in aside.slice(i, 1).to_pylist()[0].items() if value is not None}
    problem = Problem(
        row["source_file"],
        row["source_row"],
        "client_intent_id",
        row["client_intent_id"],
        f"an id that no other order has; {origin} used it for another one",
        "Give this order an id of its own, or leave the id out.",
    )
    return RefusedRow((problem,), row)
