"""Tests whether the disk of a data folder, and disks mounted below it, have the required features.

Each feature is tested with temporary files in a hidden folder, which is removed afterwards.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UnusablePlace
from engine.record.modes import OWNER_ONLY
from engine.record.objects import flush_folder, link_new
from engine.record.system_errors import NO_SUPPORT, fault_of, naming, unusable
from engine.safety.lock import check_locks, no_locks

_TRIED_BYTES = 64 * 1024
_OPEN_FILE_LOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process


@dataclass(frozen=True)
class Unkept:
    """A guarantee that a place can't give; ``why``: what is wrong there, and what to do."""

    place: Path
    promise: str
    why: str

    def __str__(self) -> str:
        return f"{self.promise} can't be kept: {self.why}"


def try_places(data_dir: Path) -> list[Unkept]:
    """Return the guarantees that a data folder, or a disk mounted below it, can't give."""
    return [one for place in _on_disks_of_their_own(data_dir) for one in try_place(place)]


def try_place(place: Path) -> list[Unkept]:
    """Return the guarantees that an existing folder can't give; removes its temporary files."""
    folder = place / f".trial-{os.urandom(8).hex()}"
    try:
        with naming(place):
            OWNER_ONLY.make_one_folder(folder)
            return list(_unkept(place, folder))
    except OSError as error:
        return [Unkept(place, _TRIALS[0][0], str(unusable(error)))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def inbox_remarks(data_dir: Path) -> list[str]:
    """Return a sentence on the limits of an inbox that is on another disk than the rest."""
    inbox, quarantine = data_dir / "inbox", data_dir / "quarantine"
    if not inbox.is_dir():
        return []
    beside = quarantine if quarantine.is_dir() else data_dir
    if inbox.stat().st_dev == beside.stat().st_dev:
        return []
    remark = (
        f"{inbox} is on another disk than {beside}: a file above EXEC_INBOX_MAX_FILE_BYTES can't be moved to "
        f"the quarantine, and stays in the inbox as blocked (exit code 4). Put both on one disk, or move "
        f"such files by hand."
    )
    return [remark]


def _unkept(place: Path, folder: Path) -> Iterator[Unkept]:
    for promise, trial in _TRIALS:
        try:
            trial(folder)
        except UnusablePlace as unfit:
            yield Unkept(place, promise, str(unfit).replace(str(folder), str(place)))
        except OSError as error:
            yield Unkept(place, promise, f"{place} can't be used: {fault_of(error)}.")
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}:
                return  # nothing else can be tested


def _write(folder: Path) -> None:
    with (folder / "draft").open("xb") as file:
        file.write(b"\0" * _TRIED_BYTES)


def _flush(folder: Path) -> None:
    with (folder / "draft").open("rb+") as file:
        os.fsync(file.fileno())
    flush_folder(folder)


def _link(folder: Path) -> None:
    (folder / "first").touch()
    link_new(folder / "first", folder / "named")
    try:
        link_new(folder / "draft", folder / "named")
    except FileExistsError:
        return
    raise UnusablePlace(
        f"{folder} can't be used: its file system lets a new file take the name of another. Put the data "
        f"folder on another disk."
    )


def _lock(folder: Path) -> None:
    lock = folder / "lock"
    with lock.open("wb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_SUPPORT:
                raise no_locks(folder) from error
            raise
        check_locks(lock)


def _lock_range(folder: Path) -> None:
    """Lock a range as SQLite does, but per open file, which also excludes this process itself."""
    command = getattr(fcntl, "F_OFD_SETLK", None)
    if command is None:
        return
    wanted = struct.pack(_OPEN_FILE_LOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with (folder / "range").open("wb") as held, (folder / "range").open("rb+") as again:
        try:
            fcntl.fcntl(held, command, wanted)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return  # the system has no locks per open file
            if error.errno in NO_SUPPORT:
                raise no_locks(folder) from error
            raise
        try:
            fcntl.fcntl(again, command, wanted)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return
            raise
    raise UnusablePlace(
        f"{folder} can't be used: its file system grants the same range of a file twice, so that two writers "
        f"could damage engine.db. Put the data folder on a disk of this machine."
    )


_TRIALS: tuple[tuple[str, Callable[[Path], None]], ...] = (
    ("recording before anything is sent", _write),
    ("a record that outlives a power cut", _flush),
    ("files of record that are written once, whole", _link),
    ("one run at a time", _lock),
    ("one writer of engine.db at a time", _lock_range),
)


def _on_disks_of_their_own(data_dir: Path) -> list[Path]:
    """Return a data folder, and the folders directly below it, except the inbox, that are on other disks."""
    disks = {data_dir.stat().st_dev: data_dir}
    for place in sorted(data_dir.iterdir()):
        if place.name != "inbox" and not place.name.startswith(".") and place.is_dir():
            disks.setdefault(place.stat().st_dev, place)
    return list(disks.values())
