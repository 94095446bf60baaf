"""Rule: a file whose orders are worth too much is refused whole, every order of it.

Added up are the new orders of a file that the row rules let through, within one account; against the median
of the strategy's earlier runs, those of the strategy. An order whose worth is unknown is refused by itself,
unless it reduces a position. Source: the error of 2 May 2022 at Citigroup (FCA and PRA final notices of 2024:
58 million USD were meant, a basket of 444 billion was entered, and no control refused it whole).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from engine.model.money import LARGEST_AMOUNT, MONEY_UNITS, to_usd, usd_to_units
from engine.model.quantity import Floats, Ints, Mask
from engine.risk.cells import names_every
from engine.risk.named_values import exact
from engine.risk.rule import Figure, Limit, Part, Rule
from engine.risk.valuing import Valuation
from engine.risk.verdicts import PASS, UNAVAILABLE, Amounts, Verdicts
from engine.risk.whole_files import (
    MAX_BATCH_RATIO_TO_MEDIAN,
    NO_FILES,
    earlier_runs,
    every_file,
    sums_in_files,
    verdicts_of_files,
)
from engine.settings.values import as_usd
from engine.text.plain_text import trimmed

_NO_LIMIT = np.iinfo(np.int64).max


def judge(valuation: Valuation, most_usd: float, counted: Mask) -> Verdicts:
    """Fail the orders of files whose counted orders in one account are worth more than ``most_usd``."""
    batch = valuation.batch
    file, _, worth = _sums(valuation, by_strategy=False, counted=counted)
    return verdicts_of_files(batch, failing=file[worth > usd_to_units(most_usd)])


def judge_worth(valuation: Valuation, most_usd: float) -> Verdicts:
    """Return UNAVAILABLE for orders whose worth is unknown: no sum has them."""
    return np.where(_worth(valuation).known, PASS, UNAVAILABLE).astype(np.int8)


def judge_ratio(valuation: Valuation, ratio: float, counted: Mask) -> Verdicts:
    """Fail the orders of files in which a strategy's are worth more than ``ratio`` times what is usual.

    Usual is the median of its earlier runs of which that is known; without one there is nothing to be
    compared with, and the file passes.
    """
    batch, medians = valuation.batch, _medians(valuation)
    if medians is None:
        return verdicts_of_files(batch, failing=NO_FILES, unknown=every_file(batch))
    limit = np.full(len(batch.strategies.code_of) + 1, _NO_LIMIT, dtype=np.int64)
    for name, code in batch.strategies.code_of.items():
        if (median := medians.get(trimmed(name))) is not None:
            limit[code] = min(int(exact(median) * exact(ratio) * MONEY_UNITS), _NO_LIMIT)
    file, strategy, worth = _sums(valuation, by_strategy=True, counted=counted)
    return verdicts_of_files(batch, failing=file[worth > limit[strategy]])


def judge_worth_of_usual(valuation: Valuation, ratio: float) -> Verdicts:
    """Return UNAVAILABLE for orders whose worth is unknown, where that of earlier runs is known."""
    medians = _medians(valuation) or {}
    compared = valuation.batch.text("strategy_id").where(lambda name: trimmed(name) in medians)
    return np.where(compared & ~_worth(valuation).known, UNAVAILABLE, PASS).astype(np.int8)


def _worth(valuation: Valuation) -> Amounts:
    """Return what each order is worth; one that is worth more than any amount is worth the largest."""
    worth, beyond = valuation.order_notional, valuation.beyond_any_amount
    return Amounts(np.where(beyond, LARGEST_AMOUNT, worth.units), worth.known | beyond)


def _sums(valuation: Valuation, *, by_strategy: bool, counted: Mask) -> tuple[Ints, Ints, Ints]:
    worth, batch = _worth(valuation), valuation.batch
    names = batch.strategies if by_strategy else batch.accounts
    return sums_in_files(batch, names, worth.units, counted & worth.known)


def _medians(valuation: Valuation) -> Mapping[str, float] | None:
    """Return what the orders of earlier runs were usually worth, by strategy; None where that is unknown."""
    frame = valuation.inputs.earlier_batches
    if frame is None or not names_every(frame, "strategy_id"):
        return None
    if "notional" not in frame.columns:  # of a record that an earlier version wrote
        return {}
    known = {
        name: [worth for worth in runs if np.isfinite(worth)]
        for name, runs in earlier_runs(frame, "notional").items()
    }
    return {name: float(np.median(runs)) for name, runs in known.items() if runs}


def facts(valuation: Valuation, passing: Mask) -> Mapping[str, Floats]:
    """Return what the orders of each order's file are worth in one account, and how many times what is usual.

    Of the accounts, and the strategies, of a file the one with the largest number.
    """
    batch = valuation.batch
    file, _, worth = _sums(valuation, by_strategy=False, counted=passing)
    of_strategy, strategy, strategy_worth = _sums(valuation, by_strategy=True, counted=passing)
    names = [*map(trimmed, batch.strategies.code_of), ""]
    medians = _medians(valuation) or {}
    usual = np.array([medians.get(name, np.nan) for name in names])[strategy]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = to_usd(strategy_worth) / usual
    files = len(every_file(batch))
    return {
        "batch_notional_usd": _largest(file, to_usd(worth), files)[batch.files],
        "batch_times_usual": _largest(of_strategy, times, files)[batch.files],
    }


def _largest(file: Ints, numbers: Floats, files: int) -> Floats:
    largest = np.full(files, np.nan)
    np.fmax.at(largest, file, numbers)
    return largest


_MAX_BATCH_NOTIONAL_USD = Limit(
    key="max_batch_notional_usd",
    unit="USD",
    parse=as_usd,
    meaning="most that the orders of one file in an account may be worth; above it the file is refused",
    env="EXEC_MAX_BATCH_NOTIONAL_USD",
)

RULE = Rule(
    name="max_batch_notional_exceeded",
    source="FCA and PRA final notices on Citigroup, 2024; RTS 6 Art. 15(1)(b)",
    explain=(
        "every order of its file is refused by {limit_source}; "
        "the file's orders in one account are worth {batch_notional_usd:,.2f} USD, limit "
        "{batch_notional_limit_usd:,.2f} USD; "
        "those of one strategy are worth {batch_times_usual:,.2f} times what is usual, limit "
        "{batch_ratio_limit} times"
    ),
    limit=_MAX_BATCH_NOTIONAL_USD,
    reads=("prices",),
    reads_by_key={"max_batch_ratio_to_median": ("earlier_batches",)},
    figures=(
        Figure("batch_notional_usd", "USD", "fact"),
        Figure("batch_notional_limit_usd", "USD", "limit"),
        Figure("batch_times_usual", "times", "fact"),
        Figure("batch_ratio_limit", "times", "limit", key="max_batch_ratio_to_median"),
    ),
    facts=facts,
    priced_file=judge,
    more=(
        Part(limit=MAX_BATCH_RATIO_TO_MEDIAN, priced_file=judge_ratio),
        Part(limit=_MAX_BATCH_NOTIONAL_USD, priced_judge=judge_worth, reducing="pass"),
        Part(limit=MAX_BATCH_RATIO_TO_MEDIAN, priced_judge=judge_worth_of_usual, reducing="pass"),
    ),
)
