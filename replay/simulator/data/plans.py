"""The plans of market data: the feeds that they permit, and their requests per minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from replay.simulator.timestamps import SECOND

PlanName = Literal["basic", "algo_trader_plus"]
ClockName = Literal["simulated", "wall"]

LATEST_FEEDS = frozenset({"sip", "iex", "delayed_sip", "otc", "boats", "overnight"})
HISTORICAL_FEEDS = frozenset({"sip", "iex", "otc", "boats"})
DELAY_NS = 15 * 60 * SECOND
"""The age of the newest SIP data that every plan permits."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription permits: ``feeds`` in real time, and requests per minute."""

    name: PlanName
    feeds: frozenset[str]
    per_minute: int

    @property
    def best_feed(self) -> str:
        """The feed of the latest endpoints where a request names none."""
        return "sip" if "sip" in self.feeds else "iex"


PLANS: dict[PlanName, Plan] = {
    "basic": Plan("basic", frozenset({"iex", "delayed_sip", "overnight"}), 200),
    "algo_trader_plus": Plan("algo_trader_plus", LATEST_FEEDS, 10_000),
}
