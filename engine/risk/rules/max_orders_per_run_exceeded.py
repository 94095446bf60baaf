"""Rule: no more than so many orders in one run.

Source: SEC 34-70694 on Knight Capital, ¶¶15-17 (no limit on the orders that a system could send); RTS 6 Art.
15(1)(d), message limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.risk.cells import Cells
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Counter, Figure, Limit, Rule, Used
from engine.settings.values import as_count


def none_so_far(cells: Cells, inputs: RiskInputs, settings: Mapping[str, Any]) -> Used:
    """Return that no order has left before the batch."""
    return Used(np.zeros(cells.count, dtype=np.int64), np.ones(cells.count, dtype=bool))


RULE = Rule(
    name="max_orders_per_run_exceeded",
    source="RTS 6 Art. 15(1)(d); SEC 34-70694 ¶¶15-17",
    explain="{orders_in_run:g} orders before it in the run, limit {orders_per_run_limit:g} by {limit_source}",
    limit=Limit(
        key="max_orders_per_run",
        unit="orders",
        parse=as_count,
        meaning="orders of an account in one run; in sections of symbols and strategies, of these in it",
        env="EXEC_MAX_ORDERS_PER_RUN",
    ),
    figures=(Figure("orders_in_run", "orders", "used"), Figure("orders_per_run_limit", "orders", "limit")),
    counter=Counter(of="order", used=none_so_far),
)
