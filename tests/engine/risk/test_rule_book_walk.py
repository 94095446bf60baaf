"""The rule book, walked: each rule has a source, limits, a sentence, cases, boundaries and a line in docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import engine.risk.rules
from engine.risk import RULE_BOOK, Rule
from engine.risk.book import LIMITS
from engine.risk.limits_of_book import limits_of
from tests.engine.risk import oracle, tables
from tests.engine.risk.limits_drawn import VALUES

PAGE = Path("jobs/docs/limits.md").read_text()
NAMES = [rule.name for rule in RULE_BOOK]
CASES = [case for name in NAMES for case in tables.table(name)]
BY_LATCH = {"reject_throttle", "strategy_repeats"}
"""Rules whose number the run compares: the book asks only whether there is a latch."""

of_every_rule = pytest.mark.parametrize("rule", RULE_BOOK, ids=NAMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case}")
def test_a_case_of_the_tables_has_its_verdict(case: tables.Case) -> None:
    assert case.judged() == case.verdict


def test_every_rule_is_one_file_and_every_file_one_rule() -> None:
    files = {path.stem for path in Path(engine.risk.rules.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(NAMES)
    assert len(NAMES) == len(set(NAMES))
    assert {path.stem for path in tables.FOLDER.glob("*.csv")} == set(NAMES)


@of_every_rule
def test_a_rule_names_its_source_and_explains_its_refusals(rule: Rule) -> None:
    assert len(rule.source) > 5
    assert len(rule.explain) > 10
    known = {figure.name for figure in rule.figures} | {"limit_source"}
    assert {name.split(":")[0] for name in re.findall(r"{([^}]*)}", rule.explain)} <= known


@of_every_rule
def test_the_limits_of_a_rule_have_a_unit_and_a_meaning_and_are_drawn_in_the_properties(rule: Rule) -> None:
    for limit in limits_of(rule):
        assert limit.meaning, limit.key
        assert bool(limit.unit) == (limit.kind == "number"), limit.key
        assert limit.scopes, limit.key
        assert limit.key in VALUES or limit.key == "intent_max_age_s", limit.key


@of_every_rule
def test_the_oracle_and_a_table_with_both_verdicts_judge_a_rule(rule: Rule) -> None:
    assert rule.name in oracle.JUDGES
    assert {"pass", "fail"} <= {case.verdict for case in tables.table(rule.name)}


@pytest.mark.parametrize(
    "rule",
    [
        rule
        for rule in RULE_BOOK
        if rule.name not in BY_LATCH and rule.limit is not None and rule.limit.kind == "number"
    ],
    ids=lambda rule: rule.name,
)
def test_a_number_is_tried_on_both_sides_of_its_limit(rule: Rule) -> None:
    """A unit in the direction that refuses more refuses a case that passes; one back lets one pass."""
    assert rule.limit is not None
    cases, stricter = tables.table(rule.name), 1 if rule.limit.looser == "lower" else -1
    turned = {
        case.verdict
        for case in cases
        for units in ((stricter,) if case.verdict == "pass" else (-stricter,))
        if case.verdict in ("pass", "fail") and (moved := case.moved(units)) is not None
        if case.judged(moved) in {"pass", "fail"} - {case.verdict}
    }
    assert turned == {"pass", "fail"}


@of_every_rule
def test_every_level_of_a_limit_decides_a_case_of_its_table(rule: Rule) -> None:
    """Without it a refused order passes; where it only describes a limit, any verdict changes."""
    settings = {limit.key for limit in rule.settings}
    undecided = [
        level
        for level in tables.levels_of(rule)
        if not any(
            (case.verdict == "fail" or level[0] in settings)
            and case.without(level) not in (None, case.verdict)
            for case in tables.table(rule.name)
        )
    ]
    assert not undecided, f"{rule.name}.csv lacks cases of these keys and kinds of levels: {undecided}"


def test_the_page_lists_every_reason_in_the_order_of_the_book() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)
    assert [name for name in listed if name in NAMES or name == "risk_data_unavailable"] == [
        *NAMES,
        "risk_data_unavailable",
    ]


@of_every_rule
def test_the_page_names_the_limits_of_a_rule_in_its_line(rule: Rule) -> None:
    (line,) = re.findall(rf"^\| `{rule.name}` \|.*$", PAGE, flags=re.MULTILINE)
    for limit in limits_of(rule):
        assert f"`{limit.key}" in line or f"`{limit.env}`" in line, limit.key


def test_every_limit_belongs_to_a_rule_or_says_how_a_batch_is_treated() -> None:
    of_rules = {limit.key for rule in RULE_BOOK for limit in limits_of(rule)}
    assert {limit.key for limit in LIMITS} - of_rules <= {"on_refusal", "share", "accounts"}
