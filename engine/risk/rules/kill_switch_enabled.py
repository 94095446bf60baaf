"""Rule: no order is sent while the kill switch is on.

Source: SEED (kill switch); RTS 6 Art. 12 (kill functionality). Cancels are exempt: a switch that also
stops cancels makes things worse (freqtrade #4837, vn.py #323).
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.risk.verdicts import FAIL, PASS, Verdicts, everywhere


def judge(batch: Batch, inputs: RiskInputs, limit: None) -> Verdicts:
    """Fail every row while ``inputs.kill_switch`` is on; anything but a plain False is on."""
    return everywhere(PASS if inputs.kill_switch is False else FAIL, batch.rows)


RULE = Rule(
    name="kill_switch_enabled",
    source="SEED (kill switch); RTS 6 Art. 12",
    explain="the kill switch was on",
    overridable=False,
    judge=judge,
)
