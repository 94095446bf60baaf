"""Asking again: what only asks is repeated where there was no answer, until patience is over.

Waits are drawn from 0 to a bound that doubles with every try (exponential backoff, full jitter), and are at
least what the broker asks for. No try begins after the end of patience, and each gets what is left of it.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict, TypeVar

from engine.errors import BrokerError, ConfigurationError, RunStopped

_FIRST_BOUND_S, _LAST_BOUND_S = 0.5, 8.0
_SLICE_S = 0.1
_SHORTEST_TRY_S = 0.05

_Asked = TypeVar("_Asked")


class NoAnswer(Exception):
    """A try that may be repeated, after ``wait_s`` seconds at the least; ``error`` is raised in the end."""

    def __init__(self, error: BrokerError, wait_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_s = wait_s


class PatienceSettings(TypedDict, total=False):
    """What ``Patience`` can be given."""

    patience_s: float
    stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long is asked: ``patience_s`` seconds all in all, or, where that is 0, once.

    ``stopping`` tells whether the job is to end; it is looked at while waiting, ten times a second.
    Raises ``ConfigurationError`` for a patience without end or below 0.
    """

    patience_s: float = 30.0
    stopping: Callable[[], bool] = _never
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not 0 <= self.patience_s < math.inf:
            raise ConfigurationError(
                f"patience_s is {self.patience_s}; expected a number of seconds, or 0 to ask once."
            )

    def ask(self, once: Callable[[float], _Asked]) -> _Asked:
        """Give what ``once`` gives; it is called with the seconds that are left, and raises ``NoAnswer``.

        Raises the last try's ``error`` where patience is over, and ``RunStopped`` where the job is to end.
        """
        until = self.monotonic() + self.patience_s
        left_s = self.patience_s or math.inf
        bound_s = _FIRST_BOUND_S
        while True:
            try:
                return once(left_s)
            except NoAnswer as nothing:
                wait_s = max(nothing.wait_s, random.uniform(0, bound_s))
                if not self.monotonic() + wait_s < until:
                    raise nothing.error from nothing.error.__cause__
                self._wait(wait_s, nothing.error)
            left_s = max(until - self.monotonic(), _SHORTEST_TRY_S)
            bound_s = min(bound_s * 2, _LAST_BOUND_S)

    def _wait(self, wait_s: float, error: BrokerError) -> None:
        ready = self.monotonic() + wait_s
        while (left_s := ready - self.monotonic()) > 0:
            if self.stopping():
                raise RunStopped("Stopped while the broker was asked again; the next run goes on.") from error
            self.sleep(min(left_s, _SLICE_S))
