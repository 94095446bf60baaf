"""The marks of what an operator, or a rule, has stopped: they hold even where the store of it fails.

``folder/trading_states/<state>-<scope>-<hash of the name>.json``, one for each scope that is HALTED or
REDUCING, and ``folder/latches/<rule>-<mode>-<hash of the name>.json``: what the store keeps of it. A
store that is lost, or restored from an earlier backup, ends none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from engine.errors import AlreadyWritten, DataUnavailable, EngineError, UnusablePlace
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects
from engine.record.system_errors import fault_of

PLACE, LATCHES = "folder/trading_states/", "folder/latches/"
_REMEDIES = {
    PLACE: "end that state (`execution-engine recover` or `state active`, with its --strategy, --symbol or "
    "--account)",
    LATCHES: "enable what it stops (`execution-engine enable-strategy` or `enable-account`)",
}


def mark_key(kind: str, about: str, name: str, *, place: str = PLACE) -> str:
    """Return the key of a mark, which a name of any characters has."""
    digest = hashlib.sha256(f"{about}\0{name}".encode()).hexdigest()[:32]
    return f"{place}{kind.lower()}-{about}-{digest}.json"


def unreadable_mark(key: str, why: str) -> DataUnavailable:
    """Return the error for a mark that can't be read: what it stops is unknown."""
    remedy = next(text for place, text in _REMEDIES.items() if key.startswith(place))
    return DataUnavailable(
        f"the mark {key} can't be read ({why}), so that it is unknown which orders it stops. Correct it, or "
        f"{remedy}, which removes the mark."
    )


@dataclass(frozen=True)
class StateMarks:
    """The marks of one kind, at ``place`` in the data folder at ``objects``."""

    objects: Objects
    place: str = PLACE

    def read(self) -> dict[str, Mapping[str, Any]]:
        """Return the documents of all marks by key. Raises ``DataUnavailable`` where one can't be read."""
        found: dict[str, Mapping[str, Any]] = {}
        key = self.place
        try:
            for key in self.objects.list(self.place):
                try:
                    found[key] = read_json(key, self.objects.read(key))
                except EngineError:
                    if self.objects.has(key):  # else it was cleared meanwhile
                        raise
        except (EngineError, OSError) as error:
            raise unreadable_mark(key, str(error).removesuffix(".")) from error
        return found

    def has(self, key: str) -> bool:
        """Return whether there is a mark. Raises ``DataUnavailable`` where that is unknown."""
        try:
            return self.objects.has(key)
        except (EngineError, OSError) as error:
            raise unreadable_mark(key, str(error).removesuffix(".")) from error

    def leave(self, key: str, document: Mapping[str, Any]) -> None:
        """Write a mark; an existing one stays unchanged. Raises ``EngineError``."""
        with suppress(AlreadyWritten):
            try:
                self.objects.put(key, json_bytes(dict(document)))
            except OSError as error:
                raise UnusablePlace(
                    f"the mark {key} can't be written to the data folder: {fault_of(error)}."
                ) from error

    def clear(self, key: str) -> None:
        """Remove a mark. Raises ``EngineError``."""
        try:
            self.objects.delete(key)
        except OSError as error:
            raise UnusablePlace(
                f"the mark {key} can't be removed: {fault_of(error)}. What it stops stays stopped for this "
                f"data folder; fix that, then run the command again."
            ) from error
