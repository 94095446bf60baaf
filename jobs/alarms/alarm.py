"""What an alarm says, and how it is written for people and for machines."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.log import wall_clock

Kind = Literal["failed", "configuration", "halted", "unresolved", "slot_missed", "test"]

_TITLES: dict[Kind, str] = {
    "failed": "a command failed",
    "configuration": "a command can't start",
    "halted": "trading is halted or closed",
    "unresolved": "something is unresolved",
    "slot_missed": "a slot was missed",
    "test": "this is a test",
}
_OF_EXIT_CODES: dict[int, Kind] = {1: "failed", 2: "configuration", 3: "halted"}
_LONGEST_TEXT = 3_000


def kind_of(exit_code: int) -> Kind:
    """Return the kind of alarm of a command that ended with a code other than 0."""
    return _OF_EXIT_CODES.get(exit_code, "unresolved")


@dataclass(frozen=True)
class Alarm:
    """What has happened: ``message`` says it with its remedy, ``command`` is what ended.

    ``since``: when it happened (ISO text, UTC); ``host``: the machine; ``held_back``: alarms of this kind
    that were not sent since the last one.
    """

    kind: Kind
    command: str
    message: str
    exit_code: int
    data_dir: Path
    run_id: str | None = None
    host: str = field(default_factory=lambda: platform.node() or "an unknown host")
    since: str = field(default_factory=lambda: f"{wall_clock():%Y-%m-%dT%H:%M:%SZ}")
    held_back: int = 0

    @property
    def title(self) -> str:
        """One line, such as the subject of a mail."""
        ended = f"{self.command}, exit code {self.exit_code}"
        return f"execution-engine on {self.host}: {_TITLES[self.kind]} ({ended})"

    @property
    def text(self) -> str:
        """The whole of it for people."""
        more = "" if not self.held_back else f"\n{self.held_back} more of this kind since the last alarm."
        run = "" if self.run_id is None else f"\nRun {self.run_id}"
        message = self.message[:_LONGEST_TEXT]
        return f"{message}{more}{run}\nData folder {self.data_dir}, {self.since}"

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON form of a webhook."""
        return {
            "kind": self.kind,
            "title": self.title,
            "message": self.message[:_LONGEST_TEXT],
            "command": self.command,
            "exit_code": self.exit_code,
            "run_id": self.run_id,
            "data_dir": str(self.data_dir),
            "host": self.host,
            "since": self.since,
            "held_back": self.held_back,
        }

    def as_slack(self) -> dict[str, Any]:
        """Return it as Slack's incoming webhooks take it; what Slack would read as markup is escaped."""
        text = f"{self.title}\n{self.text}"
        for character, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, written)
        return {"text": text}
