"""The limit ``accounts``: those that may trade; in the section of a strategy, those that it trades."""

from __future__ import annotations

from engine.risk.levels import STRATEGY
from engine.risk.rule import Limit
from engine.settings.values import as_names

ACCOUNTS = Limit(
    key="accounts",
    unit="",
    kind="names",
    parse=as_names,
    meaning="the only accounts that may trade; in the section of a strategy, the only ones that it trades",
    scopes=(STRATEGY,),
    default=frozenset(),
    looser="more",
)
