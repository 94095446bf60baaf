"""The input frames that a run reads only where a limit in force needs them, and the source of each.

Standing frames (``STANDING_FRAMES``) are read by every run.

A source is a function of a ``Reading`` that returns a frame of the record's columns. All sources of a run are
read at the same time, each with the deadline of a store (``engine.run.risk_inputs.read_inputs``). One that
raises, or misses the deadline, makes its frame unavailable.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from functools import partial

import pandas as pd

from engine.accounts.connection import SEND_S
from engine.context import RunContext
from engine.errors import DataUnavailable
from engine.record.run_folder import STANDING_FRAMES
from engine.risk.config import RiskConfig
from engine.risk.whole_files import MAX_BATCH_RATIO_TO_MEDIAN
from engine.run.account_figures import account_figures
from engine.run.asset_records import assets
from engine.run.earlier_batches import earlier_batches
from engine.run.earlier_orders import earlier_orders
from engine.run.prices import average_volumes, prices
from engine.run.reading import Reading
from engine.run.reconciled import reconciled
from engine.run.session_hours import session_hours
from engine.run.strategy_frames import (
    strategy_positions,
    strategy_trades,
    traded_notional,
    working_order_terms,
)
from engine.run.usual_quantities import usual_quantities
from engine.safety.override_files import OverrideFiles
from engine.settings.variables import PriceSettings

Source = Callable[[Reading], pd.DataFrame]

SOURCES: Mapping[str, Source] = {
    "strategy_positions": strategy_positions,
    "strategy_trades": strategy_trades,
    "working_order_terms": working_order_terms,
    "assets": assets,
    "session_hours": session_hours,
    "latches": lambda reading: reading.context.latches(reading.mode).read().frame(),
    "earlier_orders": earlier_orders,
    "earlier_batches": earlier_batches,
    "reconciled": reconciled,
    "prices": prices,
    "account_figures": account_figures,
    "traded_notional": traded_notional,
    "usual_quantities": usual_quantities,
    "average_volumes": average_volumes,
}
"""The source of each frame of ``LIMIT_FRAMES``."""

LONGER_S: Mapping[str, float] = dict.fromkeys(("assets", "prices", "account_figures"), SEND_S)
"""Seconds after the deadline in which a source still ends: a request to a broker can't be abandoned, since
its reply is recorded."""


def frames_needed(config: RiskConfig) -> frozenset[str]:
    """Return the names of the frames that the limits in force need besides those of every run."""
    return config.frames_needed()


def frames_to_read(config: RiskConfig, prices: PriceSettings) -> frozenset[str]:
    """Return the names of those frames, and of prices where a limit can use them and they have a source.

    ``max_batch_ratio_to_median`` compares what orders are worth with them, numbers of orders in any case.
    """
    uses_prices = prices.source is not None and bool(config.levels(MAX_BATCH_RATIO_TO_MEDIAN.key))
    return frames_needed(config) | ({"prices"} if uses_prices else frozenset())


def frames_for_notionals(
    settings: PriceSettings, notionals: pd.Series, *working_orders: pd.DataFrame
) -> frozenset[str]:
    """Return the names of the frames that orders by notional need: a quote alone gives them a quantity.

    ``notionals``: those of the batch. Without a source of prices there is none.
    """
    left = [orders["remaining_notional"] for orders in working_orders if "remaining_notional" in orders]
    is_needed = any(column.notna().any() for column in (notionals, *left))
    return frozenset({"prices"}) if settings.source and is_needed else frozenset()


def standing_sources(
    context: RunContext, *, session: date, calendar: str
) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the functions that read the frames that every run of a session reads, whatever its limits."""
    overrides = OverrideFiles(context.objects, session, calendar)
    return {
        "trading_states": lambda: context.trading_states().frame(),
        "overrides": lambda: overrides.read().frame(),
    }


def sources_of(needed: Collection[str], reading: Reading) -> dict[str, Callable[[], pd.DataFrame]]:
    """Return the functions that read these frames; a frame without a source is unavailable."""
    names = sorted(set(needed).difference(STANDING_FRAMES))
    return {name: partial(SOURCES.get(name, partial(_no_source, name)), reading) for name in names}


def _no_source(name: str, _: Reading) -> pd.DataFrame:
    raise DataUnavailable(f"{name} has no source in this version of the engine")
