"""The kill switch: on where any source is on, or can't be read or parsed.

Sources are the environment (``EXECUTION_HALTED``), a file (``EXECUTION_HALTED_FILE``, for example a mounted
ConfigMap key) and a Firestore document (``EXECUTION_HALTED_DOC``, its field ``enabled``), each also under its
deprecated name. Every source that is set counts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.settings.paths import expanded, why_no_path
from engine.settings.values import OFF_WORDS, ON_WORDS
from engine.text.masking import shown_text
from engine.text.printable import shown

FILE_SIZE_LIMIT = 4096
DOCUMENT_FIELD = "enabled"
Document = Mapping[str, Any]

_WORD_SETTINGS = ("EXECUTION_HALTED", "EXEC_KILL_SWITCH")
_FILE_SETTINGS = ("EXECUTION_HALTED_FILE", "EXEC_KILL_SWITCH_FILE")
_DOCUMENT_SETTINGS = ("EXECUTION_HALTED_DOC", "EXEC_KILL_SWITCH_DOC")
# Opening must not wait for the writer of a FIFO, nor acquire a controlling terminal.
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True)
class KillSwitchState:
    """The switch's current state; ``why`` is for the operator: source, value and how to switch it off."""

    on: bool
    why: str


@dataclass(frozen=True)
class KillSwitch:
    """All sources of the kill switch that are set.

    ``fixed``: a sentence for each source that stays on as long as this process runs (environment variables).
    ``files`` and ``documents``: setting and path of each file and document to read. ``read_document``
    returns a document, None where there is none, and may raise; it must have a timeout of its own.
    """

    fixed: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    documents: tuple[tuple[str, str], ...] = ()
    read_document: Callable[[str], Document | None] | None = None

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        read_document: Callable[[str], Document | None] | None = None,
    ) -> KillSwitch:
        """Return the switch of environment variables (``os.environ`` by default); an empty one is unset."""
        env = os.environ if env is None else env
        words = [_why_word_is_on(name, env[name]) for name in _WORD_SETTINGS if env.get(name)]
        paths = [(name, env[name]) for name in _FILE_SETTINGS if env.get(name)]
        words += [_why_path_is_on(name, path) for name, path in paths]
        return cls(
            fixed=tuple(why for why in words if why),
            files=tuple((name, expanded(path)) for name, path in paths if not why_no_path(path)),
            documents=tuple(
                (name, env[name].strip().strip("/")) for name in _DOCUMENT_SETTINGS if env.get(name)
            ),
            read_document=read_document,
        )

    def read(self) -> KillSwitchState:
        """Return whether the switch is on now. Reads files and documents at each call and never raises."""
        reasons = [*self.fixed, *filter(None, (_why_file_is_on(*source) for source in self.files))]
        if not reasons:  # a document takes a request: not read where the switch is known to be on
            reasons = [why for why in (self._why_document_is_on(*d) for d in self.documents) if why]
        if reasons:
            return KillSwitchState(on=True, why=" ".join(reasons))
        return KillSwitchState(on=False, why="No kill switch is on.")

    def _why_document_is_on(self, name: str, path: str) -> str | None:
        if self.read_document is None:
            why = "can't be read without a Firestore project (set FIREBASE_PROJECT_ID)"
        else:
            try:
                why = _why_field_is_on(self.read_document(path))
            except Exception as error:
                why = f"can't be read ({str(error).rstrip('.')})"
        if not why:
            return None
        return (
            f"The kill switch is on: the document {shown_text(path)} ({name}) {why}. "
            f"Set its field {DOCUMENT_FIELD} to false to switch it off."
        )


def _why_field_is_on(document: Document | None) -> str:
    if document is None:
        return "does not exist"
    if DOCUMENT_FIELD not in document:
        return f"has no field {DOCUMENT_FIELD}"
    value = document[DOCUMENT_FIELD]
    word = value.strip().lower() if isinstance(value, str) else ""
    if value is False or (value == 0 and isinstance(value, int)) or word in OFF_WORDS:
        return ""
    if value is True or (value == 1 and isinstance(value, int)) or word in ON_WORDS:
        return f"says {DOCUMENT_FIELD}: {shown(value)}"
    return f"says {DOCUMENT_FIELD}: {shown(value)}, which is no word for off"


def _why_word_is_on(name: str, text: str) -> str | None:
    word = text.strip().lower()
    if word in OFF_WORDS:
        return None
    known = "" if word in ON_WORDS else ", which is no word for off"
    return (
        f"The kill switch is on: {name} is {shown_text(text)}{known}. "
        f"Set it to 0 or unset it, and start again, to switch it off."
    )


def _why_path_is_on(name: str, path: str) -> str | None:
    why = why_no_path(path)
    if why is None:
        return None
    return f"The kill switch is on: {name} is {shown_text(path)}; {why} Then start again."


def _why_file_is_on(name: str, path: str) -> str | None:
    try:
        why = _why_contents_are_on(_contents(path))
    except OSError as error:
        why = f"can't be read ({error.strerror or error})"
    except UnicodeDecodeError:
        why = "is not UTF-8 text"
    except Exception as error:  # a defect here must never let an order pass
        why = f"can't be read ({error})"
    if why is None:
        return None
    return (
        f"The kill switch is on: the file {shown_text(path)} ({name}) {why}. Write 0 as its only line "
        f"to switch it off."
    )


def _contents(path: str) -> bytes:
    """Return a regular file's content, up to ``FILE_SIZE_LIMIT`` and one byte; else raises ``OSError``."""
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise OSError("it is a directory")
        if not stat.S_ISREG(mode):
            raise OSError("it is no regular file")
        contents = b""
        while len(contents) <= FILE_SIZE_LIMIT:
            more = os.read(descriptor, FILE_SIZE_LIMIT + 1 - len(contents))
            if not more:
                break
            contents += more
        return contents
    finally:
        os.close(descriptor)


def _why_contents_are_on(contents: bytes) -> str | None:
    if len(contents) > FILE_SIZE_LIMIT:
        return f"is longer than {FILE_SIZE_LIMIT} bytes"
    if not contents:
        return "is empty"
    first, _, rest = contents.decode("utf-8-sig").partition("\n")
    word = first.strip().lower()
    if not word:
        return "has a blank first line"
    if word in ON_WORDS:
        return f"says {shown_text(first)}"
    if word not in OFF_WORDS:
        return f"says {shown_text(first)}, which is no word for off"
    if rest.strip():
        return f"says {shown_text(first)} and then more, {shown_text(rest.strip())}"
    return None
