"""How fast requests may leave: a token bucket that follows what the broker says of its own rate limit.

The server's word goes first: ``X-RateLimit-Limit`` sets the rate, ``-Remaining`` is never overdrawn before
``-Reset``, and a 429, or a 5xx with ``Retry-After``, stops everybody. The bucket only spreads requests over
the minute.
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

_MINUTE_S = 60.0  # what limits count, and so the longest that one reply is believed
_HIGHEST_LIMIT = 1_000_000
_FARTHEST_RESET_S = 3_600.0
_ASKED_EVERY_S = 0.1
_AFTER_RESET_S = 0.1  # clocks kept by NTP differ by less
_AFTER_429_S = 1.0
_A_TOKEN = 1 - 1e-6  # rounding must not send anybody back to sleep


class HeldOff(Exception):
    """The server asks for a longer wait than the one who wanted to send accepts: ``wait_s`` from now on."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"no request for {wait_s:.0f} s")
        self.wait_s = wait_s


class Pace:
    """Gives turns to send, to any number of threads, at the rate that the broker allows.

    ``limit``: requests a minute until a reply says otherwise. ``burst_s``: how many seconds' worth of them
    may leave at once after a quiet time. ``pause(condition, seconds)`` waits for either.
    To each turn belongs one request, and to it one ``learn``; without one it counts as in flight for a
    minute.
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
        self._ask_at = monotonic()  # whether anybody gave up
        self._limit, self._burst_s = limit, burst_s
        self._tokens = self._capacity
        self._filled_at = monotonic()
        self._in_flight: deque[float] = deque()  # when the turns were given whose replies aren't in
        self._reset = -inf  # the server's name for its present window: seconds since 1970
        self._window_ends = -inf
        self._remaining = 0  # the least that a reply of this window said to remain
        self._overdrawn = False  # the first in line waits for replies, or for the next window
        self._held_until = -inf
        self._held_since = inf  # when the first of the holds began between which no request was answered
        self._turned_away = 0  # 429s in a row that did not say until when

    def take(
        self,
        *,
        urgent: bool = False,
        given_up: Callable[[], bool] | None = None,
        held_at_most_s: float = inf,
    ) -> bool:
        """Wait for a turn to send one request; False where ``given_up()`` turned true meanwhile.

        Urgent takers (lookups, cancels) go before all others; equals go in the order in which they came.
        ``given_up`` is asked when the wait begins and every 0.1 s of it, by any of the threads that wait, and
        should answer quickly. Raises ``HeldOff``, at once, where the server asks for a wait that ends later
        than ``held_at_most_s`` from now; the wait that the rate alone requires has no bound.
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
        """Take in what a reply says of the rate limit, or that there was none (``NO_REPLY``).

        ``headers`` finds names in any case, or has them spelled ``X-RateLimit-Limit``. Nonsense is ignored.
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
                self._tokens *= limit / self._limit  # as full as it was
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
        """Give the seconds until a waiting taker's turn, as things stand: 0 is now."""
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
        """Clamp to what remains; replies may come in another order than requests were counted in."""
        if until_reset_s > _FARTHEST_RESET_S:  # it names no window
            self._tokens = min(self._tokens, max(0, remaining - len(self._in_flight)))
        elif reset > self._reset or now >= self._window_ends:
            self._reset, self._remaining = reset, remaining
            self._window_ends = now + min(until_reset_s, _MINUTE_S) + _AFTER_RESET_S
        elif reset == self._reset:
            self._remaining = min(self._remaining, remaining)

    def _asked_for_s(self, until_reset_s: float, after_s: float, now: float) -> float:
        """Return the seconds that a 429 asks for; where it doesn't say, twice as many each time."""
        reset_s = 0.0
        if 0 < until_reset_s <= _FARTHEST_RESET_S:
            reset_s = min(until_reset_s, _MINUTE_S) + _AFTER_429_S
        if reset_s or after_s:
            return max(reset_s, after_s)
        if now >= self._held_until:  # the others that were in flight say nothing new
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
        """Ask on everybody's behalf, so that one thread wakes for it; whoever may have given up is woken."""
        self._ask_at = self._monotonic() + _ASKED_EVERY_S
        asked = {taker.given_up for taker in (*self._urgent, *self._others)} - {None}
        with self._unlocked():
            telling = {given_up for given_up in asked if given_up is not None and _may_be(given_up)}
        for taker in (*self._urgent, *self._others):
            if taker.given_up in telling:
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
    except Exception:  # its owner asks again, and gets it
        return True


def _number(text: str | None) -> int | None:
    """Read a header's whole number; None where it is none."""
    if text is None or len(text) > 18:
        return None
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None
