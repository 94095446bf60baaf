"""Overrides: for one session an operator lets one intent, strategy or symbol pass one rule.

An override waives a refusal only. It never waives unavailable data, and some rules can't be overridden at
all.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.model.quantity import Mask
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from engine.text.plain_text import trimmed


def waived_rows(rule_book: tuple[Rule, ...], batch: Batch, inputs: RiskInputs) -> Mapping[str, Mask]:
    """Return, by rule, the rows that an override of this session lets pass; unreadable overrides let none."""
    frame = inputs.overrides
    if frame is None or not len(frame):
        return {}
    may = {rule.name for rule in rule_book if rule.overridable}
    waived: dict[str, Mask] = {}
    for override in frame.to_dict("records"):
        rule = override.get("rule")
        if rule not in may or override.get("expires_on") != inputs.trading_date.isoformat():
            continue
        rows = _rows(override, batch)
        if rows.any():
            waived[rule] = waived[rule] | rows if rule in waived else rows
    return waived


def _rows(override: Mapping[str, object], batch: Batch) -> Mask:
    """Return the rows that an override names; one that names not exactly one thing names no row."""
    given = {
        name: value
        for name in ("client_intent_id", "strategy_id", "symbol")
        if isinstance(value := override.get(name), str) and value
    }
    none = np.zeros(batch.rows, dtype=bool)
    if len(given) != 1:
        return none
    ((name, value),) = given.items()
    if name == "client_intent_id":
        ids = batch.client_intent_ids
        return none if ids is None else np.asarray(ids.astype(object) == value, dtype=bool)
    if name == "symbol":
        return batch.text("symbol").where(canonical_symbol(value).__eq__)
    return batch.text("strategy_id").where(trimmed(value).__eq__)
