"""The rule book: which intents are allowed, and the reason for each refusal.

``engine.risk.book`` is the complete list, one rule a line; ``engine.risk.rules`` has one file per rule, and
``engine.risk.rule`` what such a file holds. ``evaluate`` judges a batch.
"""

from __future__ import annotations

from engine.risk.book import RULE_BOOK
from engine.risk.evaluation import OK, REASONS, RISK_DATA_UNAVAILABLE, evaluate
from engine.risk.rule import Rule

__all__ = ["OK", "REASONS", "RISK_DATA_UNAVAILABLE", "RULE_BOOK", "Rule", "evaluate"]
