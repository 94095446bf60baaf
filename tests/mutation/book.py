"""Mutants of the rule book: each rule switched off, each limit moved by its unit, each level dropped.

They follow from the book, so a new rule has its own at once. A mutant is noticed where a line of its rule's
table (``tests/engine/risk/tables``) gets another verdict; of limits that a run compares, where a test of the
run fails.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import pytest

from engine.risk import RULE_BOOK, Rule
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.config import RiskConfig
from engine.risk.levels import Level
from engine.run import latching
from engine.run.in_a_row import Owner
from tests.engine.risk import tables
from tests.mutation.trial import PYTEST, forked

Levels = tuple[Level, ...]
_KINDS = ("the variable", "[limits]", "[account]", "[symbol]", "[strategy]", "[strategy.symbol]")
_LATCHING = ("tests/engine/run/test_latching.py", "-m", "not hypothesis")
COMPARED_BY_THE_RUN = {"max_broker_rejects_in_a_row": _LATCHING, "max_refusals_in_a_row": _LATCHING}
"""Limits that no rule of the book compares: it asks for the latch that the run has set."""
_WITHIN_S = 300.0


@dataclass(frozen=True)
class BookMutant:
    """A change of a rule's limits; ``make`` makes it until the patch is undone.

    ``tests``: what pytest is called with where the rule's table can't notice.
    """

    rule: Rule
    change: str
    make: Callable[[pytest.MonkeyPatch], None]
    tests: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.change}"


def mutants_of_book(rule_book: tuple[Rule, ...] = RULE_BOOK) -> list[BookMutant]:
    """Return every mutant of a book, rule by rule."""
    return [mutant for rule in rule_book for mutant in _mutants_of(rule)]


def try_book(tell: Callable[[BookMutant], None]) -> bool:
    """Try every mutant of the book, tell of each that is not noticed; return whether all are."""
    begun, mutants = time.monotonic(), mutants_of_book()
    unnoticed = [mutant for mutant in mutants if not is_noticed(mutant)]
    for mutant in unnoticed:
        tell(mutant)
    print(
        f"the rule book: {len(mutants) - len(unnoticed)} of {len(mutants)} mutants of {len(RULE_BOOK)} rules "
        f"noticed in {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    return not unnoticed


def is_noticed(mutant: BookMutant) -> bool:
    """Return whether a test near a mutant's rule notices it."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.make(patch)
        if mutant.tests:
            return forked(partial(_run, mutant.tests), within_s=_WITHIN_S) == pytest.ExitCode.TESTS_FAILED
        return any(case.judged() != case.verdict for case in tables.table(mutant.rule.name))


def _run(tests: tuple[str, ...]) -> int:
    return int(pytest.main([*PYTEST, *tests]))


def _mutants_of(rule: Rule) -> Iterator[BookMutant]:
    levels = tables.levels_of(rule)
    keys = dict.fromkeys(key for key, _ in levels)
    if keys:
        yield BookMutant(rule, "switched off", partial(_drop, set(levels)))
    for key, kind in levels:
        yield BookMutant(rule, f"{key} of {_KINDS[kind]} dropped", partial(_drop, {(key, kind)}))
    for key in keys:
        if LIMIT_BY_KEY[key].kind == "number":
            for units in (-1, 1):
                tests = COMPARED_BY_THE_RUN.get(key, ())
                make = partial(_move_in_run if tests else _move, key, units)
                yield BookMutant(rule, f"{key} moved by {units:+d} unit", make, tests)


def _drop(dropped: set[tables.LevelOf], patch: pytest.MonkeyPatch) -> None:
    _change_levels(patch, lambda key, found: tuple(one for one in found if (key, one.kind) not in dropped))


def _move(moved: str, units: int, patch: pytest.MonkeyPatch) -> None:
    def change(key: str, found: Levels) -> Levels:
        if key != moved:
            return found
        return tuple(replace(one, value=tables.moved(LIMIT_BY_KEY[key], one.value, units)) for one in found)

    _change_levels(patch, change)


def _move_in_run(moved: str, units: int, patch: pytest.MonkeyPatch) -> None:
    compared = latching._limit

    def change(config: RiskConfig, key: str, owner: Owner) -> float | None:
        value = compared(config, key, owner)
        return value if value is None or key != moved else value + units

    patch.setattr(latching, "_limit", change)


def _change_levels(patch: pytest.MonkeyPatch, change: Callable[[str, Levels], Levels]) -> None:
    levels = RiskConfig.levels
    patch.setattr(RiskConfig, "levels", lambda self, key: change(key, levels(self, key)))
