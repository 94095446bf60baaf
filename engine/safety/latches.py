"""Latches: strategies and accounts that a rule stopped until an operator enables them by name.

The rules ``reject_throttle`` and ``strategy_repeats`` stop strategies, ``daily_loss_limit_reached`` an
account. A run sets them when it seals its results
(``engine.run.latching``), at most once: its orders were decided, and sent, before. Kept in the store of the
ledger, in the document ``latches`` (of dry runs: ``latches-dry``, so that a dry run stops no live one), and
marked in the data folder; either one counts.

::

    latches    what is latched, by which rule, since when, why, and by which run
    enabled    when each of them was last enabled, by whom and why, and the runs whose latches that ended
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from engine.errors import DataUnavailable, EngineError
from engine.log import EventLog, wall_clock
from engine.safety.agent_state import Agent
from engine.safety.state_marks import LATCHES, StateMarks, mark_key, unreadable_mark
from engine.safety.trading_states import Scope, Scoped
from engine.stores.protocols import AgentDocuments

if TYPE_CHECKING:
    import pandas as pd

REJECT_THROTTLE, STRATEGY_REPEATS, DAILY_LOSS = LATCH_RULES = (
    *("reject_throttle", "strategy_repeats"),
    "daily_loss_limit_reached",
)
MODES = ("live", "dry")
_DOCUMENTS = {"live": "latches", "dry": "latches-dry"}
_ATTEMPTS = 50
_FIELD_OF = {Scope.STRATEGY: "strategy_id", Scope.ACCOUNT: "broker_account_id"}
_INVALID = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True)
class Latch:
    """A strategy or an account that a rule stopped; the other name is ``""``.

    ``since`` is ISO text in UTC, ``run_id`` the run that set it.
    """

    strategy_id: str
    rule: str
    since: str
    why: str
    run_id: str
    broker_account_id: str = ""

    def __str__(self) -> str:
        at = f"{datetime.fromisoformat(self.since):%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.of} is stopped by {self.rule}: {self.why} (run {self.run_id}, {at})"

    @property
    def of(self) -> Scoped:
        """What it stops."""
        return _scoped(self.strategy_id, self.broker_account_id)

    @property
    def remedy(self) -> str:
        """The command that ends it."""
        from shlex import quote

        return f"`execution-engine enable-{self.of.scope} {quote(self.of.name)} --by NAME --why TEXT`"

    @property
    def key(self) -> tuple[Scoped, str]:
        """What identifies a latch."""
        return self.of, self.rule

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return the latch in a document; raises one of the errors of ``_INVALID``."""
        texts = {name: _text(document, name) for name in ("rule", "since", "why", "run_id")}
        _check_time(texts["since"])
        return cls(**texts, **_names(document))


@dataclass(frozen=True)
class Enabled:
    """When a strategy or an account was last enabled; ``run_ids``: the runs whose latches that ended."""

    strategy_id: str
    at: str
    by: str
    why: str
    run_ids: tuple[str, ...] = ()
    broker_account_id: str = ""

    @property
    def of(self) -> Scoped:
        """What was enabled."""
        return _scoped(self.strategy_id, self.broker_account_id)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """Return the entry in a document; raises one of the errors of ``_INVALID``."""
        texts = {name: _text(document, name) for name in ("at", "by", "why")}
        _check_time(texts["at"])
        run_ids = tuple(str(one) for one in document["run_ids"])
        return cls(**texts, run_ids=run_ids, **_names(document))


@dataclass(frozen=True)
class Latched:
    """All latches, and when strategies and accounts were last enabled."""

    latches: tuple[Latch, ...] = ()
    enabled: tuple[Enabled, ...] = ()

    def counts(self, of: Scoped, *, run_id: str, began_at: datetime) -> bool:
        """Return whether what a run did still counts: it does not once ``of`` was enabled after it."""
        enabled = next((one for one in self.enabled if one.of == of), None)
        if enabled is None:
            return True
        return run_id not in enabled.run_ids and began_at > datetime.fromisoformat(enabled.at)

    def frame(self) -> pd.DataFrame:
        """Return the input frame ``latches`` (``engine.risk.inputs``)."""
        import pandas as pd

        names = ["strategy_id", "rule", "since", "why", "broker_account_id"]
        frame = pd.DataFrame([asdict(latch) for latch in self.latches], columns=names, dtype=object)
        return frame.assign(since=pd.to_datetime(frame["since"], utc=True, format="ISO8601"))

    def to_document(self) -> dict[str, Any]:
        """Return them as a store keeps them."""
        enabled = [{**_document(one), "run_ids": list(one.run_ids)} for one in self.enabled]
        return {"latches": [_document(latch) for latch in self.latches], "enabled": enabled}

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Self:
        """Return what a store keeps; raises one of the errors of ``_INVALID``."""
        if document is None:
            return cls()
        return cls(
            tuple(map(Latch.read, document["latches"])),
            tuple(map(Enabled.read, document.get("enabled", ()))),
        )


@dataclass(frozen=True)
class KeptLatches:
    """The latches of live or of dry runs, for one command."""

    store: AgentDocuments
    log: EventLog
    by: str
    mode: str
    clock: Callable[[], datetime] = wall_clock
    marks: StateMarks | None = None

    @classmethod
    def of_agent(cls, agent: Agent, mode: str) -> KeptLatches:
        """Return the latches that are kept beside an agent's state."""
        marks = None if agent.mark is None else StateMarks(agent.mark.objects, LATCHES)
        return cls(agent.store, agent.log, agent.by, mode, agent.clock, marks)

    def read(self) -> Latched:
        """Return what is kept. Raises ``DataUnavailable`` where store or marks can't be read."""
        stored, marked = self._stored()[1], self._marked()
        kept = {latch.key for latch in stored.latches}
        return replace(stored, latches=(*stored.latches, *(one for one in marked if one.key not in kept)))

    def set(self, of: Scoped, rule: str, *, why: str, run_id: str, began_at: datetime) -> bool:
        """Latch a strategy or an account for what a run did, and return whether that changed anything.

        Idempotent: a latch that is there stays, and one that an operator ended is not set again for the same
        run. Raises ``DataUnavailable`` and ``EngineError``.
        """
        latch = Latch(rule=rule, since=self.clock().isoformat(), why=why, run_id=run_id, **_fields(of))

        def latched(now: Latched) -> Latched | None:
            is_there = any(one.key == latch.key for one in now.latches)
            if is_there or not now.counts(of, run_id=run_id, began_at=began_at):
                return None
            return replace(now, latches=(*now.latches, latch))

        changed, now = self._change(latched)
        kept = next((one for one in now.latches if one.key == latch.key), None)
        if kept is not None and self.marks is not None:
            try:
                self.marks.leave(self._mark(*kept.key), {**_document(kept), "mode": self.mode})
            except EngineError as unmarked:
                message = f"that {kept} is not marked in the data folder: {unmarked}"
                self.log.event("state_transition", message, severity="ERROR")
        if changed:
            self._log(str(latch), latch, before="enabled", after="latched", why=why)
        return changed

    def enable(self, of: Scoped, *, why: str) -> tuple[Latch, ...]:
        """End the latches of a strategy or an account, reset its counts, and return those that were ended.

        The marks in the data folder are removed last. Raises as ``set`` does.
        """
        marked = [one for one in self._marked(readable_only=True) if one.of == of]
        ended: dict[tuple[Scoped, str], Latch] = {}

        def enabled(now: Latched) -> Latched:
            own = [one for one in now.latches if one.of == of]
            ended.clear()
            ended.update({one.key: one for one in (*marked, *own)})
            run_ids = tuple(sorted({one.run_id for one in ended.values()}))
            entry = Enabled(at=self.clock().isoformat(), by=self.by, why=why, run_ids=run_ids, **_fields(of))
            return Latched(
                tuple(one for one in now.latches if one.of != of),
                (*(one for one in now.enabled if one.of != of), entry),
            )

        self._change(enabled)
        if self.marks is not None:
            for rule in LATCH_RULES:
                self.marks.clear(self._mark(of, rule))
        for latch in ended.values():
            text = f"{of} is enabled again after {latch.rule}: {why}"
            self._log(text, latch, before="latched", after="enabled", why=why)
        return tuple(ended.values())

    def _change(self, change: Callable[[Latched], Latched | None]) -> tuple[bool, Latched]:
        """Return whether a change was made, and what is kept; ``change`` may return None for no change."""
        name = _DOCUMENTS[self.mode]
        for _ in range(_ATTEMPTS):
            document, now = self._stored()
            new = change(now)
            if new is None:
                return False, now
            if self.store.replace_agent_document(name, new.to_document(), replacing=document):
                return True, new
        raise EngineError(
            f"{self.store.place}: the latches could not be changed: other jobs changed them at the same "
            f"time, {_ATTEMPTS} times in a row. Nothing was changed; run again."
        )

    def _stored(self) -> tuple[dict[str, Any] | None, Latched]:
        name = _DOCUMENTS[self.mode]
        document = self.store.agent_document(name)
        try:
            return document, Latched.from_document(document)
        except _INVALID as error:
            raise DataUnavailable(
                f"{self.store.place}: the latches are invalid ({type(error).__name__}: {error}). Find out "
                f"what wrote them; the document {name} has to be repaired or removed."
            ) from error

    def _marked(self, *, readable_only: bool = False) -> list[Latch]:
        found = []
        try:
            documents = self.marks.read() if self.marks else {}
        except DataUnavailable:
            if not readable_only:
                raise
            documents = {}
        for key, document in documents.items():
            try:
                if _text(document, "mode") == self.mode:
                    found.append(Latch.read(document))
            except _INVALID as error:
                if not readable_only:
                    raise unreadable_mark(key, f"{type(error).__name__}: {error}") from error
        return sorted(found, key=lambda latch: latch.since)

    def _mark(self, of: Scoped, rule: str) -> str:
        about = self.mode if of.scope is Scope.STRATEGY else f"{self.mode}-{of.scope}"
        return mark_key(rule, about, of.name, place=LATCHES)

    def _log(self, text: str, latch: Latch, *, before: str, after: str, why: str) -> None:
        self.log.event(
            "state_transition",
            text,
            severity="NOTICE" if after == "enabled" else "WARNING",
            **{_FIELD_OF[latch.of.scope]: latch.of.name},
            rule=latch.rule,
            mode=self.mode,
            before=before,
            after=after,
            why=why,
            by=self.by,
        )


def _scoped(strategy_id: str, account: str) -> Scoped:
    return Scoped(Scope.ACCOUNT, account) if account else Scoped(Scope.STRATEGY, strategy_id)


def _fields(of: Scoped) -> dict[str, str]:
    """Return the names of a latch or an entry for what it is about. Raises ``ValueError`` for all else."""
    if of.scope not in _FIELD_OF:
        raise ValueError(f"{of} can't be latched")
    return dict.fromkeys(_FIELD_OF.values(), "") | {_FIELD_OF[of.scope]: of.name}


def _names(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the names in a document: that of a strategy, or of an account."""
    (name,) = [name for name in _FIELD_OF.values() if document.get(name)]
    return dict.fromkeys(_FIELD_OF.values(), "") | {name: _text(document, name)}


def _document(one: Latch | Enabled) -> dict[str, Any]:
    """Return a latch or an entry as a store keeps it: with the one name that it has."""
    return {name: value for name, value in asdict(one).items() if value or name not in _FIELD_OF.values()}


def _text(document: Mapping[str, Any], name: str) -> str:
    text = document[name]
    if not isinstance(text, str) or not text:
        raise ValueError(f"{name} is {text!r}, which is no text")
    return text


def _check_time(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
