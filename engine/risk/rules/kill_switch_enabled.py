"""Rule: no order is sent while the kill switch is on, nor where an operator has halted trading.

Source: SEED (kill switch); RTS 6 Art. 12 (kill functionality). Cancels are exempt: a switch that also
stops cancels makes things worse (freqtrade #4837, vn.py #323).
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.risk.trading_states import HALTED, rows_in
from engine.risk.verdicts import FAIL, Verdicts, everywhere


def judge(batch: Batch, inputs: RiskInputs, limit: None) -> Verdicts:
    """Fail every row while ``inputs.kill_switch`` is on, and rows in a scope that is HALTED.

    Anything but a plain False is on.
    """
    if inputs.kill_switch is not False:
        return everywhere(FAIL, batch.rows)
    return rows_in(HALTED, batch, inputs.trading_states)


RULE = Rule(
    name="kill_switch_enabled",
    source="SEED (kill switch); RTS 6 Art. 12",
    explain="the kill switch was on, or an operator had halted the account, symbol or strategy",
    overridable=False,
    judge=judge,
)
