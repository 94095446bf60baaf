"""Rule: a file with too many orders is refused whole, every order of it.

Counted are the new orders of a file that the row rules let through, within one account; against the median
of the strategy's earlier runs, those of the strategy. Source: the error of 2 May 2022 at Citigroup (FCA
and PRA final notices of 2024: 58 million USD were meant, a basket of 444 billion was entered, and no
control refused it whole).
"""

from __future__ import annotations

import numpy as np

from engine.model.quantity import Mask
from engine.risk.batch import Batch
from engine.risk.cells import names_every
from engine.risk.inputs import RiskInputs
from engine.risk.rule import Limit, Part, Rule
from engine.risk.verdicts import Verdicts
from engine.risk.whole_files import (
    MAX_BATCH_RATIO_TO_MEDIAN,
    NO_FILES,
    counts_in_files,
    earlier_runs,
    every_file,
    verdicts_of_files,
)
from engine.settings.values import as_count
from engine.text.plain_text import trimmed


def judge(batch: Batch, inputs: RiskInputs, most: int, counted: Mask) -> Verdicts:
    """Fail the orders of files that have more than ``most`` counted orders in one account."""
    file, _, orders = counts_in_files(batch, batch.accounts, counted)
    return verdicts_of_files(batch, failing=file[orders > most])


def judge_ratio(batch: Batch, inputs: RiskInputs, ratio: float, counted: Mask) -> Verdicts:
    """Fail the orders of files in which a strategy has more than ``ratio`` times its usual number of orders.

    Usual is the median of its earlier runs; a strategy without any has nothing to be compared with, and
    passes.
    """
    frame = inputs.earlier_batches
    if frame is None or not names_every(frame, "strategy_id"):
        return verdicts_of_files(batch, failing=NO_FILES, unknown=every_file(batch))
    medians = {name: float(np.median(orders)) for name, orders in earlier_runs(frame, "orders").items()}
    limit = np.full(len(batch.strategies.code_of) + 1, np.inf)
    for name, code in batch.strategies.code_of.items():
        limit[code] = medians.get(trimmed(name), np.inf) * ratio
    file, strategy, orders = counts_in_files(batch, batch.strategies, counted)
    most = limit[strategy]
    return verdicts_of_files(batch, failing=file[orders > most], unknown=file[np.isnan(most)])


RULE = Rule(
    name="max_batch_orders_exceeded",
    source="FCA and PRA final notices on Citigroup, 2024; RTS 6 Art. 15(1)",
    explain="its file has more orders than {limit_source} allows; every order of the file is refused",
    limit=Limit(
        key="max_batch_orders",
        unit="orders",
        parse=as_count,
        meaning="most orders of one file in an account; above it the whole file is refused",
        env="EXEC_MAX_BATCH_ORDERS",
    ),
    reads_by_key={"max_batch_ratio_to_median": ("earlier_batches",)},
    whole_file=judge,
    more=(Part(limit=MAX_BATCH_RATIO_TO_MEDIAN, whole_file=judge_ratio),),
)
