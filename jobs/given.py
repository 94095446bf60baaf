"""The files of a command line, and standard input: read whole, or refused with the reason."""

from __future__ import annotations

import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.settings.variables import IntakeLimits
from engine.stores.inbox.inbox import check_name
from jobs.tables import say

STDIN = "-"
_JSON_KINDS = frozenset({"json", "jsonl"})
_JSON_BEGINS = frozenset({b"{", b"[", b"\xef"})  # the last one begins UTF-8 with a byte order mark


@dataclass(frozen=True)
class Given:
    """A file: ``shown_as`` is its name on the command line, ``name`` its name in the inbox."""

    shown_as: str
    name: str
    content: bytes


def read_given(file: str, *, kind: str, limits: IntakeLimits) -> Given:
    """Return a file's content, or for ``-`` standard input in the format ``kind``.

    Raises ``UsageError`` for a file that does not exist, can't be read or is larger than the inbox takes, for
    a name that the inbox ignores, and for empty standard input.
    """
    if file == STDIN:
        if sys.stdin.isatty():
            say(f"reading {kind} from the keyboard; end with Ctrl-D", err=True)
        content = sys.stdin.buffer.read(limits.max_file_bytes + 1)
        if not content.strip():
            raise UsageError(
                "it is empty: the command that writes to it has probably failed. To drop a file without "
                "rows, name the file."
            )
        if kind in _JSON_KINDS and content.lstrip()[:1] not in _JSON_BEGINS:
            say(
                f"Standard input is read as {kind} and does not look like it. Name its format with --format.",
                err=True,
            )
        return Given("standard input", f"stdin.{kind}", _within(content, limits))
    path = Path(file)
    if path.is_dir():
        raise UsageError("it is a folder; name the files in it.")
    check_name(path.name)
    try:
        found = path.stat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode)):
            raise UsageError("it is a device or a socket, not a file.")
        if found.st_size > limits.max_file_bytes:
            raise _too_large(limits)
        with path.open("rb") as opened:
            content = opened.read(limits.max_file_bytes + 1)
    except FileNotFoundError:
        raise UsageError("there is no such file.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"it can't be read ({why}).") from None
    return Given(file, path.name, _within(content, limits))


def _within(content: bytes, limits: IntakeLimits) -> bytes:
    if len(content) > limits.max_file_bytes:
        raise _too_large(limits)
    return content


def _too_large(limits: IntakeLimits) -> UsageError:
    setting = limits.setting_of("max_file_bytes")
    return UsageError(
        f"it has more than {limits.max_file_bytes} bytes, which is the most that the inbox takes. "
        f"Split it, or raise {setting}."
    )
