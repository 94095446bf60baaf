"""The quotes at which orders are sent, asked for in the background: no order ever waits for one.

One request for each chunk of orders that may be sent from now on. What does not come, or comes too late, is
unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Lock, Thread

from engine.brokers.interaction import Interaction
from engine.brokers.quotes import OK, MarketData, Quote
from engine.brokers.trading import Recorder
from engine.waiting.deadline import Deadline

ASKED_FOR_S = 5.0
"""Seconds in which a quote is asked for; later it would not be that of the sending."""


@dataclass
class Gathered:
    """Requests and replies, kept until the orders are sent: the journal's writer then waits for no quote."""

    interactions: list[Interaction] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def next_number(self) -> int:
        """Return a number; a new one is given when the interaction is passed on."""
        return 0

    def keep(self, interaction: Interaction) -> None:
        """Keep a request and its reply."""
        with self._lock:
            self.interactions.append(interaction)

    def pass_on(self, recorder: Recorder) -> None:
        """Hand what was kept to a recorder, in the order in which the requests began."""
        with self._lock:
            kept, self.interactions = self.interactions, []
        for one in sorted(kept, key=lambda interaction: interaction.started_at):
            recorder.keep(replace(one, number=recorder.next_number()))


class QuotesAtSending:
    """Collects the quotes of orders as they are sent."""

    def __init__(self, data: MarketData) -> None:
        self._data, self._lock = data, Lock()
        self._by_row: dict[int, Quote] = {}
        self._threads: list[Thread] = []

    def ask(self, symbols: Mapping[int, str]) -> None:
        """Ask for the quotes of orders that may be sent from now on, by row; returns at once."""
        rows: dict[str, list[int]] = {}
        for row, symbol in symbols.items():
            rows.setdefault(symbol, []).append(row)
        if not rows:
            return
        thread = Thread(target=self._take, args=(rows,), daemon=True, name="quotes")
        with suppress(RuntimeError):  # no more threads: these quotes are unknown
            thread.start()
            with self._lock:
                self._threads.append(thread)

    def by_row(self, *, within_s: float) -> dict[int, Quote]:
        """Return the quotes that came, by row of the batch; waits so long for those on their way."""
        deadline = Deadline.after(within_s)
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(deadline.left_s())
        with self._lock:
            return dict(self._by_row)

    def _take(self, rows: dict[str, list[int]]) -> None:
        with suppress(Exception):  # whatever it is, the quotes are unknown, and no order is affected
            found = self._data.snapshots(rows.keys(), deadline=Deadline.after(ASKED_FOR_S)).quotes
            quotes = {
                row: quote
                for symbol, own in rows.items()
                if (quote := found.get(symbol)) is not None and quote.verdict == OK
                for row in own
            }
            with self._lock:
                self._by_row |= quotes
