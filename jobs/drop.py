"""``drop``: files, or standard input, into the inbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.errors import EngineError, UsageError
from engine.record.system_errors import fault_of
from engine.stores.inbox.inbox import drop_file
from jobs.given import read_given
from jobs.setup import Setup, read_setup
from jobs.tables import print_json, say

EXIT_NOT_WRITTEN, EXIT_NOT_TAKEN = 1, 2


@dataclass
class Dropping:
    """The outcome of each file of one command.

    ``already_there`` are those of ``dropped`` that the inbox had. ``failed``: each file with the reason.
    ``exit_code``: 2 where one was refused, 1 where all that failed could not be written.
    """

    dropped: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    exit_code: int = 0


def drop(files: Sequence[str], *, kind: str, as_json: bool) -> int:
    """Copy each file into the inbox under a name that carries its hash; return the exit code.

    A file that can't be dropped is named with the reason; the others are dropped.
    """
    done = drop_all(read_setup(), files, kind=kind)
    if as_json:
        print_json(asdict(done))
    else:
        for path in done.dropped:
            say(f"already in the inbox: {path}" if path in done.already_there else f"dropped {path}")
        if done.dropped:
            say("The next `execution-engine run` judges them.")
    for failure in done.failed:
        say(f"error: {failure['file']}: not dropped: {failure['why']}", err=True)
    return done.exit_code


def drop_all(setup: Setup, files: Sequence[str], *, kind: str) -> Dropping:
    """Drop each file that can be dropped; see ``Dropping``."""
    inbox, done = setup.inbox.root, Dropping()
    before = set(inbox.iterdir()) if inbox.is_dir() else set()
    refused = False
    for file in files:
        try:
            given = read_given(file, kind=kind, limits=setup.settings.intake)
        except UsageError as error:
            refused = True
            done.failed.append({"file": file, "why": str(error)})
            continue
        try:
            path = drop_file(given.name, given.content, inbox, modes=setup.modes)
        except (EngineError, OSError) as error:
            done.failed.append({"file": file, "why": _why_not_written(error, inbox)})
            continue
        done.dropped.append(str(path))
        if path in before:
            done.already_there.append(str(path))
    if done.failed:
        done.exit_code = EXIT_NOT_TAKEN if refused else EXIT_NOT_WRITTEN
    return done


def _why_not_written(error: Exception, inbox: Path) -> str:
    if isinstance(error, OSError):
        return f"{error.filename or inbox} can't be written: {fault_of(error)}. Then drop the file again."
    return str(error)
