"""Try mutants quickly: collect the tests once, then exchange the code of the functions that differ.

Each mutant gets a copy of the process that collected them, which runs only the tests that reach its line,
the quickest first, and those that killed others. A change outside of functions cannot be exchanged; a
function called only while its module is loaded is reached by no test. Numba is off: all code has lines.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Value
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutating import Mutant
from tests.mutation.trial import PYTEST, Verdict, forked, verdict_of

_WITHIN_S, _TIMES_SLOWER = 20.0, 20.0
_Key = tuple[str, str, int, bytes]
_RUN_AT_ONCE = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


def exchanged(old: CodeType, new: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Return the outermost functions that differ, as they are and changed; None where other code differs."""
    if old == new:
        return []
    if old.co_flags & inspect.CO_OPTIMIZED:
        is_function = old.co_name not in _RUN_AT_ONCE and old.co_freevars == new.co_freevars
        return [(old, new)] if is_function else None
    inner, inner_new = _inner(old), _inner(new)
    if len(inner) != len(inner_new) or _without_inner(old) != _without_inner(new):
        return None
    found: list[tuple[CodeType, CodeType]] = []
    for pair in zip(inner, inner_new, strict=True):
        differing = exchanged(*pair)
        if differing is None:
            return None
        found += differing
    return found


def _inner(code: CodeType) -> list[CodeType]:
    return [one for one in code.co_consts if isinstance(one, CodeType)]


def _without_inner(code: CodeType) -> CodeType:
    consts = tuple(None if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(co_consts=consts)


def _lines(code: CodeType) -> set[int]:
    own = {line for _, _, line in code.co_lines() if line is not None}
    return own.union(*(_lines(one) for one in _inner(code)))


@dataclass(frozen=True)
class Exchange:
    """A mutant and the functions of its module that differ, each as it is and changed."""

    mutant: Mutant
    functions: list[tuple[CodeType, CodeType]]

    @property
    def file(self) -> str:
        """The module's file, as its code names it."""
        return str(Path(self.mutant.path).absolute())


def exchanges(mutants: Sequence[Mutant]) -> tuple[list[Exchange], list[Mutant]]:
    """Split mutants into those whose functions can be exchanged and those that have to be loaded."""
    originals: dict[str, CodeType] = {}
    quick, loaded = [], []
    for mutant in mutants:
        if mutant.path not in originals:
            text = Path(mutant.path).read_text(encoding="utf-8")
            originals[mutant.path] = compile(text, mutant.path, "exec")
        functions = exchanged(originals[mutant.path], mutant.code())
        if functions is None:
            loaded.append(mutant)
        else:
            quick.append(Exchange(mutant, functions))
    return quick, loaded


def try_exchanges(
    quick: Sequence[Exchange],
    tests: Sequence[str],
    tell: Callable[[Mutant, Verdict], None],
    *,
    quickest: int | None = None,
) -> bool:
    """Try each, tell of it at once; return whether the tests were collected and pass without a mutant.

    ``quickest``: run at most so many tests for each.
    """
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trials = _Trials(quick, Path(folder), tell, quickest)
        options = [*PYTEST, "--capture=sys", f"--basetemp={folder}/tests"]
        exit_code = pytest.main([*options, *tests], plugins=[trials])
    if exit_code == pytest.ExitCode.INTERRUPTED and trials.are_fit:
        raise KeyboardInterrupt  # which pytest keeps to itself: the rest was not tried
    if exit_code == pytest.ExitCode.INTERNAL_ERROR:
        raise RuntimeError("trying the mutants failed; not all of them were tried")
    return trials.are_fit


class _Trials:
    """Takes the place of pytest's loop over the tests that it collected."""

    def __init__(
        self,
        quick: Sequence[Exchange],
        folder: Path,
        tell: Callable[[Mutant, Verdict], None],
        quickest: int | None,
    ) -> None:
        self._quick = quick
        self._quickest = quickest
        self._folder = folder
        self._tell = tell
        self._kills: Counter[int] = Counter()
        self.are_fit = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once to see which lines each reaches, then try the mutants."""
        if session.testsfailed:
            return True
        measured = self._folder / "measured"
        files = {one.file for one in self._quick}
        exit_code = forked(partial(_measure, session.items, files, measured), within_s=3600)
        self.are_fit = bool(session.items) and exit_code == 0
        if self.are_fit:
            reached = pickle.loads(measured.read_bytes())
            live = _live_functions(files)
            gc.freeze()  # the copies share what they don't touch
            for one in self._quick:
                self._tell(one.mutant, self._try(one, session.items, reached, live))
        return True

    def _try(
        self,
        one: Exchange,
        items: Sequence[pytest.Item],
        reached: Sequence[_Reached],
        live: dict[_Key, list[FunctionType]],
    ) -> Verdict:
        by = sorted(_reaching(one, reached), key=lambda n: (reached[n].seconds / (1 + self._kills[n]), n))
        by = by[: self._quickest]
        new = [(live[_key(one.file, old)], code) for old, code in one.functions]
        if not by or not all(functions for functions, _ in new):
            return Verdict.NOT_REACHED
        killer = Value("i", -1, lock=False)

        def run() -> int:
            for functions, code in new:
                for function in functions:
                    function.__code__ = code
            failures = _failures([items[n] for n in by])
            for place in by:
                signal.setitimer(signal.ITIMER_REAL, within_s[place])
                if next(failures):
                    killer.value = place
                    return 1
            return 0

        within_s = {n: _WITHIN_S + _TIMES_SLOWER * reached[n].seconds for n in by}
        verdict = verdict_of(forked(run, within_s=sum(within_s.values())))
        if killer.value >= 0:
            self._kills[killer.value] += 1
        return verdict


@dataclass(frozen=True)
class _Reached:
    """What one test reached, by file and line, and how long it took."""

    lines: frozenset[tuple[str, int]]
    seconds: float


def _measure(items: Sequence[pytest.Item], files: set[str], into: Path) -> int:
    """Write what each test reached; return 1 where one fails."""
    lines: set[tuple[str, int]] = set()
    found: list[_Reached] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
    begun = time.monotonic()
    for failed in _failures(items):
        if failed:
            return 1
        found.append(_Reached(frozenset(lines), time.monotonic() - begun))
        lines.clear()
        begun = time.monotonic()
    sys.settrace(None)
    into.write_bytes(pickle.dumps(found))
    return 0


def _failures(items: Sequence[pytest.Item]) -> Iterator[bool]:
    """Run tests and yield of each whether it failed."""
    for item, after in zip(items, [*items[1:], None], strict=True):
        yield any(report.failed for report in runtestprotocol(item, nextitem=after, log=False))


def _live_functions(files: set[str]) -> dict[_Key, list[FunctionType]]:
    live = defaultdict(list)
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename in files:
            live[_key(one.__code__.co_filename, one.__code__)].append(one)
    return live


def _key(file: str, code: CodeType) -> _Key:
    """Return what tells functions apart: code that has run is no longer equal to the same code compiled."""
    return file, code.co_qualname, code.co_firstlineno, code.co_code


def _reaching(one: Exchange, reached: Sequence[_Reached]) -> list[int]:
    """Return the places of the tests that reach a mutant's line; where none does, its functions.

    A line has no code of its own where it continues a statement.
    """
    functions = {(one.file, line) for old, _ in one.functions for line in _lines(old)}
    at_line = [n for n, test in enumerate(reached) if (one.file, one.mutant.line) in test.lines]
    return at_line or [n for n, test in enumerate(reached) if test.lines & functions]
