from __future__ import annotations

import re
from datetime import date

import pytest

from engine.risk.book import LIMITS, RULE_BOOK
from engine.risk.limits_file.difference import STRICTNESS, compare
from engine.risk.limits_file.parsing import parse_limits_file
from engine.risk.limits_file.template import template
from engine.risk.limits_of_book import KEYS, SWITCHES, limits_of, off
from engine.risk.rule import Limit


def test_every_key_of_the_book_belongs_to_a_rule_or_is_a_policy() -> None:
    of_rules = {limit.key for rule in RULE_BOOK for limit in rule.limits}
    assert [limit.key for limit in LIMITS if limit.key not in of_rules] == ["share"]
    assert {key for keys in SWITCHES.values() for key in keys} <= KEYS.keys()


def test_the_two_rules_with_a_default_are_never_off() -> None:
    assert {"max_position_size_exceeded", "max_daily_trades_exceeded"}.isdisjoint(off(None))


def test_a_limit_that_only_describes_another_switches_nothing_on() -> None:
    assert SWITCHES["duplicate_order"] == ("max_equal_orders",)
    assert SWITCHES["account_not_configured"] == ()
    assert "accounts" in SWITCHES["strategy_not_authorised"]


def test_the_template_of_the_book_has_every_key_once_and_holds_once_its_signs_are_taken_away() -> None:
    rules = {rule.name: limits_of(rule) for rule in RULE_BOOK}
    others = [limit for limit in KEYS.values() if limit.key in {"share"}]
    text = template(rules, others, off=off(None), on=date(2026, 11, 30))
    whole = re.sub(r"(?m)^# (?=\[|\w+ = )", "", text)
    file = parse_limits_file(
        re.sub(r"(?ms)^acknowledged_off = \[.*?^\]", 'acknowledged_off = ["*"]', whole), path="t", known=KEYS
    )
    assert {key for section in file.sections for key in section.values} == KEYS.keys()
    assert re.findall(r"(?m)^# (max_\w+_usd) = 25_000 +# USD: ", text) == [
        key for key in KEYS if key.endswith("_usd")
    ]
    narrower = text[text.index("# [account.NAME]") :]
    assert "# max_daily_trades = 50" in narrower, "an example that says something"


@pytest.mark.parametrize("limit", KEYS.values(), ids=lambda limit: limit.key)
def test_two_values_of_every_limit_can_be_compared(limit: Limit) -> None:
    values = {"number": (1, 2), "flag": (False, True), "names": (frozenset("A"), frozenset("AB"))}
    if limit.kind == "word":
        assert limit.key in STRICTNESS or not limit.looser
        return
    one, other = values[limit.kind]
    assert {compare(limit, one, other), compare(limit, other, one)} == {"LOOSER", "TIGHTER"}
