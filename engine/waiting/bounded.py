"""Calls with a deadline, each in a thread of its own, so that none keeps a job waiting.

A server that hangs can hold a library for longer than the library's own timeout. A call that misses its
deadline is abandoned: its thread is a daemon, which ends with the process and does not block its end.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.errors import DataUnavailable
from engine.waiting.deadline import Deadline
from engine.waiting.timer import SYSTEM

T = TypeVar("T")
_GRACE_S = 1.0  # for work with the same bound of its own: its own error says more


@dataclass(frozen=True)
class Answer:
    """The outcome of a call: a value or an error, and the seconds it took."""

    value: Any
    error: Exception | None
    took_s: float

    def get(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


def within(timeout_s: float, work: Callable[[], T], *, whose: str) -> T:
    """Return the result of ``work``.

    Raises what it raises, or ``DataUnavailable`` after ``timeout_s`` seconds. ``whose`` names the place that
    was called, for the message.
    """
    value: T = at_once({whose: work}, timeout_s)[whose].get()
    return value


def at_once(
    works: Mapping[str, Callable[[], Any]],
    timeout_s: float,
    *,
    bounded_within: bool = False,
    longer_s: Mapping[str, float] | None = None,
) -> dict[str, Answer]:
    """Do all ``works`` at the same time; those not done after ``timeout_s`` seconds are unavailable.

    ``bounded_within``: each also has that bound of its own, and gets a second more to report it.
    ``longer_s``: additional seconds for some works, by name.
    """
    bounds_s = {name: timeout_s + (longer_s or {}).get(name, 0.0) for name in works}
    grace_s = _GRACE_S if bounded_within else 0
    answers = done_by({name: Deadline.after(bound_s + grace_s) for name, bound_s in bounds_s.items()}, works)
    late = {
        name: Answer(
            None,
            DataUnavailable(
                f"{name}: no answer within {bound_s:g} s. See that it is up and can be reached; where it "
                f"is only slow, raise EXEC_RISK_DATA_TIMEOUT_S."
            ),
            bound_s,
        )
        for name, bound_s in bounds_s.items()
    }
    return {**late, **answers}


def done_by(deadlines: Mapping[str, Deadline], works: Mapping[str, Callable[[], Any]]) -> dict[str, Answer]:
    """Do all ``works`` at the same time; return the answers of those done by their deadlines, by name."""
    answers: dict[str, Answer] = {}
    threads = [
        threading.Thread(target=_do, args=(name, work, answers), daemon=True, name=name)
        for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        left_s = deadlines[thread.name].left_s()
        thread.join(None if left_s == math.inf else left_s)
    return dict(answers)


def _do(name: str, work: Callable[[], Any], answers: dict[str, Answer]) -> None:
    begun_at = SYSTEM.monotonic()
    try:
        value, error = work(), None
    except Exception as raised:
        value, error = None, raised
    answers[name] = Answer(value, error, SYSTEM.monotonic() - begun_at)
