"""The brokers' books, read before a live run begins; where no broker answers, no run begins.

The books are read before a batch is sealed, so that the inbox stays unchanged when no broker answers. The run
records them and judges by them, unless they are too old once the inbox is read.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from engine.brokers.interaction import Interaction
from engine.context import RunContext
from engine.errors import BrokerError, EngineError, LeaseLost, UsageError
from engine.model.calendar import trading_date
from engine.reconciliation.session import Session
from engine.reconciliation.sync import Synced, sync_all

_LAST = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class BooksRead:
    """The books of all accounts in one session, with the recorded traffic."""

    answers: Mapping[str, Synced | EngineError]
    session: Session
    read_at: datetime
    traffic: tuple[Interaction, ...]

    def are_of(self, session: Session, context: RunContext) -> bool:
        """Return whether the books are of this session and of these accounts, and recent enough."""
        accounts = set() if context.connections is None else set(context.connections.by_account)
        age = context.clock() - self.read_at
        is_recent = timedelta(0) <= age <= _LAST
        return self.session == session and accounts == self.answers.keys() and is_recent


def read_books(context: RunContext, calendar: str) -> BooksRead:
    """Return the books of all accounts. Raises the first account's error where no broker answers."""
    if context.connections is None:
        raise UsageError("a dry run has no brokers to read books at.")
    read_at, traffic = context.clock(), _Traffic()
    session = Session(trading_date(read_at, calendar), calendar)
    answers = sync_all(context, context.connections.recorded(traffic), session)
    _check_any_answered(answers)
    return BooksRead(answers=answers, session=session, read_at=read_at, traffic=tuple(traffic.interactions))


def _check_any_answered(answers: Mapping[str, Synced | EngineError]) -> None:
    """Raise the first account's error where no broker answered.

    A store that doesn't answer raises nothing here: its data is unavailable to the rules.
    """
    errors = [answer for answer in answers.values() if isinstance(answer, BrokerError | LeaseLost)]
    if errors and len(errors) == len(answers):
        raise errors[0]


@dataclass
class _Traffic:
    """Keeps requests and replies in memory until a run can record them."""

    interactions: list[Interaction] = field(default_factory=list)
    _numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_number(self) -> int:
        """Return the next request's number."""
        with self._lock:
            self._numbers += 1
            return self._numbers

    def keep(self, interaction: Interaction) -> None:
        """Keep a request and its reply."""
        with self._lock:
            self.interactions.append(interaction)
