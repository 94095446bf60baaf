"""Rule: no quantity far above what the strategy usually asks for in the symbol, as if dollars were shares.

Usual is the median of its earlier orders in the symbol. The first order in a symbol has nothing to be
compared with and is refused: an operator lets it pass by an override, once. An order by notional names no
quantity.
Source: the error of 2 May 2022 at Citigroup (FCA and PRA final notices of 2024: an amount was entered in the
field of the quantity); SEC Rule 15c3-5(c)(1)(ii), erroneous orders.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.model.columns import NumberColumn
from engine.model.quantity import Floats, Mask, to_shares
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.named_values import NamedValues, exact
from engine.risk.rule import Figure, Limit, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.values import as_ratio


def judge(batch: Batch, inputs: RiskInputs, ratio: float) -> Verdicts:
    """Fail orders for more than ``ratio`` times the usual quantity, and those of which none is usual."""
    usual = _usual(batch, inputs)
    if usual is None:
        return everywhere(UNAVAILABLE, batch.rows)
    most = np.append(usual.times(exact(ratio)), 0)[usual.of_row]
    verdicts = np.where(batch.qty.units > most, np.int8(FAIL), np.int8(PASS))
    unknown = np.append(usual.has & ~usual.is_positive, True)[usual.of_row] | ~batch.qty.known
    verdicts[unknown] = UNAVAILABLE
    by_notional = batch.columns.get("notional")
    if isinstance(by_notional, NumberColumn):
        verdicts[~batch.qty.known & (by_notional.units > 0)] = PASS
    return verdicts


def facts(valuation: Valuation, passing: Mask) -> Mapping[str, Floats]:
    """Return each order's quantity and the usual one, in shares."""
    batch = valuation.batch
    usual = _usual(batch, valuation.inputs)
    nothing = np.full(batch.rows, np.nan)
    asked = np.where(batch.qty.known, to_shares(batch.qty.units), np.nan)
    return {"asked_qty": asked, "usual_qty": nothing if usual is None else usual.by_row(usual.number)}


def _usual(batch: Batch, inputs: RiskInputs) -> NamedValues | None:
    frame = inputs.usual_quantities
    return None if frame is None else NamedValues.of(frame, "qty", batch, ("strategy_id", "symbol"))


RULE = Rule(
    name="quantity_looks_like_notional",
    source="FCA and PRA final notices on Citigroup, 2024; SEC Rule 15c3-5(c)(1)(ii)",
    explain=(
        "the order is for {asked_qty} shares, and {limit_source} allows {usual_ratio_limit} times the usual "
        "quantity; the strategy usually asks for {usual_qty}: an amount may have been entered as a quantity; "
        "else the strategy has no earlier order in the symbol to be compared with"
    ),
    limit=Limit(
        key="max_qty_ratio_to_usual",
        unit="times",
        parse=as_ratio,
        meaning="largest quantity of an order, as a multiple of the strategy's usual one in the symbol",
        env="EXEC_MAX_QTY_RATIO_TO_USUAL",
    ),
    reads=("usual_quantities",),
    figures=(
        Figure("asked_qty", "shares", "fact"),
        Figure("usual_qty", "shares", "fact"),
        Figure("usual_ratio_limit", "times", "limit"),
    ),
    facts=facts,
    reducing="pass",
    judge=judge,
)
