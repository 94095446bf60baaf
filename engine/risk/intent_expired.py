"""Rule: an intent is not acted on after its time.

``valid_until`` is the strategy's own limit and holds to the microsecond it names; ``intent_max_age_s`` is
the operator's. Source: FIA 2024 (stale orders and data block).
"""

from __future__ import annotations

import numpy as np

from engine.model.columns import is_missing, microseconds
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.variables import RiskConfig


def intent_expired(batch: Batch, inputs: RiskInputs, config: RiskConfig) -> Verdicts:
    """Fail rows past ``valid_until``, or created more than ``config.intent_max_age_s`` before ``as_of``.

    What can't be told is unavailable: a moment without a zone, with an age limit a row that doesn't say when
    it was created, and every row where nobody says what time it is.
    """
    if is_missing(inputs.as_of):
        return everywhere(UNAVAILABLE, batch.rows)
    as_of_us = microseconds(inputs.as_of)
    verdicts = everywhere(PASS, batch.rows)
    if config.intent_max_age_s is not None:
        created = batch.time("created_at")
        verdicts[:] = UNAVAILABLE
        if created is not None:
            known = created.given & ~created.bad
            young = created.us >= as_of_us - np.int64(round(config.intent_max_age_s * 1e6))
            verdicts[known] = np.where(young[known], PASS, FAIL)
    valid_until = batch.time("valid_until")
    if valid_until is not None:
        verdicts[valid_until.bad & (verdicts == PASS)] = UNAVAILABLE
        verdicts[valid_until.given & ~valid_until.bad & (valid_until.us < as_of_us)] = FAIL
    return verdicts
