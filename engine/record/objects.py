"""The place of the files of record, which are written once, whole, and never changed.

The protocol is small, so that a local disk or an object store can implement it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from engine.errors import AlreadyWritten, RecordError, UnusablePlace
from engine.record.modes import OWNER_ONLY, Modes
from engine.record.system_errors import NO_HARD_LINKS, fault_of, naming

Content = bytes | Any
"""Bytes, or anything with the buffer protocol, such as a ``pyarrow.Buffer``."""


class Objects(Protocol):
    """A place that keeps objects under keys such as ``runs/2026-03-02/…/run.json``."""

    def put(self, key: str, content: Content) -> None:
        """Keep a new object, whole. Raises ``AlreadyWritten`` where the key is taken."""
        ...

    def read(self, key: str) -> bytes:
        """Return an object's content. Raises ``RecordError`` where there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that ends in ``/``, in order. Raises ``RecordError``."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that isn't there is no error."""
        ...

    def folders(self, prefix: str) -> dict[str, str]:
        """Return the folders right below a prefix that ends in ``/``: by name, in order, a stamp of each.

        A stamp changes with the names that its folder holds; "" says nothing. Raises ``RecordError``.
        """
        ...

    def has(self, key: str) -> bool:
        """Return whether there is an object. Raises ``RecordError`` where that is unknown."""
        ...


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


class LocalObjects:
    """Objects as files below a folder.

    A file is written under a hidden name, flushed to the disk and linked to its own name, which fails where
    that exists: after a crash at any time it is there whole or not at all. The root and the places right
    below it (``archive``, say) may be links to another disk; below these no link is followed.
    """

    def __init__(self, root: Path, modes: Modes = OWNER_ONLY) -> None:
        self.root = root
        self.modes = modes

    def put(self, key: str, content: Content) -> None:
        """Keep a new object; see ``Objects``."""
        path = self.root / key
        with naming(path):
            self._make_folders(key)
            # A new name each time: the draft of a killed job may be a hard link to a sealed object.
            draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
            try:
                with open(draft, "xb", opener=self.modes.opener) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                link_new(draft, path)
            except FileExistsError:
                raise AlreadyWritten(f"{path} exists already; files of record are written once.") from None
            finally:
                draft.unlink(missing_ok=True)
            self._flush(path.parent)

    def read(self, key: str) -> bytes:
        """Return an object's content; see ``Objects``. A pipe or a device is none, and is not waited for."""
        path = self.root / key
        try:
            with open(path, "rb", opener=_without_waiting) as file:
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return file.read()
        except OSError as error:
            raise RecordError(f"{path} can't be read: {fault_of(error)}.") from None
        raise RecordError(f"{path} can't be read: it is a pipe or a device. Move it elsewhere.")

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix; see ``Objects``. Hidden files and folders are none.

        Raises ``RecordError`` where a folder can't be listed: what is recorded there is unknown, not absent.
        """
        keys = []
        folders = [self.root / prefix]
        while folders:
            folder = folders.pop()
            below = folder.relative_to(self.root).as_posix()
            for entry in _entries(folder):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(folder / entry.name)
                elif entry.is_symlink() and not entry.is_file():
                    raise _link(folder / entry.name)
                else:
                    keys.append(f"{below}/{entry.name}")
        return sorted(keys)

    def delete(self, key: str) -> None:
        """Remove an object; see ``Objects``."""
        (self.root / key).unlink(missing_ok=True)

    def folders(self, prefix: str) -> dict[str, str]:
        """Return the folders right below a prefix; see ``Objects``. A stamp is of inode and time."""
        found = {}
        for entry in _entries(self.root / prefix):
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not entry.is_file():
                raise _link(Path(entry.path))
            if entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = f"{status.st_ino}-{status.st_mtime_ns}"
        return dict(sorted(found.items()))

    def has(self, key: str) -> bool:
        """Return whether there is an object; see ``Objects``."""
        try:
            os.stat(f"{self.root}/{key}")  # noqa: PTH116 - to make a path takes longer than the call
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise RecordError(f"{self.root / key} can't be checked: {fault_of(error)}.") from None
        return True

    def place_for(self, key: str) -> Path:
        """Make the folders of a key, and return the path to which a file can be moved."""
        self._make_folders(key)
        return self.root / key

    def _flush(self, folder: Path) -> None:
        flush_folder(folder)

    def _make_folders(self, key: str) -> None:
        place, *folders = PurePosixPath(key).parts[:-1]
        folder = self.root / place
        self._make_folder(folder)
        for name in folders:
            folder /= name
            try:
                status = folder.lstat()
            except FileNotFoundError:
                self._make_folder(folder)
                continue
            if not stat.S_ISDIR(status.st_mode):
                raise RecordError(
                    f"{folder} is not a folder but a file or a link, and nothing is written below it."
                )

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make_folder(folder.parent)
            self.modes.make_one_folder(folder)
            flush_folder(folder.parent)


class _FlushedLater(LocalObjects):
    """Local objects whose folders are flushed together."""

    def __init__(self, root: Path, modes: Modes) -> None:
        super().__init__(root, modes)
        self.unflushed: set[Path] = set()

    def _flush(self, folder: Path) -> None:
        self.unflushed.add(folder)


@contextmanager
def many_puts(objects: Objects) -> Iterator[Objects]:
    """Yield the same objects for many puts, all of which are durable once the block has ended.

    Each file is flushed when it is put, and each folder once, at the end.
    """
    if not isinstance(objects, LocalObjects):
        yield objects
        return
    later = _FlushedLater(objects.root, objects.modes)
    yield later
    for folder in sorted(later.unflushed):
        flush_folder(folder)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, none where it doesn't exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return []
        raise RecordError(
            f"{folder} can't be listed, so what is recorded there is unknown: {fault_of(error)}. Nothing was "
            f"done; then run again."
        ) from None


def _link(path: Path) -> RecordError:
    return RecordError(
        f"{path} is a link, which is not followed: what is recorded behind it is unknown. Nothing was done; "
        f"put the folder itself in its place."
    )


def link_new(draft: Path, path: Path) -> None:
    """Link a complete draft to its final name.

    Raises ``FileExistsError`` where the name is taken, and ``UnusablePlace`` where there are no hard links.
    """
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        raise UnusablePlace(
            f"{path.parent} can't be used: its file system takes no hard links, without which a file of "
            f"record can't be written once and whole. Put the data folder on a disk that takes them, or name "
            f"another one in EXEC_DATA_DIR, then run again."
        ) from error


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
