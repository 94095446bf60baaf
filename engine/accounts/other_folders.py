"""Orders of one account that several data folders share: the runs that are sending, and the open orders.

Kept in the store of the ledger, as document ``orders-<account key>``; changed under the account's lease::

    sending     runs that may have sent orders which the ledger doesn't have yet
    open        the strategies of the orders that finished runs left open, by client id, by run
    forgotten   lost data folders, by identity: the operator who reported it, when and why

Runs are named ``<identity of the data folder>/runs/<session>/<run id>/``. The identity is kept in the folder
(``folder/identity.json``), so it stays the same when the folder is moved or mounted elsewhere. Earlier
versions of the engine named a folder by a hash of its path: such an entry is this folder's where its run is
here, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from engine.accounts.connection import Connection
from engine.errors import EngineError, UsageError
from engine.record.folder_identity import folder_identity
from engine.record.objects import Objects
from engine.record.run_folder import RESULTS, START

_ATTEMPTS = 5
_KINDS = ("sending", "open", "forgotten")
_FORGOTTEN_KEPT = 50


@dataclass(frozen=True)
class Entry:
    """A run that is sending: its data folder's identity, its key there, and whether it is this folder."""

    folder: str
    run_key: str
    is_own: bool


@dataclass(frozen=True)
class SharedOrders:
    """The shared orders of one account."""

    connection: Connection

    def sending(self, objects: Objects) -> list[Entry]:
        """Return the runs that are sending, or ended while sending, of this and of other folders.

        Runs of this folder whose results are sealed are left out: their orders are in the ledger.
        """
        entries = [_entry(run, objects) for run in self._of("sending")]
        return [one for one in entries if not (one.is_own and _has(objects, one.run_key, RESULTS))]

    def resting_elsewhere(self, objects: Objects) -> dict[str, str]:
        """Return the orders that finished runs of other data folders left open: strategies by client id.

        A strategy is "" where it isn't recorded.
        """
        found: dict[str, str] = {}
        for run, orders in self._of("open").items():
            if not _entry(run, objects).is_own:
                found |= orders if isinstance(orders, dict) else dict.fromkeys(orders, "")
        return found

    def begin(self, objects: Objects, run_key: str) -> None:
        """Record that a run is about to send. Raises ``EngineError``."""
        run = f"{folder_identity(objects)}/{run_key}"
        self._change(objects, lambda kept: kept["sending"].update({run: ""}))

    def end(self, objects: Objects, run_key: str, left_open: Mapping[str, str] | None = None) -> None:
        """Record that the ledger has a run's orders except those left open. Raises ``EngineError``.

        ``left_open``: the strategies of these, by client id.
        """
        run = f"{folder_identity(objects)}/{run_key}"

        def ended(kept: dict[str, Any]) -> None:
            kept["sending"].pop(run, None)
            kept["open"].pop(run, None)
            if left_open:
                kept["open"][run] = dict(sorted(left_open.items()))

        self._change(objects, ended)

    def forget_folder(self, folder: str, objects: Objects, *, by: str, why: str, at: datetime) -> list[str]:
        """Remove the entries of a lost data folder; return the keys of its runs.

        For the folder at ``objects`` itself, only the entries of missing runs are removed. ``by`` and ``why``
        are recorded. The next reconciliation reports the outcome of their orders as breaks, to be accepted.
        Raises ``EngineError``.
        """
        removed: list[str] = []

        def forgotten(kept: dict[str, Any]) -> None:
            entries = {*kept["sending"], *kept["open"]}
            lost = (run for run in entries if run.startswith(f"{folder}/") and not _is_here(run, objects))
            removed[:] = sorted(lost)
            for run in removed:
                kept["sending"].pop(run, None)
                kept["open"].pop(run, None)
            if removed:
                kept["forgotten"].pop(folder, None)
                kept["forgotten"][folder] = {"by": by, "why": why, "at": at.isoformat(), "runs": removed}
                while len(kept["forgotten"]) > _FORGOTTEN_KEPT:
                    del kept["forgotten"][next(iter(kept["forgotten"]))]

        self._change(objects, forgotten)
        return [run.partition("/")[2] for run in removed]

    def _of(self, kind: str) -> dict[str, Any]:
        return dict((self._read() or {}).get(kind, {}))

    def _change(self, objects: Objects, change: Callable[[dict[str, Any]], object]) -> None:
        for _ in range(_ATTEMPTS):
            before = self._read()
            kept = {kind: dict((before or {}).get(kind, {})) for kind in _KINDS}
            _adopt(kept, objects)
            change(kept)
            kept = {kind: entries for kind, entries in kept.items() if entries or kind != "forgotten"}
            if kept == before or self.connection.notes.replace_agent_document(
                self._name, kept, replacing=before
            ):
                return
        raise EngineError(f"{self.connection.notes.place}: other jobs keep changing {self._name}. Run again.")

    def _read(self) -> dict[str, Any] | None:
        return self.connection.notes.agent_document(self._name)

    @property
    def _name(self) -> str:
        return f"orders-{self.connection.key}"


def checked_folder(text: str) -> str:
    """Return the identity of a data folder, cleaned. Raises ``UsageError`` for any other text."""
    folder = text.strip().rstrip("/")
    if not folder or "/" in folder or not folder.isalnum():
        raise UsageError(
            f"{text!r} is not the identity of a data folder. Copy it from the message of sync or run."
        )
    return folder


def _entry(run: str, objects: Objects) -> Entry:
    folder, _, run_key = run.partition("/")
    is_own = folder == folder_identity(objects) or (
        folder == _hash_of_path(objects) and _has(objects, run_key, START)
    )
    return Entry(folder, run_key, is_own)


def _is_here(run: str, objects: Objects) -> bool:
    entry = _entry(run, objects)
    return entry.is_own and _has(objects, entry.run_key, START)


def _adopt(kept: dict[str, Any], objects: Objects) -> None:
    """Rename this folder's entries to its identity, and remove those of its finished runs."""
    for kind in ("sending", "open"):
        for run in list(kept[kind]):
            entry = _entry(run, objects)
            if entry.is_own:
                kept[kind][f"{folder_identity(objects)}/{entry.run_key}"] = kept[kind].pop(run)
    for run in list(kept["sending"]):
        entry = _entry(run, objects)
        if entry.is_own and _has(objects, entry.run_key, RESULTS):
            del kept["sending"][run]


def _has(objects: Objects, run_key: str, name: str) -> bool:
    return objects.has(f"{run_key}{name}")


def _hash_of_path(objects: Objects) -> str:
    path = str(Path(getattr(objects, "root", "")).absolute())
    return hashlib.sha256(path.encode()).hexdigest()[:16]
