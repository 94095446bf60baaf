"""The rule book of ``engine.risk``, applied to one recorded batch or to hundreds at a time.

Judging a batch of a thousand intents takes about as long as one of ten thousand. So batches with the same
limits are concatenated and judged in one call. Accounts are renamed per run, so that nothing that is allowed
in one run counts in another. Timestamps are shifted by the difference between the runs' clocks. Frames
without accounts (asset records, session hours, trading states) are shared, so they must be equal. A batch
that can't be treated so (a malformed account, a frame with a row that names none) is judged by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.contract import is_well_formed
from engine.model.schema import DECISION_COLUMNS, DECISION_FIELDS, INTENT_FIELDS, intents_schema
from engine.record.formats import content_hash
from engine.risk.cells import names_something
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from replay.not_recorded import decisions

ROWS_AT_ONCE = 131_072
"""Most intents judged in one call: enough for vectorised code, few enough for any machine's memory."""

_ACCOUNT, _SYMBOL = "broker_account_id", "symbol"
_MAY_BE_ABSENT = frozenset(one.name for one in INTENT_FIELDS if not one.required and one.default is None)
_SYMBOL_MAY_BE_MISSING = frozenset({"positions", "unreconciled"})  # without a symbol: the whole account
_EPOCH = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A batch, the risk inputs of its accounts, and the limits to judge it by.

    ``frames``: the risk inputs by name, None where unavailable; an absent one takes its default. Limits
    that need an absent one are left out.
    """

    batch: pa.Table
    as_of: pd.Timestamp
    read_at: pd.Timestamp | None = None
    trading_date: date
    kill_switch: bool
    frames: Mapping[str, pa.Table | None]
    config: RiskConfig

    @property
    def missing(self) -> frozenset[str]:
        """The input frames that the limits need and the run did not record."""
        return self.config.frames_needed() - self.frames.keys()

    @property
    def family(self) -> tuple[object, ...]:
        """The key that is equal for cases that can be judged together."""
        columns = tuple(
            (name, None if frame is None else tuple(frame.schema.names))
            for name, frame in sorted(self.frames.items())
        )
        return self.config, self.kill_switch, columns, tuple(_shared(self))

    def judged(self) -> pd.DataFrame:
        """Return the decisions on this case alone."""
        intents = self.batch.select(_columns(self.batch)).to_pandas()
        inputs = _inputs(self, self.frames)
        return decisions(intents, inputs, self.config, self.missing).reset_index(drop=True)


def judge(cases: Sequence[Case]) -> pd.DataFrame:
    """Return the decisions on all cases, concatenated in the order of the cases.

    A column ``not_recorded`` has the rules that could not judge an intent since the run did not record their
    input. ``attrs["raised"]`` has the rules that raised in any case, as ``evaluate`` returns them.
    """
    groups = _groups(cases)
    parts = [_together([cases[place] for place in group]) for group in groups]
    raised = {rule: why for part in parts for rule, why in part.attrs.get("raised", {}).items()}
    decided = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    order = [place for group in groups for place in group]
    if order != sorted(order):
        decided = decided.take(_rows_in_order(cases, order)).reset_index(drop=True)
    if raised:
        decided.attrs["raised"] = raised
    return decided


def _groups(cases: Sequence[Case]) -> list[list[int]]:
    """Return groups of cases that can be judged together, each of at most ``ROWS_AT_ONCE`` rows."""
    groups: list[list[int]] = []
    open_group: dict[tuple[object, ...], list[int]] = {}
    rows: dict[tuple[object, ...], int] = {}
    for place, case in enumerate(cases):
        key = case.family if _can_share(case) else (place,)
        if key not in open_group or rows[key] + case.batch.num_rows > ROWS_AT_ONCE:
            open_group[key], rows[key] = [], 0
            groups.append(open_group[key])
        open_group[key].append(place)
        rows[key] += case.batch.num_rows
    return groups


def _rows_in_order(cases: Sequence[Case], order: Sequence[int]) -> np.ndarray:
    lengths = np.array([case.batch.num_rows for case in cases])
    starts = dict(zip(order, np.cumsum([0, *lengths[list(order)][:-1]]), strict=True))
    return np.concatenate([starts[place] + np.arange(lengths[place]) for place in range(len(cases))])


def _together(cases: Sequence[Case]) -> pd.DataFrame:
    if len(cases) == 1:
        return cases[0].judged()
    first = cases[0]
    config = first.config
    if config.accounts:
        names = frozenset(_named(place, name) for place in range(len(cases)) for name in config.accounts)
        config = config.changed(accounts=names)
    columns = _columns_used(cases)
    intents = _joined([_as_one_of_many(case, place, first, columns) for place, case in enumerate(cases)])
    frames = {name: _frame_of_all(cases, name) for name in first.frames}
    decided = decisions(intents.to_pandas(), _inputs(first, frames), config, first.missing)
    if "raised" in decided.attrs:  # a rule that raises refuses all rows: confine it to its own case
        parts = [case.judged() for case in cases]
        decided = pd.concat(parts, ignore_index=True)
        raised = {rule: why for part in parts for rule, why in part.attrs.get("raised", {}).items()}
        decided.attrs["raised"] = raised
    return decided


def _inputs(case: Case, frames: Mapping[str, pa.Table | None]) -> RiskInputs:
    return RiskInputs.of_record(
        frames,
        as_of=case.as_of,
        trading_date=case.trading_date,
        kill_switch=case.kill_switch,
        read_at=case.read_at,
    )


def _columns(batch: pa.Table) -> list[str]:
    return [name for name in DECISION_COLUMNS if name in batch.schema.names]


def _columns_used(cases: Sequence[Case]) -> list[str]:
    """Return the columns that hold a value in any batch, and all required ones."""
    return [
        name
        for name in DECISION_FIELDS
        if name not in _MAY_BE_ABSENT or any(_has_values(case.batch[name]) for case in cases)
    ]


def _has_values(column: pa.ChunkedArray) -> bool:
    """Return whether any row has a value; ``{}`` is empty metadata."""
    if column.null_count == len(column):
        return False
    is_text = pa.types.is_string(column.type)
    return not is_text or bool(pc.any(pc.not_equal(column, "{}")).as_py())


def _can_share(case: Case) -> bool:
    """Return whether accounts can be renamed without changing the decision of any rule."""
    if pd.isna(case.as_of) or not case.batch.num_rows or case.batch.schema != _sealed_schema():
        return False
    if _is_ahead(case) or _names_accounts(case.config) or case.config.judges_together:
        return False
    accounts = case.batch[_ACCOUNT]
    if accounts.null_count or not all(_renameable(name) for name in accounts.unique().to_pylist()):
        return False
    return all(
        _names_all(frame, _ACCOUNT) and (name in _SYMBOL_MAY_BE_MISSING or _names_all(frame, _SYMBOL))
        for name, frame in case.frames.items()
        if frame is not None and _ACCOUNT in frame.schema.names
    )


def _shared(case: Case) -> Iterator[tuple[object, ...]]:
    """Yield what must be equal in cases that are judged together, besides their limits.

    Of a frame without accounts: its values, with timestamps relative to ``as_of``, the only clock of the
    rules, and the session.
    """
    for name, frame in sorted(case.frames.items()):
        if frame is not None and frame.num_rows and _ACCOUNT not in frame.schema.names:
            yield name, content_hash(_shifted(frame, _EPOCH - case.as_of)), case.trading_date


def _names_accounts(config: RiskConfig) -> bool:
    """Return whether a limits file names accounts, which would have to be renamed too."""
    file = config.limits_file
    sections = (*file.sections, *file.temporary) if file is not None else ()
    return any(one.scope.account is not None or "accounts" in one.values for one in sections)


def _is_ahead(case: Case) -> bool:
    """Return whether any row was created after ``as_of``, where the decision depends on ``read_at``."""
    latest = pc.max(case.batch["created_at"]).as_py()
    return latest is not None and latest > case.as_of


@cache
def _sealed_schema() -> pa.Schema:
    """Return the schema of sealed batches; a batch of an older schema is judged by itself."""
    return intents_schema()


@cache
def _renameable(name: object) -> bool:
    return is_well_formed(_ACCOUNT, name) and is_well_formed(_ACCOUNT, _named(ROWS_AT_ONCE, str(name)))


def _names_all(frame: pa.Table, column: str) -> bool:
    if column not in frame.schema.names or not frame.num_rows:
        return True
    names = frame[column]
    return not names.null_count and all(
        name == name.strip() and names_something(name) for name in names.unique().to_pylist()
    )


def _named(place: int, account: str) -> str:
    return f"{place}:{account}"


def _as_one_of_many(case: Case, place: int, first: Case, columns: list[str]) -> pa.Table:
    return _shifted(_renamed(case.batch.select(columns), place), first.as_of - case.as_of)


def _shifted(table: pa.Table, by: pd.Timedelta) -> pa.Table:
    """Return a table with all its timestamps shifted."""
    for name in _times(table) if by else ():
        moved = pc.add(table[name], pa.scalar(by.to_pytimedelta(), pa.duration("us")))
        table = table.set_column(table.schema.get_field_index(name), name, moved)
    return table


def _times(table: pa.Table) -> list[str]:
    return [one.name for one in table.schema if pa.types.is_timestamp(one.type)]


def _renamed(table: pa.Table, place: int) -> pa.Table:
    names = table[_ACCOUNT].combine_chunks()
    if not pa.types.is_dictionary(names.type):
        names = names.dictionary_encode()
    values = pa.array([_named(place, str(name)) for name in names.dictionary.to_pylist()], pa.string())
    renamed = pa.DictionaryArray.from_arrays(names.indices, values)
    return table.set_column(table.schema.get_field_index(_ACCOUNT), _ACCOUNT, renamed)


def _frame_of_all(cases: Sequence[Case], name: str) -> pa.Table | None:
    """Return an input frame of cases judged together, by the first one's clock."""
    first = cases[0]
    frame = first.frames[name]
    if frame is None or _ACCOUNT not in frame.schema.names:
        return frame
    with_rows = [
        _shifted(_renamed(own, place), first.as_of - case.as_of)
        for place, case in enumerate(cases)
        if (own := case.frames[name]) is not None and own.num_rows
    ]
    return _joined(with_rows or [frame])


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    # a frame of an earlier version lacks columns that came later
    return pa.concat_tables(tables, promote_options="default").unify_dictionaries()
