"""Finding rows of recorded runs: by id or its beginning, by file and row, by strategy or symbol.

Sessions are searched newest first, and the search ends at the first match: the cost of finding something in
the newest session does not grow with their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from engine.model.symbols import canonical_symbol
from engine.record.run_folder import BATCH, COLLECTED, RunFolder, RunFolders
from jobs.session_names import SessionNames

SHORTEST = 4
_AS_TABLES_PRINT = 12
_PLACE = re.compile(r"(.+):([0-9]{1,9})", re.DOTALL)
_HASH = re.compile(r"\.[0-9a-f]{16}(?=\.|$)")


@dataclass(frozen=True)
class Aside:
    """A row that no batch holds: ``what`` is quarantined, duplicate or left, ``record`` as collected."""

    folder: RunFolder
    what: str
    record: dict[str, Any]
    file: dict[str, Any]


@dataclass
class Found:
    """The rows found: intents by run and place in its batch, and rows set aside.

    ``is_list`` for a strategy or a symbol; ``missed`` names a file that was found without the row.
    """

    intents: list[tuple[RunFolder, int]] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    is_list: bool = False
    missed: str = ""

    def __bool__(self) -> bool:
        return bool(self.intents or self.aside)


def find(text: str, folders: RunFolders, *, newest: date, symbol: str, only: date | None = None) -> Found:
    """Return what the newest session with a match has.

    ``text`` is an id, its first 4 or more characters, ``file:row`` as tables print it, a strategy or a symbol
    (``symbol``: the text as batches write it). ``newest``: the present session. ``only``: search only this
    one. The beginning of an id counts only where no session has a whole match, unless it is as long as tables
    print it.
    """
    begins, missed = Found(), ""
    place = _PLACE.fullmatch(text)
    asked = {text, symbol, place[1] if place else text}
    for session in [only] if only else folders.sessions(newest):
        names = SessionNames.of(folders, session)
        if names.rule_out(asked):
            continue
        runs = folders.of_day(session)
        newest_first = [_Collected(run) for run in reversed(runs) if {COLLECTED, BATCH} <= run.names()]
        if session < newest:
            names.keep(runs, (name for one in newest_first for name in _names(one)))
        if place:
            found = _at(newest_first, place[1], int(place[2]))
            missed = missed or found.missed
            if found:
                return found
        for found in (_with_ids(newest_first, text.__eq__, _equal(text)), _about(newest_first, text, symbol)):
            if found:
                return found
        if len(text) >= SHORTEST and not begins:
            begins = _with_ids(newest_first, _beginning(text), _starts_with(text))
            if begins and len(text) >= _AS_TABLES_PRINT:
                return begins
    return begins or Found(missed=missed)


def is_named(asked: str, name: str) -> bool:
    """Return whether a file of the inbox has a name, with or without its folder and its hash."""
    return asked in _names_of(name)


def _names_of(name: str) -> set[str]:
    names = {name, _HASH.sub("", name)}
    return names | {one.rpartition("/")[2] for one in names}


def _names(one: _Collected) -> Iterator[str]:
    """Yield every name by which ``find`` may find something of a run."""
    batch = one.run.table(BATCH, ["client_intent_id", "strategy_id", "symbol"])
    for column in batch.columns:
        yield from filter(None, column.unique().to_pylist())
    collected = one.collected()
    for file in [*collected["files"], *collected["left"]]:
        yield from _names_of(file["name"])
    yield from (file["kept_as"] for file in collected["files"])
    for _, record in _set_aside(collected):
        yield _id_of(record)
        yield _raw_text(record, "strategy_id")
        yield canonical_symbol(_raw_text(record, "symbol"))


@dataclass(frozen=True)
class _Collected:
    """A run that has sealed a batch; ``collected.json`` is read on demand."""

    run: RunFolder

    def collected(self) -> dict[str, Any]:
        return self.run.json(COLLECTED)

    def column(self, name: str) -> pa.Array:
        column = self.run.table(BATCH, [name])[name].combine_chunks()
        return column.cast(pa.string()) if name != "source_row" else column


def _at(runs: Iterable[_Collected], name: str, row: int) -> Found:
    """Return a row of a file from the newest run that has it."""
    missed = ""
    for one in runs:
        collected = one.collected()
        files = [
            file for file in collected["files"] if is_named(name, file["name"]) or name == file["kept_as"]
        ]
        left = [file for file in collected["left"] if is_named(name, file["name"])]
        found = Found(aside=[Aside(one.run, "left", file, {}) for file in left])
        for file in files:
            here = pc.and_(
                pc.equal(one.column("source_file"), file["name"]), pc.equal(one.column("source_row"), row)
            )
            found.intents += [(one.run, place) for place in _places(here)]
            found.aside += [
                Aside(one.run, what, record, file)
                for what, record in _set_aside(collected)
                if record["file"] == file["name"] and record["row"] in {row, 0}
            ]
            missed = missed or (
                f"run {one.run.run_id} took {file['name']}, {file['rows']} rows, and none of them is at row "
                f"{row} (of CSV and JSON Lines, rows are lines of the file, the header included)"
            )
        if found:
            return found
    return Found(missed=missed)


def _with_ids(
    runs: Iterable[_Collected], is_meant: Callable[[str], bool], of_column: Callable[[pa.Array], pa.Array]
) -> Found:
    """Return the rows with a matching id; rows set aside only where there is no intent."""
    runs = list(runs)
    intents = [
        (one.run, place) for one in runs for place in _places(of_column(one.column("client_intent_id")))
    ]
    if intents:
        return Found(intents)
    return Found(aside=_asides(runs, lambda record: is_meant(_id_of(record))))


def _about(runs: Iterable[_Collected], text: str, symbol: str) -> Found:
    """Return the rows of a strategy or a symbol."""
    runs, found = list(runs), Found(is_list=True)
    ids: set[str] = set()
    for one in runs:
        is_meant = pc.or_(pc.equal(one.column("strategy_id"), text), pc.equal(one.column("symbol"), symbol))
        found.intents += [(one.run, place) for place in _places(is_meant)]
        ids.update(one.column("client_intent_id").filter(pc.fill_null(is_meant, False)).to_pylist())
    found.aside = _asides(
        runs,
        lambda record: (
            record.get("client_intent_id") in ids
            or _raw_text(record, "strategy_id") == text
            or canonical_symbol(_raw_text(record, "symbol")) == symbol
        ),
    )
    return found


def _asides(runs: Iterable[_Collected], is_meant: Callable[[dict[str, Any]], bool]) -> list[Aside]:
    found = []
    for one in runs:
        collected = one.collected()
        files = {file["name"]: file for file in collected["files"]}
        found += [
            Aside(one.run, what, record, files[record["file"]])
            for what, record in _set_aside(collected)
            if is_meant(record)
        ]
    return found


def _set_aside(collected: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from (("quarantined", record) for record in collected["refused"])
    yield from (("duplicate", record) for record in collected["duplicates"])


def _id_of(record: dict[str, Any]) -> str:
    """Return the id of a duplicate, or the one that a refused row held."""
    return str(record.get("client_intent_id") or _raw_text(record, "client_intent_id"))


def _raw_text(record: dict[str, Any], name: str) -> str:
    """Return what a refused row held in a field, "" without a value."""
    value = record.get("raw", {}).get(name)
    return "" if value is None else str(value).strip()


def _places(is_meant: pa.Array) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(is_meant, False)).to_pylist()
    return found


def _equal(text: str) -> Callable[[pa.Array], pa.Array]:
    return lambda column: pc.equal(column, text)


def _starts_with(text: str) -> Callable[[pa.Array], pa.Array]:
    return lambda column: pc.starts_with(column, text)


def _beginning(text: str) -> Callable[[str], bool]:
    return lambda client_intent_id: client_intent_id.startswith(text)
