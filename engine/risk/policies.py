"""What becomes of the rest of a batch that partly fails, and how strategies share a limit.

``on_refusal`` is carried out by ``engine.risk.groups``, ``share`` by ``engine.risk.sharing``.
"""

from __future__ import annotations

from engine.risk.levels import STRATEGY
from engine.risk.rule import EVERYWHERE_ONLY, Limit
from engine.settings.values import one_of

ON_REFUSAL = Limit(
    key="on_refusal",
    unit="",
    kind="word",
    parse=one_of("row", "strategy", "file"),
    meaning="what a refusal refuses: the row, all rows of its strategy, or those of its strategy in the file",
    scopes=(STRATEGY,),
    off="row",
    looser="",
)

PRO_RATA = "pro_rata"

SHARE = Limit(
    key="share",
    unit="",
    kind="word",
    parse=one_of("first_come", PRO_RATA),
    meaning="pro_rata: strategies that compete for one limit in a batch share it by what they ask for",
    scopes=EVERYWHERE_ONLY,
    off="first_come",
    looser="",
)

POLICIES = (ON_REFUSAL, SHARE)
