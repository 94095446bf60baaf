"""Replay: judge recorded batches again with today's rule book, under the requested limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.model.schema import inputs_schemas
from engine.record.run_folder import INPUT_FRAMES
from engine.record.sealed_limits import recorded_limits_file
from engine.risk.config import RiskConfig
from engine.risk.inputs import RiskInputs
from engine.run.manifest import code_version
from replay.chaining import Chain, Frames
from replay.comparing import Part, Side
from replay.comparison import Comparison
from replay.judging import ROWS_AT_ONCE, Case, judge
from replay.limits import Limits, Overrides, limits, recorded_config
from replay.outcomes import Outcomes, estimated
from replay.recorded import Day, RecordedRun, Recording, read

Recorded = str | Path | Day | RecordedRun | Recording
_RUNS_AT_ONCE = 256
_NEEDED = frozenset(
    one.name for one in fields(RiskInputs) if one.default is MISSING and one.default_factory is MISSING
)
_KNOWN = frozenset(one.name for one in fields(RiskInputs))


def replay(
    what: Recorded | Iterable[Recorded],
    config: RiskConfig | Overrides | None = None,
    *,
    chained: bool = False,
    decisions_only: bool = False,
) -> Comparison:
    """Judge recorded batches again, and return the differences from the record as frames.

    ``what``: a day, a run, a path to either or to a data folder, or several of them. ``config``: all limits,
    or a mapping that changes some (``{"EXEC_MAX_POSITION_QTY": 50}``); None for the recorded ones.
    ``chained``: positions and counts of later runs follow from the counterfactual outcomes of earlier ones;
    otherwise each run uses its recorded snapshot. ``decisions_only``: live runs are not carried out again
    over their recorded traffic; the outcomes of their orders are estimated.

    Raises ``RecordError``, which names the file, where a recorded file is missing or has changed,
    ``ConfigurationError`` for an unknown limit or a bad value, and ``UsageError`` where nothing was recorded.
    """
    found = list(replay_each(what, config, chained=chained, decisions_only=decisions_only))
    notes = dict.fromkeys(note for one in found for note in one.notes)
    return Comparison([part for one in found for part in one.parts], list(notes))


def replay_each(
    what: Recorded | Iterable[Recorded],
    config: RiskConfig | Overrides | None = None,
    *,
    chained: bool = False,
    decisions_only: bool = False,
) -> Iterator[Comparison]:
    """Yield comparisons of up to a few hundred runs each: memory doesn't grow with the number of days.

    Arguments and errors as of ``replay``, which joins the pieces.
    """
    requested, chain = limits(config), Chain() if chained else None

    def compared(recordings: Sequence[Recording]) -> Comparison:
        notes = list(dict.fromkeys(note for one in recordings for note in _notes(one, chained=chained)))
        if chain is None:
            part = _independent(recordings, requested, decisions_only=decisions_only)
        else:
            part = _chained(recordings, requested, chain, decisions_only=decisions_only)
        return Comparison([part], notes)

    # Not a loop: its variable would keep a piece in memory while the next one is read.
    return map(compared, _pieces(_recordings(what, traffic=not decisions_only)))


def _independent(recordings: Sequence[Recording], requested: Limits, *, decisions_only: bool) -> Part:
    sides, own, cases = _prepared(recordings, requested)
    now = judge(cases)
    if not decisions_only and any(one.is_live for one in recordings):
        sides = [
            _with_outcomes(side, case, decided, decisions_only=False)
            for side, case, decided in zip(sides, cases, _split(now, recordings), strict=True)
        ]
    return Part(sides=sides, now=now, reproduced=_reproduced(sides, own, now))


def _chained(
    recordings: Sequence[Recording], requested: Limits, chain: Chain, *, decisions_only: bool
) -> Part:
    sides, own, cases = _prepared(recordings, requested)
    independent, decided = judge(cases), []
    for place, (case, alone) in enumerate(zip(cases, _split(independent, recordings), strict=True)):
        frames, matters = chain.frames(recordings[place])
        changed = _case(recordings[place], case.config, frames) if matters else case
        decided.append(changed.judged() if matters else alone)
        sides[place] = Side(
            recording=recordings[place],
            same_code=sides[place].same_code,
            same_limits=sides[place].same_limits,
            depends_on_earlier_flip=matters,
        )
        sides[place] = _with_outcomes(sides[place], changed, decided[-1], decisions_only=decisions_only)
        replayed = sides[place].outcomes or estimated(recordings[place], decided[-1])
        chain.add(recordings[place], replayed)
    now = decided[0] if len(decided) == 1 else pd.concat(decided, ignore_index=True)
    reproduced = _reproduced(sides, own, independent)
    return Part(sides=sides, now=now, independent=independent, reproduced=reproduced)


def _prepared(
    recordings: Sequence[Recording], requested: Limits
) -> tuple[list[Side], list[RiskConfig], list[Case]]:
    """Return for each run its side of the comparison, its recorded limits, and the case to judge."""
    version = frozenset([code_version()])
    own = [_recorded(one)[0] for one in recordings]
    for session in {one.run.trading_date for one in recordings}:
        requested.check(session)
    configs = [requested.of(config) for config in own]
    sides = [
        Side(recording=one, same_code=one.code_versions == version, same_limits=config == recorded)
        for one, config, recorded in zip(recordings, configs, own, strict=True)
    ]
    pairs = zip(recordings, configs, strict=True)
    return sides, own, [_case(one, config, one.frames) for one, config in pairs]


def _recorded(recording: Recording) -> tuple[RiskConfig, list[str]]:
    """Return the limits of a run, and the names of those that today's code doesn't know."""
    return recorded_config(recording.start["config"], recorded_limits_file(recording.start))


def _reproduced(sides: Sequence[Side], own: Sequence[RiskConfig], now: pd.DataFrame) -> pd.DataFrame | None:
    """Return the decisions of today's code under the recorded limits; None where the code is the same."""
    if all(side.same_code for side in sides):
        return None
    if all(side.same_limits for side in sides):
        return now
    recordings = [side.recording for side in sides]
    return judge([_case(one, config, one.frames) for one, config in zip(recordings, own, strict=True)])


def _with_outcomes(side: Side, case: Case, decided: pd.DataFrame, *, decisions_only: bool) -> Side:
    if decisions_only or not side.recording.is_live:
        return side
    from replay.broker_side import carried_out

    outcomes: Outcomes = carried_out(side.recording, case, decided)
    return Side(
        recording=side.recording,
        same_code=side.same_code,
        same_limits=side.same_limits,
        depends_on_earlier_flip=side.depends_on_earlier_flip,
        outcomes=outcomes,
    )


def _case(recording: Recording, config: RiskConfig, frames: Frames) -> Case:
    """Return the case of a run; a frame that the record lacks is empty."""
    return Case(
        batch=recording.batch,
        as_of=pd.Timestamp(recording.start["as_of"]),
        read_at=pd.Timestamp(str(recording.inputs["read_at"])),
        trading_date=recording.run.trading_date,
        kill_switch=bool(recording.inputs["kill_switch"]),
        frames={**_empty_inputs(), **{name: frame for name, frame in frames.items() if name in _KNOWN}},
        config=config,
    )


@cache
def _empty_inputs() -> Mapping[str, pa.Table]:
    """Return the required risk inputs, without rows."""
    return {name: schema.empty_table() for name, schema in inputs_schemas().items() if name in _NEEDED}


def _split(decisions: pd.DataFrame, recordings: Sequence[Recording]) -> list[pd.DataFrame]:
    ends = np.cumsum([one.batch.num_rows for one in recordings])
    starts = [0, *ends[:-1]]
    if len(recordings) == 1:
        return [decisions]
    return [decisions.iloc[start:end].reset_index(drop=True) for start, end in zip(starts, ends, strict=True)]


def _recordings(what: Recorded | Iterable[Recorded], *, traffic: bool) -> Iterator[Recording]:
    if isinstance(what, Recording):
        yield what
    elif isinstance(what, Day):
        for run in what.runs:
            yield from read(run, traffic=traffic)
    elif isinstance(what, RecordedRun):
        yield from read(what, traffic=traffic)
    elif isinstance(what, str | Path):
        from replay.recorded import days

        for day in days(what):
            yield from _recordings(day, traffic=traffic)
    else:
        for one in what:
            yield from _recordings(one, traffic=traffic)


def _pieces(recordings: Iterable[Recording]) -> Iterator[list[Recording]]:
    """Yield groups of recordings to judge in one call, including runs without intents."""
    piece: list[Recording] = []
    rows = 0
    for recording in recordings:
        if piece and (rows + recording.batch.num_rows > ROWS_AT_ONCE or len(piece) == _RUNS_AT_ONCE):
            yield piece
            piece, rows = [], 0
        piece.append(recording)
        rows += recording.batch.num_rows
    if piece:
        yield piece


def _notes(recording: Recording, *, chained: bool) -> Iterator[str]:
    """Yield notes on a record that its differences don't show."""
    for name in _recorded(recording)[1]:
        yield f"the record has the limit {name}, which today's code doesn't know"
    for name in sorted(recording.frames.keys() - _KNOWN):
        yield f"the record has the input {name}, which today's code doesn't read"
    for name in sorted(recording.not_recorded.intersection(INPUT_FRAMES)):
        yield f"some records are older than the input {name}; it is empty for them"
    if chained and not recording.is_live:
        yield "dry runs send no orders, so their decisions change nothing in a chained replay"
