"""The waits between retries and polls: each twice as long as the one before, up to a bound."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(first_s: float, longest_s: float, *, jitter: float = 0.0) -> Iterator[float]:
    """Yield waits in seconds without end: ``first_s``, doubled each time, at most ``longest_s``.

    ``jitter``: the share of each wait that is drawn, so that jobs that failed together don't retry together;
    0: none, 1: drawn from 0 to the whole wait ("full jitter").
    """
    wait_s = first_s
    while True:
        yield random.uniform((1 - jitter) * wait_s, wait_s) if jitter else wait_s
        wait_s = min(wait_s * 2, longest_s)
