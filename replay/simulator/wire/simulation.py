"""The whole state of a running simulator, in one place, so that it can be read and reset."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Any

import orjson

from replay.simulator.data.plans import PLANS, ClockName, PlanName
from replay.simulator.wire.armed import Faults, HiddenOrders
from replay.simulator.wire.listening import Listener, Listeners

if TYPE_CHECKING:
    from replay.simulator.data.market_data import MarketData
    from replay.simulator.market.clock import SimulatedClock
    from replay.simulator.venue.venue import Venue

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keys:
    """The only valid pair of keys."""

    key: str = "test-key"
    secret: str = "test-secret"


_USUAL = 200  # of paper and live accounts alike
_TRADING_REFUSAL = {"code": 42910000, "message": "rate limit exceeded"}
_DATA_REFUSAL = {"message": "too many requests."}


class RateLimit:
    """Requests per minute of the wall clock; every reply has the headers, even without a limit.

    Without a limit they show Alpaca's usual 200 with all but this request remaining, so that a client which
    paces itself by them never waits. ``refusal``: the body of a 429.
    """

    def __init__(
        self, per_minute: int | None, wall: Callable[[], float], refusal: Mapping[str, object]
    ) -> None:
        self.refusal = refusal
        self._per_minute = per_minute
        self._wall = wall
        self._minute = int(wall() // 60)
        self._taken = 0

    def take(self) -> bool:
        """Count a request and return True; False if the minute's limit is used up."""
        minute = int(self._wall() // 60)
        if minute != self._minute:
            self._minute, self._taken = minute, 0
        if self._per_minute is None:
            return True
        if self._taken >= self._per_minute:
            return False
        self._taken += 1
        return True

    def headers(self, *, remaining: int | None = None, reset: int | None = None) -> list[tuple[bytes, bytes]]:
        """Return the three headers; ``reset`` is in seconds since 1970."""
        limit = _USUAL if self._per_minute is None else self._per_minute
        left = limit - (1 if self._per_minute is None else self._taken)
        return [
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-remaining", b"%d" % (left if remaining is None else remaining)),
            (b"x-ratelimit-reset", b"%d" % ((self._minute + 1) * 60 if reset is None else reset)),
        ]


@dataclass(frozen=True, slots=True)
class Terms:
    """What clients are granted.

    ``trading`` and ``data``: requests a minute, None for no limit and for those of the ``plan``.
    ``data_clock``: the time of latest quotes and trades, ``simulated`` or that of this machine (``wall``).
    """

    trading: int | None = None
    plan: PlanName = "basic"
    data: int | None = None
    data_clock: ClockName = "simulated"

    @property
    def data_or_plan(self) -> int:
        """The requests for market data a minute."""
        return self.data or PLANS[self.plan].per_minute


# now_ns, method, path, query, status, body, request id, answered
Seen = tuple[int, str, str, str, int, bytes, str, bool]


class Simulation:
    """One simulator's venue, clock, faults and log of requests; ``lock`` is held while a request is handled.

    ``begin`` returns a new venue with its clock, at the start and at each ``reset``. ``failures`` are
    unexpected exceptions, each a defect of the simulator. ``control_token`` admits control requests from
    other machines ("" admits none). ``save_dir``: the folder that control requests may write to, or None.
    """

    def __init__(
        self,
        begin: Callable[[], tuple[Venue, SimulatedClock]],
        *,
        keys: Keys | None = None,
        terms: Terms | None = None,
        seed: int = 0,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self.lock = RLock()
        self.keys = keys or Keys()
        self.wall = wall or _wall_seconds
        self.control_token = ""
        self.save_dir: Path | None = None
        self._begin, self._terms, self._seed = begin, terms or Terms(), seed
        self.failures: list[str] = []
        self._listeners = Listeners()
        self.reset()

    def reset(self) -> None:
        """Start over with a new venue, clock, faults, rate limit and log of requests."""
        with self.lock:
            self.venue, self.clock = self._begin()
            self.faults = Faults(seed=self._seed)
            self.hidden = HiddenOrders()
            self.limit = RateLimit(self._terms.trading, self.wall, _TRADING_REFUSAL)
            self.data_limit = RateLimit(self._terms.data_or_plan, self.wall, _DATA_REFUSAL)
            self._data: MarketData | None = None
            self.seen: list[Seen] = []
            self._request_ids = Random(f"{self._seed}/request ids")
            self._connect_listeners()

    def listen(self, listener: Listener) -> None:
        """Send the updates of every venue from now on to a client of the stream."""
        with self.lock:
            self._listeners.add(listener)
            self._connect_listeners()

    def unlisten(self, listener: Listener) -> None:
        """Send no more updates to a client of the stream."""
        with self.lock:
            self._listeners.remove(listener)
            self._connect_listeners()

    def look(self) -> None:
        """Let the venue handle the events that are due, if a client of the stream waits for them."""
        with self.lock:
            if not self._listeners:
                return
            try:
                self.venue.advance()
            except Exception as error:
                self.failed("looking for trade updates", error)

    def _connect_listeners(self) -> None:
        self.venue.updates.listener = self._listeners.publish if self._listeners else None

    @property
    def data(self) -> MarketData:
        """The market data of the current venue."""
        if self._data is None:
            from replay.simulator.data.market_data import MarketData

            ahead_ns = self._ahead_ns if self._terms.data_clock == "wall" else lambda: 0
            self._data = MarketData(self.venue, PLANS[self._terms.plan], ahead_ns)
        return self._data

    def _ahead_ns(self) -> int:
        """Return by how much this machine's clock is ahead of the simulated one."""
        return round(self.wall() * 1e9) - self.clock.now_ns()

    def next_request_id(self) -> str:
        """Return the next ``X-Request-ID``: 32 hexadecimal digits, the same for the same seed."""
        return f"{self._request_ids.getrandbits(128):032x}"

    def disarm(self) -> None:
        """Remove every fault, and release the cancels and lookups that they held back."""
        with self.lock:
            self.faults.clear()
            self.hidden.clear()
            self.venue.release_cancels()

    def failed(self, what: str, error: Exception) -> None:
        """Store and log an unexpected exception."""
        _LOG.error("simulator: %s failed; this is a defect of the simulator", what, exc_info=error)
        self.failures.append(f"{what}: {type(error).__name__}: {error}")

    def state(self) -> dict[str, Any]:
        """Return the whole state: the venue, every request, the faults and the unexpected failures."""
        with self.lock:
            return {
                **self.venue.state(),
                "now": _iso(self.clock.now_ns()),
                "requests": [_request(seen) for seen in self.seen],
                "faults": self.faults.as_json(),
                "failures": list(self.failures),
            }


def _wall_seconds() -> float:
    return time.time()


def _request(seen: Seen) -> dict[str, Any]:
    now_ns, method, path, query, status, body, request_id, answered = seen
    return {
        "time": _iso(now_ns), "method": method, "path": path, "query": query, "status": status,
        "body": _json_or_text(body), "request_id": request_id, "answered": answered,
    }  # fmt: skip


def _json_or_text(body: bytes) -> object:
    if not body:
        return None
    try:
        value = orjson.loads(body)
        orjson.dumps(value)  # deeply nested values can be read but not written
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return body.decode("utf-8", "replace")
    return value


def _iso(t_ns: int) -> str:
    seconds, rest = divmod(t_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
