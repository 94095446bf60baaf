"""A call whose result several threads share."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import Generic, TypeVar

from engine.errors import DataUnavailable

T = TypeVar("T")


class Once(Generic[T]):
    """A function of no arguments whose result, or error, others can wait for; one thread calls it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work, self._done = work, Event()
        self._value: list[T] = []  # at most one
        self._error: Exception | None = None

    def __call__(self) -> T:
        """Do the work and return its result, or raise its error."""
        try:
            value = self._work()
            self._value.append(value)
        except Exception as error:
            self._error = error
            raise
        finally:
            self._done.set()
        return value

    def result(self, *, within_s: float) -> T:
        """Return the result of the call in another thread, or raise its error.

        Raises ``DataUnavailable`` where it has not ended within so many seconds.
        """
        if not self._done.wait(within_s):
            raise DataUnavailable(f"no answer within {within_s:g} s")
        if self._error is not None:
            raise self._error
        return self._value[0]
