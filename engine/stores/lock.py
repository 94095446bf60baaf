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
    holder = data_dir / ".lock.holder"
    try:
        with FileLock(data_dir / ".lock", timeout=0):
            holder.write_text(f"process {os.getpid()}, at work since {since}")
            yield
            with suppress(OSError):
                holder.unlink()
    except Timeout:
        try:
            who = holder.read_text()
        except OSError:
            who = "another process"
        raise RunInProgress(
            f"{data_dir} is in use by {who}. Nothing was done; wait until it has ended and run again."
        ) from None
