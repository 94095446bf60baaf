"""Scheduled slots: ``run --slot NAME --when WHEN`` runs once a session, at its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, cast

from engine.errors import RunStopped, UsageError
from engine.log import EventLog, wall_clock
from engine.model.slots import When, parse_duration, parse_when, shown_time, slot_time
from engine.record.run_folder import MANIFEST, RunFolders
from engine.run.manifest import EXIT_DONE, EXIT_HALTED, EXIT_UNRESOLVED
from engine.waiting.pause import waited
from jobs.tables import say

State = Literal["not_due", "late", "closed_day", "no_such_time", "done", "unfinished"]

LATEST = "15m"
NO_NAME = "adhoc"
_EXIT_CODES: dict[State, int] = {"late": EXIT_HALTED, "unfinished": EXIT_UNRESOLVED}
_LOOKS_EVERY_S = 20.0
"""A clock that is set, or a machine that slept, is noticed that soon while a job waits."""


@dataclass(frozen=True)
class NotBegun:
    """Why a slot has no run of its own now. ``run_id``: the run that it had already in this session."""

    slot: str
    when: str
    state: State
    message: str
    due_at: datetime | None
    next_due_at: datetime
    run_id: str | None = None

    @property
    def exit_code(self) -> int:
        """3 where the time was missed, 4 where its run is unfinished, else 0."""
        return _EXIT_CODES.get(self.state, EXIT_DONE)

    def record(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it, without the exit code."""
        return {
            "run_id": self.run_id,
            "slot": self.slot,
            "when": self.when,
            "state": self.state,
            "message": self.message,
            "due_at": None if self.due_at is None else self.due_at.isoformat(),
            "next_due_at": self.next_due_at.isoformat(),
        }

    def log(self, log: EventLog) -> None:
        """Log it: a missed time is a warning."""
        severity: Literal["WARNING", "INFO"] = "WARNING" if self.exit_code else "INFO"
        log.event("slot_not_run", self.message, severity=severity, slot=self.slot, state=self.state)

    def print(self) -> None:
        """Print it in one line."""
        say(self.message, color="red" if self.exit_code else None)


@dataclass(frozen=True)
class Scheduled:
    """A slot, the time of each session at which it is due, and how late it may begin.

    ``waits``: a job that starts before the time waits for it.
    """

    slot: str
    when: When
    latest: timedelta
    waits: bool = False

    @classmethod
    def of(cls, slot: str, when: str | None, latest: str | None, *, waits: bool) -> Scheduled | None:
        """Return what the command line says, None without ``--when``. Raises ``UsageError``."""
        if when is None:
            given = [
                name for name, is_given in (("--latest", latest is not None), ("--wait", waits)) if is_given
            ]
            if given:
                raise UsageError(
                    f"{given[0]} is given without --when, the time that it is about. Add --when."
                )
            return None
        if slot == NO_NAME:
            raise UsageError(
                "--when is given without --slot: a session has each slot once, so that it needs a name of "
                "its own. Add --slot, such as --slot open."
            )
        return cls(slot, parse_when(when), parse_duration(latest or LATEST, "--latest"), waits)

    def not_now(self, calendar: str, stopping: Callable[[], bool]) -> NotBegun | None:
        """Return why there is nothing to do now; where the slot waits, wait for its time first.

        A job waits for a time of its own day, never for another session. Raises ``RunStopped`` where it is
        asked to stop meanwhile.
        """
        found = slot_time(self.when, wall_clock(), self.latest, calendar)
        while self.waits and found.state == "not_due" and found.due_at is not None:
            now = wall_clock()
            if found.due_at.date() != now.astimezone(found.due_at.tzinfo).date():
                break
            if not waited(min((found.due_at - now).total_seconds(), _LOOKS_EVERY_S), stopping):
                raise RunStopped(f"Stopped while waiting for slot {self.slot}; nothing was begun.")
            found = slot_time(self.when, wall_clock(), self.latest, calendar)
        if found.state in {"due", "late"}:  # whether a late one is done is for the record to say
            return None
        return self._not_begun(cast("State", found.state), found.why, found.due_at, found.next_due_at)

    def not_again(self, runs: RunFolders, at: datetime, mode: str, calendar: str) -> NotBegun | None:
        """Return why no run begins at ``at``: the session had the slot, or it is too late for it."""
        found = slot_time(self.when, at, self.latest, calendar)
        if found.due_at is None:  # the session changed while earlier runs were finished
            return self._not_begun("late", found.why, None, found.next_due_at)
        if had := self._had(runs, found.session, mode):
            run_id, is_finished = had
            state: State = "done" if is_finished else "unfinished"
            why = f"run {run_id} of this session is {'done' if is_finished else 'unfinished'}"
            return self._not_begun(state, why, found.due_at, found.next_due_at, run_id)
        if found.state == "late":
            return self._not_begun("late", found.why, found.due_at, found.next_due_at)
        return None

    def sealed(self, at: datetime, calendar: str) -> dict[str, str]:
        """Return what ``run.json`` keeps of it: the time as it was written, and as it is in the session."""
        due_at = slot_time(self.when, at, self.latest, calendar).due_at
        return {"when": self.when.text, **({} if due_at is None else {"due_at": due_at.isoformat()})}

    def _had(self, runs: RunFolders, session: date, mode: str) -> tuple[str, bool] | None:
        """Return the id of the session's scheduled run of the slot in a mode, and whether it is finished."""
        for folder in runs.of_day(session):
            begun = folder.start
            if begun["slot"] == self.slot and "when" in begun and begun["mode"] == mode:
                return folder.run_id, MANIFEST in folder.names()
        return None

    def _not_begun(
        self,
        state: State,
        why: str,
        due_at: datetime | None,
        next_due_at: datetime,
        run_id: str | None = None,
    ) -> NotBegun:
        message = f"Slot {self.slot} ({self.when.text}): {why}."
        if state == "late":
            message += (
                " It was missed and nothing was sent for it; the inbox is untouched. "
                "`execution-engine run` without --when trades now."
            )
        message += f" Its next time is {shown_time(next_due_at)}."
        return NotBegun(self.slot, self.when.text, state, message, due_at, next_due_at, run_id)
