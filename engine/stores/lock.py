"""One job at a time per data folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import RunInProgress
from engine.stores.modes import OWNER_ONLY, Modes

_TRIES, _BETWEEN_TRIES_S = 50, 0.002


@contextmanager
def exclusive(data_dir: Path, *, since: str, modes: Modes = OWNER_ONLY) -> Iterator[None]:
    """Hold a data folder; the system lets go of it when the process ends, however it ends.

    ``since`` is told to whoever comes meanwhile. Raises ``RunInProgress`` where another job holds it.
    """
    from filelock import FileLock, Timeout

    modes.make_folder(data_dir)
    note = data_dir / ".lock.holder"
    try:
        with (
            FileLock(data_dir / ".lock", timeout=0, mode=modes.file),
            open(note, "a+", opener=modes.opener) as opened,
        ):
            _mark(opened.fileno())
            opened.truncate(0)
            opened.write(f"process {os.getpid()}, at work since {since}")
            opened.flush()
            yield
            with suppress(OSError):
                note.unlink()
    except Timeout:
        raise RunInProgress(
            f"{data_dir} is in use by {_who(data_dir)}. Nothing was done; wait for its end, then run again."
        ) from None


def holder(data_dir: Path) -> str | None:
    """Return which process is at work in a data folder, None where none is.

    The lock itself is left alone: a run that begins at the same time finds it free. What is looked at is
    the note beside it, which the holder has locked as well.
    """
    try:
        with (data_dir / ".lock.holder").open() as note:
            fcntl.flock(note, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _who(data_dir)


def _mark(note: int) -> None:
    """Lock the holder's note; who looks at it holds it for an instant, and is waited for."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_BETWEEN_TRIES_S)
        except OSError:  # a file system without such locks: nothing depends on the mark but what is shown
            return
        else:
            return


def _who(data_dir: Path) -> str:
    try:
        return (data_dir / ".lock.holder").read_text()
    except OSError:
        return "another process"
