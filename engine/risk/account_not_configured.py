"""Rule: only configured accounts trade.

Source: SEC Rule 15c3-5(c)(2)(iii), trading restricted to authorised accounts.
"""

from __future__ import annotations

from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.verdicts import OFF, Verdicts, everywhere, fail_where
from engine.settings.variables import RiskConfig


def account_not_configured(batch: Batch, inputs: RiskInputs, config: RiskConfig) -> Verdicts:
    """Fail rows whose account is not in ``config.accounts``; off where that is empty."""
    if not config.accounts:
        return everywhere(OFF, batch.rows)
    return fail_where(~batch.text("broker_account_id").where(config.accounts.__contains__))
