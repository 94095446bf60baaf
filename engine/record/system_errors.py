"""Errors of the operating system about a place, worded for an operator: what is wrong there, and what to do.

The system's own messages ("No space left on device") name neither the rule nor the remedy.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import UnusablePlace
from engine.text.printable import shown

NO_SUPPORT = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL})
NO_HARD_LINKS = (NO_SUPPORT | {errno.EPERM, errno.EMLINK, errno.EXDEV}) - {errno.ENOLCK}

_GONE = ("the disk or the server behind it is gone", "Mount it again")
_TOO_MANY_FILES = ("too many files are open", "Raise that limit (`ulimit -n`)")
_NO_RIGHT = (
    "this user has no right to do that there",
    "Run as the user that the folder belongs to, or give this one the right to read and write there",
)
_CAUSES = {
    errno.ENOSPC: ("its disk is full", "Make room there (`df -h` and `df -i` show how much there is)"),
    errno.EDQUOT: ("this user's quota of its disk is used up", "Make room there, or have the quota raised"),
    errno.EROFS: (
        "its file system is mounted read-only",
        "Mount it for reading and writing, or name another folder in EXEC_DATA_DIR",
    ),
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EFBIG: ("a file there may not become that large", "Raise that limit (`ulimit -f`)"),
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.EIO: ("its disk reports a fault", "Look at the system's log, and have the disk repaired"),
    errno.ESTALE: _GONE,
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
    errno.ENOTCONN: _GONE,
    errno.EHOSTDOWN: _GONE,
    errno.ETIMEDOUT: _GONE,
    errno.ENOLCK: ("its file system has no locks", "Put the data folder on a disk that has them"),
    errno.EXDEV: ("it lies on another disk", "Put both on the same disk"),
    errno.EMLINK: ("its file system takes no further link", "Put the data folder on another disk"),
    errno.ENAMETOOLONG: ("its name is longer than its file system takes", "Give it a shorter one"),
    errno.ENOENT: ("it does not exist", "Put it back, or correct its name"),
    errno.ENOTDIR: ("a part of its path is no folder", "Correct its name, or move away what is in the way"),
    errno.EISDIR: ("it is a folder where a file is expected", "Move it away"),
    errno.ELOOP: ("its links lead in a circle", "Put the folder itself in the place of the link"),
}


def unusable(error: OSError, place: Path | str | None = None) -> UnusablePlace:
    """Return the error for a place that the system refused to use: place, fault and remedy.

    ``place``: the place that was used; the default is the one that ``error`` names.
    """
    what, remedy = _cause(error)
    where = _shown(place if place is not None else error.filename)
    return UnusablePlace(
        f"{where} can't be used: {what}. {remedy}, then run the command again; a run that was begun goes on."
    )


def fault_of(error: Exception) -> str:
    """Return the fault and the remedy of a system error, for a sentence that names the place.

    Any other error is returned as its own text.
    """
    if not isinstance(error, OSError):
        return str(error).removesuffix(".")
    what, remedy = _cause(error)
    return f"{what}; {remedy[:1].lower()}{remedy[1:]}"


def is_of_a_place(error: OSError) -> bool:
    """Return whether the system refused to use a place in a way that another run does not solve."""
    return error.errno in _CAUSES and error.errno != errno.ENOENT  # it may have been removed meanwhile


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Make an ``OSError`` of the block name this place; the system may name a draft of it, or nothing."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(place), None
        raise


def _cause(error: OSError) -> tuple[str, str]:
    if error.errno in _CAUSES:
        return _CAUSES[error.errno]
    text = error.strerror or (os.strerror(error.errno) if error.errno else str(error)) or type(error).__name__
    return f"the system refuses it ({shown(text)})", "See that it is there, whole and yours to use"


def _shown(place: object) -> str:
    return os.fsdecode(place) if isinstance(place, str | bytes | Path) else "a file of this command"
