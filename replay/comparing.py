"""Recorded and replayed decisions side by side: which differ, why, and which intents flip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.model.quantity import Ints, Mask
from engine.model.schema import FIGURES
from engine.risk import RULE_BOOK
from replay.context import context, sessions
from replay.flip_frames import flips_schema, outcome_differs, outcome_flips, outcome_flips_schema
from replay.not_recorded import NOT_RECORDED, not_recorded_schema, rows_of
from replay.outcomes import Outcomes, estimated, recorded_outcomes
from replay.recorded import Recording

LIMITS, CODE, EARLIER_FLIPS, UNEXPLAINED = "limits", "code", "earlier flips", "unexplained"
NEWLY_ALLOWED, NEWLY_REFUSED = "newly_allowed", "newly_refused"
_OF_LIMITS = frozenset(
    {"limit_source", *(figure.name for rule in RULE_BOOK for figure in rule.figures if figure.of == "limit")}
)
"""Columns that change with the limits themselves."""

_COUNTS = (
    "intents", "allowed", "recorded_allowed", "newly_allowed", "newly_refused", "differences",
    "code_differences", "limit_differences", "chain_differences", "result_differences", "simulated",
    "outcome_flips",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Side:
    """One replayed run.

    ``same_code``, ``same_limits``: they equal the recorded ones. ``depends_on_earlier_flip``: its inputs
    follow from flips of earlier runs. ``outcomes``: None where they are estimated on demand.
    """

    recording: Recording
    same_code: bool
    same_limits: bool
    depends_on_earlier_flip: bool = False
    outcomes: Outcomes | None = None


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some runs, with the decisions on all their intents in the order of the runs.

    ``now``: the decisions of today's code under the requested limits and, in a chained replay, inputs that
    follow from earlier flips. ``independent``: the same with the recorded inputs; None where the inputs are
    the recorded ones. ``reproduced``: with recorded inputs and limits; None where the code is the same.
    """

    sides: Sequence[Side]
    now: pd.DataFrame
    independent: pd.DataFrame | None = None
    reproduced: pd.DataFrame | None = None

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """The replayed decision on each intent."""
        frame = self.now.drop(columns="client_intent_id")
        return pd.concat([pd.DataFrame(context(self._recordings)), frame], axis=1).assign(
            differs=self.differs, cause=_named(self._by_code, self._by_limits, self._by_chain, self.differs)
        )

    @cached_property
    def recorded(self) -> pd.DataFrame:
        """The recorded decision on each intent."""
        return pd.concat(
            [pd.DataFrame(context(self._recordings)), self._then.drop(columns="client_intent_id")], axis=1
        )

    @cached_property
    def flips(self) -> pd.DataFrame:
        """The intents that were allowed and are now refused, or the reverse."""
        rows = np.flatnonzero(self._flipped)
        if not len(rows):
            return flips_schema()
        now, then = (frame.take(rows).reset_index(drop=True) for frame in (self.now, self._then))
        is_new = now["allowed"].to_numpy()
        reasons, reasons_then = (frame["reason"].astype("str") for frame in (now, then))
        columns = {
            **context(self._recordings, rows),
            "direction": np.where(is_new, NEWLY_ALLOWED, NEWLY_REFUSED),
            "rule": reasons_then.where(is_new, reasons),
            "cause": self._causes_of_flips(rows),
            "allowed": is_new,
            "recorded_allowed": ~is_new,
            "reason": reasons,
            "recorded_reason": reasons_then,
            "limit_source": _sources(now),
            "recorded_limit_source": _sources(then),
        }
        for figure in FIGURES:
            columns[figure] = now[figure]
            columns[f"recorded_{figure}"] = then[figure] if figure in then.columns else np.nan
        return pd.DataFrame(columns)

    @cached_property
    def outcome_flips(self) -> pd.DataFrame:
        """The intents that are allowed both times and whose orders have another outcome."""
        rows = np.flatnonzero(self._outcome_flipped)
        if not len(rows):
            return outcome_flips_schema()
        return outcome_flips(self._recordings, self.results.take(rows), rows, self._causes_of_outcomes(rows))

    @cached_property
    def results(self) -> pd.DataFrame:
        """The recorded and the replayed outcome of each intent."""
        frames = []
        for side, start, size in zip(self.sides, self._starts, self._sizes, strict=True):
            now = self.now.iloc[start : start + size]
            outcomes = side.outcomes or estimated(side.recording, now)
            then = recorded_outcomes(side.recording).add_prefix("recorded_")
            frames.append(pd.concat([outcomes.frame.assign(differs=outcomes.differs), then], axis=1))
        return pd.concat(
            [pd.DataFrame(context(self._recordings)), pd.concat(frames, ignore_index=True)], axis=1
        )

    @cached_property
    def not_recorded(self) -> pd.DataFrame:
        """One row per run and rule that could not judge some of its intents."""
        frames = [
            rows_of(self.now.iloc[start : start + size], side.recording)
            for side, start, size in zip(self.sides, self._starts, self._sizes, strict=True)
        ]
        found = [frame for frame in frames if len(frame)]
        return pd.concat(found, ignore_index=True) if found else not_recorded_schema()

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per run."""
        counts = {
            "intents": self._sizes,
            "allowed": self._per_run(self.now["allowed"].to_numpy()),
            "recorded_allowed": self._per_run(self._allowed_then),
            "newly_allowed": self._per_run(self._flipped & ~self._allowed_then),
            "newly_refused": self._per_run(self._flipped & self._allowed_then),
            "differences": self._per_run(self.differs | self._results_differ),
            "code_differences": self._per_run(self._by_code),
            "limit_differences": self._per_run(self._by_limits),
            "chain_differences": self._per_run(self._by_chain),
            "result_differences": self._per_run(self._results_differ),
            "simulated": self._simulated,
            "outcome_flips": self._per_run(self._outcome_flipped),
        }
        recordings = self._recordings
        return pd.DataFrame(
            {
                "run_id": [one.run.run_id for one in recordings],
                "trading_date": sessions(recordings),
                "mode": [str(one.start["mode"]) for one in recordings],
                "code_version": [str(one.manifest["code_version"]) for one in recordings],
                "same_code": [side.same_code for side in self.sides],
                "same_limits": [side.same_limits for side in self.sides],
                **{name: np.asarray(counts[name], dtype=np.int64) for name in _COUNTS},
                "first_differing_stage": self._stages(),
                "depends_on_earlier_flip": [side.depends_on_earlier_flip for side in self.sides],
            }
        )

    @cached_property
    def differs(self) -> Mask:
        """The rows whose decision differs in anything but the limits themselves."""
        return self._unlike(self.now, self._then, self._is_comparable)

    @cached_property
    def _then(self) -> pd.DataFrame:
        tables = [side.recording.decisions for side in self.sides]
        if not all(table.schema.equals(tables[0].schema) for table in tables):
            tables = [_plain(table) for table in tables]
        return pa.concat_tables(tables, promote_options="default").unify_dictionaries().to_pandas()

    @cached_property
    def _allowed_then(self) -> Mask:
        return np.asarray(self._then["allowed"].to_numpy(dtype=bool))

    @cached_property
    def _flipped(self) -> Mask:
        return np.asarray(self.now["allowed"].to_numpy() != self._allowed_then, dtype=bool)

    @cached_property
    def _by_code(self) -> Mask:
        if self.reproduced is None:
            return self._nowhere
        return self._unlike(self.reproduced, self._then, self._is_comparable_with_record)

    @cached_property
    def _by_limits(self) -> Mask:
        if self.reproduced is self.now:
            return self._nowhere
        final = self.now if self.independent is None else self.independent
        if self.reproduced is not None:
            return self._unlike(final, self.reproduced, lambda _: None)
        changed: Mask = np.repeat([not side.same_limits for side in self.sides], self._sizes)
        if final is not self.now:
            changed &= self._unlike(final, self._then, self._is_comparable)
        else:
            changed &= self.differs
        return changed

    @cached_property
    def _by_chain(self) -> Mask:
        if self.independent is None:
            return self._nowhere
        return self._unlike(self.now, self.independent, lambda _: None)

    @cached_property
    def _results_differ(self) -> Mask:
        masks = [
            np.zeros(size, dtype=bool) if side.outcomes is None else side.outcomes.differs
            for side, size in zip(self.sides, self._sizes, strict=True)
        ]
        return np.concatenate(masks) if masks else self._nowhere

    @cached_property
    def _outcome_flipped(self) -> Mask:
        both = self._results_differ & self._allowed_then & ~self._flipped
        if not both.any():
            return self._nowhere
        rows = np.flatnonzero(both)
        both[rows] = outcome_differs(self.results.take(rows))
        return both

    @property
    def _recordings(self) -> list[Recording]:
        return [side.recording for side in self.sides]

    @property
    def _simulated(self) -> list[int]:
        new = self._per_run(self._flipped & ~self._allowed_then)
        return [
            (int(count) if side.recording.is_live else 0)
            if side.outcomes is None
            else side.outcomes.simulated
            for side, count in zip(self.sides, new, strict=True)
        ]

    @property
    def _nowhere(self) -> Mask:
        return np.zeros(len(self.now), dtype=bool)

    @cached_property
    def _recorded_columns(self) -> list[frozenset[str]]:
        return [frozenset(side.recording.decisions.schema.names) for side in self.sides]

    @cached_property
    def _sizes(self) -> Ints:
        return np.array([side.recording.batch.num_rows for side in self.sides], dtype=np.int64)

    @cached_property
    def _starts(self) -> Ints:
        return np.concatenate([[0], np.cumsum(self._sizes)[:-1]])

    def _per_run(self, mask: Mask) -> Ints:
        sums = np.concatenate([[0], np.cumsum(mask)])
        return np.asarray(sums[self._starts + self._sizes] - sums[self._starts])

    def _stages(self) -> list[str]:
        differs, results = self._per_run(self.differs), self._per_run(self._results_differ)
        return [
            "inputs" if side.depends_on_earlier_flip
            else "decisions" if decided
            else "results" if outcomes_differ
            else "fills" if side.outcomes is not None and side.outcomes.fills_differ
            else ""
            for side, decided, outcomes_differ in zip(self.sides, differs, results, strict=True)
        ]  # fmt: skip

    def _causes_of_flips(self, rows: Ints) -> Any:
        """Return what caused rows to flip, by ``allowed`` alone."""
        now, then = self.now["allowed"].to_numpy()[rows], self._allowed_then[rows]
        alone, again = (
            default if frame is None else frame["allowed"].to_numpy()[rows]
            for frame, default in ((self.independent, now), (self.reproduced, then))
        )
        changed = np.repeat([not side.same_limits for side in self.sides], self._sizes)[rows]
        return _named(again != then, (alone != again) & changed, now != alone, now != then)

    def _causes_of_outcomes(self, rows: Ints) -> Any:
        """Return what changed outcomes: limits and inputs that aren't the recorded ones, else code.

        An order is carried out once, with new code and limits together, so their effects are not separated.
        """
        limits, chain, code = (
            np.repeat(flags, self._sizes)[rows]
            for flags in (
                [not side.same_limits for side in self.sides],
                [side.depends_on_earlier_flip for side in self.sides],
                [not side.same_code for side in self.sides],
            )
        )
        return _named(code & ~limits & ~chain, limits, chain, np.ones(len(rows), dtype=bool))

    def _is_comparable(self, column: str) -> Mask | None:
        """Return the rows in which a column can be compared with the record; None for all rows.

        Limits are not compared where others were requested, nor columns that the record lacks.
        """
        fits = [
            column in names and (side.same_limits or column not in _OF_LIMITS)
            for side, names in zip(self.sides, self._recorded_columns, strict=True)
        ]
        return None if all(fits) else np.repeat(fits, self._sizes)

    def _is_comparable_with_record(self, column: str) -> Mask | None:
        fits = [column in names for names in self._recorded_columns]
        return None if all(fits) else np.repeat(fits, self._sizes)

    def _unlike(
        self, one: pd.DataFrame, other: pd.DataFrame, comparable: Callable[[str], Mask | None]
    ) -> Mask:
        differs = self._nowhere
        for name in one.columns:
            if name in ("client_intent_id", NOT_RECORDED) or name not in other.columns:
                continue
            if other is not self._then and name in _OF_LIMITS:
                continue
            unequal, fits = _unequal(one[name], other[name]), comparable(name)
            differs |= unequal if fits is None else unequal & fits
        return differs


def _sources(decisions: pd.DataFrame) -> pd.Series:
    """Return the level that refused each row, "" where the record has none."""
    if "limit_source" not in decisions.columns:
        return pd.Series("", index=decisions.index, dtype="str")
    return decisions["limit_source"].astype("str").fillna("")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A part without its intents: the flips of both kinds, one row per run, and what could not be judged."""

    flips: pd.DataFrame
    outcome_flips: pd.DataFrame
    summary: pd.DataFrame
    not_recorded: pd.DataFrame = field(default_factory=not_recorded_schema)
    decisions: pd.DataFrame = field(default_factory=pd.DataFrame)
    recorded: pd.DataFrame = field(default_factory=pd.DataFrame)
    results: pd.DataFrame = field(default_factory=pd.DataFrame)


@cache
def summary_schema() -> pd.DataFrame:
    """Return an empty ``summary``."""
    types: dict[str, str] = {
        "run_id": "str", "trading_date": "datetime64[us]", "mode": "str", "code_version": "str",
        "same_code": "bool", "same_limits": "bool", **dict.fromkeys(_COUNTS, "int64"),
        "first_differing_stage": "str", "depends_on_earlier_flip": "bool",
    }  # fmt: skip
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def _named(code: Mask, by_limits: Mask, chain: Mask, differs: Mask) -> Any:
    """Return the cause of each row as text, "" where nothing differs."""
    words = [
        " and ".join(word for bit, word in enumerate((CODE, LIMITS, EARLIER_FLIPS)) if causes >> bit & 1)
        for causes in range(8)
    ]
    words[0] = UNEXPLAINED
    causes = code * 1 + by_limits * 2 + chain * 4
    return np.array([*words, ""], dtype=object)[np.where(differs, causes, len(words))]


def _plain(decisions: pa.Table) -> pa.Table:
    """Return recorded decisions with indices of one width, so that runs can be concatenated."""
    fields = [
        pa.field(one.name, pa.dictionary(pa.int32(), pa.string()))
        if pa.types.is_dictionary(one.type)
        else one
        for one in decisions.schema
    ]
    return decisions.cast(pa.schema(fields))


def _unequal(one: pd.Series, other: pd.Series) -> Mask:
    if isinstance(one.dtype, pd.CategoricalDtype) and isinstance(other.dtype, pd.CategoricalDtype):
        names = list(one.cat.categories)
        code_of = {name: code for code, name in enumerate(names)}
        lookup = np.array([*(code_of.get(name, len(names)) for name in other.cat.categories), -1])
        return np.asarray(one.cat.codes.to_numpy() != lookup[other.cat.codes.to_numpy()])
    ours, theirs = one.to_numpy(), other.to_numpy()
    unequal = np.asarray(ours != theirs, dtype=bool)
    return unequal & ~(pd.isna(ours) & pd.isna(theirs)) if unequal.any() else unequal
