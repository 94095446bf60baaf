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
from engine.risk.verdicts import PASS, Verdicts, any_refusing, everywhere, flagged
from engine.settings.values import as_flag

_UNKNOWN = -1


def judge(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail orders in assets that are not tradable."""
    return _by_symbol(batch, inputs.assets, "tradable")[batch.text("symbol").codes]


def judge_fractions(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail fractions, and orders by notional, of assets that are not fractionable."""
    fractionable = _by_symbol(batch, inputs.assets, "fractionable")
    if _passes_all(fractionable, batch):
        return everywhere(PASS, batch.rows)
    whole = batch.qty.known & (batch.qty.units % UNITS == 0)
    return np.where(whole, np.int8(PASS), fractionable[batch.text("symbol").codes])


def judge_shorts(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail sells of assets that are not shortable; one that reduces a long position passes all the same."""
    shortable = _by_symbol(batch, inputs.assets, "shortable")
    if _passes_all(shortable, batch):
        return everywhere(PASS, batch.rows)
    return np.where(batch.side < 0, shortable[batch.text("symbol").codes], np.int8(PASS))


def _passes_all(by_symbol: Verdicts, batch: Batch) -> bool:
    """Return whether a flag refuses no symbol of a batch in which every row has one."""
    return not any_refusing(by_symbol[:-1]) and bool((batch.text("symbol").codes >= 0).all())


def _by_symbol(batch: Batch, assets: pd.DataFrame | None, name: str) -> Verdicts:
    """Return the verdict of a flag by the code of a row's symbol, the last one of rows without a symbol.

    Unavailable without a record, or where records contradict each other.
    """
    flag_of: dict[str, int] = {}
    if assets is not None and len(assets):
        symbols = text_column(assets["symbol"])
        forms = [canonical_symbol(str(value)) for value in symbols.values]
        for code, value in zip(symbols.codes.tolist(), assets[name].tolist(), strict=True):
            if code < 0:
                continue
            flag = int(value) if isinstance(value, bool | np.bool_) else _UNKNOWN
            known = flag_of.setdefault(forms[code], flag)
            if known != flag:
                flag_of[forms[code]] = _UNKNOWN
    values = batch.text("symbol").values
    flags = [flag_of.get(text, _UNKNOWN) if isinstance(text, str) else _UNKNOWN for text in values]
    return flagged(np.array([*flags, _UNKNOWN], dtype=np.int8))


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
    more=(
        Part(limit=_CHECK_ASSETS, judge=judge_fractions),
        Part(limit=_CHECK_ASSETS, judge=judge_shorts, reducing="pass"),
    ),
)
