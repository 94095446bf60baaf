"""A command of ``execution-engine`` in a process of its own: what it prints, and its exit code.

It is ``jobs.cli.main`` itself; as in ``job`` only clocks, patience and connections are others, and everything
that has an effect can stop or end the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from engine.brokers import last_look
from jobs import cli, ledger, positions
from jobs.setup import Setup
from tests.exactly_once.death import Death
from tests.exactly_once.job import BROKEN, Job, Manner, mortal, note_of
from tests.exactly_once.starts import Starts

_OF_THE_PROCESS = ("PATH", "HOME", "TZ", "LANG", "FIRESTORE_EMULATOR_HOST", "no_grpc_proxy", "GRPC_VERBOSITY")

_READ_A_SETUP = ("run", "sync", "stores", "positions", "cancel_all", "ledger")
LOADED = (*(f"jobs.{name}" for name in ("cli", "halt", "report", *_READ_A_SETUP)), "sqlite3", "tabulate")
"""What commands load on their way."""


class ShiftedTime:
    """The module ``time``, as far as a look before an order reads it, with clocks that can be moved ahead.

    ``passed`` gives the seconds to add; with ``wall_only`` the machine's other clocks stay, as those of a
    virtual machine that was paused do.
    """

    CLOCK_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def __init__(self, passed: Callable[[], float], *, wall_only: bool) -> None:
        self._passed, self._wall_only = passed, wall_only

    def time(self) -> float:
        return time.time() + self._passed()

    def monotonic(self) -> float:
        return time.monotonic() + (0.0 if self._wall_only else self._passed())

    def clock_gettime(self, clock: int) -> float:
        return time.clock_gettime(clock) + (0.0 if self._wall_only else self._passed())


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """How a command begins, and what it finds beside its settings.

    ``time``: that of its looks before an order; ``clock``: when adjustments are accepted and ledgers
    rebuilt; ``mounts``: what is mounted beforehand.
    """

    starts: Starts
    time: ShiftedTime | None = None
    clock: Callable[[], datetime] | None = None
    mounts: Callable[[], None] | None = None


@dataclass
class Command(Job):
    """A command in a process of its own; what it prints is in ``out``, what it logs in ``log``."""

    out: Path = Path()
    said: tuple[str, ...] = ()
    data: Path = Path()

    @classmethod
    def run(
        cls,
        said: tuple[str, ...],
        env: Mapping[str, str],
        files: Path,
        *,
        manner: Manner,
        surroundings: Surroundings,
    ) -> Command:
        """Begin one; ``files`` is the beginning of the names of its files."""
        log, out = files.with_suffix(".log"), files.with_suffix(".out")
        points = files.with_suffix(".points")
        for file in (log, out, points):
            file.touch()
        work = partial(_be_the_command, said, env, (out, log, points), manner, surroundings)
        process = surroundings.starts.begin(work, files.with_suffix(".work"))
        return cls(process, log, points, out, said, Path(env["EXEC_DATA_DIR"]))

    @property
    def code(self) -> int | None:
        """The exit code; None where it was killed, or still runs."""
        if self.status is None or not os.WIFEXITED(self.status):
            return None
        return os.WEXITSTATUS(self.status)

    def may_end_with(self, code: int) -> bool:
        """Let a command end with any code; it is judged by what is true then."""
        return code != BROKEN

    def printed(self) -> dict[str, Any]:
        """Return the JSON object that it printed; empty where there is none."""
        try:
            found = json.loads(self.out.read_text())
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def text(self) -> str:
        """Return all that an operator sees of it."""
        return self.out.read_text() + self.log.read_text()


def _be_the_command(
    said: tuple[str, ...],
    env: Mapping[str, str],
    files: tuple[Path, Path, Path],
    manner: Manner,
    surroundings: Surroundings,
) -> NoReturn:
    *output, points = files
    try:
        setup = partial(_setup, Death(manner.dies_at, points, manner.dies_of, manner.only), manner)
        for number, file in enumerate(output, 1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
        kept = {name: os.environ[name] for name in _OF_THE_PROCESS if name in os.environ}
        os.environ.clear()
        os.environ.update({**kept, **env})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if surroundings.mounts:
            surroundings.mounts()
        if surroundings.time:
            vars(last_look)["time"] = surroundings.time
        noted = os.open(output[0].parent / "kept", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for name in _READ_A_SETUP:
            vars(import_module(f"jobs.{name}"))["read_setup"] = partial(setup, noted)
        if surroundings.clock:
            for work in (positions.accept, ledger.rebuild):
                (work.__kwdefaults__ or {})["clock"] = surroundings.clock
        sys.argv = ["execution-engine", *said]
        cli.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(BROKEN)  # main ends the process by itself


def _setup(death: Death, manner: Manner, noted: int) -> Setup:
    """Return what a command reads in place of the environment's own setup."""
    death.on_disk(Path(os.environ["EXEC_DATA_DIR"]))
    return mortal(dict(os.environ), death, manner, note_of(noted))
