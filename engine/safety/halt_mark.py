"""The mark of a halt in the data folder: it halts even where the store of the agent's state fails.

``folder/halted/mark.json``: who halted, why and when. A store that is lost, or restored from a backup made
before the halt, does not end the halt.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from engine.errors import AlreadyWritten, EngineError, UnusablePlace
from engine.record.formats import json_bytes, read_json
from engine.record.objects import Objects
from engine.record.system_errors import fault_of

_PLACE = "folder/halted/"
MARK = f"{_PLACE}mark.json"


@dataclass(frozen=True)
class HaltedBy:
    """Who halted, why, and when: ISO text in UTC, "" where that is unknown."""

    by: str
    why: str
    at: str


@dataclass(frozen=True)
class HaltMark:
    """The mark of the data folder at ``objects``."""

    objects: Objects

    def read(self) -> HaltedBy | None:
        """Return the mark, None where there is none. An unreadable mark halts all the same."""
        try:
            if MARK not in self.objects.list(_PLACE) and not self.objects.has(MARK):
                return None
            kept = read_json(MARK, self.objects.read(MARK))
            at = datetime.fromisoformat(str(kept.get("at"))).isoformat()
        except (EngineError, OSError, ValueError) as error:
            return HaltedBy("unknown", f"the mark of a halt, {MARK}, can't be read ({error})", "")
        return HaltedBy(str(kept.get("by")), str(kept.get("why")), at)

    def leave(self, *, by: str, why: str, at: datetime) -> None:
        """Write the mark; an existing one stays unchanged. Raises ``EngineError``."""
        with suppress(AlreadyWritten):
            try:
                self.objects.put(MARK, json_bytes({"by": by, "why": why, "at": at.isoformat()}))
            except OSError as error:
                raise UnusablePlace(
                    f"the mark of a halt can't be written to the data folder: {fault_of(error)}."
                ) from error

    def clear(self) -> None:
        """Remove the mark. Raises ``EngineError``."""
        try:
            self.objects.delete(MARK)
        except OSError as error:
            raise UnusablePlace(
                f"the mark of a halt, {MARK}, can't be removed: {fault_of(error)}. Live runs of this data "
                f"folder stay halted; fix that, then run recover again."
            ) from error
