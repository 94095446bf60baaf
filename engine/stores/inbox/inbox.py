"""The inbox: where strategies drop files, and how files leave it without one ever being lost."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.model.schema import FILE_ENDINGS
from engine.record.modes import OWNER_ONLY, Modes
from engine.record.system_errors import naming
from engine.settings.variables import DEFAULT_INTAKE
from engine.stores.inbox import finding as inbox_finding
from engine.stores.inbox import reading as inbox_reading
from engine.stores.inbox import removing as inbox_removing
from engine.stores.inbox.files import (
    HASH_CHARACTERS,
    LONGEST_NAME,
    Dropped,
    Left,
    hash_of,
    name_with_hash,
    why_passed_over,
)
from engine.stores.inbox.finding import Found
from engine.stores.inbox.reading import Reading

__all__ = ["Dropped", "Found", "Inbox", "Left", "Reading", "check_name", "drop_file", "hash_of"]


@dataclass(frozen=True)
class Inbox:
    """A folder with any sub-folders, into which strategies write, also those of other users.

    No link in it is followed, and no file that can't be listed, read or removed stops anything: it is named.
    """

    root: Path

    def find(self, *, max_depth: int = DEFAULT_INTAKE.max_depth) -> Found:
        """Return the regular files that are there, by name, and what is left alone with the reason."""
        return inbox_finding.find(self.root, max_depth=max_depth)

    def read(self, file: Dropped, *, max_bytes: int) -> Reading | Left:
        """Return a file's content as it was found, or why it is left."""
        return inbox_reading.read(self.root, file, max_bytes=max_bytes)

    def remove(self, file: Dropped) -> Left | None:
        """Remove a file that was consumed; return why it still lies there.

        A file that was put in its place meanwhile stays. Call ``flush`` before anything depends on it.
        """
        return inbox_removing.take_away(self.root, file)

    def move(self, file: Dropped, place: Path) -> Left | None:
        """Move a file that was consumed unread to a place on its disk; return why it still lies there."""
        return inbox_removing.take_away(self.root, file, place)

    def flush(self, files: Iterable[Dropped]) -> None:
        """Bring to the disk that files are no longer there."""
        inbox_removing.flush(self.root, files)

    def recover(self, *, max_depth: int = DEFAULT_INTAKE.max_depth) -> None:
        """Put back what a job that died while removing it had moved aside."""
        inbox_removing.recover(self.root, max_depth=max_depth)


def drop_file(name: str, content: bytes, inbox: Path, *, modes: Modes = OWNER_ONLY) -> Path:
    """Put a file into the inbox, whole, under a name that carries its hash, so that it needs no settling.

    The same content under the same name is one file. What is created of the inbox and in it has the modes
    that the umask says, since strategies of other users write there; the folder around it has ``modes``.
    Raises ``UsageError`` for a name that isn't looked at.
    """
    check_name(name)
    path = inbox / name_with_hash(name, hash_of(content))
    hidden = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with naming(inbox):
        modes.make_folder(_around(inbox))
        inbox.mkdir(parents=True, exist_ok=True)
        try:
            with hidden.open("xb") as file:  # never through a link that lies there
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(path)
        finally:
            hidden.unlink(missing_ok=True)
    return path


def check_name(name: str) -> None:
    """Refuse a file name that the inbox leaves alone. Raises ``UsageError``."""
    too_long = len(os.fsencode(name)) > LONGEST_NAME - HASH_CHARACTERS - 1
    if not name or "/" in name or too_long or why_passed_over(name):
        raise UsageError(f"{name!r} is a name that the inbox leaves alone; give the file another one.")
    if not name.lower().removesuffix(".gz").endswith(FILE_ENDINGS):
        raise UsageError(
            f"{name!r} is of no known kind; give it one of the endings {' '.join(FILE_ENDINGS)}, "
            f"each also with .gz behind it."
        )


def _around(inbox: Path) -> Path:
    """Return the data folder of an inbox, or of a folder below an inbox."""
    return next((folder.parent for folder in (inbox, *inbox.parents) if folder.name == "inbox"), inbox.parent)
