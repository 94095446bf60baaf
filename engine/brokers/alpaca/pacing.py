"""Client-side rate limiting: a token bucket that follows the rate limit the broker reports.

The server takes precedence: ``X-RateLimit-Limit`` sets the rate, ``-Remaining`` is never overdrawn before
``-Reset``, and a 429, or a 5xx with ``Retry-After``, stops all requests. The bucket only spreads requests
over the minute.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from threading import Condition, RLock

from engine.brokers.alpaca.replies import rate_limit_reset_s, retry_after_s

NO_REPLY = 0
"""The status to ``learn`` where a request that had its turn got no reply."""

_MINUTE_S = 60.0  # the window of rate limits, and so how long a reply's values are used
_HIGHEST_LIMIT = 1_000_000
_FARTHEST_RESET_S = 3_600.0
_ASKED_EVERY_S = 0.1
_AFTER_RESET_S = 0.1  # clocks kept by NTP differ by less
_AFTER_429_S = 1.0
_A_TOKEN = 1 - 1e-6  # rounding must not cause another wait


class HeldOff(Exception):
    """The server asks for a wait of ``wait_s`` from now on, longer than the caller accepts."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"no request for {wait_s:.0f} s")
        self.wait_s = wait_s


class Pace:
    """Assigns turns to send to any number of threads, at the rate that the broker allows.

    ``limit``: requests per minute until a reply reports another limit. ``burst_s``: the seconds of that rate
    that may be sent at once after an idle time. ``pause(condition, seconds)`` waits for either.
    Each turn is for one request, followed by one call of ``learn``; without it the request counts as in
    flight for a minute.
    """

    def __init__(
        self,
        *,
        limit: int = 200,
        burst_s: float = 6.0,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        pause: Callable[[Condition, float], object] = Condition.wait,
    ) -> None:
        self._monotonic, self._wall, self._pause = monotonic, wall, pause
        self._lock = RLock()
        self._urgent: deque[_Taker] = deque()
        self._others: deque[_Taker] = deque()
        self._ask_at = monotonic()  # when ``given_up`` is called next
        self._limit, self._burst_s = limit, burst_s
        self._tokens = self._capacity
        self._filled_at = monotonic()
        self._in_flight: deque[float] = deque()  # start times of the turns without a reply yet
        self._reset = -inf  # end of the server's current window: seconds since 1970
        self._window_ends = -inf
        self._remaining = 0  # the least remaining count that a reply of this window reported
        self._overdrawn = False  # the first in line waits for replies, or for the next window
        self._held_until = -inf
        self._held_since = inf  # start of the first of consecutive holds without an answered request between
        self._turned_away = 0  # consecutive 429s that did not name an end

    def take(
        self,
        *,
        urgent: bool = False,
        given_up: Callable[[], bool] | None = None,
        held_at_most_s: float = inf,
    ) -> bool:
        """Wait for a turn to send one request; return False where ``given_up()`` became true meanwhile.

        Urgent takers (lookups, cancels) go before all others; within each group the order is first come,
        first served. ``given_up`` is called at the start of the wait and then every 0.1 s, by any of the
        waiting threads, and should return quickly. Raises ``HeldOff``, at once, where the server asks for a
        wait that ends later than ``held_at_most_s`` from now; waits due to the rate alone have no bound.
        """
        queue = self._urgent if urgent else self._others
        taker = _Taker(
            Condition(self._lock), given_up, given_up is not None, self._monotonic(), held_at_most_s
        )
        with self._lock:
            queue.append(taker)
            try:
                while (wait_s := self._wait_s(taker)) > 0:
                    self._check_held(taker)
                    if taker.must_ask:
                        if self._gave_up(taker):
                            return False
                    elif taker is not self._first():
                        self._pause(taker.turn, _MINUTE_S)
                    elif (ask_in_s := self._ask_at - self._monotonic()) > 0:
                        self._pause(taker.turn, min(wait_s, ask_in_s))
                    else:
                        self._ask_all()
                self._tokens -= 1
                self._in_flight.append(self._monotonic())
                return True
            finally:
                queue.remove(taker)
                self._wake_first()

    def learn(self, status: int, headers: Mapping[str, str]) -> None:
        """Update the limits from a reply, or record that there was none (``NO_REPLY``).

        ``headers`` is case-insensitive, or spells names like ``X-RateLimit-Limit``. Invalid values are
        ignored.
        """
        limit, remaining = (_number(headers.get(f"X-RateLimit-{name}")) for name in ("Limit", "Remaining"))
        reset, after_s = rate_limit_reset_s(headers), retry_after_s(headers)
        with self._lock:
            now = self._monotonic()
            self._fill(now)
            if self._in_flight:
                self._in_flight.popleft()
            changed = limit is not None and limit != self._limit and 0 < limit <= _HIGHEST_LIMIT
            if limit is not None and changed:
                self._tokens *= limit / self._limit  # keeps the bucket's fill ratio
                self._limit = limit
            until_reset_s = inf if reset is None else reset - self._wall()
            if remaining is not None and until_reset_s > 0:
                self._follow(remaining, reset or 0, until_reset_s, now)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                self._hold(self._asked_for_s(until_reset_s, after_s, now), now)
            elif status >= HTTPStatus.INTERNAL_SERVER_ERROR and after_s:
                self._hold(after_s, now)
            elif status != NO_REPLY:
                self._turned_away, self._held_since = 0, inf
            if changed or self._overdrawn:
                self._wake_first()

    @property
    def _capacity(self) -> float:
        return max(1.0, self._limit / _MINUTE_S * self._burst_s)

    def _fill(self, now: float) -> None:
        if now > self._filled_at:
            gained = (now - self._filled_at) * self._limit / _MINUTE_S
            self._tokens = min(self._capacity, self._tokens + gained)
            self._filled_at = now

    def _wait_s(self, taker: _Taker) -> float:
        """Return the seconds until a waiting taker's turn as known now; 0: at once."""
        if taker is not self._first():
            return inf
        now = self._monotonic()
        self._fill(now)
        while self._in_flight and self._in_flight[0] <= now - _MINUTE_S:
            self._in_flight.popleft()
        self._overdrawn = now < self._window_ends and self._remaining <= len(self._in_flight)
        return max(
            self._held_until - now,
            0.0 if self._tokens >= _A_TOKEN else (1 - self._tokens) * _MINUTE_S / self._limit,
            self._window_ends - now if self._overdrawn else 0.0,
        )

    def _follow(self, remaining: int, reset: int, until_reset_s: float, now: float) -> None:
        """Limit turns to the remaining count; replies may arrive in another order than the server counted."""
        if until_reset_s > _FARTHEST_RESET_S:  # not a plausible window
            self._tokens = min(self._tokens, max(0, remaining - len(self._in_flight)))
        elif reset > self._reset or now >= self._window_ends:
            self._reset, self._remaining = reset, remaining
            self._window_ends = now + min(until_reset_s, _MINUTE_S) + _AFTER_RESET_S
        elif reset == self._reset:
            self._remaining = min(self._remaining, remaining)

    def _asked_for_s(self, until_reset_s: float, after_s: float, now: float) -> float:
        """Return the seconds that a 429 asks for; without a value, they double at each 429."""
        reset_s = 0.0
        if 0 < until_reset_s <= _FARTHEST_RESET_S:
            reset_s = min(until_reset_s, _MINUTE_S) + _AFTER_429_S
        if reset_s or after_s:
            return max(reset_s, after_s)
        if now >= self._held_until:  # 429s of requests in flight during a hold don't count
            self._turned_away += 1
        return min(2.0 ** (self._turned_away - 1), _MINUTE_S)

    def _hold(self, wait_s: float, now: float) -> None:
        self._held_until = max(self._held_until, now + min(wait_s, _FARTHEST_RESET_S))
        self._held_since = min(self._held_since, now)
        self._tokens, self._filled_at = 0.0, self._held_until
        for taker in (*self._urgent, *self._others):
            if self._is_held_off(taker):
                taker.turn.notify()

    def _check_held(self, taker: _Taker) -> None:
        if self._is_held_off(taker):
            raise HeldOff(self._held_until - self._monotonic())

    def _is_held_off(self, taker: _Taker) -> bool:
        if self._held_until <= self._monotonic():
            return False
        return self._held_until - max(self._held_since, taker.since) > taker.held_at_most_s

    def _first(self) -> _Taker | None:
        queue = self._urgent or self._others
        return queue[0] if queue else None

    def _wake_first(self) -> None:
        first = self._first()
        if first is not None:
            first.turn.notify()

    def _gave_up(self, taker: _Taker) -> bool:
        taker.must_ask = False
        with self._unlocked():
            return taker.given_up is not None and taker.given_up()

    def _ask_all(self) -> None:
        """Call ``given_up`` for all takers in this thread, and wake those that may have given up."""
        self._ask_at = self._monotonic() + _ASKED_EVERY_S
        asked = {taker.given_up for taker in (*self._urgent, *self._others)} - {None}
        with self._unlocked():
            given_up_by = {given_up for given_up in asked if given_up is not None and _may_be(given_up)}
        for taker in (*self._urgent, *self._others):
            if taker.given_up in given_up_by:
                taker.must_ask = True
                taker.turn.notify()

    @contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()


@dataclass(eq=False)
class _Taker:
    turn: Condition
    given_up: Callable[[], bool] | None
    must_ask: bool
    since: float
    held_at_most_s: float


def _may_be(given_up: Callable[[], bool]) -> bool:
    try:
        return given_up()
    except Exception:  # the owner calls it again and gets the exception
        return True


def _number(text: str | None) -> int | None:
    """Return the whole number in a header, None where there is none."""
    if text is None or len(text) > 18:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None
