"""What the tests of commands run them with: in this process, or as the installed script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.desk import Row, content_of

SCRIPT = Path(sys.executable).with_name("execution-engine")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that was printed."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def told(self) -> str:
        """What was printed for people, on one line: where tables are wrapped depends on the terminal."""
        return " ".join(self.out.split())

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.err.splitlines()]


Command = Callable[..., Done]


def script(*args: object, stdin: bytes = b"", **env: str) -> Done:
    """Run the installed command in a process of its own."""
    done = subprocess.run(
        [SCRIPT, *map(str, args)], input=stdin, capture_output=True, env={**os.environ, **env}, check=False
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def jsonl(*rows: Row) -> bytes:
    return content_of("a.jsonl", list(rows))


def waiting(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "inbox").glob("*"))


def one_line_error(done: Done) -> str:
    """Give the error that a command ended with; there must be nothing else on stderr."""
    (line,) = done.err.splitlines()
    if line.startswith("{"):  # of a job, whose standard error is a log
        told = json.loads(line)
        assert (told["severity"], told["event"]) == ("ERROR", "run_failed")
        return str(told["message"])
    assert line.startswith("error: ")
    assert "Traceback" not in done.err
    return line.removeprefix("error: ")
