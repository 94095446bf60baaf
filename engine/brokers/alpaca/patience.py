"""Asking again: what only asks is repeated where there was no answer, until patience is over.

Waits are drawn from 0 to a bound that doubles with every try (exponential backoff, full jitter). No try
begins after the end of patience, and each gets what is left of it. A wait that the broker itself asks for is
kept in full and uses up no patience; all of these of one question together have a bound of their own, beyond
which nothing is waited for.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypedDict, TypeVar

from engine.brokers.trading import AFTER_RESET_S
from engine.errors import BrokerError, ConfigurationError, RunStopped

_FIRST_BOUND_S, _LAST_BOUND_S = 0.5, 8.0
_SLICE_S = 0.1
_SHORTEST_TRY_S = 0.05

_Asked = TypeVar("_Asked")


class NoAnswer(Exception):
    """A try that may be repeated, ``wait_s`` seconds later where the broker asks for it.

    ``error`` is raised in the end.
    """

    def __init__(self, error: BrokerError, wait_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class AskedWaits:
    """How long is still waited because the broker asks for it; may be shared by questions and threads."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds + AFTER_RESET_S if seconds else 0.0
        self._lock = Lock()

    @property
    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self._left_s

    def take(self, seconds: float) -> bool:
        """Take so many of them; returns False, with nothing taken, where fewer are left."""
        with self._lock:
            if not seconds <= self._left_s:
                return False
            self._left_s -= seconds
            return True


class PatienceSettings(TypedDict, total=False):
    """What ``Patience`` can be given."""

    patience_s: float
    broker_wait_s: float
    stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]
    waiting: Callable[[BrokerError, float], None]


def _never() -> bool:
    return False


def _unseen(error: BrokerError, wait_s: float) -> None:
    """Report nothing."""


def _at_once(held_at_most_s: float) -> None:
    """Begin a try without waiting for a turn."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is asked: ``patience_s`` seconds all in all, or, where that is 0, once.

    ``broker_wait_s``: the most seconds that one question waits beyond that because the broker asks for it.
    ``stopping`` tells whether the job is to end; it is looked at while waiting, ten times a second.
    ``waiting`` is called with the reply and the seconds before such a wait. ``together``: what questions wait
    together at most, instead of each for itself. Raises ``ConfigurationError`` for bounds without end or
    below 0.
    """

    patience_s: float = 30.0
    broker_wait_s: float = 60.0
    stopping: Callable[[], bool] = _never
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    waiting: Callable[[BrokerError, float], None] = _unseen
    together: AskedWaits | None = None

    def __post_init__(self) -> None:
        for name, remedy in (("patience_s", "to ask once"), ("broker_wait_s", "not to wait")):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; expected a number of seconds, or 0 {remedy}."
                )

    @property
    def held_at_most_s(self) -> float:
        """Return how long a request that is sent once waits where the broker asks for no requests."""
        return AskedWaits(self.broker_wait_s).left_s

    def ask(self, once: Callable[[float], _Asked], *, turn: Callable[[float], None] = _at_once) -> _Asked:
        """Return what ``once`` returns; it is called with the seconds that are left, and raises ``NoAnswer``.

        ``turn`` waits before each try until a request may leave; it is called with the seconds for which a
        wait that the broker asked for may last, and raises where that is longer. What it takes uses up no
        patience. Raises the last try's ``error`` where patience is over or the broker asks for more than is
        waited, what ``turn`` raises, and ``RunStopped`` where the job is to end.
        """
        question = _Question(self)
        while True:
            question.wait_for(turn)
            try:
                return once(question.left_s)
            except NoAnswer as nothing:
                wait_s = question.wait_after(nothing)
                if wait_s is None:
                    raise nothing.error from nothing.error.__cause__
                if nothing.wait_s:
                    self.waiting(nothing.error, nothing.wait_s)
                self._wait(wait_s, nothing.error)

    def _wait(self, wait_s: float, error: BrokerError) -> None:
        ready = self.monotonic() + wait_s
        while (left_s := ready - self.monotonic()) > 0:
            if self.stopping():
                raise RunStopped("Stopped while the broker was asked again; the next run goes on.") from error
            self.sleep(min(left_s, _SLICE_S))


class _Question:
    """One question: until when it is asked, and how long is still waited because the broker asks for it."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._until = patience.monotonic() + patience.patience_s
        self._waits = patience.together or AskedWaits(patience.broker_wait_s)
        self._bound_s = _FIRST_BOUND_S
        self._tries = 0

    @property
    def left_s(self) -> float:
        """Return the seconds for the next try; one that is the only one has no end."""
        if not self._patience.patience_s:
            return math.inf
        if not self._tries:
            return self._patience.patience_s
        return max(self._until - self._patience.monotonic(), _SHORTEST_TRY_S)

    def wait_for(self, turn: Callable[[float], None]) -> None:
        """Wait for a turn, which uses up no patience."""
        begun = self._patience.monotonic()
        turn(self._waits.left_s)
        self._until += self._patience.monotonic() - begun

    def wait_after(self, nothing: NoAnswer) -> float | None:
        """Return the seconds until the next try, None where there is none."""
        self._tries += 1
        drawn_s = random.uniform(0, self._bound_s)
        self._bound_s = min(self._bound_s * 2, _LAST_BOUND_S)
        if not self._patience.patience_s or not self._waits.take(nothing.wait_s):
            return None
        self._until += nothing.wait_s
        wait_s = max(nothing.wait_s, drawn_s)
        return wait_s if self._patience.monotonic() + wait_s < self._until else None
