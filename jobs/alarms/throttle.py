"""At most one alarm of a kind within some time: kept below ``alarms/`` in the data folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path


@dataclass(frozen=True)
class Throttle:
    """The alarms that were sent from a data folder, by kind; ``every_s``: their least distance."""

    data_dir: Path
    every_s: float

    def asked(self, kind: str, now: datetime) -> int | None:
        """Return how many alarms of a kind were held back since the last one; None where this one is, too.

        What is kept is read and written as far as that is possible: an alarm is sent rather than lost.
        """
        last, held_back = self._read(kind)
        if last is not None and timedelta(0) <= now - last < timedelta(seconds=self.every_s):
            self._write(kind, last, held_back + 1)
            return None
        self._write(kind, now, 0)
        return held_back

    def not_sent(self, kind: str) -> None:
        """Let the next alarm of a kind be sent: this one could not be."""
        with suppress(OSError):
            self._file(kind).unlink()

    def _file(self, kind: str) -> Path:
        return self.data_dir / "alarms" / f"{kind}.json"

    def _read(self, kind: str) -> tuple[datetime | None, int]:
        try:
            kept = json.loads(self._file(kind).read_text(encoding="utf-8"))
            return datetime.fromisoformat(kept["sent_at"]), int(kept["held_back"])
        except (OSError, ValueError, TypeError, KeyError):
            return None, 0

    def _write(self, kind: str, sent_at: datetime, held_back: int) -> None:
        file = self._file(kind)
        with suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = file.with_name(f".{kind}.{os.getpid()}")
            draft.write_text(
                json.dumps({"sent_at": sent_at.isoformat(), "held_back": held_back}), encoding="utf-8"
            )
            draft.replace(file)
