"""Trading states of all orders, of an account, a symbol or a strategy: what an operator halts or reduces.

::

    ACTIVE     no entry: nothing stands in the way
    REDUCING   only orders that reduce a position
    HALTED     no order; cancels pass

Kept in the store of the ledger, in the document ``trading-states``, beside the agent's state, and marked in
the data folder (``engine.safety.state_marks``); an entry in either place counts. HALTED and REDUCING of the
same scope are two entries: a halt that ends leaves the scope REDUCING where it was before. The HALTED of all
orders is the agent's (``engine.safety.agent_state``), not an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from engine.errors import DataUnavailable, EngineError
from engine.log import EventLog, wall_clock
from engine.model.symbols import canonical_symbol
from engine.safety.agent_state import TRANSITIONS_KEPT, Agent
from engine.safety.state_marks import StateMarks, mark_key, unreadable_mark
from engine.stores.protocols import AgentDocuments

if TYPE_CHECKING:
    import pandas as pd

DOCUMENT = "trading-states"
ACTIVE, REDUCING, HALTED = "ACTIVE", "REDUCING", "HALTED"
_STRONGEST_FIRST = (HALTED, REDUCING)
_ATTEMPTS = 50
_COLUMNS = ("scope", "name", "state", "since", "set_by", "why")


class Scope(StrEnum):
    """What a trading state is about."""

    ALL = "all"
    ACCOUNT = "account"
    SYMBOL = "symbol"
    STRATEGY = "strategy"


@dataclass(frozen=True)
class Scoped:
    """All orders, or those of one account, symbol (in canonical form) or strategy; ``name`` "" for all."""

    scope: Scope = Scope.ALL
    name: str = ""

    def __str__(self) -> str:
        return f"{self.scope} {self.name}" if self.name else "all trading"

    @classmethod
    def of(cls, scope: str, name: str) -> Scoped:
        """Return what a recorded row is about. Raises ``ValueError`` where there is no such scope."""
        return cls(Scope(scope), name)

    @property
    def option(self) -> str:
        """The option of commands that names it, "" for all."""
        from shlex import quote

        return f" --{self.scope} {quote(self.name)}" if self.name else ""

    def has(self, *, account: str, symbol: str, strategy: str) -> bool:
        """Return whether an order is in this scope."""
        if self.scope is Scope.ALL:
            return True
        own = {Scope.ACCOUNT: account, Scope.SYMBOL: canonical_symbol(symbol), Scope.STRATEGY: strategy}
        return own[self.scope] == self.name


EVERYTHING = Scoped()


@dataclass(frozen=True)
class TradingState:
    """A scope that is HALTED or REDUCING; ``since`` is ISO text in UTC."""

    scope: str
    name: str
    state: str
    since: str
    set_by: str
    why: str

    @property
    def of(self) -> Scoped:
        """What it is about."""
        return Scoped.of(self.scope, self.name)

    @property
    def key(self) -> tuple[Scoped, str]:
        """What identifies an entry."""
        return self.of, self.state

    @property
    def mark(self) -> str:
        """The key of its mark in the data folder."""
        return mark_key(self.state, self.scope, self.name)

    @property
    def remedy(self) -> str:
        """The command that ends it."""
        command = "recover" if self.state == HALTED else "state active"
        why = "" if self.state == HALTED else " --why …"
        return f"`execution-engine {command}{self.of.option}{why}`"

    def __str__(self) -> str:
        at = f"{datetime.fromisoformat(self.since):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.of} is {self.state}: {self.why} ({self.set_by}, {at})"

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TradingState:
        """Return the entry in a document.

        Raises ``ValueError``, ``TypeError`` or ``KeyError`` where the document is invalid.
        """
        entry = cls(**{name: str(document[name]) for name in _COLUMNS})
        is_for_all = Scope(entry.scope) is Scope.ALL
        if entry.state not in _STRONGEST_FIRST or is_for_all != (not entry.name):
            raise ValueError(f"no trading state: {entry.scope} {entry.name!r} {entry.state!r}")
        if is_for_all and entry.state == HALTED:
            raise ValueError("HALTED of all trading is kept as the agent's state")
        if datetime.fromisoformat(entry.since).tzinfo is None:
            raise ValueError(f"since is {entry.since!r}, without a zone")
        return entry


@dataclass(frozen=True)
class TradingStates:
    """All entries, in the order in which they were set; a scope without one is ACTIVE."""

    entries: tuple[TradingState, ...] = ()

    def of(self, scoped: Scoped) -> str:
        """Return the state of a scope by itself, whatever wider scopes say."""
        kept = {entry.state for entry in self.entries if entry.of == scoped}
        return next((state for state in _STRONGEST_FIRST if state in kept), ACTIVE)

    @property
    def in_force(self) -> tuple[TradingState, ...]:
        """The entries without the REDUCING of scopes that are HALTED as well."""
        return tuple(entry for entry in self.entries if entry.state == self.of(entry.of))

    def of_order(self, *, account: str, symbol: str, strategy: str) -> tuple[TradingState, ...]:
        """Return the entries in force that an order is subject to."""
        return tuple(
            entry
            for entry in self.in_force
            if entry.of.has(account=account, symbol=symbol, strategy=strategy)
        )

    def frame(self) -> pd.DataFrame:
        """Return the input frame ``trading_states`` (``engine.risk.inputs``): one row for each scope."""
        import pandas as pd

        if not self.in_force:
            return pd.DataFrame(columns=list(_COLUMNS))
        frame = pd.DataFrame([asdict(entry) for entry in self.in_force], columns=list(_COLUMNS), dtype=object)
        return frame.assign(since=pd.to_datetime(frame["since"], utc=True, format="ISO8601"))


@dataclass(frozen=True)
class KeptStates:
    """The trading states for one command: their store, who acts, the log, and the marks in the folder."""

    store: AgentDocuments
    log: EventLog
    by: str
    clock: Callable[[], datetime] = wall_clock
    marks: StateMarks | None = None

    @classmethod
    def of_agent(cls, agent: Agent) -> KeptStates:
        """Return the trading states that are kept beside an agent's state."""
        marks = None if agent.mark is None else StateMarks(agent.mark.objects)
        return cls(agent.store, agent.log, agent.by, agent.clock, marks)

    def read(self) -> TradingStates:
        """Return what holds now. Raises ``DataUnavailable`` where store or marks can't be read.

        A mark that can't be read is of an unknown scope, so that no order is known to be ACTIVE.
        """
        stored, marked = self._stored()[1], self._marked()
        kept = {entry.key for entry in stored}
        return TradingStates((*stored, *(entry for entry in marked if entry.key not in kept)))

    def frame(self) -> pd.DataFrame:
        """Return the input frame ``trading_states`` as of now. Raises as ``read`` does."""
        return self.read().frame()

    def set(self, scoped: Scoped, state: str, *, why: str) -> bool:
        """Set REDUCING or HALTED and return whether the store changed; the first of two reasons stays.

        The mark in the data folder is written first, and stays where the store can't be reached. Raises
        ``DataUnavailable`` where the states can't be read and ``EngineError`` where they can't be written.
        """
        entry = self._entry(scoped, state, why)
        if self.marks is not None:
            try:
                self.marks.leave(entry.mark, asdict(entry))
            except EngineError as unmarked:
                message = f"that {scoped} is {state} is not marked in the data folder: {unmarked}"
                self.log.event("state_transition", message, severity="ERROR")
        return self._change(entry, sets=True)

    def end(self, scoped: Scoped, state: str, *, why: str) -> bool:
        """End REDUCING or HALTED and return whether it held. Raises as ``set`` does; it remains then.

        The mark in the data folder is removed last.
        """
        entry = self._entry(scoped, state, why)
        has_held = self._change(entry, sets=False)
        if self.marks is not None:
            self.marks.clear(entry.mark)
        return has_held

    def restore(self) -> None:
        """Write each entry that only the data folder or only the store has to the other one; idempotent.

        Called before a changed store is accepted, as ``Agent.restore_halt`` is. Raises as ``set`` does.
        """
        if self.marks is None:
            return
        for entry in self._marked():
            self._change(entry, sets=True)
        for entry in self._stored()[1]:
            self.marks.leave(entry.mark, asdict(entry))

    def is_marked(self, scoped: Scoped, state: str) -> bool:
        """Return whether the data folder has the mark of a state. Raises ``DataUnavailable``."""
        return self.marks is not None and self.marks.has(self._entry(scoped, state, "").mark)

    def _entry(self, scoped: Scoped, state: str, why: str) -> TradingState:
        return TradingState(str(scoped.scope), scoped.name, state, self.clock().isoformat(), self.by, why)

    def _change(self, entry: TradingState, *, sets: bool) -> bool:
        for _ in range(_ATTEMPTS):
            document, stored = self._stored()
            others = tuple(one for one in stored if one.key != entry.key)
            is_stored = len(others) < len(stored)
            if sets == is_stored and (sets or not self.is_marked(entry.of, entry.state)):
                return False
            before = stored if sets or is_stored else (*stored, entry)
            after = (*others, entry) if sets else others
            if self._replaced(document, TradingStates(before), TradingStates(after), entry):
                return True
        raise EngineError(
            f"{self.store.place}: the trading state of {entry.of} could not be changed: other jobs changed "
            f"the states at the same time, {_ATTEMPTS} times in a row. Nothing was changed; run again."
        )

    def _replaced(
        self,
        document: dict[str, Any] | None,
        before: TradingStates,
        after: TradingStates,
        by: TradingState,
    ) -> bool:
        """Keep the states ``after`` a change, if ``document`` is still kept; return whether it was."""
        change = {"at": by.since, "scope": by.scope, "name": by.name}
        change |= {"before": before.of(by.of), "after": after.of(by.of), "why": by.why, "by": by.set_by}
        transitions = [*(document or {}).get("transitions", []), change][-TRANSITIONS_KEPT:]
        new = {"states": [asdict(one) for one in after.entries], "transitions": transitions}
        if not self.store.replace_agent_document(DOCUMENT, new, replacing=document):
            return False
        about = {name: text for name, text in change.items() if name != "at"}
        self.log.event(
            "state_transition",
            f"{by.of} {about['before']} -> {about['after']}: {by.why}",
            severity="NOTICE" if about["after"] == ACTIVE else "WARNING",
            **about,
        )
        return True

    def _stored(self) -> tuple[dict[str, Any] | None, tuple[TradingState, ...]]:
        document = self.store.agent_document(DOCUMENT)
        if document is None:
            return None, ()
        try:
            return document, tuple(TradingState.from_document(one) for one in document["states"])
        except (ValueError, TypeError, KeyError) as error:
            raise DataUnavailable(
                f"{self.store.place}: the trading states are invalid ({type(error).__name__}: {error}). "
                f"Find out what wrote them; nothing trades until the document {DOCUMENT} is repaired or "
                f"removed."
            ) from error

    def _marked(self) -> list[TradingState]:
        found = []
        for key, document in (self.marks.read() if self.marks else {}).items():
            try:
                found.append(TradingState.from_document(document))
            except (ValueError, TypeError, KeyError) as error:
                raise unreadable_mark(key, f"{type(error).__name__}: {error}") from error
        return sorted(found, key=lambda entry: entry.since)
