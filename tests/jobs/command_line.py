"""What the tests of commands run them with: in this process, or as the installed script."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import command_line
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


def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command in this process, as the installed script would.

    It takes the arguments, what stands on standard input, and settings of the environment.
    """

    def run(*args: object, stdin: bytes = b"", **env: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            patch.setattr("sys.argv", ["execution-engine", *map(str, args)])
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            patch.setattr(sys.modules["__main__"], "__package__", None)  # a script is in none
            capsys.readouterr()
            code: object = 0
            try:
                command_line()
            except SystemExit as end:
                code = end.code or 0
            assert isinstance(code, int)
            said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


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
    """Return the error that a command ended with; there must be nothing else on stderr."""
    (line,) = done.err.splitlines()
    if line.startswith("{"):  # of a job, whose standard error is a log
        told = json.loads(line)
        assert (told["severity"], told["event"]) == ("ALERT", "run_failed")
        return str(told["message"])
    assert line.startswith("error: ")
    assert "Traceback" not in done.err
    return line.removeprefix("error: ")
