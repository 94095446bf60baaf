"""What other data folders that trade the same account have to know: who is sending, and what rests.

A document in the store of the ledger, ``orders-<account key>``; changed under the account's lease::

    sending     runs that may have sent orders which the ledger doesn't know of yet
    open        client ids of the orders that finished runs left open, by run
    forgotten   data folders that are lost, by identity: who said so, when and why

Runs are named ``<identity of the data folder>/runs/<session>/<run id>/``. The identity is kept in the folder
(``folder/identity.json``), so that one that was moved, or mounted elsewhere, is still itself. Earlier
versions of the engine named a folder by a hash of its path: such an entry is this folder's where its run is
here, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
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
    """A run that is sending: its data folder's identity, its key there, and whether that is this folder."""

    folder: str
    run_key: str
    is_own: bool


@dataclass(frozen=True)
class SharedOrders:
    """The document of one account."""

    connection: Connection

    def sending(self, objects: Objects) -> list[Entry]:
        """Return the runs that are sending or died over it, this folder's among them.

        Of this folder, not those whose results are sealed: what they sent is in the ledger.
        """
        entries = [_entry(run, objects) for run in self._of("sending")]
        return [one for one in entries if not (one.is_own and _has(objects, one.run_key, RESULTS))]

    def resting_elsewhere(self, objects: Objects) -> list[str]:
        """Return the client ids of orders that finished runs of other data folders left open."""
        resting = self._of("open")
        return [one for run, ids in resting.items() if not _entry(run, objects).is_own for one in ids]

    def begin(self, objects: Objects, run_key: str) -> None:
        """Record that a run is about to send. Raises ``EngineError``."""
        run = f"{folder_identity(objects)}/{run_key}"
        self._change(objects, lambda kept: kept["sending"].update({run: ""}))

    def end(self, objects: Objects, run_key: str, left_open: Collection[str] = ()) -> None:
        """Record that the ledger has all that a run sent but what it left open. Raises ``EngineError``."""
        run = f"{folder_identity(objects)}/{run_key}"

        def ended(kept: dict[str, Any]) -> None:
            kept["sending"].pop(run, None)
            kept["open"].pop(run, None)
            if left_open:
                kept["open"][run] = sorted(left_open)

        self._change(objects, ended)

    def forget_folder(self, folder: str, objects: Objects, *, by: str, why: str, at: datetime) -> list[str]:
        """Remove the entries of a data folder that is lost; return the keys of its runs.

        Of the folder at ``objects`` itself, those of runs that are gone. Who said so and why is kept. What
        the orders became is found by the next comparison, as breaks to be accepted. Raises ``EngineError``.
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
            kept = {kind: said for kind, said in kept.items() if said or kind != "forgotten"}
            if kept == before or self.connection.notes.replace_agent_document(
                self._name, kept, replacing=before
            ):
                return
        raise EngineError(f"{self.connection.notes.place}: {self._name} changes with every look. Run again.")

    def _read(self) -> dict[str, Any] | None:
        return self.connection.notes.agent_document(self._name)

    @property
    def _name(self) -> str:
        return f"orders-{self.connection.key}"


def checked_folder(text: str) -> str:
    """Return the identity of a data folder as it is kept. Raises ``UsageError`` for anything else."""
    folder = text.strip().rstrip("/")
    if not folder or "/" in folder or not folder.isalnum():
        raise UsageError(
            f"{text!r} is no identity of a data folder; copy it from the message of sync or run."
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
    """Name this folder's entries by its identity, and remove those of its runs that are finished."""
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
