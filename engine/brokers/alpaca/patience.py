"""The retry policy of read requests: retried without an answer, until the retry time is used up.

Waits are drawn from 0 to a bound that doubles with every try (exponential backoff, full jitter). No try
begins after the retry time, and each is limited to what is left of it. A wait that the broker asks for is
observed in full and does not count as retry time; all such waits of one request have a bound of their own,
beyond which it fails at once.
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
    """A failed try that may be retried, after ``wait_s`` seconds where the broker asks for them.

    ``error`` is raised where the retries are used up.
    """

    def __init__(self, error: BrokerError, wait_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class AskedWaits:
    """The remaining seconds of waits that the broker asks for; may be shared by requests and threads."""

    def __init__(self, seconds: float) -> None:
        self._left_s = seconds + AFTER_RESET_S if seconds else 0.0
        self._lock = Lock()

    @property
    def left_s(self) -> float:
        """The remaining seconds."""
        return self._left_s

    def take(self, seconds: float) -> bool:
        """Deduct seconds and return True; return False, deducting none, where fewer are left."""
        with self._lock:
            if not seconds <= self._left_s:
                return False
            self._left_s -= seconds
            return True


class PatienceSettings(TypedDict, total=False):
    """The keyword arguments of ``Patience``."""

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
    """How long a read request is retried: ``patience_s`` seconds in all; 0: sent once.

    ``broker_wait_s``: the most additional seconds that one request waits because the broker asks for it.
    ``stopping`` returns whether the job is to end; it is polled ten times a second while waiting.
    ``waiting`` is called with the reply and the seconds before such a wait. ``together``: one bound on these
    waits for several requests, instead of one for each. Raises ``ConfigurationError`` for bounds that are
    infinite or below 0.
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
        """The seconds that a request without retries waits where the broker asks for no requests."""
        return AskedWaits(self.broker_wait_s).left_s

    def ask(self, once: Callable[[float], _Asked], *, turn: Callable[[float], None] = _at_once) -> _Asked:
        """Return what ``once`` returns; it is called with the remaining seconds, and may raise ``NoAnswer``.

        ``turn`` waits before each try until a request may be sent; it is called with the longest wait in
        seconds that the broker may ask for, and raises where it asks for more. Its duration does not count as
        retry time. Raises the last try's ``error`` where the retry time is used up or the broker asks for too
        long a wait, what ``turn`` raises, and ``RunStopped`` where the job is to end.
        """
        retries = _Retries(self)
        while True:
            retries.wait_for(turn)
            try:
                return once(retries.left_s)
            except NoAnswer as failed:
                wait_s = retries.wait_after(failed)
                if wait_s is None:
                    raise failed.error from failed.error.__cause__
                if failed.wait_s:
                    self.waiting(failed.error, failed.wait_s)
                self._wait(wait_s, failed.error)

    def _wait(self, wait_s: float, error: BrokerError) -> None:
        ready = self.monotonic() + wait_s
        while (left_s := ready - self.monotonic()) > 0:
            if self.stopping():
                raise RunStopped(
                    "Stopped while a request to the broker was retried; the next run goes on there."
                ) from error
            self.sleep(min(left_s, _SLICE_S))


class _Retries:
    """The retries of one request: its deadline, and the remaining waits that the broker may ask for."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._until = patience.monotonic() + patience.patience_s
        self._waits = patience.together or AskedWaits(patience.broker_wait_s)
        self._bound_s = _FIRST_BOUND_S
        self._tries = 0

    @property
    def left_s(self) -> float:
        """The seconds for the next try; unlimited where there is only one."""
        if not self._patience.patience_s:
            return math.inf
        if not self._tries:
            return self._patience.patience_s
        return max(self._until - self._patience.monotonic(), _SHORTEST_TRY_S)

    def wait_for(self, turn: Callable[[float], None]) -> None:
        """Wait for a turn; the wait does not count as retry time."""
        begun = self._patience.monotonic()
        turn(self._waits.left_s)
        self._until += self._patience.monotonic() - begun

    def wait_after(self, failed: NoAnswer) -> float | None:
        """Return the seconds until the next try, None where there is none."""
        self._tries += 1
        drawn_s = random.uniform(0, self._bound_s)
        self._bound_s = min(self._bound_s * 2, _LAST_BOUND_S)
        if not self._patience.patience_s or not self._waits.take(failed.wait_s):
            return None
        self._until += failed.wait_s
        wait_s = max(failed.wait_s, drawn_s)
        return wait_s if self._patience.monotonic() + wait_s < self._until else None
