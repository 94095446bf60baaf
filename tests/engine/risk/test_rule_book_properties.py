"""The whole rule book, at all levels of its limits: every cell of an answer is what the oracle expects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from engine import RiskConfig, RiskInputs, evaluate
from engine.risk import RULE_BOOK
from engine.risk.book import LIMIT_BY_KEY
from engine.risk.evaluation import Evaluation
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_of_book import limits_of
from engine.risk.sequence import judge_in_sequence
from tests.engine.risk import oracle
from tests.engine.risk.frames_drawn import EVERY_FRAME, READ_BY, inputs_with, orders
from tests.engine.risk.limits_drawn import VALUES, limits_files, values_of
from tests.engine.risk.strategies import Draw, Row, frame_of
from tests.engine.risk.test_evaluate_properties import FIGURES, assert_same_answer, compiled_from, same_figure

NAMES = tuple(rule.name for rule in RULE_BOOK)
KEYS = tuple(key for key in VALUES if key in LIMIT_BY_KEY)
OF_RULE = {
    rule.name: tuple(limit.key for limit in limits_of(rule) if limit.key in VALUES) for rule in RULE_BOOK
}
WITHOUT_SHRINKING = settings(deadline=None, phases=(Phase.explicit, Phase.generate))
"""Examples are small as they are drawn, and shrinking one takes minutes."""

ALWAYS = ("invalid_intent",)
"""Other rules rely on it: a row that breaks the contract has no meaning for them."""

SET_BY_A_LIMIT = tuple(name for name in NAMES if OF_RULE[name])


@dataclass(frozen=True)
class Asked:
    """A batch of valid rows, what is known and the limits; printed so that a counterexample can be read."""

    intents: pd.DataFrame
    inputs: RiskInputs
    config: RiskConfig

    def __repr__(self) -> str:
        lines = ["Asked:"]
        for nth, row in enumerate(self.rows):
            cells = {name: cell for name, cell in row.items() if not oracle.is_missing(cell)}
            lines.append(f"  row {nth}: {cells}")
        for each in fields(self.inputs):
            known = getattr(self.inputs, each.name)
            lines.append(
                f"  {each.name}: {known.to_dict('records') if isinstance(known, pd.DataFrame) else known}"
            )
        lines += [f"  {self.config}"]
        if self.config.limits_file is not None:
            lines.append(self.config.limits_file.content)
        return "\n".join(lines)

    @property
    def overrides(self) -> list[Row]:
        frame = self.inputs.overrides
        return [] if frame is None else oracle.rows_of(frame)

    @property
    def rows(self) -> list[Row]:
        return oracle.rows_of(self.intents)


@st.composite
def asked(draw: Draw, keys: tuple[str, ...] = KEYS, frames: tuple[str, ...] = EVERY_FRAME) -> Asked:
    """A batch judged by some of the limits, from variables and from a file."""
    by_variable = [key for key in keys if LIMIT_BY_KEY[key].env and key not in ("accounts",)]
    given_ = draw(values_of(by_variable)) if by_variable else {}
    for key in ("max_position_qty", "max_daily_trades"):
        if key not in keys:
            given_[key] = 1000
    config = RiskConfig(
        **given_,
        fail_open=draw(st.integers(0, 5)) == 5,
        position_projection=draw(st.sampled_from(("worst_case", "worst_case", "net"))),
        limits_file=draw(limits_files(keys)) if draw(st.integers(0, 4)) else None,
    )
    rules = [name for name in NAMES if set(OF_RULE[name]) & set(keys)]
    return Asked(frame_of(draw(orders())), draw(inputs_with(frames, rules)), config)


def differences(case: Asked, decisions: pd.DataFrame, rules: tuple[str, ...] = NAMES) -> list[str]:
    """Return, cell by cell, where ``decisions`` differ from the oracle's."""
    rows = case.rows
    expected = oracle.expected_decisions(rows, case.inputs, case.config, rules)
    found = oracle.rows_of(decisions)
    assert len(found) == len(expected)
    return [
        f"row {nth}: {name} is {found[nth][name]!r}, expected {cell!r}"
        for nth, cells in enumerate(expected)
        for name, cell in cells.items()
        if not (name in FIGURES and oracle.is_cancel(rows[nth]))
        if not (same_figure(found[nth][name], cell) if name in FIGURES else found[nth][name] == cell)
    ]


def check(case: Asked) -> None:
    wrong = differences(case, evaluate(case.intents, case.inputs, case.config))
    assert not wrong, "\n".join([*wrong, repr(case)])


def test_the_oracle_knows_every_rule_and_its_order() -> None:
    assert [name for name in oracle.JUDGES if name in NAMES] == list(NAMES)


@pytest.mark.parametrize("name", SET_BY_A_LIMIT)
@given(data=st.data())
@settings(WITHOUT_SHRINKING, max_examples=12)
def test_a_rule_set_alone_at_all_levels_says_what_the_oracle_says(name: str, data: st.DataObject) -> None:
    check(data.draw(asked(OF_RULE[name], READ_BY.get(name, ()))))


@given(asked())
@settings(WITHOUT_SHRINKING, max_examples=40)
def test_all_rules_together_at_all_levels_say_what_the_oracle_says(case: Asked) -> None:
    check(case)


@given(asked(), st.data())
@settings(WITHOUT_SHRINKING, max_examples=15)
def test_any_of_the_rules_say_alone_what_they_say_in_the_oracle(case: Asked, data: st.DataObject) -> None:
    left_out = data.draw(st.lists(st.sampled_from(NAMES), max_size=20, unique=True))
    book = tuple(rule for rule in RULE_BOOK if rule.name not in left_out or rule.name in ALWAYS)
    names = tuple(rule.name for rule in book)
    decisions = evaluate(case.intents, case.inputs, case.config, rule_book=book)
    assert [name for name in decisions.columns if name.startswith("check_")] == [
        f"check_{name}" for name in names
    ]
    wrong = differences(case, decisions, names)
    assert not wrong, "\n".join([*wrong, repr(case)])


@given(asked())
@settings(WITHOUT_SHRINKING, max_examples=15)
def test_compiled_code_says_of_all_rules_what_plain_code_says(case: Asked) -> None:
    plain = evaluate(case.intents, case.inputs, case.config)
    with compiled_from(0):
        assert_same_answer(plain, evaluate(case.intents, case.inputs, case.config))


@given(asked())
@settings(WITHOUT_SHRINKING, max_examples=25)
def test_what_is_allowed_passed_every_rule_that_no_override_waived(case: Asked) -> None:
    decisions = evaluate(case.intents, case.inputs, case.config)
    allowed = decisions[decisions["allowed"]]
    for rule in NAMES:
        verdicts = allowed[f"check_{rule}"]
        skipped = case.config.fail_open and rule in oracle.SKIPPED_BY_FAIL_OPEN
        assert skipped or not (verdicts == "unavailable").any(), f"{rule} {case!r}"
        waived = {each["rule"] for each in case.overrides}
        assert rule in waived or not (verdicts == "fail").any(), f"{rule} {case!r}"


@given(asked())
@settings(WITHOUT_SHRINKING, max_examples=25)
def test_a_valid_cancel_that_is_not_one_twice_passes_whatever_is_set_or_missing(case: Asked) -> None:
    decisions = evaluate(case.intents, case.inputs, case.config)
    cancels = decisions[(case.intents["action"] == "cancel").to_numpy()] if "action" in case.intents else []
    for row in oracle.rows_of(cancels) if len(cancels) else ():
        assert row["allowed"] == (row["check_duplicate_intent"] == "pass"), repr(case)


WORST: dict[str, Any] = {"max_position_qty": 100.0, "max_working_orders": 3}


@given(orders(), inputs_with(("working_order_terms",)))
@settings(WITHOUT_SHRINKING, max_examples=40)
def test_no_fills_of_allowed_orders_breach_a_limit_on_positions_or_working_orders(
    rows: list[Row], inputs: RiskInputs
) -> None:
    """Whatever fills, a position is at most where all orders of one side fill."""
    inputs = replace(inputs, overrides=None)
    decisions = evaluate(frame_of(rows), inputs, RiskConfig(**WORST))
    allowed = [row for row, ok in zip(rows, decisions["allowed"], strict=True) if ok]
    sent = [row for row in allowed if not oracle.is_cancel(row)]
    known = oracle.Known.of(inputs)
    for row in sent:
        held, working = oracle.position_held(row, known), oracle.working_quantities(row, known)
        assert held is not None
        assert working is not None
        sign = 1 if row["side"] == "buy" else -1
        alike = [one for one in sent if oracle.key_of(one) == oracle.key_of(row)]
        same = sum(oracle.exact(one["qty"]) for one in alike if one["side"] == row["side"])
        most = sign * held + working[0 if sign > 0 else 1] + same
        assert most <= WORST["max_position_qty"], f"{row} {inputs}"
        account = row["broker_account_id"]
        open_orders = [one for one in known.working_orders or () if one["broker_account_id"] == account]
        mine = [one for one in sent if one["broker_account_id"] == account]
        assert len(open_orders) + len(mine) <= WORST["max_working_orders"], f"{row} {inputs}"


@given(asked())
@settings(WITHOUT_SHRINKING, max_examples=25)
def test_scanning_contested_rows_alone_allows_what_scanning_every_row_allows(case: Asked) -> None:
    found = Evaluation.of(case.intents, case.inputs, case.config)
    every = judge_in_sequence(found.sequence, found.batch, found.question, every_row=True)
    assert list(every.allowed) == list(found.answer.allowed), repr(case)


@given(limits_files(KEYS))
@settings(WITHOUT_SHRINKING, max_examples=15)
def test_a_limits_file_that_was_drawn_is_read_as_it_was_written(file: Any) -> None:
    read = parse_limits_file(file.content, path="limits.toml", known=LIMIT_BY_KEY)
    everywhere = [one for one in read.sections if one.values]
    assert everywhere == [one for one in file.sections if one.values]
    assert read.temporary == file.temporary
