"""The end of every command: flush what was printed, and end the process with the exit code at once.

The interpreter's own shutdown waits for threads while libraries tear down theirs: Arrow ends one process in a
hundred by SIGABRT after all work is done (apache/arrow #34314, #39862), or hangs (#50482). Everything that
matters is on disk by then, so the shutdown is skipped.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from jobs.streams import make_patient

_FAILED = 1


def as_a_process(command: Callable[[], object]) -> NoReturn:
    """Run a command, and end this process with the code of its ``SystemExit``; 0 without one.

    An unexpected exception is shown, and the code is 1: safe to run again.
    """
    make_patient()
    code = _FAILED
    try:
        code = _code_of(command)
    finally:
        _end(code)


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        _show(str(end.code))
        return _FAILED
    except BaseException as error:
        _show("".join(traceback.format_exception(error)).rstrip())
        return _FAILED
    return 0


def _show(text: str) -> None:
    from jobs.tables import say

    for line in text.split("\n"):
        say(line, err=True)


def _end(code: int) -> NoReturn:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
