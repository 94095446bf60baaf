from __future__ import annotations

import pytest

from engine.risk.book import LIMITS, RULE_BOOK
from engine.risk.limits_file.difference import STRICTNESS, compare
from engine.risk.limits_of_book import KEYS, SWITCHES, off
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


@pytest.mark.parametrize("limit", KEYS.values(), ids=lambda limit: limit.key)
def test_two_values_of_every_limit_can_be_compared(limit: Limit) -> None:
    values = {"number": (1, 2), "flag": (False, True), "names": (frozenset("A"), frozenset("AB"))}
    if limit.kind == "word":
        assert limit.key in STRICTNESS or not limit.looser
        return
    one, other = values[limit.kind]
    assert {compare(limit, one, other), compare(limit, other, one)} == {"LOOSER", "TIGHTER"}
