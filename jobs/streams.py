"""Standard output and error that never stop a command: late lines are dropped and counted.

This covers a reader that has gone (``| head``) or stopped reading, a full disk, a closed stream and a closed
terminal: orders come first.
"""

from __future__ import annotations

import io
import os
import select
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

LOG_WAITS_S = 10.0
"""The total wait for standard error in seconds; orders have to be sent meanwhile."""
PRINT_WAITS_S = 60.0
"""The same for standard output without a terminal; on one, a person may read page by page."""

_PIECE = select.PIPE_BUF
"""The number of bytes that a ready pipe takes at once, without blocking."""


class PatientText(io.TextIOWrapper):
    """A text stream on a descriptor (None: closed) whose writes neither raise nor block for long."""

    def __init__(self, descriptor: int | None, *, waits_s: float | None, encoding: str = "utf-8") -> None:
        self._raw = _PatientBytes(descriptor, waits_s)
        super().__init__(
            io.BufferedWriter(self._raw),
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=self._raw.isatty(),
        )

    @property
    def lost_lines(self) -> int:
        """The number of lines that were not written completely."""
        return self._raw.lost_lines


class _PatientBytes(io.RawIOBase):
    """Bytes to a descriptor. After a lost line, the next one begins on a new line."""

    def __init__(self, descriptor: int | None, waits_s: float | None) -> None:
        self._descriptor, self._left_s = descriptor, waits_s
        self._is_in_line = self._is_torn = self._is_losing = False
        self.lost_lines = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("the stream was closed")
        return self._descriptor

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write what is possible; the rest counts as written, and as lost."""
        text = bytes(data)
        left = self._whole_lines(text)
        while left:
            count = self._written(left[:_PIECE])
            if not count:
                self._lose(left)
                break
            self._is_in_line, self._is_torn = not left[:count].endswith(b"\n"), False
            left = left[count:]
        return len(text)

    def _whole_lines(self, text: bytes) -> bytes:
        if self._is_losing:  # the end of a line whose beginning was lost
            _, end, text = text.partition(b"\n")
            self._is_losing = not end
        return b"\n" + text if self._is_torn and text else text

    def _lose(self, text: bytes) -> None:
        self._is_torn = self._is_in_line
        self._is_losing = not text.endswith(b"\n")
        self.lost_lines += text.lstrip(b"\n").count(b"\n") + self._is_losing

    def _written(self, piece: bytes) -> int:
        if self._descriptor is None:
            return 0
        try:
            return os.write(self._descriptor, piece) if self._is_ready(self._descriptor) else 0
        except OSError:
            return 0

    def _is_ready(self, descriptor: int) -> bool:
        """Wait until it can be written to, within what is left of the total wait."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if self._left_s is None:
            return bool(poll.poll())
        began = time.monotonic()
        is_ready = bool(poll.poll(self._left_s * 1000))
        self._left_s = max(0.0, self._left_s - (time.monotonic() - began))
        return is_ready


def make_patient() -> None:
    """Replace this process's standard output and error with patient streams.

    A closed descriptor is opened on /dev/null, so that no other file ever gets its number.
    """
    for descriptor in (0, 1, 2):
        _reserve(descriptor)
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    is_watched = any(os.isatty(descriptor) for descriptor in (0, 1, 2))
    sys.stdout = _patient(sys.stdout, None if is_watched else PRINT_WAITS_S)
    sys.stderr = _patient(sys.stderr, LOG_WAITS_S)


def _patient(stream: TextIO | None, waits_s: float | None) -> PatientText:
    if stream is None:
        return PatientText(None, waits_s=waits_s)
    with suppress(OSError):
        stream.flush()
    return PatientText(stream.fileno(), waits_s=waits_s, encoding=stream.encoding)


def _reserve(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
