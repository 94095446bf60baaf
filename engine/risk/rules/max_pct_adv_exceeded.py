"""Rule: no order for more than a share of the symbol's average daily volume.

An order by notional has the quantity that its quote gives it.

A figure that was measured more than ``MOST_DAYS`` days before the session, or after it, is unavailable: a
weekly file stays valid over a holiday, and no volume of another season decides. Source: RTS 6 Art. 15(1)(c),
maximum order volumes that take account of the market; FIA 2024 (ADV checks).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from engine.model.columns import is_missing
from engine.model.quantity import Floats, Mask, to_shares
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.named_values import NamedValues, exact
from engine.risk.rule import Figure, Limit, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import UNAVAILABLE, Amounts, Verdicts, at_most, everywhere
from engine.settings.values import as_quantity

MOST_DAYS = 10


def judge(batch: Batch, inputs: RiskInputs, most_pct: float) -> Verdicts:
    """Fail orders for more than ``most_pct`` per cent of the average daily volume of their symbol."""
    volumes = _volumes(batch, inputs)
    if volumes is None:
        return everywhere(UNAVAILABLE, batch.rows)
    most = np.append(volumes.times(exact(most_pct) / 100), 0)[volumes.of_row]
    known = np.append(volumes.is_positive, False)[volumes.of_row] & batch.traded.known
    return at_most(Amounts(batch.traded.units, known), most)


def facts(valuation: Valuation, passing: Mask) -> Mapping[str, Floats]:
    """Return the average daily volume of each order's symbol, and the order as a percentage of it."""
    batch = valuation.batch
    volumes = _volumes(batch, valuation.inputs)
    nothing = np.full(batch.rows, np.nan)
    volume = (
        nothing if volumes is None else volumes.by_row(np.where(volumes.is_positive, volumes.number, np.nan))
    )
    asked = np.where(batch.traded.known, to_shares(batch.traded.units), np.nan)
    return {"average_volume": volume, "adv_pct": asked / volume * 100}


def _volumes(batch: Batch, inputs: RiskInputs) -> NamedValues | None:
    """Return the volumes by symbol, NaN where the figure is too old."""
    frame = inputs.average_volumes
    if frame is None:
        return None
    fresh = _are_recent(frame["measured_on"].tolist(), inputs.trading_date)
    shares = frame["shares"].where(pd.Series(fresh, index=frame.index, dtype=bool))
    return NamedValues.of(frame.assign(shares=shares), "shares", batch, ("symbol",))


def _are_recent(dates: list[object], session: date) -> Mask:
    recent: dict[object, bool] = {}
    for text in dates:
        if text not in recent:
            recent[text] = _is_recent(text, session)
    return np.array([recent[text] for text in dates], dtype=bool)


def _is_recent(text: object, session: date) -> bool:
    try:
        days = (session - date.fromisoformat(str(text))).days
    except ValueError:
        return False
    return not is_missing(text) and 0 <= days <= MOST_DAYS


RULE = Rule(
    name="max_pct_adv_exceeded",
    source="RTS 6 Art. 15(1)(c); FIA 2024",
    explain=(
        "the order is {adv_pct:,.4g} % of the average daily volume of {average_volume} shares, limit "
        "{adv_pct_limit} % set by {limit_source}"
    ),
    limit=Limit(
        key="max_pct_adv",
        unit="%",
        parse=as_quantity,
        meaning="largest order, as a percentage of its symbol's average daily volume",
        env="EXEC_MAX_PCT_ADV",
    ),
    reads=("average_volumes",),
    figures=(
        Figure("adv_pct", "%", "fact"),
        Figure("average_volume", "shares", "fact"),
        Figure("adv_pct_limit", "%", "limit"),
    ),
    facts=facts,
    reducing="pass",
    judge=judge,
)
