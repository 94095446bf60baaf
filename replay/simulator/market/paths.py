"""A price over time as straight lines between knots, in whole millionths of a dollar and nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MICRO = 1_000_000
"""Units per dollar of the prices of paths."""


@dataclass(slots=True, eq=False)
class Path:
    """Straight lines from knot to knot; before the first knot its price, after the last one its price.

    ``offsets_ns`` are the knots' times after ``start_ns``, strictly increasing; ``values`` their prices in
    units of ``unit`` millionths of a dollar. Between knots the price is rounded down to a millionth, which
    keeps each line monotonic. Intervals are given by their first and last nanosecond, both inclusive. The
    line that was used last is cached, since it is mostly the next one too: its start, its exclusive end, the
    price at its start and the change over it.
    """

    start_ns: int
    offsets_ns: NDArray[np.int64]
    values: NDArray[np.signedinteger[Any]]
    unit: int = 1
    _line: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), init=False, repr=False)

    def price(self, t_ns: int) -> int:
        """Return the price at a timestamp, in millionths of a dollar."""
        offset_ns = t_ns - self.start_ns
        begin_ns, end_ns, begin, change = self._line
        if not begin_ns <= offset_ns < end_ns:
            after = int(self.offsets_ns.searchsorted(offset_ns, "right"))
            if after in (0, len(self.values)):
                return self.values.item(max(after - 1, 0)) * self.unit
            begin_ns, end_ns = self.offsets_ns.item(after - 1), self.offsets_ns.item(after)
            begin = self.values.item(after - 1) * self.unit
            change = self.values.item(after) * self.unit - begin
            self._line = (begin_ns, end_ns, begin, change)
        return begin + change * (offset_ns - begin_ns) // (end_ns - begin_ns)

    def extremes(self, first_ns: int, last_ns: int) -> tuple[int, int]:
        """Return the lowest and the highest price of an interval, in millionths of a dollar."""
        at_first, at_last = self.price(first_ns), self.price(last_ns)
        knots = self.values[self._knots(first_ns, last_ns)]
        if not knots.size:
            return min(at_first, at_last), max(at_first, at_last)
        low, high = int(knots.min()) * self.unit, int(knots.max()) * self.unit
        return min(at_first, at_last, low), max(at_first, at_last, high)

    def first_at_or_below(self, level: int, first_ns: int, last_ns: int) -> int | None:
        """Return the first nanosecond of an interval at which the price is at or below a level."""
        return self._first(level, first_ns, last_ns, sign=1)

    def first_at_or_above(self, level: int, first_ns: int, last_ns: int) -> int | None:
        """Return the first nanosecond of an interval at which the price is at or above a level."""
        return self._first(-level, first_ns, last_ns, sign=-1)

    def _knots(self, first_ns: int, last_ns: int) -> slice:
        first = self.offsets_ns.searchsorted(first_ns - self.start_ns, side="left")
        last = self.offsets_ns.searchsorted(last_ns - self.start_ns, side="right")
        return slice(int(first), int(last))

    def _first(self, level: int, first_ns: int, last_ns: int, *, sign: int) -> int | None:
        """Return the first nanosecond with ``sign * price <= level``; ``sign`` is -1 for rising prices."""
        if sign * self.price(first_ns) <= level:
            return first_ns
        knots = self._knots(first_ns, last_ns)
        there = sign * self.values[knots] <= level // self.unit
        at = int(there.argmax()) if there.size else 0
        if there.size and there[at]:
            return self._crossing(sign * level, knots.start + at, falls=sign > 0)
        if sign * self.price(last_ns) <= level:
            return self._crossing(sign * level, knots.stop, falls=sign > 0)
        return None

    def _crossing(self, level: int, end: int, *, falls: bool) -> int:
        """Return the first nanosecond at a level on the line that ends at a knot and crosses it."""
        begin_ns = int(self.offsets_ns[end - 1])
        span_ns = int(self.offsets_ns[end]) - begin_ns
        begin = int(self.values[end - 1]) * self.unit
        change = int(self.values[end]) * self.unit - begin
        if falls:  # prices are rounded down: the first one below the level's next millionth
            after_ns = (level + 1 - begin) * span_ns // change + 1
        else:
            after_ns = -((begin - level) * span_ns // change)
        return self.start_ns + begin_ns + after_ns
