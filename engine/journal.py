"""The journal of a live run: what it is about to do at the broker, and what was asked and answered.

::

    attempts/000001.json    orders that may leave from now on; on disk before the first of them does
    traffic/000001.jsonl    requests with their replies; on disk before anybody acts upon a reply

Both are put whole, in chunks: a few dozen attempts at a time, and as many exchanges as came in while the
chunk before was written. From them a run that was killed knows what it had done, and ``cassette.json`` is
made; then the traffic's chunks are removed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.brokers.cassette import cassette_bytes
from engine.brokers.exchange import Exchange
from engine.errors import RecordError
from engine.stores.runs import ATTEMPTS, CASSETTE, TRAFFIC, RunFolder


@dataclass
class _Chunk:
    """Exchanges that are written together, and whether they are."""

    exchanges: list[Exchange] = field(default_factory=list)
    written: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Journal:
    """The journal in a run's folder; may be used by many threads at once."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._read: dict[str, list[Exchange]] = {}
        names = folder.names()
        self._attempts = _highest(names, ATTEMPTS)
        self._pieces = _highest(names, TRAFFIC)
        self._requests = max((exchange.number for exchange in self.exchanges()), default=0)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._open = _Chunk()

    def attempt(self, orders: Iterable[dict[str, Any]], *, at: str) -> None:
        """Keep that these orders may be sent from now on; each is what leaves, with its row in the batch."""
        self._attempts += 1
        self.folder.write(f"{ATTEMPTS}{self._attempts:06}.json", {"at": at, "orders": list(orders)})

    def attempted(self) -> set[int]:
        """Give the rows of the batch whose orders may have been sent."""
        names = sorted(name for name in self.folder.names() if name.startswith(ATTEMPTS))
        return {int(order["row"]) for name in names for order in self.folder.json(name)["orders"]}

    def next_number(self) -> int:
        """Give a request its number; numbers go on where those of a killed job ended."""
        with self._lock:
            self._requests += 1
            return self._requests

    def keep(self, exchange: Exchange) -> None:
        """Keep a request and its reply; returns once they are on disk.

        Whoever comes while a chunk is being written shares the next one.
        """
        with self._lock:
            chunk = self._open
            leads = not chunk.exchanges
            chunk.exchanges.append(exchange)
        if leads:
            with self._writing:
                with self._lock:
                    self._open = _Chunk()
                self._write(chunk)
        else:
            chunk.written.wait()
        if chunk.error is not None:
            raise RecordError(f"the record of a request can't be kept: {chunk.error}") from chunk.error

    def _write(self, chunk: _Chunk) -> None:
        try:
            self._pieces += 1
            lines = b"".join(exchange.as_json() + b"\n" for exchange in chunk.exchanges)
            self.folder.objects.put(f"{self.folder.key}{TRAFFIC}{self._pieces:06}.jsonl", lines)
        except Exception as error:
            chunk.error = error
        except BaseException as error:  # this thread ends, and nobody may take the chunk for written
            chunk.error = error
            raise
        finally:
            chunk.written.set()

    def exchanges(self) -> list[Exchange]:
        """Give what was asked and answered so far, in the order in which the requests began."""
        keys = [self.folder.key + name for name in self.folder.names() if name.startswith(TRAFFIC)]
        try:
            kept = [exchange for key in keys for exchange in self._in_piece(key)]
        except ValueError as error:
            raise RecordError(f"{self.folder.key}{TRAFFIC} is damaged ({error}).") from error
        return sorted(kept, key=lambda exchange: exchange.number)

    def _in_piece(self, key: str) -> list[Exchange]:
        """Give the exchanges of a chunk, which never changes and is read once."""
        if key not in self._read:
            lines = self.folder.objects.read(key).splitlines()
            self._read[key] = [Exchange.from_json(line) for line in lines]
        return self._read[key]

    def seal(self) -> None:
        """Write ``cassette.json`` and remove the chunks that went into it; may be done again."""
        if CASSETTE not in self.folder.names():
            self.folder.objects.put(self.folder.key + CASSETTE, cassette_bytes(self.exchanges()))
        for name in self.folder.names():
            if name.startswith(TRAFFIC):
                self.folder.remove(name)


def _highest(names: Iterable[str], place: str) -> int:
    """Give the highest number among a place's files; one that could not be written leaves a gap."""
    numbers = (name.removeprefix(place).partition(".")[0] for name in names if name.startswith(place))
    return max(map(int, numbers), default=0)
