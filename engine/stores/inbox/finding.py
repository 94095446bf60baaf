"""Finding the files in the inbox that may be taken, and everything else with the reason to leave it."""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from engine.stores.inbox.files import ASIDE, Dropped, Kind, Left, why_passed_over
from engine.stores.inbox.folders import DEEPEST, open_folder
from engine.text.printable import printable

_ASIDE = "a job that died had moved it aside; where no run puts it back, rename it"
_KINDS = {
    stat.S_ISLNK: "it is a link, which is not followed; put the file or folder itself here",
    stat.S_ISFIFO: "it is a pipe, not a file; remove it",
    stat.S_ISSOCK: "it is a socket, not a file; remove it",
    stat.S_ISCHR: "it is a device, not a file; remove it",
    stat.S_ISBLK: "it is a device, not a file; remove it",
}


@dataclass(frozen=True)
class Found:
    """Regular files by name, and what is left; ``is_complete``: every folder could be listed."""

    files: list[Dropped]
    left: list[Left]
    is_complete: bool


def find(root: Path, *, max_depth: int) -> Found:
    """Return the content of an inbox, down to ``max_depth`` folders below it. Never raises ``OSError``.

    An inbox that doesn't exist yet is empty; anything that can't be listed or read is reported.
    """
    search = _Search(min(max_depth, DEEPEST))
    try:
        descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not root.is_symlink():
            return Found([], [], is_complete=False)
        search.cannot_be_listed("", error)
    else:
        search.look_into(descriptor, "", 0)
    return search.found()


@dataclass
class _Search:
    max_depth: int
    files: list[tuple[Dropped, os.stat_result]] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    names_of: Counter[tuple[int, int]] = field(default_factory=Counter)
    is_complete: bool = True

    def found(self) -> Found:
        """Return what was found, without files that also have a name elsewhere."""
        files = []
        for file, status in self.files:
            if status.st_nlink > self.names_of[status.st_dev, status.st_ino]:
                why = "it is a hard link to a file outside the inbox; copy the file here instead"
                self.left.append(file.is_blocked(why))
            else:
                files.append(file)
        return Found(
            sorted(files, key=lambda file: file.name),
            sorted(self.left, key=lambda left: left.name),
            self.is_complete,
        )

    def look_into(self, folder: int, below: str, depth: int) -> None:
        """Collect everything in an open folder, and close it."""
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
            for entry in found:
                self._look_at(entry, folder, below, depth)
        except OSError as error:
            self.cannot_be_listed(below, error)
        finally:
            os.close(folder)

    def cannot_be_listed(self, name: str, error: OSError) -> None:
        """Report a folder whose content is unknown."""
        self.is_complete = False
        self._leave(
            name,
            f"the folder can't be listed ({error.strerror}); mend its permissions, or its disk",
            "blocked",
        )

    def _look_at(self, entry: os.DirEntry[str], folder: int, below: str, depth: int) -> None:
        name = below + entry.name
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError as error:
            self._leave(name, f"it can't be looked at ({error.strerror}); mend its permissions", "blocked")
            return
        if stat.S_ISREG(status.st_mode):
            self.names_of[status.st_dev, status.st_ino] += 1
        if entry.name.startswith(ASIDE) and stat.S_ISREG(status.st_mode):
            self._leave(name, _ASIDE, "blocked")
        elif why := why_passed_over(entry.name):
            self._leave(name, why, "waiting")
        elif stat.S_ISDIR(status.st_mode):
            self._look_below(entry.name, folder, name + "/", depth + 1)
        elif not stat.S_ISREG(status.st_mode):
            why = next((why for is_kind, why in _KINDS.items() if is_kind(status.st_mode)), "it is no file")
            self._leave(name, why, "blocked")
        else:
            self.files.append((Dropped.of(name, status), status))

    def _look_below(self, name: str, folder: int, below: str, depth: int) -> None:
        if depth > self.max_depth:
            why = (
                f"folders more than {self.max_depth} below the inbox are not read (EXEC_INBOX_MAX_DEPTH); "
                f"move its files up"
            )
            self._leave(below, why, "blocked")
            return
        try:
            inner = open_folder(name, within=folder)
        except FileNotFoundError:
            return
        except OSError as error:
            self.cannot_be_listed(below, error)
            return
        self.look_into(inner, below, depth)

    def _leave(self, name: str, why: str, kind: Kind) -> None:
        self.left.append(Left(printable(name) or "the inbox", why, kind))
