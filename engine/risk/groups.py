"""Groups of orders that are refused together: those of a strategy, or of a strategy in one file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.in_force import Held, InForce
from engine.risk.rule import Rule

Source = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Groups:
    """``group`` per row, -1 for none; ``source``: the place of the level in ``levels`` that makes it one."""

    group: Ints
    source: Source
    levels: tuple[Held, ...]

    @classmethod
    def of(cls, rule: Rule, batch: Batch, in_force: InForce) -> Groups | None:
        """Return the groups of a batch, None where no strategy asks for any."""
        levels = in_force.of(rule.limit)
        if not levels:
            return None
        bucket, files = batch.buckets.of_row, batch.files
        group = np.full(batch.rows, -1, dtype=np.int64)
        source = np.full(batch.rows, -1, dtype=np.int16)
        per_file = int(files.max(initial=-1)) + 2
        for place, held in enumerate(levels):
            rows = batch.is_order & (held.buckets[bucket] if held.buckets is not None else True)
            strategy = batch.buckets.strategy[bucket]
            whole = strategy * per_file
            group[rows] = (whole if held.level.value == "strategy" else whole + files + 1)[rows]
            source[rows] = place
        return cls(group, source, levels)

    def refused(self, allowed: Mask) -> Mask:
        """Return the rows of groups in which some order is refused."""
        wanted = np.unique(self.group[~allowed & (self.group >= 0)])
        return np.isin(self.group, wanted) & (self.group >= 0)
