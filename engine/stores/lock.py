"""One job at a time per data folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import RunInProgress


@contextmanager
def exclusive(data_dir: Path, *, since: str) -> Iterator[None]:
    """Hold a data folder; the system lets go of it when the process ends, however it ends.

    ``since`` is told to whoever comes meanwhile. Raises ``RunInProgress`` where another job holds it.
    """
    from filelock import FileLock, Timeout

    data_dir.mkdir(parents=True, exist_ok=True)
    note = data_dir / ".lock.holder"
    try:
        with FileLock(data_dir / ".lock", timeout=0):
            note.write_text(f"process {os.getpid()}, at work since {since}")
            yield
            with suppress(OSError):
                note.unlink()
    except Timeout:
        raise RunInProgress(
            f"{data_dir} is in use by {_who(data_dir)}. Nothing was done; wait for its end, then run again."
        ) from None


def holder(data_dir: Path) -> str | None:
    """Say who is at work in a data folder, None where nobody is."""
    from filelock import FileLock, Timeout

    if not (data_dir / ".lock").exists():
        return None
    try:
        with FileLock(data_dir / ".lock", timeout=0):
            return None
    except Timeout:
        return _who(data_dir)


def _who(data_dir: Path) -> str:
    try:
        return (data_dir / ".lock.holder").read_text()
    except OSError:
        return "another process"
