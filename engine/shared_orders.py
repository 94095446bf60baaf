"""What other data folders that trade the same account have to know: who is sending, and what rests.

A document in the store of the ledger, ``orders-<account key>``; changed under the account's lease::

    sending    runs that may have sent orders which the ledger doesn't know of yet
    open       client ids of the orders that finished runs left open, by run

Runs are named ``<hash of the data folder's path>/runs/<session>/<run id>/``: two folders may have runs of one
name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.stores.objects import Objects
from engine.venue import Venue

_ATTEMPTS = 5


@dataclass(frozen=True)
class SharedOrders:
    """The document of one account."""

    venue: Venue

    def sending_elsewhere(self, objects: Objects) -> list[str]:
        """Give the runs of other data folders that are sending, or died over it, by their keys there."""
        return [run.partition("/")[2] for run in self._said("sending") if not run.startswith(_place(objects))]

    def resting_elsewhere(self, objects: Objects) -> list[str]:
        """Give the client ids of orders that finished runs of other data folders left open."""
        said = self._said("open")
        return [one for run, ids in said.items() if not run.startswith(_place(objects)) for one in ids]

    def begin(self, objects: Objects, run_key: str) -> None:
        """Say that a run is about to send. Raises ``EngineError``."""
        run = _place(objects) + run_key
        self._change(lambda said: said["sending"].update({run: ""}))

    def end(self, objects: Objects, run_key: str, left_open: Collection[str] = ()) -> None:
        """Say that the ledger has all that a run sent, but for what it left open. Raises ``EngineError``."""
        run = _place(objects) + run_key

        def ended(said: dict[str, Any]) -> None:
            said["sending"].pop(run, None)
            said["open"].pop(run, None)
            if left_open:
                said["open"][run] = sorted(left_open)

        self._change(ended)

    def _said(self, kind: str) -> dict[str, Any]:
        return dict((self._read() or {}).get(kind, {}))

    def _change(self, change: Callable[[dict[str, Any]], object]) -> None:
        for _ in range(_ATTEMPTS):
            before = self._read()
            said = {kind: dict((before or {}).get(kind, {})) for kind in ("sending", "open")}
            change(said)
            if said == before or self.venue.notes.replace_agent_document(self._name, said, replacing=before):
                return
        raise EngineError(f"{self.venue.notes.place}: {self._name} changes with every look. Run again.")

    def _read(self) -> dict[str, Any] | None:
        return self.venue.notes.agent_document(self._name)

    @property
    def _name(self) -> str:
        return f"orders-{self.venue.key}"


def _place(objects: Objects) -> str:
    path = str(Path(getattr(objects, "root", "")).absolute())
    return f"{hashlib.sha256(path.encode()).hexdigest()[:16]}/"
