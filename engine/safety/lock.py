"""The exclusive lock of a data folder: one job at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from engine.errors import RunInProgress, UnusablePlace
from engine.record.modes import OWNER_ONLY, Modes
from engine.record.system_errors import NO_SUPPORT, naming
from engine.waiting.pause import waited

_OTHER_DISK = (
    "Put the data folder on a disk of this machine, or mount that one with locks, then run again; "
    "`execution-engine doctor` tries them."
)
_TRIES, _BETWEEN_TRIES_S = 50, 0.002


@contextmanager
def exclusive(data_dir: Path, *, since: str, modes: Modes = OWNER_ONLY) -> Iterator[None]:
    """Hold the lock of a data folder; the system releases it when the process ends, in any way.

    ``since`` is shown to other jobs that try meanwhile. Raises ``RunInProgress`` where another job holds it,
    and ``UnusablePlace`` where its file system has no locks, or grants one twice.
    """
    note = data_dir / ".lock.holder"
    with ExitStack() as held:
        with naming(data_dir):
            modes.make_folder(data_dir)
            _lock(held, data_dir, modes)
            opened = held.enter_context(open(note, "ab", 0, opener=modes.opener))
            _mark(opened.fileno())
            opened.truncate(0)
            opened.write(f"process {os.getpid()}, at work since {since}".encode())
        yield
        with suppress(OSError):
            note.unlink()


def check_locks(lock: Path) -> None:
    """Check that a file locked by this process can't be locked a second time. Raises ``UnusablePlace``.

    A file system whose locks apply to one machine only (NFS with ``nolock``) can't be detected here.
    """
    with lock.open("rb") as again:
        try:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            return
    raise UnusablePlace(
        f"{lock.parent} can't be used: its file system grants the same lock twice, so that two runs could "
        f"send the same orders. {_OTHER_DISK}"
    )


def _lock(held: ExitStack, data_dir: Path, modes: Modes) -> None:
    from filelock import FileLock, Timeout

    lock = data_dir / ".lock"
    try:
        held.enter_context(FileLock(lock, timeout=0, mode=modes.file, fallback_to_soft=False))
    except Timeout:
        raise RunInProgress(
            f"{data_dir} is in use by {_who(data_dir)}. Nothing was done; wait until it ends, then run again."
        ) from None
    except OSError as error:
        if error.errno in NO_SUPPORT:
            raise no_locks(data_dir) from error
        raise
    check_locks(lock)


def no_locks(folder: Path) -> UnusablePlace:
    """Return the error of a place without locks."""
    return UnusablePlace(
        f"{folder} can't be used: its file system has no locks, so that two runs could send the same orders. "
        f"{_OTHER_DISK}"
    )


def holder(data_dir: Path) -> str | None:
    """Return which process holds a data folder, None where none does.

    Tries the lock of the note beside it, which the holder has locked as well: a run that begins at the same
    time finds the lock itself free. Without locks, the text reports that the process is unknown.
    """
    try:
        with (data_dir / ".lock.holder").open() as note:
            fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _who(data_dir)
    except OSError as error:
        if error.errno in NO_SUPPORT:
            return "an unknown process, since the file system has no locks"
        raise


def _mark(note: int) -> None:
    """Lock the holder's note; a reader holds it for an instant, so a few tries are made."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited(_BETWEEN_TRIES_S)
        except OSError:  # a file system without such locks: the note is only for display
            return
        else:
            return


def _who(data_dir: Path) -> str:
    try:
        return (data_dir / ".lock.holder").read_text()
    except OSError:
        return "another process"
