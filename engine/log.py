"""Log events: one JSON object a line, with the keys that Cloud Logging reads (severity, message, time)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from engine.settings.secrets import hider
from engine.text.printable import printable, printable_json

ROWS_AT_MOST = 10_000
Severity = Literal["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT"]


def wall_clock() -> datetime:
    """Return the current time, UTC; the default of ``clock`` parameters."""
    return datetime.now(UTC)


@dataclass
class Unlogged:
    """How many events could not be written."""

    events: int = 0


@dataclass(frozen=True)
class EventLog:
    """Writes events to a stream, each with the fields of ``about``, for example a run id.

    A terminal gets errors only, as plain sentences: its operator has the report on stdout.
    An event that can't be written is counted in ``lost`` and raises nothing. ``hide`` masks secrets in what
    is written, by default those of the environment.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], datetime] = wall_clock
    about: Mapping[str, Any] = field(default_factory=dict)
    unlogged: Unlogged = field(default_factory=Unlogged)
    hide: Callable[[str], str] = field(default_factory=lambda: hider(os.environ), repr=False)

    @property
    def lost(self) -> int:
        """The number of lines that this log and its stream could not write so far."""
        return self.unlogged.events + int(getattr(self.stream, "lost_lines", 0))

    def with_fields(self, **fields: Any) -> EventLog:
        """Return a log that adds these fields to every event."""
        return EventLog(self.stream, self.clock, {**self.about, **fields}, self.unlogged, self.hide)

    def event(self, event: str, message: str, *, severity: Severity = "INFO", **fields: Any) -> None:
        """Write one event."""
        self.events(event, [(message, fields)], severity=severity)

    def for_each(
        self,
        event: str,
        count: int,
        rows: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]],
        *,
        severity: Severity = "INFO",
    ) -> None:
        """Write an event for each of ``count`` rows, or a single one above ``ROWS_AT_MOST``.

        ``rows`` is called only where they are written: logging a million lines takes longer than deciding on
        a million intents, and the run's folder has every row.
        """
        if count > ROWS_AT_MOST:
            message = (
                f"{count} rows; events for each are left out above {ROWS_AT_MOST}, the run's folder has them"
            )
            self.event(event, message, severity=severity, count=count)
        elif count and not self._hidden(severity):
            self.events(event, rows(), severity=severity)

    def events(
        self, event: str, rows: Iterable[tuple[str, Mapping[str, Any]]], *, severity: Severity = "INFO"
    ) -> None:
        """Write many events of one kind, each with its message and its own fields."""
        if self._hidden(severity):
            return
        if self._is_terminal():
            lines = [f"{severity.lower()}: {printable(self.hide(message))}\n" for message, _ in rows]
        else:
            head = {"severity": severity, "time": self.clock().isoformat(), "event": event, **self.about}
            lines = [self.hide(_line({**head, "message": message, **fields})) for message, fields in rows]
        try:
            self.stream.writelines(lines)
            self.stream.flush()
        except (OSError, ValueError, AttributeError):  # full, gone, closed, or never there (None)
            self.unlogged.events += len(lines)

    def _hidden(self, severity: Severity) -> bool:
        return severity not in {"ERROR", "CRITICAL", "ALERT"} and self._is_terminal()

    def _is_terminal(self) -> bool:
        try:
            return self.stream.isatty()
        except (OSError, ValueError, AttributeError):
            return False


def _line(event: dict[str, Any]) -> str:
    import orjson

    try:
        return printable_json(orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE).decode())
    except TypeError:  # half a surrogate pair, an integer beyond 64 bits: strategies may send both
        return printable_json(json.dumps(event, default=str)) + "\n"
