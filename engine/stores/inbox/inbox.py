"""The inbox: where strategies drop files, and how files are removed without losing any."""

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
    """A folder with sub-folders, into which strategies write, also those of other users.

    No link in it is followed. A file that can't be listed, read or removed is reported and stops nothing.
    """

    root: Path

    def find(self, *, max_depth: int = DEFAULT_INTAKE.max_depth) -> Found:
        """Return the regular files by name, and everything that is left with the reason."""
        return inbox_finding.find(self.root, max_depth=max_depth)

    def read(self, file: Dropped, *, max_bytes: int) -> Reading | Left:
        """Return the content of a file that was found, or why the file is left."""
        return inbox_reading.read(self.root, file, max_bytes=max_bytes)

    def remove(self, file: Dropped) -> Left | None:
        """Remove a consumed file; return why it is still there, None where it is removed.

        A file that was put in its place meanwhile stays. Call ``flush`` before anything depends on it.
        """
        return inbox_removing.take_away(self.root, file)

    def move(self, file: Dropped, place: Path) -> Left | None:
        """Move a file that was consumed unread to a place on its disk; return why it is still there."""
        return inbox_removing.take_away(self.root, file, place)

    def flush(self, files: Iterable[Dropped]) -> None:
        """Flush the removal of files to the disk."""
        inbox_removing.flush(self.root, files)

    def recover(self, *, max_depth: int = DEFAULT_INTAKE.max_depth) -> None:
        """Put back the files that a killed job had moved aside for removal."""
        inbox_removing.recover(self.root, max_depth=max_depth)


def drop_file(name: str, content: bytes, inbox: Path, *, modes: Modes = OWNER_ONLY) -> Path:
    """Put a file into the inbox, whole, under a name with its hash, so that a run takes it without waiting.

    The same content under the same name is one file. New folders and files of the inbox have the modes of
    the umask, since strategies of other users write there; the folder around it has ``modes``. Raises
    ``UsageError`` for a name that the inbox ignores.
    """
    check_name(name)
    path = inbox / name_with_hash(name, hash_of(content))
    hidden = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    with naming(inbox):
        modes.make_folder(_around(inbox))
        inbox.mkdir(parents=True, exist_ok=True)
        try:
            with hidden.open("xb") as file:  # never through an existing link
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
