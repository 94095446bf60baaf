"""Rule: where a strategy's policy is all or nothing, one refusal refuses the rest.

With ``on_refusal = "strategy"`` a refused order refuses all orders of its strategy in the batch, with
``"file"`` those of its strategy in the same file. The rest of the batch is then judged from the start,
until nothing changes. Cancels are neither counted nor refused. Source: FIA 2024 (baskets and legs that
make sense only together). ``engine.risk.groups`` finds the groups, ``engine.risk.evaluation.judged`` judges
the rest.
"""

from __future__ import annotations

from engine.risk.policies import ON_REFUSAL
from engine.risk.rule import Rule

RULE = Rule(
    name="batch_refused",
    source="FIA 2024",
    explain="another order of its strategy was refused, and {limit_source} lets all pass or none",
    limit=ON_REFUSAL,
    overridable=False,
    refuses_groups=True,
)
