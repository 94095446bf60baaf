"""Run folders: the files of one run, and how runs are found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from engine.errors import AlreadyWritten, RecordError
from engine.record.finished_sessions import finished_sessions, keep_finished_sessions
from engine.record.formats import json_bytes, read_json, read_table, table_bytes
from engine.record.objects import Objects

START = "run.json"
LIMITS = "limits.toml"
COLLECTED = "collected.json"
DUPLICATES = "duplicates.parquet"
BATCH = "intents.parquet"
INPUT_FRAMES = ("positions", "daily_trades", "working_orders", "unreconciled")
"""The risk inputs that every run records, each as ``<name>.parquet``."""
LIMIT_FRAMES = (
    "strategy_positions",
    "strategy_trades",
    "working_order_terms",
    "assets",
    "session_hours",
    "earlier_orders",
    "earlier_batches",
    "latches",
    "trading_states",
    "overrides",
    "reconciled",
    "prices",
    "account_figures",
    "traded_notional",
    "usual_quantities",
    "average_volumes",
)
"""The risk inputs that a run records only where a limit in force needs them."""
STANDING_FRAMES = ("trading_states", "overrides")
"""Those of them that every run reads, and records where they have a row: a record without one had none."""
RECONCILIATION = "reconciliation.parquet"
INPUTS = "inputs.json"
UTILISATION = "utilisation.parquet"
DECISIONS = "decisions.parquet"
ATTEMPTS = "attempts/"
TRAFFIC = "traffic/"
FILLS = "fills.parquet"
RESULTS = "results.parquet"
CASSETTE = "cassette.json"
MANIFEST = "manifest.json"
_DAYS_AHEAD, _DAYS_BACK = 4, 10
_ALWAYS_LOOKED_AT = 10
"""The newest sessions are always read, whether they are kept as finished or not."""
_KEPT_AT_ONCE = 5


@dataclass(frozen=True)
class RunFolder:
    """One run's files. The files that exist are the state of the run; no file is ever changed."""

    objects: Objects
    trading_date: date
    run_id: str

    @property
    def key(self) -> str:
        """The folder's key, with a slash at its end."""
        return f"runs/{self.trading_date.isoformat()}/{self.run_id}/"

    def names(self) -> set[str]:
        """Return the names of the files that exist."""
        return {key.removeprefix(self.key) for key in self.objects.list(self.key)}

    def write(self, name: str, content: dict[str, Any] | pa.Table) -> None:
        """Write a new file, whole. Raises ``AlreadyWritten``."""
        whole = table_bytes(content) if isinstance(content, pa.Table) else json_bytes(content)
        self.objects.put(self.key + name, whole)

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON file. Raises ``RecordError``."""
        content: dict[str, Any] = self._read(name, read_json)
        return content

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file. Raises ``RecordError``."""
        return self._read(name, lambda key, content: read_table(key, content, columns))

    def _read(self, name: str, form: Callable[[str, bytes], Any]) -> Any:
        try:
            return form(self.key + name, self.objects.read(self.key + name))
        except RecordError as error:
            raise RecordError(
                f"{error} Move the folder {self.key} out of runs/ and run again; the files that it had taken "
                f"are in archive/{self.trading_date}/ or still in the inbox: drop them again."
            ) from None

    def remove(self, name: str) -> None:
        """Remove a file that a stage wrote before the file that seals it."""
        self.objects.delete(self.key + name)

    @cached_property
    def start(self) -> dict[str, Any]:
        """``run.json``, which a resumed run must not change."""
        return self.json(START)


@dataclass(frozen=True)
class RunFolders:
    """All runs in one place."""

    objects: Objects

    def create(self, trading_date: date, run_id: str, start: dict[str, Any]) -> RunFolder:
        """Begin a run under ``run_id``, or with a suffix where that is taken."""
        name, attempt = run_id, 1
        while True:
            folder = RunFolder(self.objects, trading_date, name)
            try:
                folder.write(START, {"run_id": name, **start})
            except AlreadyWritten:
                attempt += 1
                name = f"{run_id}-{attempt}"
                continue
            return folder

    def at(self, run_key: str) -> RunFolder:
        """Return the run folder at a key. Raises ``RecordError`` where it is no key of a run folder."""
        try:
            _, day, run_id, _ = run_key.split("/")
            return RunFolder(self.objects, date.fromisoformat(day), run_id)
        except ValueError:
            raise RecordError(
                f"{run_key} is no key of a run folder, runs/<trading date>/<run id>/."
            ) from None

    def all(self) -> list[RunFolder]:
        """Return every run, oldest first."""
        return self._below("runs/")

    def of_day(self, trading_date: date) -> list[RunFolder]:
        """Return a session's runs, oldest first."""
        return self._below(f"runs/{trading_date.isoformat()}/")

    def by_session(self, newest: date) -> Iterator[list[RunFolder]]:
        """Yield the runs of each session, oldest first, the newest session first; ``newest`` is about today.

        Each session is listed only when it is reached: the cost of a recent one does not grow with the number
        of sessions.
        """
        for day in self.sessions(newest):
            if runs := self.of_day(day):
                yield runs

    def sessions(self, newest: date) -> Iterator[date]:
        """Yield the sessions that may have runs, newest first; ``newest`` is about today."""
        recent = [newest + timedelta(days=days) for days in range(_DAYS_AHEAD, -_DAYS_BACK, -1)]
        yield from recent
        yield from (day for day in reversed(self._sessions()) if day not in recent)

    def stamps(self, trading_date: date) -> dict[str, str]:
        """Return the names of the folders of a session's runs, each with a stamp (``Objects.folders``)."""
        return self.objects.folders(f"runs/{trading_date.isoformat()}/")

    def unfinished(self) -> list[RunFolder]:
        """Return the runs that have begun and lack their manifest, oldest first.

        Of a finished run only the manifest is looked up. Older sessions that are kept as finished
        (``keep_finished``) are skipped.
        """
        sessions = self._sessions()
        looked_at = [*self._older_not_kept(sessions), *list(sessions)[-_ALWAYS_LOOKED_AT:]]
        return sorted((run for day in looked_at for run in self._unfinished_of(day)), key=_age)

    def keep_finished(self) -> None:
        """Keep the older sessions that have only finished runs, once enough of them are not kept yet."""
        sessions = self._sessions()
        older = self._older_not_kept(sessions)
        if len(older) < _KEPT_AT_ONCE:
            return
        done = {_line(day, sessions[day]) for day in older if sessions[day] and not self._unfinished_of(day)}
        lines = {_line(day, stamp) for day, stamp in self._sessions().items()}
        if done & lines:  # a session that was changed meanwhile has another line
            keep_finished_sessions(self.objects, lines & (done | finished_sessions(self.objects)))

    def _older_not_kept(self, sessions: Mapping[date, str]) -> list[date]:
        """Return the sessions, without the newest ones, that are not kept as finished."""
        older = list(sessions.items())[:-_ALWAYS_LOOKED_AT]
        kept = finished_sessions(self.objects) if older else frozenset()
        return [day for day, stamp in older if _line(day, stamp) not in kept]

    def _unfinished_of(self, day: date) -> list[RunFolder]:
        found, place = [], f"runs/{day.isoformat()}/"
        names = self.objects.folders(place)
        if self.objects.has(place + START):
            raise _misplaced(place + START)
        for name in names:
            if not self.objects.has(f"{place}{name}/{MANIFEST}"):
                found += self._below(f"{place}{name}/")
        return found

    def _sessions(self) -> dict[date, str]:
        """Return the sessions below ``runs/``, oldest first, each with the stamp of its folder.

        Raises ``RecordError`` for a misplaced run.
        """
        days = {}
        for name, stamp in self.objects.folders("runs/").items():
            try:
                day = date.fromisoformat(name)
            except ValueError:
                day = None
            if day is None or day.isoformat() != name:
                if self._below(f"runs/{name}/"):
                    raise _misplaced(f"runs/{name}/")
            else:
                days[day] = stamp
        if self.objects.has(f"runs/{START}"):
            raise _misplaced(f"runs/{START}")
        return dict(sorted(days.items()))

    def _below(self, prefix: str) -> list[RunFolder]:
        return _folders(self.objects, set(self.objects.list(prefix)))


def _folders(objects: Objects, keys: set[str]) -> list[RunFolder]:
    folders = []
    for key in keys:
        if not key.endswith("/" + START):
            continue
        try:
            _, day, run_id, _ = key.split("/")
            folders.append(RunFolder(objects, date.fromisoformat(day), run_id))
        except ValueError:
            raise _misplaced(key) from None
    return sorted(folders, key=_age)


def _line(day: date, stamp: str) -> str:
    return f"{day.isoformat()} {stamp}"


def _misplaced(key: str) -> RecordError:
    return RecordError(f"{key} is not at runs/<trading date>/<run id>/; move the folder out of runs/.")


def _age(folder: RunFolder) -> tuple[date, list[str | int]]:
    """Return the sort key of a run: day and time; then ``…-open``, ``…-open-2``, ``…-open-10``."""
    parts = re.split(r"(\d+)", folder.run_id)
    return folder.trading_date, [int(part) if part.isdecimal() else part for part in parts]
