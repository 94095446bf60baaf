"""Commands of an operator on a data folder whose disk is full, or read-only.

Run where it may mount, as ``python -m tests.jobs.commands_on_a_disk FOLDER HOW``: mounts a small disk at
FOLDER, lets a run work there, makes the disk ``full`` or ``read_only``, and prints what each command said.
"""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from jobs.cli import command_line
from tests.desk import content_of, order

COMMANDS = ("drop {}", "doctor", "status", "collect", "run", "sync", "halt --why x", "recover")
_SIZE = "2m"


def full(disk: Path) -> None:
    """Fill a disk up to its last block."""
    with (disk / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def read_only(disk: Path) -> None:
    """Let nothing on a disk be changed."""
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def command(text: str) -> dict[str, object]:
    """Run a command in this process and return its exit code and what it printed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["execution-engine", *text.split()]
    with redirect_stdout(out), redirect_stderr(err):
        try:
            command_line()
        except SystemExit as end:
            code = int(end.code or 0)
    return {"code": code, "said": out.getvalue() + err.getvalue()}


def main(disk: Path, how: str) -> None:
    """Do the commands and print what became of them."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", disk], check=True)
    os.environ |= {"EXEC_DATA_DIR": str(disk / "data"), "COLUMNS": "400"}
    intents = disk.with_name("a.jsonl")
    intents.write_bytes(content_of("a.jsonl", [order()]))
    assert command(f"drop {intents}")["code"] == 0
    assert command("run")["code"] == 0
    breaking: dict[str, Callable[[Path], None]] = {"full": full, "read_only": read_only}
    breaking[how](disk)
    print(json.dumps({text.split()[0]: command(text.format(intents)) for text in COMMANDS}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
