"""The result of a replay: frames for a notebook, and the figures that a command prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from replay.comparing import Kept, Part, summary_schema
from replay.flip_frames import flips_schema, outcome_flips_schema
from replay.not_recorded import not_recorded_schema, summed

STAGES = ("inputs", "decisions", "results", "fills")
"""The stages of a run in order; the first one that differs explains those after it."""


@dataclass(frozen=True)
class Comparison:
    """Recorded runs beside their replay with today's code or other limits.

    Seven frames, in the order of the runs and of their batches; quantities in shares, prices in USD per
    share, notional in USD. All rows of intents have ``run_id, trading_date, client_intent_id, strategy_id,
    broker_account_id, symbol, side, action, qty, price, price_source, notional_usd``. The last three are
    estimates, where the record has a price: of the fill, the intent's reference or limit price, or the
    symbol's last fill in that run.

    ``decisions``: the replayed decisions; ``differs`` and ``cause`` state whether and why one isn't the
    recorded one. ``recorded``: the recorded decisions, row for row. ``flips``: intents that were allowed and
    are now refused, or the reverse, with rule, figures of both sides, ``direction`` and ``cause``.
    ``outcome_flips``: intents that are allowed both times and whose orders have another outcome, stated in
    ``outcome`` (``placed (filled) -> expired``). ``summary``: one row per run. ``results``: the replayed and
    the recorded outcome of each intent; ``source`` is ``recorded``, ``derived`` (from other recorded
    replies), ``simulated`` or ``not sent``. ``not_recorded``: per run, the rules whose limits need an input
    that the run did not record, with ``frames``, the ``intents`` that they could not judge and those of them
    that the other rules allow (``allowed``). They are judged without these limits, so they are no flips;
    ``decisions`` has the rules in its column ``not_recorded``.

    ``cause``: ``limits``; ``code``; ``earlier flips`` (in a chained replay); several of them joined by
    ``and``; or ``unexplained``, where code and limits are the recorded ones and the decision is not.
    """

    parts: Sequence[Part | Kept]
    notes: Sequence[str] = field(default=())

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row per intent: the replayed decision."""
        return _joined([part.decisions for part in self.parts])

    @cached_property
    def recorded(self) -> pd.DataFrame:
        """One row per intent: the recorded decision."""
        return _joined([part.recorded for part in self.parts])

    @cached_property
    def flips(self) -> pd.DataFrame:
        """One row per intent that was allowed and is now refused, or the reverse."""
        return _joined([flips_schema(), *(part.flips for part in self.parts)])

    @cached_property
    def outcome_flips(self) -> pd.DataFrame:
        """One row per intent that is allowed both times and whose order has another outcome."""
        return _joined([outcome_flips_schema(), *(part.outcome_flips for part in self.parts)])

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per run."""
        return _joined([summary_schema(), *(part.summary for part in self.parts)])

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row per intent: the replayed and the recorded outcome."""
        return _joined([part.results for part in self.parts])

    @cached_property
    def not_recorded(self) -> pd.DataFrame:
        """One row per run and rule that could not judge some intents, since their input is not recorded."""
        return _joined([not_recorded_schema(), *(part.not_recorded for part in self.parts)])

    @property
    def days(self) -> int:
        """The number of sessions that were replayed."""
        return int(self.summary["trading_date"].nunique())

    @property
    def intents(self) -> int:
        """The number of intents that were judged."""
        return int(self.summary["intents"].sum())

    @property
    def differences(self) -> int:
        """The number of intents whose decision or outcome differs; a differing limit alone doesn't count."""
        return int(self.summary["differences"].sum())

    @property
    def first_differing_stage(self) -> str | None:
        """The first stage that differs, in the first run that has one; None where nothing differs."""
        stages = self.summary["first_differing_stage"]
        found = stages[stages != ""]
        return str(found.iloc[0]) if len(found) else None

    @property
    def by_rule(self) -> dict[str, int]:
        """The number of flips per rule: the rule that refuses, in the record or in the replay."""
        return {str(rule): int(count) for rule, count in self.flips["rule"].value_counts().items()}

    @property
    def by_outcome(self) -> dict[str, int]:
        """The number of outcome flips of each kind."""
        counts = self.outcome_flips["outcome"].value_counts()
        return {str(outcome): int(count) for outcome, count in counts.items()}

    @property
    def first_dependent_day(self) -> date | None:
        """The first session of a chained replay whose inputs follow from an earlier flip."""
        dependent = self.summary.loc[self.summary["depends_on_earlier_flip"].astype(bool), "trading_date"]
        return dependent.iloc[0].date() if len(dependent) else None

    def counted(self) -> Comparison:
        """Return the same comparison without its intents: ``decisions``, ``recorded`` and ``results``."""
        kept = Kept(
            flips=self.flips,
            outcome_flips=self.outcome_flips,
            summary=self.summary,
            not_recorded=self.not_recorded,
        )
        return Comparison([kept], self.notes)

    def record(self) -> dict[str, Any]:
        """Return the figures as one JSON object."""
        flips = self.flips
        first = self.first_dependent_day
        return {
            "days": self.days,
            "runs": len(self.summary),
            "intents": self.intents,
            "differences": self.differences,
            "flips": len(flips),
            "newly_allowed": int((flips["direction"] == "newly_allowed").sum()),
            "newly_refused": int((flips["direction"] == "newly_refused").sum()),
            "outcome_flips": len(self.outcome_flips),
            "by_rule": self.by_rule,
            "by_outcome": self.by_outcome,
            "by_cause": {str(cause): int(count) for cause, count in flips["cause"].value_counts().items()},
            "by_limit": _by_limit(flips),
            "not_recorded": summed(self.not_recorded),
            "simulated": int(self.summary["simulated"].sum()),
            "first_differing_stage": self.first_differing_stage,
            "first_dependent_day": None if first is None else first.isoformat(),
            "notes": list(self.notes),
        }


def _by_limit(flips: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the number of flips per rule, direction, and level of the limit on both sides."""
    names = ["rule", "direction", "recorded_limit_source", "limit_source"]
    counts = flips.groupby(names, sort=False).size()
    return [{**dict(zip(names, key, strict=True)), "flips": int(count)} for key, count in counts.items()]


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    full = [frame for frame in frames if len(frame)] or [*frames, pd.DataFrame()][:1]
    if len(full) == 1:
        return full[0].copy(deep=False)
    return pd.concat(full, ignore_index=True)
