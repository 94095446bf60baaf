"""How many orders of a strategy the broker, or the rule book, refused in a row; over runs, oldest first.

Counted within one account, in the order of the batches. A run that has not begun after the strategy was last
enabled does not count, nor one of another mode.

=================  ==============================================  ==================================
                   counts                                          ends the row
=================  ==============================================  ==================================
broker's refusals  ``broker_rejected``                             ``placed``
the rule book's    ``rejected``, unless for one of ``NOT_COUNTED``  any other outcome of a new order
=================  ==============================================  ==================================

Cancels, and orders that were refused for a reason of ``NOT_COUNTED``, neither count nor end a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.quantity import Mask
from engine.record.run_folder import BATCH, RESULTS, RunFolder, RunFolders

RUNS_AT_MOST = 200
"""How far back a row of refusals is followed: a longer one is in fewer runs, or of a strategy that rests."""
NOT_COUNTED = frozenset(
    {
        *("kill_switch_enabled", "risk_data_unavailable", "batch_refused"),
        *("reject_throttle", "strategy_repeats", "daily_loss_limit_reached", "unpriced"),
    }
)
"""Reasons that say nothing about an order: a stop, data or a quote that is missing, another row, a latch."""

Owner = tuple[str, str]
"""Account and strategy."""
COUNTS, ENDS = 1, -1
_COLUMNS = ("broker_account_id", "strategy_id", "action")


@dataclass(frozen=True)
class Events:
    """What each new order of a batch does to its row: ``COUNTS``, ``ENDS`` or 0; by account and strategy."""

    by_broker: Mapping[Owner, np.ndarray]
    by_rule_book: Mapping[Owner, np.ndarray]


def events_of(batch: pa.Table, results: pa.Table, strategies: Collection[str] | None = None) -> Events:
    """Return the events of a run, row by row. ``strategies``: only these, None for all."""
    accounts, names, actions = (batch[name].cast(pa.string()) for name in _COLUMNS)
    status, reason = (results[name].cast(pa.string()) for name in ("status", "reason"))
    is_new = _mask(pc.fill_null(pc.not_equal(actions, "cancel"), True))
    is_known = _mask(pc.and_(pc.is_valid(accounts), pc.is_valid(names)))
    wanted = is_new & is_known
    if strategies is not None:
        wanted &= _mask(pc.is_in(names, pa.array(sorted(strategies), pa.string())))
    rejected = _mask(pc.equal(status, "rejected"))
    ignored = rejected & _mask(pc.is_in(reason, pa.array(sorted(NOT_COUNTED))))
    by_rule_book = np.where(rejected, np.where(ignored, 0, COUNTS), ENDS)
    by_broker = np.select(
        [_mask(pc.equal(status, "broker_rejected")), _mask(pc.equal(status, "placed"))], [COUNTS, ENDS], 0
    )
    rows = np.flatnonzero(wanted)
    owners = list(zip(accounts.take(rows).to_pylist(), names.take(rows).to_pylist(), strict=True))
    places: dict[Owner, list[int]] = {}
    for owner, row in zip(owners, rows.tolist(), strict=True):
        places.setdefault(owner, []).append(row)
    return Events(
        {owner: by_broker[own] for owner, own in places.items()},
        {owner: by_rule_book[own] for owner, own in places.items()},
    )


def longest(events: np.ndarray, *, before: int = 0) -> int:
    """Return the longest row that these events extend; ``before`` of the first one had counted already."""
    current, most = before, 0
    for event in events.tolist():
        if event == COUNTS:
            current += 1
            most = max(most, current)
        elif event == ENDS:
            current = 0
    return most


def leading(events: np.ndarray) -> int:
    """Return how many events count before the first one that ends a row."""
    ends = np.flatnonzero(events == ENDS)
    return int(np.count_nonzero(events[: ends[0] if len(ends) else len(events)] == COUNTS))


def trailing(events: np.ndarray) -> tuple[int, bool]:
    """Return how many events count after the last one that ends a row, and whether there is such a one."""
    ends = np.flatnonzero(events == ENDS)
    after = events[ends[-1] + 1 :] if len(ends) else events
    return int(np.count_nonzero(after == COUNTS)), bool(len(ends))


def earlier_in_a_row(
    own: RunFolder,
    sought: Mapping[Owner, int],
    rows_of: Callable[[Events], Mapping[Owner, np.ndarray]],
    counts: Callable[[str, RunFolder], bool],
) -> dict[Owner, int]:
    """Return how many counted right before a run, for each owner at most as many as ``sought``.

    ``counts``: whether a run still counts for a strategy. Earlier runs are read newest first, until every
    row has ended, at most ``RUNS_AT_MOST`` of them.
    """
    found = dict.fromkeys(sought, 0)
    left = {owner for owner, needed in sought.items() if needed > 0}
    for read, earlier in enumerate(_earlier(own)):
        if not left or read == RUNS_AT_MOST:
            break
        left = {owner for owner in left if counts(owner[1], earlier)}
        events = rows_of(_sealed_events(earlier, {strategy for _, strategy in left}))
        for owner in sorted(left & events.keys()):
            count, has_ended = trailing(events[owner])
            found[owner] += count
            if has_ended or found[owner] >= sought[owner]:
                left.discard(owner)
    return found


def began_at(folder: RunFolder) -> datetime:
    """Return when a run began."""
    return datetime.fromisoformat(folder.start["as_of"])


def _earlier(own: RunFolder) -> Iterator[RunFolder]:
    """Yield the runs of the same mode that began before a run and have sealed results, newest first."""
    mode, before = own.start["mode"], began_at(own)
    for runs in RunFolders(own.objects).by_session(own.trading_date):
        for folder in reversed(runs):
            if folder.run_id == own.run_id or folder.trading_date > own.trading_date:
                continue
            if RESULTS not in folder.names() or folder.start["mode"] != mode or began_at(folder) > before:
                continue
            yield folder


def _sealed_events(folder: RunFolder, strategies: Collection[str]) -> Events:
    batch = folder.table(BATCH, list(_COLUMNS))
    known = set(batch["strategy_id"].unique().cast(pa.string()).to_pylist())
    if known.isdisjoint(strategies):
        return Events({}, {})
    return events_of(batch, folder.table(RESULTS, ["status", "reason"]), strategies)


def _mask(values: pa.ChunkedArray) -> Mask:
    return np.asarray(pc.fill_null(values, False).to_numpy(), dtype=bool)
