"""Finding and reading recorded days. Each file is verified against the content hash in its run's manifest.

A run is replayed from its folder alone. A file that has changed or is missing is an error that names it, so
that nothing is compared with an altered record.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.errors import RecordError, UsageError
from engine.model.schema import inputs_schemas
from engine.record.formats import content_hash, read_json, read_table
from engine.record.run_folder import (
    BATCH,
    CASSETTE,
    COLLECTED,
    DECISIONS,
    FILLS,
    INPUT_FRAMES,
    INPUTS,
    LIMIT_FRAMES,
    MANIFEST,
    RESULTS,
    STANDING_FRAMES,
    START,
)

_NEEDED = (START, BATCH, INPUTS, DECISIONS, RESULTS)
_FILES_AT_ONCE = 4
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True, order=True)
class RecordedRun:
    """The folder of a finished run, not read yet."""

    trading_date: date
    age: tuple[tuple[bool, int, str], ...] = field(repr=False)
    run_id: str
    path: Path

    @classmethod
    def at(cls, path: Path) -> RecordedRun:
        """Return the run of a folder with a manifest; the parent's name or the manifest has its session."""
        parts = _NUMBER.split(path.name)
        age = tuple((part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts)
        return cls(_session_of(path), age, path.name, path)


@dataclass(frozen=True)
class Day:
    """A session's finished runs in order; ``unfinished`` are the folders that a replay leaves out."""

    trading_date: date
    runs: tuple[RecordedRun, ...]
    unfinished: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A recorded run, every file verified against its content hash.

    ``frames``: the risk inputs by name; None where a source was unavailable, absent where the run did not
    read it (``not_recorded``). In a dry run ``fills`` is None and ``cassette`` empty. ``others``: JSON
    files by name (``attempts/…``).
    """

    run: RecordedRun
    start: Mapping[str, Any]
    inputs: Mapping[str, Any]
    manifest: Mapping[str, Any]
    batch: pa.Table
    frames: Mapping[str, pa.Table | None]
    decisions: pa.Table
    results: pa.Table
    fills: pa.Table | None
    cassette: bytes
    others: Mapping[str, bytes]

    @property
    def is_live(self) -> bool:
        """Return whether the run sent orders."""
        return bool(self.start["mode"] == "live")

    @property
    def not_recorded(self) -> frozenset[str]:
        """The risk inputs that the run did not read: its limits needed none, or its code had none."""
        return frozenset((*INPUT_FRAMES, *LIMIT_FRAMES)) - self.frames.keys()

    @property
    def code_versions(self) -> frozenset[str]:
        """The versions of the engine that started and finished the run."""
        return frozenset(str(one["code_version"]) for one in (self.start, self.manifest))


def days(path: str | Path) -> list[Day]:
    """Return the recorded days below a path, oldest first; only names are read.

    ``path``: a data folder, its ``runs``, a session in it, one run's folder, or any folder of such folders.
    Raises ``UsageError`` where there is none.
    """
    root = Path(path)
    finished: dict[date, list[RecordedRun]] = {}
    unfinished: dict[date, list[Path]] = {}
    for folder in _run_folders(root):
        if (folder / MANIFEST).is_file():
            run = RecordedRun.at(folder)
            finished.setdefault(run.trading_date, []).append(run)
        else:
            unfinished.setdefault(_session_of(folder), []).append(folder)
    if not finished and not unfinished:
        raise UsageError(
            f"{root} holds no recorded run (a folder with {START} in it). Name a data folder, or a folder "
            f"below its runs/."
        )
    return [
        Day(session, tuple(sorted(finished.get(session, []))), tuple(sorted(unfinished.get(session, []))))
        for session in sorted({*finished, *unfinished})
    ]


def read(what: RecordedRun | Day | str | Path, *, traffic: bool = True) -> list[Recording]:
    """Read the runs of a day, or one run, and verify every file; ``traffic`` keeps the cassettes.

    Raises ``RecordError``, which names the file, where one has changed, is missing or can't be read.
    """
    return [_read(run, traffic=traffic) for run in _runs(what)]


def _runs(what: RecordedRun | Day | str | Path) -> Iterable[RecordedRun]:
    if isinstance(what, RecordedRun):
        return (what,)
    if isinstance(what, Day):
        return what.runs
    return (run for day in days(what) for run in day.runs)


def _run_folders(root: Path) -> list[Path]:
    if (root / START).is_file():
        return [root]
    below = root / "runs" if (root / "runs").is_dir() else root
    found = []
    for folder, names, files in os.walk(below, onerror=_cannot_be_listed):
        names[:] = [name for name in names if not name.startswith(".")]
        if START in files:
            found.append(Path(folder))
            names.clear()
    return found


def _cannot_be_listed(error: OSError) -> None:
    if isinstance(error, FileNotFoundError):
        return  # a missing folder holds no run, which has its own error
    raise RecordError(
        f"{error.filename} can't be listed ({error.strerror}). Correct that, or name another folder."
    )


def _session_of(folder: Path) -> date:
    try:
        return date.fromisoformat(folder.resolve().parent.name)
    except ValueError:
        text = ""
    place = folder / MANIFEST
    if place.is_file():
        text = str(read_json(str(place), _content(place)).get("trading_date", ""))
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RecordError(
            f"The session of {folder} is unknown: its parent's name is not a date, and {MANIFEST} has the "
            f"trading_date {text!r}. Keep run folders at runs/<trading date>/<run id>/."
        ) from None


def _read(run: RecordedRun, *, traffic: bool) -> Recording:
    manifest = read_json(str(run.path / MANIFEST), _content(run.path / MANIFEST))
    hashes = manifest.get("content")
    missing = [name for name in _NEEDED if not isinstance(hashes, dict) or name not in hashes]
    if not isinstance(hashes, dict) or missing:
        raise RecordError(
            f"{run.path / MANIFEST} has no content hash of {', '.join(missing)}; expected one for every "
            f"file. {_REMEDY}"
        )
    outside = [name for name in hashes if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise RecordError(
            f"{run.path / MANIFEST} names {outside[0]}, which is not in the run's folder. {_REMEDY}"
        )
    tables: dict[str, pa.Table] = {}
    others: dict[str, bytes] = {}
    with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
        contents = threads.map(lambda name: _verified(run.path / name, str(hashes[name])), hashes)
    for name, content in zip(hashes, contents, strict=True):
        if isinstance(content, bytes):
            others[name] = content
        else:
            tables[name] = content
    inputs = read_json(str(run.path / INPUTS), others.pop(INPUTS))
    others.pop(COLLECTED, None)
    cassette = others.pop(CASSETTE, b"")
    return Recording(
        run=run,
        start=read_json(str(run.path / START), others.pop(START)),
        inputs=inputs,
        manifest=manifest,
        batch=tables[BATCH],
        frames=_frames(tables, inputs),
        decisions=tables[DECISIONS],
        results=tables[RESULTS],
        fills=tables.get(FILLS),
        cassette=cassette if traffic else b"",
        others=others,
    )


def _verified(place: Path, expected: str) -> pa.Table | bytes:
    """Read a file, Parquet as a table, and verify its content hash."""
    content = _content(place)
    table = _table(place, content) if place.suffix == ".parquet" else None
    found = hashlib.sha256(content).hexdigest() if table is None else content_hash(table)
    if found != expected:
        raise RecordError(
            f"{place} has changed since it was recorded: its content hash is {found[:12]}…, and {MANIFEST} "
            f"has {expected[:12]}…. {_REMEDY}"
        )
    return content if table is None else table


_REMEDY = "Restore the file from a copy, or leave this run out."


def _frames(tables: Mapping[str, pa.Table], inputs: Mapping[str, Any]) -> dict[str, pa.Table | None]:
    frames: dict[str, pa.Table | None] = dict.fromkeys(inputs["unavailable"])
    for name in (*INPUT_FRAMES, *LIMIT_FRAMES):
        if f"{name}.parquet" in tables:
            frames[name] = tables[f"{name}.parquet"]
    for name in STANDING_FRAMES:
        frames.setdefault(name, inputs_schemas()[name].empty_table())
    return frames


def _content(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except FileNotFoundError:
        raise RecordError(f"{place} is missing, and is part of the run's record. {_REMEDY}") from None
    except OSError as error:
        raise RecordError(f"{place} can't be read ({error.strerror}). {_REMEDY}") from None


def _table(place: Path, content: bytes) -> pa.Table:
    try:
        return read_table(str(place), content)
    except RecordError as error:
        raise RecordError(f"{error} {_REMEDY}") from None
