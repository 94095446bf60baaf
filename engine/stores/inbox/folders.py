"""Opening files in the inbox by descriptor, folder by folder, so that no link is ever followed.

Strategies of other users write into the inbox. A name that is checked and then used may have been replaced in
between, so each step names one entry of a folder that is already open. The inbox itself may be a link.
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
"""The most nested folders that are open at the same time, whatever the setting."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""No link is followed, and a pipe or device in a file's place does not block."""


@contextmanager
def folder_of(root: Path, name: str) -> Iterator[int]:
    """Yield the open folder of a file. Raises ``OSError`` where a part of the path is a link."""
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
    """Yield a file of an open folder, opened for reading. Raises ``OSError``, also for a link."""
    descriptor = os.open(name, _FILE, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def status_of(name: str, *, within: int) -> os.stat_result:
    """Return the status of an entry of an open folder, for a link that of the link. Raises ``OSError``."""
    return os.stat(name, dir_fd=within, follow_symlinks=False)


def can_be_removed(status: os.stat_result, *, within: int) -> bool:
    """Return whether this process may remove a file from an open folder, by its permissions."""
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=within, effective_ids=True):
        return False
    folder = os.fstat(within)
    is_sticky = bool(folder.st_mode & stat.S_ISVTX)
    return not is_sticky or os.geteuid() in {0, status.st_uid, folder.st_uid}


@contextmanager
def without_writers(descriptor: int) -> Iterator[bool | None]:
    """Hold off new writers of an open file until the block ends; yield whether it has no writer.

    Yield None where that is unknown: the system reports it only where this process owns the file or may
    take a lease on it, and the file system has leases. The kernel blocks a writer that comes meanwhile. Its
    signal is set to one that is ignored by default: SIGIO would end the process.
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
