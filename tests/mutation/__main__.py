"""``python -m tests.mutation`` tries the sample; with modules and ``--tests``, mutants of these."""

from __future__ import annotations

import argparse
import random
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.mutation.book import try_book
from tests.mutation.exchanging import exchanges, try_exchanges
from tests.mutation.mutating import Mutant, mutants_of
from tests.mutation.sample import SAMPLE
from tests.mutation.trial import Verdict, load_libraries, try_out

_WITHIN_S = 600.0
_NOTICED = {Verdict.KILLED, Verdict.TIMED_OUT}


def main() -> int:
    """Return 0 where every mutant was killed, else 1: one survived, or its tests say nothing of it."""
    said = _arguments()
    load_libraries()
    if not said.modules:
        book_is_noticed = try_book(lambda mutant: print(f"survived: {mutant}", flush=True))
        return max(_of_sample(), int(not book_is_noticed))
    return _of_modules(said)


def _of_sample() -> int:
    """Try the sample; its tests are run once without a mutant, since any failing test would kill."""
    without: dict[str, Verdict] = {}
    for one in SAMPLE:
        if one.tests not in without:
            without[one.tests] = try_out(None, one.selection, within_s=_WITHIN_S)
    unfit = [tests for tests, verdict in without.items() if verdict != Verdict.SURVIVED]
    for tests in unfit:
        print(f"these tests fail without any mutant, or there are none: {tests}")
    trials = ((one.mutant(), one.selection) for one in SAMPLE)
    return max(_tried(trials), int(bool(unfit)))


def _of_modules(said: argparse.Namespace) -> int:
    tests = shlex.split(said.tests)
    found = [mutant for module in said.modules for mutant in _mutants_at(module)]
    places = random.Random(said.seed).sample(range(len(found)), min(said.at_most, len(found)))
    drawn = [found[place] for place in sorted(places)]
    if try_out(None, tests, within_s=_WITHIN_S) != Verdict.SURVIVED:
        print(f"these tests fail without any mutant, or there are none: {' '.join(tests)}")
        return 1
    quick, loaded = exchanges(drawn)
    print(f"{len(drawn)} of {len(found)} mutants, {len(loaded)} of them outside of functions", flush=True)
    tally = _Tally()
    for mutant in loaded:  # first: once the tests are collected, the module is loaded as it is
        tally.add(mutant, try_out(mutant, tests, within_s=_WITHIN_S))
    if quick and not try_exchanges(quick, tests, tally.add, quickest=said.quickest):
        print(f"these tests fail where all run in one process without numba: {' '.join(tests)}")
        return 1
    return tally.closed()


def _mutants_at(module: str) -> list[Mutant]:
    """Return the mutants of a module, of ``engine/x.py:40-80`` those of these lines."""
    path, _, lines = module.partition(":")
    first, _, last = lines.partition("-")
    return [
        mutant for mutant in mutants_of(path) if not lines or int(first) <= mutant.line <= int(last or first)
    ]


def _tried(trials: Iterable[tuple[Mutant, Sequence[str]]]) -> int:
    tally = _Tally()
    for mutant, tests in trials:
        tally.add(mutant, try_out(mutant, tests, within_s=_WITHIN_S))
    return tally.closed()


class _Tally:
    """Counts verdicts; prints each mutant that is not killed."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._verdicts: Counter[Verdict] = Counter()
        self._output = sys.stdout  # which pytest replaces while it runs

    def add(self, mutant: Mutant, verdict: Verdict) -> None:
        self._verdicts[verdict] += 1
        if verdict != Verdict.KILLED:
            print(f"{verdict}: {mutant}", file=self._output, flush=True)

    def closed(self) -> int:
        """Print the counts; return 0 where each mutant was noticed, else 1."""
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self._verdicts.items())
        print(f"{counts or 'no mutants'} in {time.monotonic() - self._begun:.0f} s")
        return int(any(self._verdicts[one] for one in Verdict if one not in _NOTICED))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "modules",
        nargs="*",
        help="such as engine/ledger/sums.py, or engine/ledger/sums.py:40-80; none: the fixed sample",
    )
    parser.add_argument("--tests", default="", help="what pytest is called with: files, -k …")
    parser.add_argument("--at-most", type=int, default=1_000_000, help="how many mutants, drawn by chance")
    parser.add_argument(
        "--quickest", type=int, help="how many tests a mutant gets, the quickest that reach it; none: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
