"""Strategies that a rule has latched: refused until an operator enables them again."""

from __future__ import annotations

import pandas as pd

from engine.model.columns import text_column
from engine.risk.batch import Batch
from engine.risk.cells import names_every
from engine.risk.inputs import RiskInputs
from engine.risk.rule import RowJudge
from engine.risk.verdicts import UNAVAILABLE, Verdicts, everywhere, fail_where
from engine.text.plain_text import trimmed


def latched_by(rule: str) -> RowJudge:
    """Return a judge that fails the rows of strategies that ``rule`` has latched."""

    def judge(batch: Batch, inputs: RiskInputs, limit: int) -> Verdicts:
        latches = inputs.latches
        if latches is None or not names_every(latches, "strategy_id"):
            return everywhere(UNAVAILABLE, batch.rows)
        return fail_where(batch.text("strategy_id").where(_strategies(latches, rule).__contains__))

    return judge


def _strategies(latches: pd.DataFrame, rule: str) -> frozenset[str]:
    if not len(latches):
        return frozenset()
    names = text_column(latches[latches["rule"] == rule]["strategy_id"])
    return frozenset(trimmed(str(name)) for name in names.values)
