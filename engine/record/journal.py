"""The journal of a live run: its order attempts, and its recorded interactions with the broker.

::

    attempts/000001.json    orders that may be sent from now on; on disk before the first of them is sent
    traffic/000001.jsonl    requests with their replies; on disk before any reply is used

Both are written whole, in chunks: a few dozen attempts at a time, and as many interactions as arrive while
the previous chunk is written, or within ``gather_s`` while other requests are in flight. To write a file
costs as much as a third of an order. A resumed run reads from them what a killed job had done, and
``cassette.json`` is made from them; then the traffic's chunks are removed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.brokers.cassette import cassette_bytes
from engine.brokers.interaction import Interaction
from engine.errors import RecordError
from engine.record.run_folder import ATTEMPTS, CASSETTE, TRAFFIC, RunFolder

GATHER_S = 0.05


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass
class _Chunk:
    """Interactions that are written together.

    ``written`` is locked until they are written; then each waiting thread lets the next one pass. If all were
    woken at once, they would spend their time waiting for the interpreter.
    """

    interactions: list[Interaction] = field(default_factory=list)
    written: threading.Lock = field(default_factory=_locked)
    error: BaseException | None = None


class Journal:
    """The journal in a run's folder; may be used by many threads at once.

    ``gather_s``: the longest time that a chunk waits for the replies of other requests in flight.
    """

    def __init__(self, folder: RunFolder, *, gather_s: float = GATHER_S) -> None:
        self.folder = folder
        self._gather_s = gather_s
        self._in_flight = 0
        self._read: dict[str, list[Interaction]] = {}
        names = folder.names()
        self._attempts = _highest(names, ATTEMPTS)
        self._pieces = _highest(names, TRAFFIC)
        kept = self.interactions()
        self._requests = max((interaction.number for interaction in kept), default=0)
        self._job = max((interaction.job for interaction in kept), default=0) + 1
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._noting = threading.Lock()
        self._writing = threading.Lock()
        self._open = _Chunk()

    def attempt(self, orders: Iterable[dict[str, Any]], *, at: str) -> None:
        """Record that these orders may be sent from now on, each as it is sent, with its row in the batch."""
        with self._noting:
            self._attempts += 1
            self.folder.write(f"{ATTEMPTS}{self._attempts:06}.json", {"at": at, "orders": list(orders)})

    def attempted(self) -> set[int]:
        """Return the rows of the batch whose orders may have been sent."""
        names = sorted(name for name in self.folder.names() if name.startswith(ATTEMPTS))
        return {int(order["row"]) for name in names for order in self.folder.json(name)["orders"]}

    def next_number(self) -> int:
        """Return a new request's number; numbers continue those of a killed job.

        The caller must pass the request's interaction to ``keep``.
        """
        with self._lock:
            self._requests += 1
            self._in_flight += 1
            return self._requests

    def keep(self, interaction: Interaction) -> None:
        """Keep a request and its reply; return once they are on disk.

        Calls that arrive while a chunk is gathered share it; while one is written, they share the next one.
        """
        with self._lock:
            self._in_flight -= 1
            if self._in_flight <= 0:
                self._arrived.notify()
            chunk = self._open
            leads = not chunk.interactions
            chunk.interactions.append(replace(interaction, job=self._job))
        if leads:
            self._gather_and_write(chunk)
        else:
            with chunk.written:
                pass
        if chunk.error is not None:
            if not isinstance(chunk.error, Exception):  # the writer's thread was ended
                raise chunk.error
            raise RecordError(f"the record of a request can't be kept: {chunk.error}") from chunk.error

    def _gather_and_write(self, chunk: _Chunk) -> None:
        """Wait for the previous writer and, briefly, for requests in flight; then write the chunk."""
        try:
            with self._writing:
                with self._lock:
                    self._arrived.wait_for(lambda: self._in_flight <= 0, self._gather_s)
                    self._open = _Chunk()
                self._write(chunk)
        except BaseException as error:  # no other thread writes it, and others wait for it
            chunk.error = error
            with self._lock:
                if self._open is chunk:
                    self._open = _Chunk()
        finally:
            chunk.written.release()

    def _write(self, chunk: _Chunk) -> None:
        self._pieces += 1
        lines = b"".join(interaction.as_json() + b"\n" for interaction in chunk.interactions)
        self.folder.objects.put(f"{self.folder.key}{TRAFFIC}{self._pieces:06}.jsonl", lines)

    def take_over(self, interactions: Sequence[Interaction]) -> None:
        """Keep requests that were made before the journal existed; their numbers follow its last one."""
        if not interactions:
            return
        with self._lock:
            first = self._requests + 1
            self._requests += len(interactions)
        in_order = sorted(interactions, key=lambda interaction: interaction.number)
        numbered = [
            replace(interaction, number=number, job=self._job)
            for number, interaction in enumerate(in_order, first)
        ]
        with self._writing:
            self._write(_Chunk(numbered))

    def interactions(self) -> list[Interaction]:
        """Return the interactions so far, in the order in which the requests began."""
        keys = [self.folder.key + name for name in self.folder.names() if name.startswith(TRAFFIC)]
        try:
            kept = [interaction for key in keys for interaction in self._in_piece(key)]
        except ValueError as error:
            raise RecordError(f"{self.folder.key}{TRAFFIC} is damaged ({error}).") from error
        return sorted(kept, key=lambda interaction: interaction.number)

    def _in_piece(self, key: str) -> list[Interaction]:
        """Return the interactions of a chunk, which never changes and is read once."""
        if key not in self._read:
            lines = self.folder.objects.read(key).splitlines()
            self._read[key] = [Interaction.from_json(line) for line in lines]
        return self._read[key]

    def seal(self) -> None:
        """Write ``cassette.json`` and remove its chunks of traffic; idempotent."""
        if CASSETTE not in self.folder.names():
            self.folder.objects.put(self.folder.key + CASSETTE, cassette_bytes(self.interactions()))
        for name in self.folder.names():
            if name.startswith(TRAFFIC):
                self.folder.remove(name)


def _highest(names: Iterable[str], place: str) -> int:
    """Return the highest number among a place's files; a failed write leaves a gap."""
    numbers = (name.removeprefix(place).partition(".")[0] for name in names if name.startswith(place))
    return max(map(int, numbers), default=0)
