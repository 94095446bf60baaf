"""Log events: one JSON object a line, with the keys that Cloud Logging reads (severity, message, time)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from engine.printable import printable, printable_json

ROWS_AT_MOST = 10_000
Severity = Literal["DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL"]


def wall_clock() -> datetime:
    """Give the present moment, UTC; handed in as the clock wherever time matters."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class EventLog:
    """Writes events to a stream, each with the fields of ``about`` (a run id, say).

    A terminal gets errors only, as plain sentences: somebody sits there and has the report on stdout.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], datetime] = wall_clock
    about: Mapping[str, Any] = field(default_factory=dict)

    def with_fields(self, **fields: Any) -> EventLog:
        """Give a log that adds these fields to every event."""
        return EventLog(self.stream, self.clock, {**self.about, **fields})

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
        """Write an event for each of ``count`` rows, or one for them all where they are very many.

        ``rows`` is asked only if somebody reads them: a million lines take longer than deciding on a million
        intents, and the run's folder has every row.
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
        if self.stream.isatty():
            self.stream.writelines(f"{severity.lower()}: {printable(message)}\n" for message, _ in rows)
            return
        head = {"severity": severity, "time": self.clock().isoformat(), "event": event, **self.about}
        self.stream.writelines(_line({**head, "message": message, **fields}) for message, fields in rows)
        self.stream.flush()

    def _hidden(self, severity: Severity) -> bool:
        return self.stream.isatty() and severity not in {"ERROR", "CRITICAL"}


def _line(event: dict[str, Any]) -> str:
    import orjson

    try:
        return printable_json(orjson.dumps(event, default=str, option=orjson.OPT_APPEND_NEWLINE).decode())
    except TypeError:  # half a surrogate pair, an integer beyond 64 bits: what strategies can say
        return printable_json(json.dumps(event, default=str)) + "\n"
