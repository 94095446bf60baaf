"""Rule: no order opens a position while the account's books were last compared too long ago.

Source: RTS 6 Art. 17(3), reconciliation of own and the venue's records as soon as they are received; SEC
34-70694 on Knight Capital (positions that no book showed).
"""

from __future__ import annotations

import numpy as np

from engine.model.columns import is_missing, microseconds, time_column
from engine.risk.batch import Batch
from engine.risk.cells import BY_ACCOUNT, Cells
from engine.risk.inputs import RiskInputs
from engine.risk.levels import ACCOUNT, ALL
from engine.risk.rule import Limit, Rule
from engine.risk.verdicts import FAIL, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.values import as_seconds


def judge(batch: Batch, inputs: RiskInputs, max_age_s: float) -> Verdicts:
    """Fail rows whose account was last compared more than ``max_age_s`` before ``as_of``, or never."""
    frame = inputs.reconciled
    cells = Cells.of(batch.buckets, BY_ACCOUNT)
    codes = None if frame is None else cells.codes(frame)
    if frame is None or codes is None or is_missing(inputs.as_of):
        return everywhere(UNAVAILABLE, batch.rows)
    compared = time_column(frame["reconciled_at"])
    oldest_us = microseconds(inputs.as_of) - round(max_age_s * 1e6)
    state = everywhere(FAIL, cells.count + 1)
    state[-1] = UNAVAILABLE
    wanted = codes >= 0
    known = wanted & compared.given & ~compared.bad
    state[codes[known & (compared.us >= oldest_us)]] = PASS
    state[codes[wanted & ~known]] = UNAVAILABLE
    return np.asarray(state[cells.of_bucket][batch.buckets.of_row])


RULE = Rule(
    name="reconciliation_stale",
    source="RTS 6 Art. 17(3); SEC 34-70694",
    explain="the account's books were compared with the broker's longer ago than {limit_source} allows",
    limit=Limit(
        key="max_reconciliation_age_s",
        unit="seconds",
        parse=as_seconds,
        meaning="longest time since the account's books were last compared with the broker's",
        env="EXEC_MAX_RECONCILIATION_AGE_S",
        scopes=(ALL, ACCOUNT),
    ),
    reads=("reconciled",),
    reducing="pass",
    judge=judge,
)
