"""Opening what lies in the inbox: by descriptor, folder by folder, so that no link is ever followed.

Strategies of other users write into the inbox. A name that is looked at and then used can be something else
by then, so each step names one entry of a folder that is open already. The inbox itself may be a link.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEEPEST = 200
"""Folders below each other that are open at the same time, whatever the setting says."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""No link is followed, and a pipe or device that was put in a file's place is not waited for."""


@contextmanager
def folder_of(root: Path, name: str) -> Iterator[int]:
    """Open the folder that a file lies in. Raises ``OSError`` where a part of the way is a link."""
    descriptor = os.open(root, _FOLDER)
    try:
        for part in name.split("/")[:-1]:
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def open_folder(name: str, *, within: int) -> int:
    """Open a folder of an open folder. Raises ``OSError``, also for a link."""
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=within)


@contextmanager
def opened_file(name: str, *, within: int) -> Iterator[int]:
    """Open a file of an open folder for reading. Raises ``OSError``, also for a link."""
    descriptor = os.open(name, _FILE, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def status_of(name: str, *, within: int) -> os.stat_result:
    """Return what an entry of an open folder is, of a link the link itself. Raises ``OSError``."""
    return os.stat(name, dir_fd=within, follow_symlinks=False)


def can_be_removed(status: os.stat_result, *, within: int) -> bool:
    """Return whether this process may remove a file from an open folder, as far as permissions tell."""
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=within, effective_ids=True):
        return False
    folder = os.fstat(within)
    is_sticky = bool(folder.st_mode & stat.S_ISVTX)
    return not is_sticky or os.geteuid() in {0, status.st_uid, folder.st_uid}


@contextmanager
def without_writers(descriptor: int) -> Iterator[bool | None]:
    """Keep new writers of an open file waiting until the block ends; hand out whether there is none.

    None where the system can't tell: it does where this process owns the file or may take a lease on it,
    and the file system knows leases. A writer that comes meanwhile is held up by the kernel. Its signal is
    made one that is ignored by default: SIGIO would end the process.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        yield False
        return
    except (OSError, AttributeError):
        yield None
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
