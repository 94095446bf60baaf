"""Reading the text of a limits file: a regular file of bounded size, in UTF-8."""

from __future__ import annotations

import os
import stat

from engine.errors import ConfigurationError
from engine.text.masking import shown_text
from engine.text.printable import printable

FILE = "EXEC_LIMITS_FILE"
LARGEST_FILE = 1_000_000
"""Bytes of a limits file that are read."""

_OTHER_ENCODINGS = (b"\xff\xfe", b"\xfe\xff")


def limits_text(path: str, *, named_by: str = FILE, may_be_pipe: bool = False) -> str:
    """Return the text of a limits file, byte for byte: a mark at its start and its line ends included.

    ``named_by``: the setting or option that names it. ``may_be_pipe``: wait for what is written to a pipe,
    as in ``limits diff <(git show HEAD:limits.toml) limits.toml``. A link is followed. Raises
    ``ConfigurationError`` for what can't be read, is no regular file, too large, or not UTF-8.
    """
    place = f"{named_by} is {shown_text(path)}"
    try:
        raw = _content(path, may_be_pipe=may_be_pipe)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{place}, which can't be read ({why}). Correct the path, or the permissions of the file and of "
            f"the folders above it."
        ) from None
    except ValueError:
        raise ConfigurationError(f"{place}, which can't be a path. Write the path of a TOML file.") from None
    if raw is None:
        raise ConfigurationError(
            f"{place}, which is no regular file; expected a TOML file. Name the file itself, no folder, "
            f"pipe or device."
        )
    if len(raw) > LARGEST_FILE:
        raise ConfigurationError(
            f"{place}, which has more than {LARGEST_FILE} bytes; expected a limits file. Correct the path, "
            f"or take out what is no limit."
        )
    return _decoded(raw, path)


def _content(path: str, *, may_be_pipe: bool) -> bytes | None:
    """Return the first bytes of a file, one more than it may have; None for what is no regular file."""
    waiting = 0 if may_be_pipe else os.O_NONBLOCK
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | waiting)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - opened so that a pipe doesn't block
        kind = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(kind) or (may_be_pipe and stat.S_ISFIFO(kind))):
            return None
        return file.read(LARGEST_FILE + 1)


def _decoded(raw: bytes, path: str) -> str:
    if raw.startswith(_OTHER_ENCODINGS):
        raise ConfigurationError(
            f"{printable(path)}:1: the text is UTF-16; expected UTF-8. Save it anew as UTF-8."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{printable(path)}:{line}: the byte {raw[error.start]:#04x} is not UTF-8; expected text in "
            f"UTF-8. Save it anew as UTF-8."
        ) from None
