"""Files of the inbox: those that a run may take, those that it leaves and why, and their names."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Literal

from engine.model.schema import FILE_ENDINGS
from engine.text.printable import printable

Kind = Literal["waiting", "blocked"]
"""``waiting``: a later run takes the file by itself. ``blocked``: an operator has to act."""

LONGEST_NAME = 180
"""In bytes; file systems take 255, and kept files get hashes and endings on top."""
ASIDE = ".consumed-"
"""The prefix of a name while its file is being removed."""

HASH_CHARACTERS = 16
_UNFINISHED_BEGINNINGS = ("~$", ".~", "#")
_UNFINISHED_ENDINGS = (
    ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload",
    ".fdmdownload", ".upload", ".uploading", ".incomplete", ".inprogress", ".unfinished", ".writing",
    ".copying", ".aria2", ".!ut", ".!qb", ".lftp-pget-status", ".swp", ".swx", ".lock", ".lck", "~",
)  # fmt: skip
UPLOAD_RESTS_S = 3600.0
"""How long a file must be unchanged whose name may be that of an unfinished upload."""

_OF_AN_UPLOAD = re.compile(r"[^.]*(part|te?mp|upload|download|progress|incomplete|transfer|chunk)[^.]*")
_LITTER = frozenset(
    {
        ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini",
        "lost+found", "@eadir", "$recycle.bin", "system volume information",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Left:
    """A file or folder that is left in place: its printable ``name`` below the inbox, and why."""

    name: str
    why: str
    kind: Kind

    def record(self) -> dict[str, str]:
        """Return the fields as they are recorded."""
        return asdict(self)


@dataclass(frozen=True)
class Dropped:
    """A file as it was found: ``name`` below the inbox with ``/``, and what identifies this version of it."""

    name: str
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, name: str, status: os.stat_result) -> Dropped:
        """Return the file with the system's status."""
        return cls(name, status.st_size, status.st_mtime_ns, status.st_ino)

    @property
    def printable_name(self) -> str:
        """The name on one line, with bytes that are no UTF-8 written out."""
        return printable(self.name)

    @property
    def last_name(self) -> str:
        """The name in its folder."""
        return self.name.rpartition("/")[2]

    @property
    def is_perhaps_an_upload(self) -> bool:
        """Whether its name is of no known kind and may be that of an unfinished upload.

        Such as ``a.csv.part1``: a known ending followed by another one, or an ending that suggests an upload.
        """
        lower = self.last_name.lower().removesuffix(".gz")
        if lower.endswith(FILE_ENDINGS):
            return False
        endings = lower.split(".")[1:]
        return any(f".{one}" in FILE_ENDINGS or _OF_AN_UPLOAD.fullmatch(one) for one in endings)

    @property
    def mtime_us(self) -> int:
        """When it was last written, in microseconds since 1970 UTC."""
        return self.mtime_ns // 1000

    @property
    def identity(self) -> str:
        """A short hash of the name and status, for files that are too large to read."""
        return hash_of(
            repr((self.name, self.size, self.mtime_ns, self.inode)).encode(errors="backslashreplace")
        )

    def left_for_its_name(self) -> Left | None:
        """Return why the file is left because of its name; None where its name is fine."""
        if why := why_not_kept(self.name):
            return self.is_blocked(why)
        return self.waits_as_an_upload() if self.is_perhaps_an_upload else None

    def waits_as_an_upload(self) -> Left:
        """Return the file as left because its upload may be unfinished."""
        return self.waits(
            f"its ending may be that of an unfinished upload; rename it once it is whole, or "
            f"remove it: after {UPLOAD_RESTS_S / 3600:g} h without a change it is quarantined"
        )

    def waits(self, why: str) -> Left:
        """Return the file as left for a later run, and why."""
        return Left(self.printable_name, why, "waiting")

    def is_blocked(self, why: str) -> Left:
        """Return the file as left until an operator acts, and why."""
        return Left(self.printable_name, why, "blocked")


def why_passed_over(name: str) -> str | None:
    """Return why a file or folder of this name (without a path) is ignored, None where it is not."""
    lower = name.lower()
    if lower in _LITTER:
        return "it belongs to the operating system and holds no intents"
    if name.startswith((".", "_")):
        return "a name that starts with . or _ marks a file that is not to be taken"
    if lower.endswith(_UNFINISHED_ENDINGS) or name.startswith(_UNFINISHED_BEGINNINGS):
        return "its name is that of a file that is still being written; rename it once it is whole"
    return None


def why_not_kept(name: str) -> str | None:
    """Return why a file can't be kept under this name (with its path), None where it can."""
    try:
        last = name.rpartition("/")[2].encode()
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; give it another one"
    if len(last) > LONGEST_NAME:
        return f"its name is longer than {LONGEST_NAME} bytes; give it another one"
    return None


def hash_of(content: bytes) -> str:
    """Return the short content hash for names of kept files."""
    return hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]


def name_with_hash(name: str, digest: str) -> str:
    """Return a file name with a content hash before its endings, added once: ``a.<hash>.csv.gz``."""
    path = PurePosixPath(name)
    if f".{digest}." in f"{path.name}.":
        return name
    stem, dot, endings = path.name.partition(".")
    return str(path.with_name(f"{stem}.{digest}{dot}{endings}"))
