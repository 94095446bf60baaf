"""Rule: no position in a symbol grows beyond the limit, whatever fills.

Worst case (default): a buy is judged as if every working and allowed buy had filled and no sell, a sell the
other way round, so no subset of fills breaches the limit, and a position that is over it may still shrink.
Net: SEED's rule on the position that results if everything fills. At the levels of a strategy the position
is the strategy's own. Source: SEED (max position size); FIA 2024 (position limits include working orders).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.model.quantity import shares_to_units
from engine.risk.cells import Cells
from engine.risk.held import book
from engine.risk.inputs import RiskInputs
from engine.risk.rule import OF_STRATEGIES, Counter, Figure, Limit, Rule, Used, books
from engine.settings.values import as_quantity


def worst_case(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return, per side, the position in its direction if all working orders of that side fill."""
    held = book(cells, inputs)
    position = cells.directed(held.position)
    working = np.where(cells.sign > 0, cells.directed(held.buys), cells.directed(held.sells))
    return Used(
        cells.sign * position + working,
        cells.directed(held.known),
        held=held.position,
        held_known=held.position_known,
    )


def net(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return the position if all working orders fill."""
    held = book(cells, inputs)
    return Used(
        held.position + held.buys - held.sells,
        held.known,
        held=held.position,
        held_known=held.position_known,
    )


RULE = Rule(
    name="max_position_size_exceeded",
    source="SEED (max position size); FIA 2024 (position limits include working orders)",
    explain=(
        "position {projected_qty:g} if it fills, limit {position_limit_qty:g} either way by {limit_source}"
    ),
    limit=Limit(
        key="max_position_qty",
        unit="shares",
        parse=as_quantity,
        meaning="largest position in a symbol, long or short; in sections of strategies, of their own",
        env="EXEC_MAX_POSITION_QTY",
        default=100.0,
    ),
    reads_by_level={"strategy_positions": OF_STRATEGIES, "working_order_terms": OF_STRATEGIES},
    figures=(
        Figure("current_qty", "shares", "held"),
        Figure("projected_qty", "shares", "total"),
        Figure("position_limit_qty", "shares", "limit"),
    ),
    needs_data=True,
    units=shares_to_units,
    counter=Counter(of="qty", used=worst_case, bases=books(side=True)),
    net_counter=Counter(of="qty", used=net, bases=books(side=False), signed=True),
)
