"""Removing consumed files from the inbox, so that a file that arrives meanwhile is never lost.

A file is first moved aside and then checked: a file that has replaced it meanwhile is put back. A job that is
killed in between leaves the file aside, and the next job puts it back or completes the removal.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from engine.stores.inbox.files import ASIDE, Dropped, Left
from engine.stores.inbox.folders import (
    DEEPEST,
    folder_of,
    open_folder,
    opened_file,
    status_of,
    without_writers,
)
from engine.stores.inbox.reading import STILL_WRITTEN

_RENAME_NOREPLACE = 1


def take_away(root: Path, file: Dropped, place: Path | None = None) -> Left | None:
    """Remove a consumed file, or move it to ``place``, which is free; return why it is still there.

    Return None where it is removed or gone, or where another file has replaced it. Never raises ``OSError``.
    """
    try:
        with folder_of(root, file.name) as folder:
            return _take_away(folder, file, place)
    except FileNotFoundError as error:
        return None if root.is_dir() else file.is_blocked(_why(error, place))
    except OSError as error:
        return file.is_blocked(_why(error, place))


def recover(root: Path, *, max_depth: int) -> None:
    """Put back the files that a killed job had moved aside for removal; those that can't be stay aside."""
    with suppress(OSError):
        _recover(os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), min(max_depth, DEEPEST))


def flush(root: Path, files: Iterable[Dropped]) -> None:
    """Flush the removal of files to the disk, each folder once; call it before the run continues."""
    one_of_each_folder = {file.name.rpartition("/")[0]: file for file in files}
    for file in one_of_each_folder.values():
        with suppress(OSError), folder_of(root, file.name) as folder:
            os.fsync(folder)


def _take_away(folder: int, file: Dropped, place: Path | None) -> Left | None:
    aside = ASIDE + file.last_name
    # A job that was killed here has left the file aside: it must neither return nor be overwritten.
    if _exists(aside, folder):
        is_over, left = _end(folder, file, aside, place)
        if is_over:
            return left
    os.rename(file.last_name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    return _end(folder, file, aside, place)[1]


def _end(folder: int, file: Dropped, aside: str, place: Path | None) -> tuple[bool, Left | None]:
    """Complete the removal of a file moved aside; return whether it was the file, and why it remains."""
    if Dropped.of(file.name, status_of(aside, within=folder)) != file:
        _put_back(folder, aside)
        return False, None
    if _has_writer(folder, aside):
        _put_back(folder, aside)
        return True, file.waits(f"{STILL_WRITTEN}; its rows were taken as they were")
    try:
        if place is None:
            os.unlink(aside, dir_fd=folder)
        elif os.path.lexists(place):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place))
        else:
            os.rename(aside, place, src_dir_fd=folder)
    except OSError as error:
        _put_back(folder, aside)
        return True, file.is_blocked(_why(error, place))
    return True, None


def _why(error: OSError, place: Path | None) -> str:
    if place is None:
        return f"its rows were taken and it can't be removed ({error.strerror}); remove it"
    if error.errno == errno.EXDEV:
        return f"it can't be moved to {place}, which is another disk; move it there"
    return f"it can't be moved to {place} ({error.strerror}); move it there"


def _has_writer(folder: int, name: str) -> bool:
    try:
        with opened_file(name, within=folder) as opened, without_writers(opened) as has_no_writer:
            return has_no_writer is False
    except OSError:
        return False


def _recover(folder: int, levels: int) -> None:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
        for entry in found:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and levels > 0:
                    _recover(open_folder(entry.name, within=folder), levels - 1)
                elif entry.name.startswith(ASIDE) and entry.is_file(follow_symlinks=False):
                    _put_back(folder, entry.name)
    finally:
        os.close(folder)


def _put_back(folder: int, aside: str) -> None:
    """Rename a file to its own name, or to that name with a number if it is taken. Raises ``OSError``."""
    name, attempt = aside.removeprefix(ASIDE), 1
    stem, dot, endings = name.partition(".")
    while True:
        try:
            _rename_new(folder, aside, name)
        except FileExistsError:
            attempt += 1
            name = f"{stem}-{attempt}{dot}{endings}"
        else:
            return


def _rename_new(folder: int, old: str, new: str) -> None:
    """Rename a file. Raises ``FileExistsError`` where another file has the new name."""
    try:
        os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        # The same file: put back by a job that was killed before the next step.
        if not os.path.samestat(status_of(old, within=folder), status_of(new, within=folder)):
            raise
    except OSError:  # hard links to another user's file are forbidden, or the file system has none
        _rename_exclusively(folder, old, new)
        return
    os.unlink(old, dir_fd=folder)


def _rename_exclusively(folder: int, old: str, new: str) -> None:
    """Rename by the system call that never replaces a file. Raises ``OSError``."""
    call: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), old)
    if call(folder, os.fsencode(old), folder, os.fsencode(new), _RENAME_NOREPLACE):
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed), old)


def _exists(name: str, folder: int) -> bool:
    try:
        status_of(name, within=folder)
    except FileNotFoundError:
        return False
    return True
