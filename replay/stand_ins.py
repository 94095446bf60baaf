"""Replacements for broker, lease, stores and disk in a replayed run; none of them makes a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Any, NoReturn

from requests.adapters import BaseAdapter

from engine.brokers.chosen import AlpacaBroker
from engine.brokers.trading import Recorder
from engine.errors import AlreadyWritten, ConfigurationError, RecordError
from engine.model.orders import BrokerOrder, OrderIntent
from engine.record.objects import Content
from engine.routing.outcomes import OrderOutcome
from engine.routing.submission import Withheld
from engine.safety.lease import Lease
from engine.waiting.timer import Timer
from replay.transport import CassetteSession

_NO_KEY = "none-is-needed-to-replay-0000"


class ReplayedBroker(AlpacaBroker):
    """Alpaca as recorded: the broker of ``engine`` without pacing, whose only transport is a cassette.

    ``held``: the orders that were withheld in the record, by client id. No keys are needed or read.
    """

    def __init__(self, host: str, adapter: BaseAdapter, held: Mapping[str, OrderOutcome]) -> None:
        time = _OwnTime()
        super().__init__(
            api_key=_NO_KEY,
            secret_key=_NO_KEY,
            trading_host=host,
            session=CassetteSession(adapter),
            timer=Timer(monotonic=time.monotonic, sleep=time.sleep),
        )
        self._held = held

    def place_order(
        self, *, intent: OrderIntent, at_its_turn: Callable[[], None] | None = None
    ) -> BrokerOrder:
        """Place an order; raises ``Withheld`` where it was withheld in the record."""
        outcome = self._held.get(str(intent.client_intent_id))
        if outcome is not None:
            raise Withheld(outcome)
        return super().place_order(intent=intent, at_its_turn=at_its_turn)

    def recorded(self, recorder: Recorder, account: str = "") -> ReplayedBroker:
        """Return the same broker: its traffic is recorded already."""
        del recorder, account
        return self

    def _wait_for_turn(self, *, urgent: bool, held_at_most_s: float | None = None) -> None:
        """Return at once: no request leaves the process."""


class MemoryObjects:
    """Objects in memory; see ``engine.record.objects``. Thread-safe."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, content: Content) -> None:
        """Store a new object. Raises ``AlreadyWritten``."""
        with self._lock:
            if key in self._content:
                raise AlreadyWritten(f"{key} exists already; files of record are written once.")
            self._content[key] = bytes(content)

    def read(self, key: str) -> bytes:
        """Return an object's content. Raises ``RecordError`` where there is none."""
        try:
            return self._content[key]
        except KeyError:
            raise RecordError(f"{key} can't be read (No such file or directory).") from None

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix, sorted."""
        with self._lock:
            return sorted(key for key in self._content if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove an object; idempotent."""
        self._content.pop(key, None)

    def folders(self, prefix: str) -> dict[str, str]:
        """Return the folders directly below a prefix, with empty stamps."""
        below = (key.removeprefix(prefix) for key in self.list(prefix))
        return {key.partition("/")[0]: "" for key in below if "/" in key}

    def has(self, key: str) -> bool:
        """Return whether the object exists."""
        return key in self._content


class MemoryDocuments:
    """The agent's documents in memory; see ``engine.stores.protocols``. A replay starts without any."""

    place = "the memory of a replay"

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Return the document of that name, None where there is none."""
        return self._kept.get(name)

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Store ``new`` if the current document equals ``replacing``; return whether it did."""
        with self._lock:
            if self._kept.get(name) != (None if replacing is None else dict(replacing)):
                return False
            self._kept[name] = dict(new)
            return True


class OwnLease(Lease):
    """A trading lease that is always held: a replay sends no orders."""

    def __init__(self, lease_epoch: str) -> None:
        self.lease_epoch = lease_epoch

    def hold_for(self, seconds: float) -> None:
        """Return at once: the lease never expires."""


@dataclass
class _OwnTime:
    """A clock that moves only by ``sleep``."""

    now_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s


class NoStore:
    """A store that fails on use: a replay has none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ConfigurationError(f"A replay has no store, and {name} was called on it; this is a defect.")


class Silence(StringIO):
    """A terminal that shows nothing, so that events are not formatted."""

    def isatty(self) -> bool:
        """Return True."""
        return True
