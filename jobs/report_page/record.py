"""What a page is made from: the chosen runs, their days, and the ledger, which knows what came later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property

import pandas as pd

from engine.errors import EngineError
from engine.model.breaks import Break, breaks_in
from engine.reconciliation.break_files import breaks_found
from engine.record.late_fills import late_fills, late_fills_of
from engine.record.objects import Objects
from engine.record.run_folder import MANIFEST, RECONCILIATION, RunFolder
from engine.run.blotter import Day, day_of
from engine.run.execution_quality import execution_quality
from engine.stores.protocols import LedgerStore
from jobs.day import open_breaks
from jobs.report_page.chosen import Chosen

MODES = {"live": "live runs", "dry": "dry runs, which send nothing"}


@dataclass(frozen=True)
class Record:
    """The record that a page shows, and when the page is made."""

    chosen: Chosen
    objects: Objects
    ledger: LedgerStore
    calendar: str
    made_at: datetime

    @cached_property
    def finished(self) -> list[RunFolder]:
        """Return the runs that have their manifest."""
        return [run for run in self.chosen.runs if MANIFEST in run.names()]

    @cached_property
    def unfinished(self) -> list[RunFolder]:
        """Return the runs that have none."""
        return [run for run in self.chosen.runs if run not in self.finished]

    @cached_property
    def modes(self) -> list[str]:
        """Return the modes of the runs, live first."""
        return [mode for mode in MODES if any(run.start["mode"] == mode for run in self.chosen.runs)]

    @cached_property
    def days(self) -> list[tuple[date, str, Day]]:
        """Return the figures of each session and mode."""
        return [
            (session, mode, day_of(own, self._late(session, own) if mode == "live" else (), mode=mode))
            for session, runs in self.chosen.sessions
            for mode in self.modes
            if (own := [run for run in runs if run.start["mode"] == mode])
        ]

    def _late(self, session: date, runs: Sequence[RunFolder]) -> Sequence[object]:
        if self.chosen.is_one_run:
            return late_fills_of(self.objects, {run.run_id for run in runs})
        return late_fills(self.objects, session)

    @cached_property
    def blotter(self) -> pd.DataFrame:
        """Return the executions of all sessions."""
        parts = [day.blotter for _, mode, day in self.days if mode == "live"]
        return pd.concat(parts, ignore_index=True) if parts else day_of([]).blotter

    @cached_property
    def quality(self) -> pd.DataFrame:
        """Return what the orders of all live runs cost."""
        parts = [
            execution_quality([run for run in self.finished if run.run_id in day.runs], day.blotter)
            for _, mode, day in self.days
            if mode == "live" and day.runs
        ]
        return pd.concat(parts, ignore_index=True) if parts else execution_quality([], self.blotter)

    @cached_property
    def breaks(self) -> list[Break]:
        """Return the differences between broker and ledger that were found, each once."""
        if not self.chosen.is_one_run:
            return [one for session, _ in self.chosen.sessions for one in breaks_found(self.objects, session)]
        names = [(run, run.names()) for run in self.chosen.runs]
        tables = [run.table(RECONCILIATION) for run, own in names if RECONCILIATION in own]
        return [one for table in tables for one in breaks_in(table)]

    @cached_property
    def open_breaks(self) -> tuple[list[Break], str]:
        """Return the breaks that are neither repaired nor accepted, and why that is unknown, where it is.

        Without the ledger every break that is not repaired counts as open.
        """
        if not self.chosen.sessions:
            return [], ""
        try:
            return open_breaks(self.ledger, self.breaks, self.chosen.sessions[0][0]), ""
        except EngineError as error:
            return [one for one in self.breaks if not one.is_repaired], str(error)
