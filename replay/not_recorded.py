"""Limits whose input a run did not record: what is judged without them, and which intents they concern.

A run records the inputs that its own limits needed. Where other limits need one more, nothing is known of
it, which the rule book refuses. That says nothing about the day, so the batch is judged without these
limits, and the intents that they could not judge are listed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from engine.model.schema import VERDICTS
from engine.risk import RULE_BOOK, evaluate
from engine.risk.config import RiskConfig
from engine.risk.evaluation import REASONS
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Rule
from replay.recorded import Recording

NOT_RECORDED = "not_recorded"
"""The column with the rules that could not judge an intent, joined by blanks."""
REMEDY = (
    "A run records only the inputs that its own limits need. Set the limit for runs, and replay those that "
    "were made since"
)
_OFF, _UNAVAILABLE = "off", "unavailable"


def decisions(
    intents: pd.DataFrame, inputs: RiskInputs, config: RiskConfig, missing: Collection[str]
) -> pd.DataFrame:
    """Return the decisions on a batch, and in ``not_recorded`` (category) the rules that could not judge.

    ``missing``: the input frames that the limits need and the run did not record. Limits that need them are
    left out: their check is ``off`` where no other limit of the rule is set.
    """
    whole = evaluate(intents, inputs, config)
    if not missing:
        whole[NOT_RECORDED] = _nowhere(len(whole))
        return whole
    book = book_without(frozenset(missing))
    known = evaluate(intents, inputs, config, rule_book=book)
    known["reason"] = known["reason"].cat.set_categories(list(REASONS))
    left_out = {name: _of_no_rule(name, whole[name]) for name in whole.columns if name not in known.columns}
    found = known.assign(**left_out)[list(whole.columns)].assign(**{NOT_RECORDED: _unjudged(whole, known)})
    found.attrs.update(known.attrs)
    return found


@cache
def book_without(missing: frozenset[str]) -> tuple[Rule, ...]:
    """Return the rule book without the limits that need any of these input frames."""
    return tuple(rule for rule in (_without(rule, missing) for rule in RULE_BOOK) if rule is not None)


def frames_of(rule_name: str) -> frozenset[str]:
    """Return the input frames that any limit of a rule needs besides those of every run."""
    rule = next(rule for rule in RULE_BOOK if rule.name == rule_name)
    by_key = (frame for frames in rule.reads_by_key.values() for frame in frames)
    return frozenset((*rule.reads, *rule.reads_by_level, *by_key))


def rows_of(decided: pd.DataFrame, recording: Recording) -> pd.DataFrame:
    """Return one row per rule that could not judge some intents of a run; see ``not_recorded_schema``."""
    column, allowed = decided[NOT_RECORDED], decided["allowed"].to_numpy(dtype=bool)
    found = []
    for rule in RULE_BOOK if column.astype(bool).any() else ():
        rows = column.map(lambda names, name=rule.name: name in names.split()).to_numpy(dtype=bool)
        if rows.any():
            missing = sorted(frames_of(rule.name) - recording.frames.keys())
            counts = int(rows.sum()), int((rows & allowed).sum())
            found.append(
                (rule.name, ", ".join(missing), recording.run.run_id, recording.run.trading_date, *counts)
            )
    schema = not_recorded_schema()
    return pd.DataFrame(found, columns=schema.columns).astype(schema.dtypes.to_dict()) if found else schema


@cache
def not_recorded_schema() -> pd.DataFrame:
    """Return an empty frame of the intents that could not be judged, one row per rule and run.

    ``frames``: the input frames that it needs and the run did not record; ``intents`` could not be judged
    by it, of which the other rules allow ``allowed``.
    """
    types = {
        "rule": "str", "frames": "str", "run_id": "str", "trading_date": "datetime64[us]",
        "intents": "int64", "allowed": "int64",
    }  # fmt: skip
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def summed(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry per rule and missing frames, with its sessions, intents and what to do."""
    return [
        {
            "rule": str(rule),
            "frames": str(frames).split(", "),
            "sessions": int(some["trading_date"].nunique()),
            "first_session": f"{some['trading_date'].min():%Y-%m-%d}",
            "last_session": f"{some['trading_date'].max():%Y-%m-%d}",
            "intents": int(some["intents"].sum()),
            "allowed": int(some["allowed"].sum()),
            "remedy": REMEDY,
        }
        for (rule, frames), some in rows.groupby(["rule", "frames"], sort=False)
    ]


def _without(rule: Rule, missing: frozenset[str]) -> Rule | None:
    """Return a rule with only the limits that can be judged, None where none is left."""
    if missing.intersection(rule.reads):
        return None
    of_keys = {key for key, frames in rule.reads_by_key.items() if missing.intersection(frames)}
    if rule.limit is not None and rule.limit.key in of_keys:
        return None
    of_levels = [kinds for frame, kinds in rule.reads_by_level.items() if frame in missing]
    left_out = frozenset(kind for kinds in of_levels for kind in kinds)
    if not of_keys and not left_out:
        return rule
    return replace(
        rule,
        kinds=tuple(kind for kind in rule.kinds if kind not in left_out),
        more=tuple(part for part in rule.more if part.limit is None or part.limit.key not in of_keys),
    )


def _of_no_rule(name: str, column: pd.Series) -> Any:
    """Return a column of a rule that is left out: its check is off, its figures and words are unknown."""
    rows = len(column)
    if name.startswith("check_"):
        return pd.Categorical.from_codes(np.full(rows, VERDICTS.index(_OFF)), categories=list(VERDICTS))
    return _nowhere(rows) if isinstance(column.dtype, pd.CategoricalDtype) else np.full(rows, np.nan)


def _unjudged(whole: pd.DataFrame, known: pd.DataFrame) -> pd.Categorical:
    """Return, per row, the rules whose data is unavailable only for the limits that were left out."""
    names = np.full(len(whole), "", dtype=object)
    for rule in RULE_BOOK:
        check = f"check_{rule.name}"
        rows = (whole[check] == _UNAVAILABLE).to_numpy()
        if check in known.columns:
            rows = rows & (known[check] != _UNAVAILABLE).to_numpy()
        names[rows] += f"{rule.name} "
    return pd.Categorical(np.array([name.rstrip() for name in names], dtype=object))


def _nowhere(rows: int) -> pd.Categorical:
    return pd.Categorical.from_codes(np.zeros(rows, dtype=np.int8), categories=[""])
