"""Working orders by notional get the quantity that a quote gives them, as orders of the batch do.

What is left of the notional is divided by the bid of a valid quote, and rounded up. Without one, or where the
remaining notional is unknown, the quantity stays unknown, which makes the symbol unavailable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.money import NOT_AN_AMOUNT, quantity_for
from engine.model.quantity import NOT_A_QUANTITY, Ints, Mask, round_to_units, to_shares
from engine.model.symbols import canonical_symbol
from engine.risk.held import QUOTED_QTY
from engine.risk.inputs import RiskInputs
from engine.risk.quotes import OK, QuoteLevels, Quotes, scope_of

_NOTIONAL = "remaining_notional"
_DIGITS = 15


def with_quantities(inputs: RiskInputs, levels: QuoteLevels) -> RiskInputs:
    """Return inputs whose frames of working orders have a column ``quoted_qty`` where one is by notional.

    ``levels``: the limits on quotes, each of which holds for the orders of its scope. Quotes that can't be
    read give no quantity: the rules that read them raise, each in its place.
    """
    if inputs.prices is None:
        return inputs
    names = ("working_orders", "working_order_terms")
    frames = {name: frame for name in names if (frame := getattr(inputs, name)) is not None}
    try:
        found = {
            name: _with_quantities(frame, lambda: Quotes.of(inputs), levels) for name, frame in frames.items()
        }
    except Exception:
        return inputs
    changed = {name: frame for name, frame in found.items() if frame is not frames[name]}
    return replace(inputs, **changed) if changed else inputs


def _with_quantities(
    frame: pd.DataFrame, quotes_of_inputs: Callable[[], Quotes], levels: QuoteLevels
) -> pd.DataFrame:
    if _NOTIONAL not in frame.columns or not len(frame):
        return frame
    notional = round_to_units(number_column(frame[_NOTIONAL]).numbers)
    is_unknown = np.isnan(number_column(frame["remaining_qty"]).numbers)
    by_notional = is_unknown & (notional != NOT_A_QUANTITY) & (notional >= 0)
    if not by_notional.any():
        return frame
    quotes = quotes_of_inputs()
    places, valid = _quotes(frame, by_notional, quotes, levels)
    units = quantity_for(notional, np.where(valid, quotes.bid[places], 0))
    units = np.where(valid & (notional == 0), 0, units)
    known = by_notional & (units != NOT_AN_AMOUNT)
    shares = to_shares(_in_digits(np.where(known, units, 0)))
    return frame.assign(**{QUOTED_QTY: np.where(known, shares, np.nan)})


def _quotes(frame: pd.DataFrame, wanted: Mask, quotes: Quotes, levels: QuoteLevels) -> tuple[Ints, Mask]:
    """Return the place of each row's quote, and of which wanted rows it is valid and has a bid."""
    names = ("broker_account_id", "symbol", "strategy_id")
    columns = [text_column(frame[name]) for name in names if name in frame.columns]
    places = np.full(len(frame), quotes.everywhere, dtype=np.int64)
    ages, spreads = np.zeros(len(frame), dtype=np.int64), np.zeros(len(frame), dtype=np.int64)
    for row in np.flatnonzero(wanted).tolist():
        own = [column.text(row) for column in columns]
        symbol = None if own[1] is None else canonical_symbol(own[1])
        (places[row],) = quotes.places([symbol])
        ages[row], spreads[row] = levels.at(scope_of(*own))
    is_valid = (quotes.verdicts(places, ages, spreads) == OK) & ~quotes.of_intents[places]
    return places, wanted & is_valid


def _in_digits(units: Ints) -> Ints:
    """Return units rounded up to the digits that a float64 of shares carries."""
    size = np.where(units > 0, units, 1).astype(np.float64)
    step = 10 ** np.maximum(0, np.floor(np.log10(size)).astype(np.int64) + 1 - _DIGITS)
    return np.asarray(-(-units // step) * step)
