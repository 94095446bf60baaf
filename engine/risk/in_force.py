"""The limits in force for a batch: each level with the buckets that it judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.model.quantity import Ints, Mask
from engine.risk.buckets import Buckets
from engine.risk.cells import Basis
from engine.risk.config import RiskConfig
from engine.risk.levels import Level, Scope
from engine.risk.rule import EVERY_LEVEL, Limit, Rule

NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Held:
    """One level of a limit and the buckets that it judges, None for all.

    ``units``: the limit as an exact integer; ``by_bucket``: per bucket, where it differs between accounts.
    """

    level: Level
    buckets: Mask | None
    units: int
    by_bucket: Ints | None = None

    def at(self, buckets: Ints) -> Ints | int:
        """Return the limit of some buckets."""
        return self.units if self.by_bucket is None else self.by_bucket[buckets]


@dataclass(frozen=True)
class InForce:
    """The levels of each limit that judge any row of a batch."""

    config: RiskConfig
    buckets: Buckets
    found: dict[tuple[Scope, tuple[Scope, ...]], Mask] = field(default_factory=dict)
    """The buckets of levels that were asked for: most limits are set in the same sections."""

    def of(
        self,
        limit: Limit | None,
        units: Callable[[Any], int] | None = None,
        kinds: tuple[int, ...] = EVERY_LEVEL,
    ) -> tuple[Held, ...]:
        """Return the levels of a limit, in order, without those that judge no bucket.

        ``units``: the limit as an exact integer, where it is compared with one.
        """
        if limit is None:
            return ()
        found = []
        for level in self.config.levels(limit.key):
            if level.kind not in kinds:
                continue
            everywhere = level.scope.is_everything and not level.except_in
            at = None if everywhere else self._at(level)
            if at is None or at.any():
                found.append(Held(level, at, 0 if units is None else units(level.value)))
        return tuple(found)

    def needing(self, frame: str) -> Mask:
        """Return which buckets a level judges whose rule needs an input frame."""
        found = np.zeros(self.buckets.count, dtype=bool)
        for level in self.config.levels_needing(frame):
            found |= self._at(level)
        return found

    def _at(self, level: Level) -> Mask:
        key = level.scope, level.except_in
        if key not in self.found:
            self.found[key] = self.buckets.at(level)
        return self.found[key]

    def rows(self, levels: Sequence[Held]) -> Mask | None:
        """Return the rows that any of some levels judges, None for all."""
        judged = np.zeros(self.buckets.count, dtype=bool)
        for held in levels:
            if held.buckets is None:
                return None
            judged |= held.buckets
        return np.asarray(judged[self.buckets.of_row])

    def settings(self, rule: Rule) -> Mapping[str, Any]:
        """Return a rule's further limits by key; of a variable and ``[limits]`` the one that refuses more."""
        values = {limit: [level.value for level in self.config.levels(limit.key)] for limit in rule.settings}
        return {limit.key: limit.strictest(found) if found else None for limit, found in values.items()}

    def tightest(self, levels: Sequence[Held]) -> Ints:
        """Return the smallest limit per bucket, ``NO_LIMIT`` where no level judges it."""
        tightest = np.full(self.buckets.count, NO_LIMIT, dtype=np.int64)
        for held in levels:
            within = np.minimum(tightest, held.units if held.by_bucket is None else held.by_bucket)
            tightest = within if held.buckets is None else np.where(held.buckets, within, tightest)
        return tightest


def by_basis(levels: tuple[Held, ...], bases: Mapping[int, Basis]) -> dict[Basis, tuple[Held, ...]]:
    """Return the levels that count by the same cells, together, in the order of their first ones."""
    groups: dict[Basis, tuple[Held, ...]] = {}
    for held in levels:
        basis = bases[held.level.kind]
        groups[basis] = (*groups.get(basis, ()), held)
    return groups
