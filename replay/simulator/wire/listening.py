"""The clients that listen to trade updates, and the messages that wait for each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

TRADE_UPDATES = "trade_updates"

MOST_WAITING = 4096
"""The messages that may wait for one client; one that falls further behind is disconnected."""


class Listener:
    """The messages that wait for one client; ``drop`` breaks its connection.

    ``put`` may be called from any thread and never waits for the client.
    """

    def __init__(self, drop: Callable[[], None]) -> None:
        self._waiting: deque[bytes] = deque()
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._drop = drop
        self._ended = False

    def put(self, message: bytes) -> None:
        """Add a message; break the connection of a client that is too far behind for it."""
        if self._ended:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._ended = True
            self._waiting.clear()
            self._call(self._drop)
            return
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._call(self._ready.set)

    def end(self) -> None:
        """Take no more messages; ``done`` is true once those that wait are taken."""
        self._ended = True
        self._call(self._ready.set)

    @property
    def done(self) -> bool:
        """Whether no message waits and none will come."""
        return self._ended and not self._waiting

    async def next(self, timeout_s: float) -> bytes | None:
        """Return the next message, None if there is none within the timeout."""
        if not self._waiting and not self._ended:
            self._ready.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), timeout_s)
        return self._waiting.popleft() if self._waiting else None

    def _call(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the server has stopped meanwhile
            self._loop.call_soon_threadsafe(action)


class Listeners:
    """Every client that listens now."""

    def __init__(self) -> None:
        self._now: set[Listener] = set()

    def __bool__(self) -> bool:
        return bool(self._now)

    def add(self, listener: Listener) -> None:
        """Send every update from now on to a client."""
        self._now.add(listener)

    def remove(self, listener: Listener) -> None:
        """Send no more updates to a client."""
        self._now.discard(listener)

    def publish(self, update: dict[str, Any]) -> None:
        """Put an update in the line of every client."""
        message = orjson.dumps({"stream": TRADE_UPDATES, "data": update})
        for listener in self._now:
            listener.put(message)
