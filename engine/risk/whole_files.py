"""Orders of a file counted and added up, and what is usual for their strategies: for rules on whole files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.model.columns import number_column, text_column
from engine.model.quantity import Ints, Mask
from engine.risk.batch import Batch
from engine.risk.buckets import Numbered
from engine.risk.levels import ALL, STRATEGY
from engine.risk.rule import Limit
from engine.risk.verdicts import FAIL, OFF, PASS, UNAVAILABLE, Verdicts, any_refusing, everywhere
from engine.settings.values import as_ratio
from engine.text.plain_text import trimmed

MAX_BATCH_RATIO_TO_MEDIAN = Limit(
    key="max_batch_ratio_to_median",
    unit="times",
    parse=as_ratio,
    meaning="most orders of a strategy in one file, and most they are worth, as a multiple of its median",
    env="EXEC_MAX_BATCH_RATIO_TO_MEDIAN",
    scopes=(ALL, STRATEGY),
)

NO_FILES: Ints = np.zeros(0, dtype=np.int64)
_DENSE_BOUND = 1_000_000
_LARGEST = np.iinfo(np.int64).max
_HALF = 1_000_000_000


def every_file(batch: Batch) -> Ints:
    """Return the codes of the files of a batch."""
    return np.arange(_files(batch))


def counts_in_files(batch: Batch, names: Numbered, counted: Mask) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of a file and a name (-1 for none) that have counted orders, and how many."""
    pair, width = _pairs(batch, names)
    if not counted.all():
        pair = pair[counted]
    if _files(batch) * width <= _DENSE_BOUND:
        counts = np.bincount(pair, minlength=_files(batch) * width)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, counts = np.unique(pair, return_counts=True)
    file, name = np.divmod(pairs, width)
    return file, name - 1, counts


def sums_in_files(batch: Batch, names: Numbered, units: Ints, counted: Mask) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of a file and a name (-1 for none) that have counted orders, and their sums.

    ``units``: not negative. A sum that does not fit is the largest number there is.
    """
    pair, width = _pairs(batch, names)
    pair = pair if counted.all() else pair[counted]
    if _files(batch) * width <= _DENSE_BOUND:
        pairs, place = np.arange(_files(batch) * width), pair
    else:
        pairs, place = np.unique(pair, return_inverse=True)
    high, low = np.zeros(len(pairs), dtype=np.int64), np.zeros(len(pairs), dtype=np.int64)
    for sums, half in zip((high, low), np.divmod(units[counted], _HALF), strict=True):
        np.add.at(sums, place, half)
    high += low // _HALF
    fits = high < _LARGEST // _HALF
    total = np.where(fits, np.where(fits, high, 0) * _HALF + low % _HALF, _LARGEST)
    occurs = np.bincount(place, minlength=len(pairs)) > 0
    file, name = np.divmod(pairs[occurs], width)
    return file, name - 1, total[occurs]


def verdicts_of_files(batch: Batch, *, failing: Ints, unknown: Ints = NO_FILES) -> Verdicts:
    """Return the verdicts of all orders of some files, PASS for those of other files."""
    by_file = everywhere(PASS, _files(batch))
    by_file[unknown] = UNAVAILABLE
    by_file[failing] = FAIL
    verdicts = by_file[batch.files] if any_refusing(by_file) else everywhere(PASS, batch.rows)
    verdicts[batch.is_cancel] = OFF
    return verdicts


def earlier_runs(frame: pd.DataFrame, column: str) -> Mapping[str, list[float]]:
    """Return a number of each strategy's earlier runs, NaN where it is none."""
    strategies = text_column(frame["strategy_id"])
    numbers = number_column(frame[column]).numbers if len(frame) else np.zeros(0)
    names = [trimmed(str(name)) for name in strategies.values]
    by_name: dict[str, list[float]] = {}
    for code, number in zip(strategies.codes.tolist(), numbers.tolist(), strict=True):
        by_name.setdefault(names[code], []).append(number if number >= 0 else np.nan)
    return by_name


def _files(batch: Batch) -> int:
    return int(batch.files.max(initial=-1)) + 1


def _pairs(batch: Batch, names: Numbered) -> tuple[Ints, int]:
    """Return each row's pair of file and name as a number, and how many names there may be in a file."""
    width = len(names.code_of) + 1
    pair = names.codes + 1
    if _files(batch) > 1:
        pair += batch.files * width
    return pair, width
