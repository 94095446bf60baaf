"""The rule book: every rule, in the order that decides which reason is given.

One name per rule: its file, its reason, its column ``check_<name>``, its fixture and its test.
"""

from __future__ import annotations

from engine.risk.rule import Limit, Rule
from engine.risk.rules import (
    account_not_configured,
    duplicate_intent,
    intent_expired,
    invalid_intent,
    kill_switch_enabled,
    max_daily_trades_exceeded,
    max_position_size_exceeded,
    position_unreconciled,
)

RULE_BOOK: tuple[Rule, ...] = (
    kill_switch_enabled.RULE,
    invalid_intent.RULE,
    account_not_configured.RULE,
    duplicate_intent.RULE,
    intent_expired.RULE,
    position_unreconciled.RULE,
    max_daily_trades_exceeded.RULE,
    max_position_size_exceeded.RULE,
)

LIMITS: tuple[Limit, ...] = tuple(
    {
        limit.key: limit
        for rule in RULE_BOOK
        for limit in ((rule.limit, *rule.settings) if rule.limit else rule.settings)
    }.values()
)
"""Every limit of the book, each once, in its order."""

LIMIT_BY_KEY = {limit.key: limit for limit in LIMITS}
