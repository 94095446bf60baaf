"""Latches for what a run did, or found: set before its results are sealed, at least once and at most once.

``reject_throttle`` stops a strategy once ``max_broker_rejects_in_a_row`` of its orders in an account were
refused by the broker in a row, ``strategy_repeats`` once ``max_refusals_in_a_row`` were refused by the rule
book (``engine.run.in_a_row``); ``daily_loss_limit_reached`` an account whose loss, by the recorded inputs,
has reached a limit. The decision function never sets a latch: it reads those of earlier runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from engine.context import RunContext
from engine.model.money import MONEY_UNITS, usd_to_units
from engine.record.run_folder import BATCH, RunFolder
from engine.record.sealed_limits import config_of
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.config import RiskConfig
from engine.risk.levels import Level, Scope
from engine.risk.losses import losses
from engine.run.in_a_row import (
    Events,
    Owner,
    began_at,
    earlier_in_a_row,
    events_of,
    leading,
    longest,
)
from engine.run.risk_inputs import accounts_of, inputs_of
from engine.safety.latches import DAILY_LOSS, REJECT_THROTTLE, STRATEGY_REPEATS, KeptLatches
from engine.safety.trading_states import Scope as Stopped
from engine.safety.trading_states import Scoped


@dataclass(frozen=True)
class _Kind:
    rule: str
    key: str
    what: str
    of: Callable[[Events], Mapping[Owner, np.ndarray]]


_KINDS = (
    _Kind(
        REJECT_THROTTLE,
        "max_broker_rejects_in_a_row",
        "orders were refused by the broker",
        lambda events: events.by_broker,
    ),
    _Kind(
        STRATEGY_REPEATS,
        "max_refusals_in_a_row",
        "orders were refused by the rule book",
        lambda events: events.by_rule_book,
    ),
)


def set_latches(folder: RunFolder, context: RunContext, results: pa.Table) -> None:
    """Latch the strategies whose orders were refused too often in a row, and accounts that lost their limit.

    ``results``: those of the run, about to be sealed. Raises ``DataUnavailable`` and ``EngineError`` where
    the latches can't be read or set: the run is resumed later, and latches them then.
    """
    config = config_of(folder)
    limited = [kind for kind in _KINDS if _levels(config, kind.key)]
    of_loss = [key for key in _OF_LOSS if _levels(config, key)]
    if not limited and not of_loss:
        return
    kept = context.latches(folder.start["mode"])
    if of_loss:
        _latch_accounts(folder, config, of_loss, kept)
    if limited:
        _latch_strategies(folder, config, limited, kept, results)


def _latch_strategies(
    folder: RunFolder, config: RiskConfig, limited: Sequence[_Kind], kept: KeptLatches, results: pa.Table
) -> None:
    """Latch the strategies that reached a limit on refusals in a row."""
    latched = kept.read()
    events = events_of(folder.table(BATCH), results)

    def counts(strategy: str, run: RunFolder) -> bool:
        of = Scoped(Stopped.STRATEGY, strategy)
        return latched.counts(of, run_id=run.run_id, began_at=began_at(run))

    for kind in limited:
        for owner, count, limit in _beyond(folder, config, kind, kind.of(events), counts):
            account, strategy = owner
            why = f"{count} {kind.what} in a row in account {account}, limit {limit:g}"
            of = Scoped(Stopped.STRATEGY, strategy)
            kept.set(of, kind.rule, why=why, run_id=folder.run_id, began_at=began_at(folder))


_OF_LOSS = {
    "max_daily_loss_usd": ("since_start", "lost since the day's start"),
    "max_drawdown_usd": ("from_peak", "lost since the session's peak"),
}


def _latch_accounts(folder: RunFolder, config: RiskConfig, limited: Sequence[str], kept: KeptLatches) -> None:
    """Latch the accounts of the batch whose loss has reached a limit, by the inputs that the run recorded."""
    lost = losses(inputs_of(folder), config.quote_levels)
    for account in accounts_of(folder):
        for key in limited:
            limit, (which, what) = _limit(config, key, (account, None)), _OF_LOSS[key]
            loss = getattr(lost.get(account), which, None)
            if limit is not None and loss is not None and loss >= usd_to_units(limit):
                why = f"{loss / MONEY_UNITS:,.2f} USD {what}, limit {limit:,.2f} USD"
                of = Scoped(Stopped.ACCOUNT, account)
                kept.set(of, DAILY_LOSS, why=why, run_id=folder.run_id, began_at=began_at(folder))


def _beyond(
    folder: RunFolder,
    config: RiskConfig,
    kind: _Kind,
    own: Mapping[Owner, np.ndarray],
    counts: Callable[[str, RunFolder], bool],
) -> Iterator[tuple[Owner, int, float]]:
    """Yield the owners that reached their limit, with the length of their row and the limit."""
    limits = {owner: _limit(config, kind.key, owner) for owner in own}
    sought = {}
    for owner, limit in limits.items():
        if limit is not None and counts(owner[1], folder) and 0 < leading(own[owner]) < limit:
            sought[owner] = int(limit) - leading(own[owner])
    before = earlier_in_a_row(folder, sought, kind.of, counts) if sought else {}
    for owner, limit in limits.items():
        count = longest(own[owner], before=before.get(owner, 0))
        if limit is not None and count >= max(limit, 1):
            yield owner, count, limit


def _levels(config: RiskConfig, key: str) -> tuple[Level, ...]:
    """Return the levels of a limit; none where the rule book has no such limit."""
    return config.levels(key) if key in LIMIT_BY_KEY else ()


def _limit(config: RiskConfig, key: str, owner: tuple[str, str | None]) -> float | None:
    """Return the smallest limit that holds for an account, or a strategy in it, None where there is none."""
    own = Scope(account=owner[0], strategy=owner[1])
    values = [
        level.value
        for level in _levels(config, key)
        if level.scope.contains(own) and not any(scope.contains(own) for scope in level.except_in)
    ]
    return min(values) if values else None
