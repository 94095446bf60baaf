"""The marks of trading states in the data folder: they hold even where the store of the states fails.

``folder/trading_states/<state>-<scope>-<hash of the name>.json``, one for each scope that is HALTED or
REDUCING: what the store keeps of it. A store that is lost, or restored from an earlier backup, ends none.
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

PLACE = "folder/trading_states/"


def mark_key(scope: str, name: str, state: str) -> str:
    """Return the key of a mark, which a name of any characters has."""
    digest = hashlib.sha256(f"{scope}\0{name}".encode()).hexdigest()[:32]
    return f"{PLACE}{state.lower()}-{scope}-{digest}.json"


def unreadable_mark(key: str, why: str) -> DataUnavailable:
    """Return the error for a mark that can't be read: what it halts is unknown."""
    return DataUnavailable(
        f"the mark of a trading state, {key}, can't be read ({why}), so that it is unknown which orders it "
        f"concerns. Correct it, or end that state (`execution-engine recover` or `state active`, with its "
        f"--strategy, --symbol or --account), which removes the mark."
    )


@dataclass(frozen=True)
class StateMarks:
    """The marks in the data folder at ``objects``."""

    objects: Objects

    def read(self) -> dict[str, Mapping[str, Any]]:
        """Return the documents of all marks by key. Raises ``DataUnavailable`` where one can't be read."""
        found: dict[str, Mapping[str, Any]] = {}
        key = PLACE
        try:
            for key in self.objects.list(PLACE):
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
                f"the mark {key} can't be removed: {fault_of(error)}. The state holds for this data folder "
                f"until it is; fix that, then run the command again."
            ) from error
