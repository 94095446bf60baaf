"""The agent's state, who changed it and why; kept between runs in the store of the ledger.

::

    INIT ──preflight passes─> READY        a live run starts in INIT and becomes READY
      └────preflight fails──> DEGRADED     kept for ``status``; the next run checks again
    any ──unexpected end────> ERROR        likewise
    any ──halt──> HALTED ──recover──> INIT only an operator ends HALTED

Several jobs, and an operator who halts them, may change it at the same time. Each change is conditional on
the state that it was based on, and is retried on the new state where that has changed. So a run in its
preflight can't overwrite a halt.

A halt is also marked in the data folder (``engine.safety.halt_mark``); either one halts.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.errors import (
    ConfigurationError,
    DataUnavailable,
    EngineError,
    GateClosed,
    LeaseHeld,
    RunStopped,
)
from engine.log import EventLog, wall_clock
from engine.record.system_errors import is_of_a_place, unusable
from engine.safety.halt_mark import HaltedBy, HaltMark
from engine.stores.protocols import AgentDocuments

STATE_DOCUMENT = "state"
TURNED_AWAY_DOCUMENT = "turned-away"
TRANSITIONS_KEPT = 20
_ATTEMPTS = 50


class State(StrEnum):
    """The states of the agent; live trading requires READY."""

    INIT = "INIT"
    READY = "READY"
    DEGRADED = "DEGRADED"
    HALTED = "HALTED"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Transition:
    """One change of state; ``at`` is ISO text in UTC, ``before`` is "" for the first one."""

    at: str
    before: str
    after: str
    why: str
    by: str


@dataclass(frozen=True)
class AgentState:
    """The state, and the latest changes that led to it, oldest first."""

    state: State
    transitions: tuple[Transition, ...] = ()

    @property
    def why(self) -> str:
        """The reason of the latest change, who made it, and when."""
        if not self.transitions:
            return "no live run has been started yet"
        last = self.transitions[-1]
        return f"{last.why} ({last.by}, {datetime.fromisoformat(last.at):%Y-%m-%d %H:%M:%S} UTC)"

    def to_document(self) -> dict[str, Any]:
        """Return the state as a store keeps it."""
        return {"state": str(self.state), "transitions": [asdict(change) for change in self.transitions]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> AgentState:
        """Return the state in a store's document; None is INIT.

        Raises ``ValueError``, ``TypeError`` or ``KeyError`` where the document is invalid.
        """
        if document is None:
            return cls(State.INIT)
        changes = tuple(Transition(**change) for change in document["transitions"])
        for change in changes:
            datetime.fromisoformat(change.at)
        return cls(State(document["state"]), changes)


@dataclass(frozen=True)
class Agent:
    """The agent, for one command: the store of its state, who acts, and the log of every change."""

    store: AgentDocuments
    log: EventLog
    by: str
    clock: Callable[[], datetime] = wall_clock
    mark: HaltMark | None = None

    def state(self) -> AgentState:
        """Return the current state: HALTED where the store or the data folder has a halt.

        Raises ``DataUnavailable`` where the store can't be read and the folder has no mark of a halt.
        """
        marked = self.mark.read() if self.mark else None
        if marked is None:
            return self._read()[1]
        try:
            return self._halted(self._read()[1], marked)
        except DataUnavailable:
            return self._halted(AgentState(State.INIT), marked)

    def to(self, after: State, *, why: str) -> AgentState:
        """Change the state, unless it is HALTED, and return the new state.

        Raises ``DataUnavailable`` where it can't be read and ``EngineError`` where it can't be written.
        """
        return self._change(after, why, applies=lambda before: before is not State.HALTED)

    def halt(self, *, why: str) -> AgentState:
        """Change to HALTED; where it is HALTED already, the first reason stays. Raises as ``to`` does.

        The mark in the data folder is written first, and stays where the store can't be reached.
        """
        if self.mark is not None:
            try:
                self.mark.leave(by=self.by, why=why, at=self.clock())
            except EngineError as unmarked:
                message = f"the halt is not marked in the data folder: {unmarked}"
                self.log.event("state_transition", message, severity="ERROR")
        return self._change(
            State.HALTED, why, applies=lambda before: before is not State.HALTED, marks_count=False
        )

    def recover(self, *, why: str) -> AgentState:
        """Change from HALTED to INIT; any other state stays. Raises as ``to`` does.

        The mark in the data folder is cleared last: where the store can't be reached, the halt remains.
        """
        recovered = self._change(State.INIT, why, applies=lambda before: before is State.HALTED)
        if self.mark is not None:
            self.mark.clear()
        return recovered

    def restore_halt(self) -> None:
        """Write a halt that only the data folder or only the store has to the other one; idempotent.

        Called before a changed store is accepted: the next loss may be that of the one that still has it.
        Raises as ``to`` does.
        """
        if self.mark is None:
            return
        marked, stored = self.mark.read(), self._read()[1]
        if marked is not None:
            replace(self, by=marked.by)._change(
                State.HALTED,
                marked.why,
                applies=lambda before: before is not State.HALTED,
                marks_count=False,
            )
        elif stored.state is State.HALTED and stored.transitions:
            last = stored.transitions[-1]
            self.mark.leave(by=last.by, why=last.why, at=datetime.fromisoformat(last.at))

    def begin(self) -> AgentState:
        """Change to INIT as a live run begins; first to ERROR where the previous run never ended.

        Raises as ``to`` does.
        """
        before = self.state()
        was_examining = before.state is State.INIT and bool(before.transitions)
        if was_examining and before.transitions[-1].before != State.HALTED:
            self.to(State.ERROR, why="the run before ended in the middle of its preflight")
        return self.to(State.INIT, why="a live run begins")

    def note_turned_away(self, refusals: Sequence[tuple[str, str]]) -> None:
        """Record for ``status`` that a live run was turned away; where that fails, log it."""
        document: dict[str, Any] = {"at": self.clock().isoformat(), "by": self.by}
        document |= {
            "reasons": [reason for reason, _ in refusals],
            "why": " ".join(why for _, why in refusals),
        }
        try:
            for _ in range(_ATTEMPTS):
                before = self.store.agent_document(TURNED_AWAY_DOCUMENT)
                if self.store.replace_agent_document(TURNED_AWAY_DOCUMENT, document, replacing=before):
                    return
        except EngineError as error:
            message = f"that the live run was turned away can't be recorded: {error}"
            self.log.event("turned_away", message, severity="WARNING")

    def turned_away(self) -> dict[str, Any] | None:
        """Return when and why a live run was last turned away; None where none was, or where unreadable."""
        try:
            return self.store.agent_document(TURNED_AWAY_DOCUMENT)
        except EngineError:
            return None

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Set the state to ERROR where the enclosed work ends unexpectedly; the exception is raised again."""
        try:
            yield
        except (RunStopped, ConfigurationError, GateClosed, LeaseHeld):
            raise
        except (Exception, KeyboardInterrupt) as error:
            what = _shown(error)
            try:
                self.to(State.ERROR, why=f"a run ended unexpectedly: {what.removesuffix(': ')}")
            except EngineError as unkept:
                message = f"the state ERROR can't be written: {unkept}"
                self.log.event("state_transition", message, severity="ERROR")
            raise

    def _halted(self, stored: AgentState, marked: HaltedBy) -> AgentState:
        """Return a stored state, as HALTED by the mark in the data folder."""
        if stored.state is State.HALTED:
            return stored
        at = marked.at or self.clock().isoformat()
        change = Transition(at, str(stored.state), str(State.HALTED), marked.why, marked.by)
        return AgentState(State.HALTED, (*stored.transitions, change)[-TRANSITIONS_KEPT:])

    def _read(self) -> tuple[dict[str, Any] | None, AgentState]:
        document = self.store.agent_document(STATE_DOCUMENT)
        try:
            return document, AgentState.from_document(document)
        except (ValueError, TypeError, KeyError) as error:
            raise DataUnavailable(
                f"{self.store.place}: the agent's state is invalid ({type(error).__name__}: {error}). "
                f"Find out what wrote it; nothing trades until it is repaired or removed."
            ) from error

    def _change(
        self, after: State, why: str, *, applies: Callable[[State], bool], marks_count: bool = True
    ) -> AgentState:
        for _ in range(_ATTEMPTS):
            document, now = self._read()
            if marks_count and self.mark is not None and (marked := self.mark.read()) is not None:
                now = self._halted(now, marked)
            if not applies(now.state):
                return now
            before = str(now.state) if now.transitions else ""
            change = Transition(self.clock().isoformat(), before, str(after), why, self.by)
            new = AgentState(after, (*now.transitions, change)[-TRANSITIONS_KEPT:])
            if self.store.replace_agent_document(STATE_DOCUMENT, new.to_document(), replacing=document):
                self.log.event(
                    "state_transition",
                    f"agent {f'{before} -> ' if before else ''}{after}: {why}",
                    severity="NOTICE" if after in {State.INIT, State.READY} else "WARNING",
                    before=before,
                    after=str(after),
                    by=self.by,
                    why=why,
                )
                return new
        raise EngineError(
            f"{self.store.place}: the agent's state could not be changed to {after}: other jobs changed it "
            f"at the same time, {_ATTEMPTS} times in a row. Nothing was changed; run again."
        )


def _shown(error: BaseException) -> str:
    if isinstance(error, OSError) and is_of_a_place(error):
        error = unusable(error)
    return (
        str(error).removesuffix(".") if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"
    )


def process_name() -> str:
    """Return user, machine and id of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
