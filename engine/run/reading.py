"""What the sources of the risk inputs are asked: for which batch, as of when, and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from engine.context import RunContext
from engine.errors import EngineError
from engine.settings.variables import RiskConfig

if TYPE_CHECKING:  # a dry run has no broker, and is short
    from engine.reconciliation.sync import Synced


@dataclass(frozen=True, kw_only=True)
class Reading:
    """For which batch inputs are read, as of when, and from where.

    ``mode``: ``dry`` or ``live``. ``run_id``: the run that judges the batch, "" for an intent that is judged
    without one. ``accounts``, ``symbols``, ``strategies``: those of the batch, in alphabetical order.
    ``synced``: the broker's books by account, or the error in their place; empty in a dry run. ``down``: the
    accounts of the batch that could not be read at their broker, and why.
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
