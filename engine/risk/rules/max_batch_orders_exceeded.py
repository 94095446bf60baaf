"""Rule: a file with too many orders is refused whole, every order of it.

Counted are the new orders of a file that the row rules let through, within one account; against the median
of the strategy's earlier runs, those of the strategy. Source: the error of 2 May 2022 at Citigroup (FCA
and PRA final notices of 2024: 58 million USD were meant, a basket of 444 billion was entered, and no
control refused it whole).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.buckets import Numbered
from engine.risk.cells import names_every
from engine.risk.inputs import RiskInputs
from engine.risk.levels import ALL, STRATEGY
from engine.risk.rule import Limit, Part, Rule
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, any_refusing, everywhere
from engine.settings.values import as_count, as_ratio
from engine.text.plain_text import trimmed


def judge(batch: Batch, inputs: RiskInputs, most: int, counted: Mask) -> Verdicts:
    """Fail the orders of files that have more than ``most`` counted orders in one account."""
    file, _, orders = _counts(batch, batch.accounts, counted)
    return _whole_files(batch, failing=file[orders > most], unknown=_NO_FILES)


def judge_ratio(batch: Batch, inputs: RiskInputs, ratio: float, counted: Mask) -> Verdicts:
    """Fail the orders of files in which a strategy has more than ``ratio`` times its usual number of orders.

    Usual is the median of its earlier runs; a strategy without any has nothing to be compared with, and
    passes.
    """
    frame = inputs.earlier_batches
    if frame is None or not names_every(frame, "strategy_id"):
        return _whole_files(batch, failing=_NO_FILES, unknown=np.arange(_files(batch)))
    medians = _medians(frame)
    limit = np.full(len(batch.strategies.code_of) + 1, np.inf)
    for name, code in batch.strategies.code_of.items():
        limit[code] = medians.get(trimmed(name), np.inf) * ratio
    file, strategy, orders = _counts(batch, batch.strategies, counted)
    most = limit[strategy]
    return _whole_files(batch, failing=file[orders > most], unknown=file[np.isnan(most)])


def _medians(frame: pd.DataFrame) -> dict[str, float]:
    """Return the usual number of orders by strategy, NaN where a number of its runs is none."""
    strategies = text_column(frame["strategy_id"])
    orders = number_column(frame["orders"]).numbers if len(frame) else np.zeros(0)
    names = [trimmed(str(name)) for name in strategies.values]
    by_name: dict[str, list[float]] = {}
    for code, number in zip(strategies.codes.tolist(), orders.tolist(), strict=True):
        by_name.setdefault(names[code], []).append(number if number >= 0 else np.nan)
    return {name: float(np.median(numbers)) for name, numbers in by_name.items()}


_NO_FILES: Ints = np.zeros(0, dtype=np.int64)
_DENSE_BOUND = 1_000_000


def _files(batch: Batch) -> int:
    return int(batch.files.max(initial=-1)) + 1


def _counts(batch: Batch, names: Numbered, counted: Mask) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of a file and a name (-1 for none) that have counted orders, and how many."""
    files, width = _files(batch), len(names.code_of) + 1
    pair = names.codes + 1
    if files > 1:
        pair += batch.files * width
    if not counted.all():
        pair = pair[counted]
    if files * width <= _DENSE_BOUND:
        counts = np.bincount(pair, minlength=files * width)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, counts = np.unique(pair, return_counts=True)
    file, name = np.divmod(pairs, width)
    return file, name - 1, counts


def _whole_files(batch: Batch, *, failing: Ints, unknown: Ints) -> Verdicts:
    """Return the verdicts of all orders of some files, PASS for those of other files."""
    by_file = everywhere(PASS, _files(batch))
    by_file[unknown] = UNAVAILABLE
    by_file[failing] = FAIL
    verdicts = by_file[batch.files] if any_refusing(by_file) else everywhere(PASS, batch.rows)
    verdicts[batch.is_cancel] = OFF
    return verdicts


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
    more=(
        Part(
            limit=Limit(
                key="max_batch_ratio_to_median",
                unit="times",
                parse=as_ratio,
                meaning="most orders of a strategy in one file, as a multiple of its median",
                env="EXEC_MAX_BATCH_RATIO_TO_MEDIAN",
                scopes=(ALL, STRATEGY),
            ),
            whole_file=judge_ratio,
        ),
    ),
)
