"""Writing files that a request names, below one folder only."""

from __future__ import annotations

import os
from pathlib import Path

from engine.record.modes import OWNER_ONLY

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Outside(ValueError):
    """A path leads, or may lead, out of the folder."""


def write_below(folder: Path, path: str, content: bytes) -> int:
    """Write a file below a folder, in existing sub-folders, and return its size in bytes.

    Each step opens one name in an already open folder and follows no link. Raises ``Outside`` for an absolute
    path and for one with empty parts, ``.`` or ``..``, and ``OSError``, also for a link.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise Outside("a path below the folder of --save-dir, without . and ..")
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=place)
            os.close(place)
            place = inner
        file = os.open(parts[-1], _FILE, OWNER_ONLY.file, dir_fd=place)
    finally:
        os.close(place)
    with os.fdopen(file, "wb") as opened:
        return opened.write(content)
