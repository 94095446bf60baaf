"""Standard output and error that never stop a command: what can't be written in time is counted and left out.

A reader that has gone (``| head``), a full disk, a closed stream, a terminal that vanished and a reader that
stopped reading are all the same to a job: its orders come first.
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
"""How long standard error may be waited for, in all, since orders are sent meanwhile."""
PRINT_WAITS_S = 60.0
"""The same of standard output, where no terminal is near: a person may read page by page."""

_PIECE = select.PIPE_BUF
"""A pipe that is ready takes so many bytes at once, without a wait."""


class PatientText(io.TextIOWrapper):
    """A text stream on a descriptor (None: it was closed) whose writes neither raise nor wait for long."""

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
        """How many lines could not be written, or not whole."""
        return self._raw.lost_lines


class _PatientBytes(io.RawIOBase):
    """Bytes to a descriptor. Where a line is lost, the next one begins a line of its own."""

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
        """Write what can be; what can't counts as written, and as lost."""
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
        """Wait until it can be written to, as long as there is time left for that in all."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        if self._left_s is None:
            return bool(poll.poll())
        began = time.monotonic()
        is_ready = bool(poll.poll(self._left_s * 1000))
        self._left_s = max(0.0, self._left_s - (time.monotonic() - began))
        return is_ready


def make_patient() -> None:
    """Put patient streams in place of this process's standard output and error.

    A descriptor that was closed is opened on nothing, so that no file of ours ever takes its number.
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
