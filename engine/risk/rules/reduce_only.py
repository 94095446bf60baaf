"""Rule: where only reducing is allowed, an order makes a position smaller, whatever else fills.

So it is where a level sets ``reduce_only``, and while an operator has set the trading state of all, of the
account, the symbol or the strategy to REDUCING. Source: FIA 2024 (kill switch with orderly exit); RTS 6
Art. 12.
"""

from __future__ import annotations

import numpy as np

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import OF_STRATEGIES, Limit, Part, Rule
from engine.risk.trading_states import REDUCING, rows_in
from engine.risk.verdicts import FAIL, OFF, PASS, Verdicts, everywhere
from engine.settings.values import as_flag


def judge(batch: Batch, inputs: RiskInputs, is_on: bool) -> Verdicts:
    """Fail orders; one that reduces a position passes all the same."""
    return everywhere(FAIL, batch.rows)


def judge_states(batch: Batch, inputs: RiskInputs, limit: None) -> Verdicts:
    """Fail orders in a scope that is REDUCING; what reduces the account's position passes in any state."""
    verdicts = rows_in(REDUCING, batch, inputs.trading_states)
    return np.where(verdicts == PASS, np.int8(OFF), verdicts).astype(np.int8)


RULE = Rule(
    name="reduce_only",
    source="RTS 6 Art. 12; FIA 2024",
    explain="only orders that reduce a position were allowed",
    limit=Limit(
        key="reduce_only",
        unit="",
        kind="flag",
        parse=as_flag,
        meaning="true: only orders that reduce a position",
        env="EXEC_REDUCE_ONLY",
        off=False,
        looser="lower",
    ),
    reads_by_level={"strategy_positions": OF_STRATEGIES, "working_order_terms": OF_STRATEGIES},
    reducing="pass_if_known",
    own_book=True,
    judge=judge,
    more=(Part(judge=judge_states, reducing="pass"),),
)
