"""Modes of the files and folders that the engine creates: for its user alone, or also readable by its group.

The umask has no effect and is left as it is: the engine is also a library. Existing files keep their mode.
These functions leave the inbox alone, since strategies of other users write into it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PERMISSIONS = 0o777


@dataclass(frozen=True)
class Modes:
    """The modes of new folders and files."""

    folder: int
    file: int

    @classmethod
    def of(cls, *, group_access: bool) -> Modes:
        """Return the modes with or without access for the group."""
        return WITH_GROUP if group_access else OWNER_ONLY

    def make_folder(self, folder: Path) -> None:
        """Make a folder and its missing parents; existing folders stay as they are."""
        for missing in reversed([folder, *folder.parents]):
            if not missing.is_dir():
                self.make_one_folder(missing)

    def make_one_folder(self, folder: Path) -> None:
        """Make a folder in an existing one, unless it is there."""
        try:
            folder.mkdir(self.folder)
        except FileExistsError:
            if not folder.is_dir():
                raise
            return
        found = folder.stat().st_mode
        # Keep the bit that passes a folder's group on to new files in it.
        _set(folder, found, self.folder | (found & stat.S_ISGID))

    @property
    def opener(self) -> Callable[[str, int], int]:
        """An ``opener`` for ``open``: a file that it creates gets the mode."""
        return self._opened

    def _opened(self, path: str, flags: int) -> int:
        if flags & os.O_CREAT:
            with suppress(FileExistsError):
                descriptor = os.open(path, flags | os.O_EXCL, self.file)
                _set(descriptor, os.fstat(descriptor).st_mode, self.file)
                return descriptor
        return os.open(path, flags, self.file)

    def take_over(self, file: Path) -> bool:
        """Set the mode of a file from elsewhere; return whether it is open to no more users than a new one.

        The system forbids to set the mode of another user's file.
        """
        found = stat.S_IMODE(file.stat(follow_symlinks=False).st_mode)
        if found & _PERMISSIONS & ~self.file and not file.is_symlink():
            _set(file, found, self.file)
            found = stat.S_IMODE(file.stat(follow_symlinks=False).st_mode)
        return not found & _PERMISSIONS & ~self.file

    def wider(self, data_dir: Path, *, at_most: int) -> Iterator[tuple[Path, int]]:
        """Yield the files and folders below a data folder that are open to too many users, with their modes.

        The inbox is left out. At most ``at_most`` files and folders are checked, the upper ones first, and no
        link is followed.
        """
        folders = [data_dir]
        looked_at = 0
        for folder in folders:
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    looked_at += 1
                    if looked_at > at_most:
                        return
                    path = folder / entry.name
                    if entry.is_symlink() or path == data_dir / "inbox":
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                    mode = stat.S_IMODE(entry.stat(follow_symlinks=False).st_mode)
                    if mode & _PERMISSIONS & ~(self.folder if is_folder else self.file):
                        yield path, mode
                    if is_folder:
                        folders.append(path)


OWNER_ONLY = Modes(folder=0o700, file=0o600)
WITH_GROUP = Modes(folder=0o750, file=0o640)


def _set(place: Path | int, found: int, mode: int) -> None:
    """Set a mode where it differs; ignore a file system without modes."""
    if stat.S_IMODE(found) != mode:
        with suppress(OSError):
            os.chmod(place, mode)  # noqa: PTH101 - of a descriptor, too
