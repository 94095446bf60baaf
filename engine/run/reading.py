"""What the sources of the risk inputs are asked: for which batch, as of when, and from where."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from engine.context import RunContext
from engine.errors import DataUnavailable, EngineError
from engine.risk.config import RiskConfig
from engine.settings.variables import NO_PRICES, PriceSettings
from engine.waiting.once import Once

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.reconciliation.sync import Synced

IDENTITIES = "identities"
"""The name in a frame's ``attrs`` of the identities that its source checked, as the manifest records them."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """For which batch inputs are read, as of when, and from where.

    ``mode``: ``dry`` or ``live``. ``run_id``: the run that judges the batch, "" for an intent that is judged
    without one. ``accounts``, ``symbols``, ``strategies``: those of the batch, in alphabetical order.
    ``synced``: the broker's books by account, or the error in their place; empty in a dry run. ``down``: the
    accounts of the batch that could not be read at their broker, and why. ``swapped``: which of
    ``positions`` and ``ledger`` are other stores than those that the run began with, and why that matters.
    ``prices``: the settings that the run began with. ``positions``: those of the batch's accounts, read by
    another source at the same time. ``working_symbols``: those of working orders that no book has.
    """

    context: RunContext
    config: RiskConfig
    mode: str
    run_id: str
    as_of: pd.Timestamp
    trading_date: date
    calendar: str
    accounts: Sequence[str]
    symbols: Sequence[str]
    strategies: Sequence[str]
    synced: Mapping[str, Synced | EngineError] = field(default_factory=dict)
    down: Mapping[str, EngineError] = field(default_factory=dict)
    swapped: Mapping[str, str] = field(default_factory=dict)
    prices: PriceSettings = NO_PRICES
    positions: Once[pd.DataFrame] | None = None
    working_symbols: Collection[str] = ()

    @property
    def known(self) -> list[str]:
        """The accounts of the batch that could be read at their broker; in a dry run all."""
        return [account for account in self.accounts if account not in self.down]

    def check_same(self, store: str) -> None:
        """Raise ``DataUnavailable`` where a store is another one than that with which the run began."""
        if store in self.swapped:
            raise DataUnavailable(self.swapped[store])

    def check_synced(self) -> None:
        """Raise ``DataUnavailable`` where no account of the batch could be read at its broker."""
        check_any_known(self.known, self.down)


def check_any_known(known: Collection[str], down: Mapping[str, EngineError]) -> None:
    """Raise ``DataUnavailable`` where accounts are down at their broker and none is known."""
    if down and not known:
        raise DataUnavailable(f"the broker's book could not be read: {next(iter(down.values()))}")
