"""Shares of a limit: in a batch, strategies that compete for the headroom of a cell divide it.

With ``share = "pro_rata"`` each strategy may use as much of a contested cell's headroom as corresponds to
its part of what all of them ask for, rounded down to the unit. Orders are whole or refused, never resized.
What a strategy does not use of its share is left unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.counted import Counted, Volume
from engine.risk.in_force import NO_LIMIT
from engine.risk.rule import Used


def shares(counters: Sequence[Counted], batch: Batch, open_row: Mask) -> list[Counted]:
    """Return a further counter for each one in which strategies compete. ``open_row``: rows that ask."""
    volume = Volume.of(batch)
    found = []
    for one in counters:
        grows = one.money is not None and one.money.worst is not None
        if one.is_by_row or one.counter.signed or one.once is not None or grows:
            continue
        share = _share(one, batch, volume, open_row)
        if share is not None:
            found.append(share)
    return found


def _share(one: Counted, batch: Batch, volume: Volume, open_row: Mask) -> Counted | None:
    """Return the counter of each strategy's share of contested cells, None where none compete."""
    contested = one.contested(batch, volume)
    buckets = batch.buckets
    strategies = len(buckets.strategy_codes)
    inside = (one.cell_of >= 0) & (buckets.strategy >= 0) & (one.limit < NO_LIMIT)
    inside &= np.append(contested, False)[one.cell_of]
    if not inside.any():
        return None
    asked: dict[tuple[int, int], int] = {}
    asks = open_row & batch.is_order & inside[buckets.of_row]
    unknown = one.adds_unknown(batch)
    rows = np.flatnonzero(asks if unknown is None else asks & ~unknown)
    each = one.amounts(batch)
    amounts = [1] * len(rows) if each is None else each.units[rows].tolist()
    for bucket, amount in zip(buckets.of_row[rows].tolist(), amounts, strict=True):
        key = int(one.cell_of[bucket]), int(buckets.strategy[bucket])
        asked[key] = asked.get(key, 0) + amount
    total: dict[int, int] = {}
    competing: dict[int, int] = {}
    for (cell, _), amount in asked.items():
        total[cell] = total.get(cell, 0) + amount
        competing[cell] = competing.get(cell, 0) + 1
    limit = np.full(buckets.count, NO_LIMIT, dtype=np.int64)
    share_of = np.full(buckets.count, -2, dtype=np.int64)
    for bucket in np.flatnonzero(inside).tolist():
        cell, strategy = int(one.cell_of[bucket]), int(buckets.strategy[bucket])
        if competing.get(cell, 0) < 2 or not total[cell]:
            continue
        headroom = max(0, int(one.limit[bucket]) - int(one.used.units[cell]))
        limit[bucket] = headroom * asked.get((cell, strategy), 0) // total[cell]
        share_of[bucket] = cell * strategies + strategy
    if (share_of < 0).all():
        return None
    cells = np.unique(share_of[share_of >= 0])
    place = np.where(share_of >= 0, np.searchsorted(cells, share_of), -2)
    used = Used(np.zeros(len(cells), dtype=np.int64), np.ones(len(cells), dtype=bool))
    return replace(one, cell_of=place, limit=limit, uniform=None, used=used, is_share=True, cache={})
