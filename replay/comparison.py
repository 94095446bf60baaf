"""What a replay found: frames for a notebook, and the few figures that a command prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from replay.comparing import Kept, Part, summary_schema
from replay.flip_frames import flips_schema, outcome_flips_schema

STAGES = ("inputs", "decisions", "results", "fills")
"""In the order in which a run makes them; the first one that differs explains those after it."""


@dataclass(frozen=True)
class Comparison:
    """Recorded runs beside what today's code, or other limits, would have made of them.

    Six frames, in the order of the runs and of their batches; quantities in shares, prices in USD per share,
    notional in USD. All rows of intents name ``run_id, trading_date, client_intent_id, strategy_id,
    broker_account_id, symbol, side, action, qty, price, price_source, notional_usd``: the last three an
    estimate, where the record has a price (of its fill, of the intent's reference or limit, or the last at
    which the symbol was filled in that run).

    ``decisions``: what was decided now; ``differs`` and ``cause`` say whether and why it isn't what was
    recorded. ``recorded``: what was decided then, row for row. ``flips``: intents that were allowed then and
    are refused now, or the other way round, with rule, figures of both sides, ``direction`` and ``cause``.
    ``outcome_flips``: intents that were allowed then and are allowed now, and of whose orders something else
    became: ``outcome`` says what (``placed (filled) -> expired``). ``summary``: one row a run. ``results``:
    what became of each intent, then and now; ``source`` says whether that is ``recorded``, ``derived`` from
    other recorded replies, or ``simulated``.

    ``cause``: ``limits``; ``code``; ``earlier flips`` (of a chained replay); several of them joined by
    ``and``; or ``unexplained``, where code and limits are those of the record and the decision is not.
    """

    parts: Sequence[Part | Kept]
    notes: Sequence[str] = field(default=())

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row per intent: what is decided now."""
        return _joined([part.decisions for part in self.parts])

    @cached_property
    def recorded(self) -> pd.DataFrame:
        """One row per intent: what was decided then."""
        return _joined([part.recorded for part in self.parts])

    @cached_property
    def flips(self) -> pd.DataFrame:
        """One row per intent that was allowed then and is refused now, or the other way round."""
        return _joined([flips_schema(), *(part.flips for part in self.parts)])

    @cached_property
    def outcome_flips(self) -> pd.DataFrame:
        """One row per intent that is allowed then and now, and of whose order something else became."""
        return _joined([outcome_flips_schema(), *(part.outcome_flips for part in self.parts)])

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row per run."""
        return _joined([summary_schema(), *(part.summary for part in self.parts)])

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row per intent: what became of it, then and now."""
        return _joined([part.results for part in self.parts])

    @property
    def days(self) -> int:
        """How many sessions were replayed."""
        return int(self.summary["trading_date"].nunique())

    @property
    def intents(self) -> int:
        """How many intents were decided on."""
        return int(self.summary["intents"].sum())

    @property
    def differences(self) -> int:
        """How many intents are decided otherwise, or come to something else; limits don't count."""
        return int(self.summary["differences"].sum())

    @property
    def first_differing_stage(self) -> str | None:
        """The first stage, of the first run that has one, in which anything differs, if anything does."""
        stages = self.summary["first_differing_stage"]
        found = stages[stages != ""]
        return str(found.iloc[0]) if len(found) else None

    @property
    def by_rule(self) -> dict[str, int]:
        """How many flips each rule accounts for: the one that refuses, then or now."""
        return {str(rule): int(count) for rule, count in self.flips["rule"].value_counts().items()}

    @property
    def by_outcome(self) -> dict[str, int]:
        """How many outcome flips there are of each kind."""
        counts = self.outcome_flips["outcome"].value_counts()
        return {str(outcome): int(count) for outcome, count in counts.items()}

    @property
    def first_dependent_day(self) -> date | None:
        """The first session of a chained replay whose inputs follow from an earlier flip."""
        dependent = self.summary.loc[self.summary["depends_on_earlier_flip"].astype(bool), "trading_date"]
        return dependent.iloc[0].date() if len(dependent) else None

    def counted(self) -> Comparison:
        """Return the same comparison with nothing but flips of both kinds and ``summary``."""
        kept = Kept(flips=self.flips, outcome_flips=self.outcome_flips, summary=self.summary)
        return Comparison([kept], self.notes)

    def record(self) -> dict[str, Any]:
        """Give the figures as one JSON object."""
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
            "simulated": int(self.summary["simulated"].sum()),
            "first_differing_stage": self.first_differing_stage,
            "first_dependent_day": None if first is None else first.isoformat(),
            "notes": list(self.notes),
        }


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    full = [frame for frame in frames if len(frame)] or [*frames, pd.DataFrame()][:1]
    if len(full) == 1:
        return full[0].copy(deep=False)
    return pd.concat(full, ignore_index=True)
