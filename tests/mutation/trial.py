"""Whether tests notice a mutant: a child process loads it in place of its module and runs them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tests.mutation.mutating import Mutant

_LOADED_ONCE = (
    "exchange_calendars", "hypothesis", "numpy", "orjson", "pandas", "pyarrow.compute", "pyarrow.parquet",
    "pytest", "requests", "starlette.applications", "xxhash",
)  # fmt: skip
PYTEST = (
    "-x",
    "-q",
    "-n",
    "0",
    "-p",
    "no:cacheprovider",
    "--no-header",
    "-W",
    "ignore:Module already imported",
)
_MEMORY_BYTES = 6 << 30


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    NOT_REACHED = "reached by no test"
    TIMED_OUT = "timed out"
    NOT_TRIED = "not tried"


def load_libraries() -> None:
    """Load what every trial needs and no mutant changes; each trial begins as a copy of this process."""
    for name in _LOADED_ONCE:
        importlib.import_module(name)


def try_out(
    mutant: Mutant | None, tests: Sequence[str], *, within_s: float, seen: Path | None = None
) -> Verdict:
    """Run tests with a mutant in the place of its module, or with none; ``seen`` receives their output.

    A mutant on which the tests hang is one that they notice.
    """
    run = partial(_run, mutant, tests, seen or Path(os.devnull))
    return verdict_of(forked(run, within_s=within_s))


def forked(run: Callable[[], int], *, within_s: float) -> int | None:
    """Run a function in a copy of this process; return its exit code, None where it was stopped: too late.

    What it started itself is stopped with it.
    """
    child = os.fork()
    if child == 0:
        _exit_with(run)
    status = None
    try:
        status = _ended(child, within_s)
    finally:
        if status is None or os.WIFSIGNALED(status):
            with contextlib.suppress(ProcessLookupError):  # nothing of it is left
                os.killpg(child, signal.SIGKILL)
        if status is None:
            os.waitpid(child, 0)
    return None if status is None else os.waitstatus_to_exitcode(status)


def _exit_with(run: Callable[[], int]) -> NoReturn:
    exit_code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        exit_code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)


def _ended(child: int, within_s: float) -> int | None:
    """Return how a process ended, None where it is still at work after so many seconds."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.005)
    return None


def verdict_of(exit_code: int | None) -> Verdict:
    """Return what pytest's exit code means: 4 and 5 are a wrong selection of tests, or none.

    None, and the signal of a timer, are a process or a test that took too long.
    """
    if exit_code is None or exit_code == -signal.SIGALRM:
        return Verdict.TIMED_OUT
    if exit_code in {4, 5}:
        return Verdict.NOT_TRIED
    return Verdict.SURVIVED if exit_code == 0 else Verdict.KILLED


def _run(mutant: Mutant | None, tests: Sequence[str], seen: Path) -> int:
    with seen.open("w") as output, tempfile.TemporaryDirectory() as numba_cache:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        os.environ["NUMBA_CACHE_DIR"] = numba_cache  # compiled code of the module as it is
        if mutant is not None:
            sys.meta_path.insert(0, _InItsPlace(mutant))
        import pytest

        return int(pytest.main([*PYTEST, *tests]))


class _InItsPlace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the mutant where its module is imported."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != self._name:
            return None
        place = Path(self._mutant.path).absolute()
        is_package = place.name == "__init__.py"
        spec = importlib.util.spec_from_loader(fullname, self, origin=str(place), is_package=is_package)
        assert spec is not None
        if is_package:
            spec.submodule_search_locations = [str(place.parent)]
        spec.has_location = True
        return spec

    def get_source(self, fullname: str) -> str:
        return self._mutant.source

    def is_package(self, fullname: str) -> bool:
        return self._mutant.path.endswith("__init__.py")
