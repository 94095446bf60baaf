"""Rule: a row that breaks the intent contract is never sent, whoever built the frame.

Source: DESIGN, contract of an intent; FIA 2024 (pre-trade controls apply to every order path).
"""

from __future__ import annotations

from engine.config import RiskConfig
from engine.contract import violations
from engine.inputs import RiskInputs
from engine.risk.batch import Batch
from engine.risk.verdicts import Verdicts, fail_where


def invalid_intent(batch: Batch, inputs: RiskInputs, config: RiskConfig) -> Verdicts:
    """Fail rows that break any rule of ``engine.contract``, or have no valid ``client_intent_id``.

    Metadata that the ledger can't keep is one of these rules (``engine.keeping``): an order that can't be
    booked must not be sent.
    """
    breach = ~batch.identity.valid
    for violation in violations(batch.columns, batch.rows):
        breach |= violation.rows
    return fail_where(breach)
