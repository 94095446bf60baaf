"""Sends many orders at once, in batch order within a symbol.

Orders of one account and symbol are sent one after the other, each once the previous one has been answered;
different symbols are sent at the same time. The next order is the earliest in the batch that is ready.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class _Queue(Generic[Item]):
    """Items that wait for their turn, by their place; at most one per lane is in work."""

    def __init__(self, items: Sequence[Item], queue_of: Callable[[Item], object]) -> None:
        self._lanes: dict[object, deque[int]] = {}
        for place, item in enumerate(items):
            self._lanes.setdefault(queue_of(item), deque()).append(place)
        self._lane_of = [queue_of(item) for item in items]
        self._ready = [lane[0] for lane in self._lanes.values()]  # ascending, and so a heap
        self._left = len(items)
        self._changed = threading.Condition()
        self._is_stopped = False

    def next(self) -> int | None:
        """Return the place of the next item, waiting for its lane; None where none is left."""
        with self._changed:
            while not self._ready and self._left and not self._is_stopped:
                self._changed.wait()
            if self._is_stopped or not self._ready:
                return None
            self._left -= 1
            return heapq.heappop(self._ready)

    def done(self, place: int) -> None:
        """Release the next item of the lane."""
        with self._changed:
            lane = self._lanes[self._lane_of[place]]
            lane.popleft()
            if lane:
                heapq.heappush(self._ready, lane[0])
            self._changed.notify_all()

    def stop(self) -> None:
        """Release no further items."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()


def each(
    items: Sequence[Item],
    work: Callable[[Item], Outcome],
    *,
    queue_of: Callable[[Item], object],
    at_once: int,
    done: Callable[[int], None] = lambda _: None,
) -> list[Outcome]:
    """Return the outcomes of ``work`` for all items, in their order, at most ``at_once`` at the same time.

    At the first exception, work in progress is finished, nothing else begins, and the exception is raised.
    ``done`` is called with the number of outcomes so far.
    """
    queue = _Queue(items, queue_of)
    outcomes: dict[int, Outcome] = {}
    errors: list[BaseException] = []

    def worker() -> None:
        while (place := queue.next()) is not None:
            try:
                outcomes[place] = work(items[place])
                done(len(outcomes))
            except BaseException as error:
                errors.append(error)
                queue.stop()
                return
            queue.done(place)

    threads = [
        threading.Thread(target=worker, name=f"order-{number}") for number in range(min(at_once, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:  # also where Ctrl-C ends the wait: no thread may continue sending
        queue.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    if errors:
        raise errors[0]
    return [outcomes[place] for place in range(len(items))]
