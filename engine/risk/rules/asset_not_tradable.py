"""Rule: no order that the broker's asset record rules out.

An asset that is not tradable takes none, one that is not fractionable no fraction of a share and no order
by notional, one that is not shortable no sell that opens a short position. A symbol without a record, or a
record without the flag that matters, is unavailable. Source: Alpaca's asset records (docs.alpaca.markets,
Assets); SEC Rule 15c3-5(c)(1)(ii), orders that can't be executed are erroneous.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.model.columns import text_column
from engine.model.quantity import UNITS
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Limit, Part, Rule
from engine.risk.verdicts import PASS, Verdicts, flagged, worse
from engine.settings.values import as_flag

_UNKNOWN = -1


def judge(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail orders in assets that are not tradable, and fractions of those that are not fractionable."""
    tradable = flagged(_flags(batch, inputs.assets, "tradable"))
    whole = batch.qty.known & (batch.qty.units % UNITS == 0)
    fractions = np.where(whole, np.int8(PASS), flagged(_flags(batch, inputs.assets, "fractionable")))
    return worse(tradable, fractions.astype(np.int8))


def judge_shorts(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail sells of assets that are not shortable; one that reduces a long position passes all the same."""
    shortable = flagged(_flags(batch, inputs.assets, "shortable"))
    return np.where(batch.side < 0, shortable, np.int8(PASS)).astype(np.int8)


def _flags(batch: Batch, assets: pd.DataFrame | None, name: str) -> np.ndarray:
    """Return a flag of each row's asset: 1, 0, or ``_UNKNOWN``; records that contradict are unknown."""
    flag_of: dict[str, int] = {}
    if assets is not None and len(assets):
        symbols = text_column(assets["symbol"])
        for row, value in enumerate(assets[name].tolist()):
            symbol = symbols.text(row)
            if symbol is None:
                continue
            flag = int(value) if isinstance(value, bool | np.bool_) else _UNKNOWN
            key = canonical_symbol(symbol)
            flag_of[key] = flag if flag_of.get(key, flag) == flag else _UNKNOWN
    column = batch.text("symbol")
    flags = [flag_of.get(text, _UNKNOWN) if isinstance(text, str) else _UNKNOWN for text in column.values]
    return np.array([*flags, _UNKNOWN], dtype=np.int8)[column.codes]


_CHECK_ASSETS = Limit(
    key="check_assets",
    unit="",
    kind="flag",
    parse=as_flag,
    meaning="true: only what the broker's asset records say can be traded, in fractions, or sold short",
    env="EXEC_CHECK_ASSETS",
    off=False,
    looser="lower",
)

RULE = Rule(
    name="asset_not_tradable",
    source="Alpaca, asset records; SEC Rule 15c3-5(c)(1)(ii)",
    explain="the broker's asset record rules the order out: not tradable, fractionable or shortable",
    limit=_CHECK_ASSETS,
    reads=("assets",),
    judge=judge,
    more=(Part(limit=_CHECK_ASSETS, judge=judge_shorts, reducing="pass"),),
)
