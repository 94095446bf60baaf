"""Where files of record live: written once, whole, never changed.

Only four things are asked of such a place, so that it can be a local disk or an object store alike.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from engine.errors import AlreadyWritten, RecordError

Content = bytes | Any
"""Bytes, or anything with the buffer protocol, such as a ``pyarrow.Buffer``."""


class Objects(Protocol):
    """A place that keeps objects under keys such as ``runs/2026-03-02/…/run.json``."""

    def put(self, key: str, content: Content) -> None:
        """Keep a new object, whole. Raises ``AlreadyWritten`` where the key is taken."""
        ...

    def read(self, key: str) -> bytes:
        """Give an object's content. Raises ``RecordError`` where there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Give the keys below a prefix that ends in ``/``, in order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that isn't there is no error."""
        ...


class LocalObjects:
    """Objects as files below a folder.

    A file is written under a hidden name, flushed to the disk and linked to its own name, which fails where
    that exists: after a crash at any instant it is there whole or not at all.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, content: Content) -> None:
        """Keep a new object; see ``Objects``."""
        path = self.root / key
        _make_folder(path.parent)
        # A new name each time: the draft of a killed job may be a sealed object's second name.
        draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            raise AlreadyWritten(f"{path} exists already; files of record are written once.") from None
        finally:
            draft.unlink(missing_ok=True)
        flush_folder(path.parent)

    def read(self, key: str) -> bytes:
        """Give an object's content; see ``Objects``."""
        try:
            return (self.root / key).read_bytes()
        except OSError as error:
            raise RecordError(f"{self.root / key} can't be read ({error.strerror}).") from None

    def list(self, prefix: str) -> list[str]:
        """Give the keys below a prefix; see ``Objects``."""
        keys = []
        for folder, _, names in os.walk(self.root / prefix):
            below = Path(folder).relative_to(self.root).as_posix()
            keys += [f"{below}/{name}" for name in names if not name.startswith(".")]
        return sorted(keys)

    def delete(self, key: str) -> None:
        """Remove an object; see ``Objects``."""
        (self.root / key).unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk, so that it outlives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
