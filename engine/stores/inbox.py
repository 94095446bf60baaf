"""The inbox: where strategies drop files, and how files leave it without one ever being lost."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.errors import EngineError, UsageError
from engine.schema import FILE_ENDINGS
from engine.stores.modes import OWNER_ONLY, Modes
from engine.stores.objects import flush_folder

LONGEST_NAME = 180
"""In bytes; file systems take 255, and kept files get hashes and endings on top."""

_HASH_CHARACTERS = 16
_UNFINISHED_ENDINGS = (".tmp", ".part")


@dataclass(frozen=True)
class Dropped:
    """A file as it was found: ``name`` below the inbox with ``/``, and what tells it from a later one."""

    name: str
    size: int
    mtime_ns: int
    inode: int

    @property
    def printable_name(self) -> str:
        """The name with bytes that are no UTF-8 written out, fit for records and messages."""
        return self.name.encode(errors="backslashreplace").decode()

    @property
    def mtime_us(self) -> int:
        """When it was last written, in microseconds since 1970 UTC."""
        return self.mtime_ns // 1000


@dataclass(frozen=True)
class Inbox:
    """A folder with any sub-folders; names that start with . or _ or end in .tmp or .part are left alone."""

    root: Path

    def waiting(self) -> list[Dropped]:
        """Give the regular files that are there, by name."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith((".", "_"))]
            for name in names:
                if name.startswith((".", "_")) or name.lower().endswith(_UNFINISHED_ENDINGS):
                    continue
                path = Path(folder) / name
                below = path.relative_to(self.root).as_posix()
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                except OSError:  # such as a link to itself; reading it says so
                    found.append(Dropped(below, 0, 0, 0))
                    continue
                if stat.S_ISREG(status.st_mode):
                    found.append(_dropped(below, status))
        return sorted(found, key=lambda file: file.name)

    def read(self, file: Dropped) -> bytes | None:
        """Give a file's content, None where it has changed or gone since it was found.

        Raises ``EngineError`` where it can't be read.
        """
        path = self.root / file.name
        try:
            with path.open("rb") as opened:
                content = opened.read()
                same = _dropped(file.name, os.fstat(opened.fileno())) == file
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EngineError(f"{path} can't be read ({error.strerror}); mend its permissions.") from None
        return content if same and len(content) == file.size else None

    def remove(self, file: Dropped) -> bool:
        """Remove a file that was consumed; tell whether it was still the same one.

        It is moved aside first and looked at then: a file that was put in its place meanwhile is put back.
        """
        path = self.root / file.name
        aside = path.with_name(f".consumed-{path.name}")
        # A job that died in here has left it aside: it must neither come back nor be written over.
        if os.path.lexists(aside) and self._end_removal(file, aside, path):
            return True
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        return self._end_removal(file, aside, path)

    def recover(self) -> None:
        """Put back what a job that died while removing it had moved aside."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                if name.startswith(".consumed-"):
                    self._put_back(Path(folder) / name, Path(folder) / name.removeprefix(".consumed-"))

    def _end_removal(self, file: Dropped, aside: Path, path: Path) -> bool:
        if _dropped(file.name, aside.stat()) == file:
            aside.unlink()
            flush_folder(aside.parent)
            return True
        self._put_back(aside, path)
        return False

    @staticmethod
    def _put_back(aside: Path, path: Path) -> None:
        place, attempt = path, 1
        while True:
            try:
                os.link(aside, place)
            except FileExistsError:
                if place.samefile(aside):  # put back by a job that died before the next step
                    aside.unlink()
                    return
                attempt += 1
                stem, dot, endings = path.name.partition(".")
                place = path.with_name(f"{stem}-{attempt}{dot}{endings}")
                continue
            aside.unlink()
            return


def hash_of(content: bytes) -> str:
    """Give the short content hash that names of kept files carry."""
    return hashlib.sha256(content).hexdigest()[:_HASH_CHARACTERS]


def name_with_hash(name: str, digest: str) -> str:
    """Put a content hash into a file name, before its endings, unless it is there: ``a.<hash>.csv.gz``."""
    path = PurePosixPath(name)
    if f".{digest}." in f"{path.name}.":
        return name
    stem, dot, endings = path.name.partition(".")
    return str(path.with_name(f"{stem}.{digest}{dot}{endings}"))


def drop_file(name: str, content: bytes, inbox: Path, *, modes: Modes = OWNER_ONLY) -> Path:
    """Put a file into the inbox, whole, under a name that carries its hash, so that it needs no settling.

    The same content under the same name is one file. What is created of the inbox and in it has the modes
    that the umask says, since strategies of other users write there; the folder around it has ``modes``.
    Raises ``UsageError`` for a name that isn't looked at.
    """
    check_name(name)
    modes.make_folder(_around(inbox))
    inbox.mkdir(parents=True, exist_ok=True)
    path = inbox / name_with_hash(name, hash_of(content))
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with hidden.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    return path


def check_name(name: str) -> None:
    """Refuse a file name that the inbox leaves alone. Raises ``UsageError``."""
    left_alone = name.startswith((".", "_")) or name.lower().endswith(_UNFINISHED_ENDINGS)
    too_long = len(os.fsencode(name)) > LONGEST_NAME - _HASH_CHARACTERS - 1
    if left_alone or too_long or "/" in name or not name:
        raise UsageError(f"{name!r} is a name that the inbox leaves alone; give the file another one.")
    if not name.lower().removesuffix(".gz").endswith(FILE_ENDINGS):
        raise UsageError(
            f"{name!r} is of no known kind; give it one of the endings {' '.join(FILE_ENDINGS)}."
        )


def _around(inbox: Path) -> Path:
    """Return the data folder of an inbox, or of a folder below an inbox."""
    return next((folder.parent for folder in (inbox, *inbox.parents) if folder.name == "inbox"), inbox.parent)


def _dropped(name: str, status: os.stat_result) -> Dropped:
    return Dropped(name, status.st_size, status.st_mtime_ns, status.st_ino)
