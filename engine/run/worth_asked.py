"""What the orders of each strategy of a run are worth: later runs compare theirs with it (manifest)."""

from __future__ import annotations

from engine.model.money import MONEY_UNITS
from engine.model.schema import DECISION_FIELDS
from engine.record.run_folder import BATCH, RunFolder
from engine.record.sealed_limits import config_of
from engine.risk.batch import Batch
from engine.risk.valuing import Valuation
from engine.risk.whole_files import sums_in_files
from engine.run.earlier_batches import STRATEGIES_LISTED
from engine.run.risk_inputs import inputs_of


def worth_by_strategy(folder: RunFolder) -> dict[str, float | None] | None:
    """Return in USD what each strategy asked for, by the prices that the run recorded; cancels are no orders.

    None for a strategy one of whose orders is unpriced. None in all where the run recorded no prices, and for
    more strategies than a manifest lists.
    """
    if "prices.parquet" not in folder.names():
        return None
    batch = Batch.of(folder.table(BATCH, list(DECISION_FIELDS)).to_pandas())
    names = list(batch.strategies.code_of)
    if len(names) > STRATEGIES_LISTED:
        return None
    worth = Valuation(batch, inputs_of(folder), config_of(folder).quote_levels).order_notional
    known = batch.is_order & worth.known
    _, strategies, sums = sums_in_files(batch, batch.strategies, worth.units, known)
    found: dict[str, float | None] = {
        names[code]: total / MONEY_UNITS
        for code, total in zip(strategies.tolist(), sums.tolist(), strict=True)
        if code >= 0
    }
    unpriced = set(batch.strategies.codes[batch.is_order & ~worth.known].tolist()) - {-1}
    return found | dict.fromkeys(names[code] for code in sorted(unpriced))
