"""Reading a file of the inbox: whole, as it was found, and never while it is being written."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from engine.stores.inbox.files import Dropped, Left
from engine.stores.inbox.folders import can_be_removed, folder_of, opened_file, without_writers

STILL_WRITTEN = "a program has it open for writing"
CHANGED = "it changed while it was read"


@dataclass(frozen=True)
class Reading:
    """A file's content, None where it is larger than may be read.

    ``has_no_writer``: the system guarantees that no program has it open for writing. ``ctime_ns``: when the
    file or its status last changed, by the system's clock.
    """

    content: bytes | None
    has_no_writer: bool
    ctime_ns: int


def read(root: Path, file: Dropped, *, max_bytes: int) -> Reading | Left:
    """Read a file that was found, or return why it is left. Never raises ``OSError``."""
    try:
        with folder_of(root, file.name) as folder, opened_file(file.last_name, within=folder) as opened:
            status = os.fstat(opened)
            if not stat.S_ISREG(status.st_mode) or Dropped.of(file.name, status) != file:
                return file.waits(CHANGED)
            if not can_be_removed(status, within=folder):
                return file.is_blocked(
                    "it could not be removed once it is taken, so it is not taken; give this user the right "
                    "to write to its folder"
                )
            return _read(file, opened, max_bytes)
    except FileNotFoundError:
        return file.waits("it was removed while it was read")
    except BlockingIOError:  # the writer holds a lease, as a file server does
        return file.waits(STILL_WRITTEN)
    except OSError as error:
        return file.is_blocked(f"it can't be read ({error.strerror}); mend its permissions, or its disk")


def _read(file: Dropped, opened: int, max_bytes: int) -> Reading | Left:
    with without_writers(opened) as has_no_writer:
        if has_no_writer is False:
            return file.waits(STILL_WRITTEN)
        content = None
        if file.size <= max_bytes:
            with os.fdopen(opened, "rb", closefd=False) as stream:
                content = stream.read(file.size + 1)
        status = os.fstat(opened)
    if Dropped.of(file.name, status) != file or (content is not None and len(content) != file.size):
        return file.waits(CHANGED)
    return Reading(content, bool(has_no_writer), status.st_ctime_ns)
