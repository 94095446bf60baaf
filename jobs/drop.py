"""``drop``: files, or standard input, into the inbox."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from engine.stores.inbox import drop_file
from jobs.tables import print_json, say
from jobs.world import read_setup


def drop(files: Sequence[str], *, kind: str, as_json: bool) -> int:
    """Copy each file into the inbox under a name that carries its hash; gives the exit code."""
    inbox = read_setup().inbox.root
    before = set(inbox.iterdir()) if inbox.is_dir() else set()
    paths = []
    for file in files:
        if file == "-":
            if sys.stdin.isatty():
                say(f"reading {kind} from the keyboard; end with Ctrl-D", err=True)
            paths.append(drop_file(f"stdin.{kind}", sys.stdin.buffer.read(), inbox))
        else:
            paths.append(drop_file(Path(file).name, Path(file).read_bytes(), inbox))
    if as_json:
        known = [str(path) for path in paths if path in before]
        print_json({"exit_code": 0, "dropped": [str(p) for p in paths], "already_there": known})
        return 0
    for path in paths:
        say(f"already in the inbox: {path}" if path in before else f"dropped {path}")
    say("The next `execution-engine run` judges them.")
    return 0
