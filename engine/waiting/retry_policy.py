"""How often, and for how long, requests to a broker are retried."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.errors import ConfigurationError

AFTER_RESET_S = 1.0
"""Extra wait after the reset of a rate limit, in seconds, since clocks differ; bounds of waits exclude it."""


@dataclass(frozen=True)
class RetryPolicy:
    """The retries of one account's requests; times in seconds.

    ``read_s``: how long a read is retried; 0: it is sent once. ``broker_wait_s``: the most additional time
    that one request waits because the broker asks for it; 0: none. ``lookups_s``: the waits between lookups
    of an order that isn't found. ``posts``: the most times that an order is sent. ``down_after_s``: after
    this time without a connection the broker counts as down; so does one that refuses an order for longer
    than ``broker_wait_s``, by the wait it asks for or the time taken.

    Raises ``ConfigurationError`` for ``read_s`` and ``broker_wait_s`` that are infinite or below 0.
    """

    read_s: float = 30.0
    broker_wait_s: float = 60.0
    lookups_s: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 4.0)
    posts: int = 3
    down_after_s: float = 30.0

    def __post_init__(self) -> None:
        for name, remedy in (("read_s", "to ask once"), ("broker_wait_s", "not to wait")):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}; expected a number of seconds, or 0 {remedy}."
                )

    @property
    def longest_hold_s(self) -> float:
        """Return the longest time that the rate limit may delay one request; seconds."""
        return self.broker_wait_s + AFTER_RESET_S if self.broker_wait_s else 0.0


DEFAULT_POLICY = RetryPolicy()
