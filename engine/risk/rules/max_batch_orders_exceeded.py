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
from engine.risk.cells import names_every
from engine.risk.inputs import RiskInputs
from engine.risk.levels import ALL, STRATEGY
from engine.risk.rule import Limit, Part, Rule
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, everywhere
from engine.settings.values import as_count, as_ratio
from engine.text.plain_text import trimmed


def judge(batch: Batch, inputs: RiskInputs, most: int, counted: Mask) -> Verdicts:
    """Fail the orders of files that have more than ``most`` counted orders in one account."""
    accounts = batch.accounts.codes
    too_many = _counts(batch, accounts, counted) > most
    return _whole_files(batch, np.where(too_many, np.int8(FAIL), np.int8(PASS)))


def judge_ratio(batch: Batch, inputs: RiskInputs, ratio: float, counted: Mask) -> Verdicts:
    """Fail the orders of files in which a strategy has more than ``ratio`` times its usual number of orders.

    Usual is the median of its earlier runs; a strategy without any has nothing to be compared with, and
    passes.
    """
    frame = inputs.earlier_batches
    if frame is None or not names_every(frame, "strategy_id"):
        return _whole_files(batch, everywhere(UNAVAILABLE, batch.rows))
    medians = _medians(frame)
    strategies = batch.strategies
    limit = np.full(len(strategies.code_of) + 1, np.inf)
    for name, code in strategies.code_of.items():
        limit[code] = medians.get(trimmed(name), np.inf) * ratio
    orders = _counts(batch, strategies.codes, counted)
    most = limit[strategies.codes]
    verdicts = np.where(orders > most, np.int8(FAIL), np.int8(PASS))
    verdicts[np.isnan(most) & counted] = UNAVAILABLE
    return _whole_files(batch, verdicts.astype(np.int8))


def _medians(frame: pd.DataFrame) -> dict[str, float]:
    """Return the usual number of orders by strategy, NaN where a number of its runs is none."""
    strategies = text_column(frame["strategy_id"])
    orders = number_column(frame["orders"]).numbers if len(frame) else np.zeros(0)
    names = [trimmed(str(name)) for name in strategies.values]
    by_name: dict[str, list[float]] = {}
    for code, number in zip(strategies.codes.tolist(), orders.tolist(), strict=True):
        by_name.setdefault(names[code], []).append(number if number >= 0 else np.nan)
    return {name: float(np.median(numbers)) for name, numbers in by_name.items()}


def _counts(batch: Batch, codes: Ints, counted: Mask) -> Ints:
    """Return, per row, the counted orders of its file that share its code; 0 for rows that aren't counted."""
    group = batch.files * (int(codes.max(initial=-1)) + 2) + codes + 1
    _, place = np.unique(group, return_inverse=True)
    counts = np.bincount(place[counted], minlength=int(place.max(initial=-1)) + 1)
    return np.where(counted, counts[place], 0)


def _whole_files(batch: Batch, verdicts: Verdicts) -> Verdicts:
    """Return the verdicts with those of each file's worst order for all its orders."""
    files = batch.files
    unknown = np.zeros(int(files.max(initial=-1)) + 1, dtype=bool)
    failing = unknown.copy()
    failing[files[verdicts == FAIL]] = True
    unknown[files[verdicts == UNAVAILABLE]] = True
    whole = np.where(failing[files], FAIL, np.where(unknown[files], UNAVAILABLE, PASS)).astype(np.int8)
    whole[batch.is_cancel] = OFF
    return whole


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
