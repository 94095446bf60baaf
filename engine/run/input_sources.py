"""The input frames that a run reads only where a limit in force needs them, and the source of each.

A source is a function of a ``Reading`` that returns a frame of the record's columns. All sources of a run are
read at the same time, each with the deadline of a store (``engine.run.risk_inputs.read_inputs``). One that
raises, or misses the deadline, makes its frame unavailable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from engine.context import RunContext
from engine.errors import DataUnavailable, EngineError
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


Source = Callable[[Reading], pd.DataFrame]

SOURCES: Mapping[str, Source] = {}
"""The source of each frame of ``LIMIT_FRAMES``."""


def frames_needed(_: RiskConfig) -> frozenset[str]:
    """Return the names of the frames that the limits in force need besides those of every run."""
    return frozenset()


def sources_of(needed: Collection[str], reading: Reading) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the functions that read these frames; a frame without a source is unavailable."""
    return {name: partial(SOURCES.get(name, partial(_no_source, name)), reading) for name in sorted(needed)}


def _no_source(name: str, _: Reading) -> pd.DataFrame:
    raise DataUnavailable(f"{name} has no source in this version of the engine")
