"""The retries of read requests: retried without an answer, until the retry time is used up.

Waits are drawn from 0 to a bound that doubles with every try (exponential backoff, full jitter). No try
begins after the retry time, and each is limited to what is left of it. A wait that the broker asks for is
observed in full and does not count as retry time; all such waits of one request have a bound of their own,
beyond which it fails at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TypedDict, TypeVar

from engine.errors import BrokerError, RunStopped
from engine.waiting.backoff import backoff
from engine.waiting.deadline import Deadline
from engine.waiting.pause import never, waited
from engine.waiting.retry_policy import DEFAULT_POLICY, RetryPolicy
from engine.waiting.timer import SYSTEM, Timer

_FIRST_BOUND_S, _LAST_BOUND_S = 0.5, 8.0
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
        self._left_s = seconds
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


def _unseen(error: BrokerError, wait_s: float) -> None:
    """Report nothing."""


def _at_once(held_at_most_s: float) -> None:
    """Begin a try without waiting for a turn."""


class ReadSettings(TypedDict, total=False):
    """The keyword arguments of ``ReadRetries``, without ``together``."""

    retry_policy: RetryPolicy
    stopping: Callable[[], bool]
    waiting: Callable[[BrokerError, float], None]
    timer: Timer


@dataclass(frozen=True, kw_only=True)
class ReadRetries:
    """How read requests are retried: for ``retry_policy.read_s`` seconds in all; 0: sent once.

    ``stopping`` returns whether the job is to end; it is polled ten times a second while waiting.
    ``waiting`` is called with the reply and the seconds before a wait that the broker asks for. ``together``:
    one bound on these waits for several requests, instead of one for each.
    """

    retry_policy: RetryPolicy = DEFAULT_POLICY
    stopping: Callable[[], bool] = never
    waiting: Callable[[BrokerError, float], None] = _unseen
    timer: Timer = SYSTEM
    together: AskedWaits | None = None

    def ask(self, once: Callable[[float], _Asked], *, turn: Callable[[float], None] = _at_once) -> _Asked:
        """Return what ``once`` returns; it is called with the remaining seconds, and may raise ``NoAnswer``.

        ``turn`` waits before each try until a request may be sent; it is called with the longest wait in
        seconds that the broker may ask for, and raises where it asks for more. Its duration does not count as
        retry time. Raises the last try's ``error`` where the retry time is used up or the broker asks for too
        long a wait, what ``turn`` raises, and ``RunStopped`` where the job is to end.
        """
        request = _Request(self)
        while True:
            request.wait_for(turn)
            try:
                return once(request.left_s)
            except NoAnswer as failed:
                wait_s = request.wait_after(failed)
                if wait_s is None:
                    raise failed.error from failed.error.__cause__
                if failed.wait_s:
                    self.waiting(failed.error, failed.wait_s)
                self._wait(wait_s, failed.error)

    def _wait(self, wait_s: float, error: BrokerError) -> None:
        if not waited(wait_s, self.stopping, timer=self.timer):
            raise RunStopped(
                "Stopped while a request to the broker was retried; the next run goes on there."
            ) from error


class _Request:
    """The tries of one request: its deadline, and the remaining waits that the broker may ask for."""

    def __init__(self, retries: ReadRetries) -> None:
        self._timer = retries.timer
        self._read_s = retries.retry_policy.read_s
        self._deadline = Deadline.after(self._read_s, self._timer)
        self._waits = retries.together or AskedWaits(retries.retry_policy.longest_hold_s)
        self._drawn_s = backoff(_FIRST_BOUND_S, _LAST_BOUND_S, jitter=1.0)
        self._tries = 0

    @property
    def left_s(self) -> float:
        """The seconds for the next try; unlimited where there is only one."""
        if not self._read_s:
            return math.inf
        if not self._tries:
            return self._read_s
        return max(self._deadline.left_s(), _SHORTEST_TRY_S)

    def wait_for(self, turn: Callable[[float], None]) -> None:
        """Wait for a turn; the wait does not count as retry time."""
        begun = self._timer.monotonic()
        turn(self._waits.left_s)
        self._deadline = self._deadline.later_by(self._timer.monotonic() - begun)

    def wait_after(self, failed: NoAnswer) -> float | None:
        """Return the seconds until the next try, None where there is none."""
        self._tries += 1
        drawn_s = next(self._drawn_s)
        if not self._read_s or not self._waits.take(failed.wait_s):
            return None
        self._deadline = self._deadline.later_by(failed.wait_s)
        wait_s = max(failed.wait_s, drawn_s)
        return wait_s if self._timer.monotonic() + wait_s < self._deadline.at_s else None
