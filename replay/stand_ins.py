"""What a replayed run is handed in place of a broker, a lease, stores and a disk: none of it reaches out."""

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
from replay.transport import CassetteSession

_NO_KEY = "none-is-needed-to-replay-0000"


class ReplayedBroker(AlpacaBroker):
    """Alpaca as it was recorded: the broker of ``engine``, at no pace, whose only transport is a cassette.

    ``held``: the orders that were withheld in the record, by client id. Keys are not needed, and not read.
    """

    def __init__(self, host: str, adapter: BaseAdapter, held: Mapping[str, OrderOutcome]) -> None:
        time = _OwnTime()
        super().__init__(
            api_key=_NO_KEY,
            secret_key=_NO_KEY,
            trading_host=host,
            session=CassetteSession(adapter),
            sleep=time.sleep,
            monotonic=time.monotonic,
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
        """Give the same broker: its traffic is recorded already, and has no other transport."""
        del recorder, account
        return self

    def _wait_for_turn(self, *, urgent: bool, held_at_most_s: float | None = None) -> None:
        """Wait for nothing: no request leaves."""


class MemoryObjects:
    """Objects in memory; see ``engine.record.objects``. May be used by many threads."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, content: Content) -> None:
        """Keep a new object. Raises ``AlreadyWritten``."""
        with self._lock:
            if key in self._content:
                raise AlreadyWritten(f"{key} exists already; files of record are written once.")
            self._content[key] = bytes(content)

    def read(self, key: str) -> bytes:
        """Give an object's content. Raises ``RecordError`` where there is none."""
        try:
            return self._content[key]
        except KeyError:
            raise RecordError(f"{key} can't be read (No such file or directory).") from None

    def list(self, prefix: str) -> list[str]:
        """Give the keys below a prefix, in order."""
        with self._lock:
            return sorted(key for key in self._content if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove an object; one that isn't there is no error."""
        self._content.pop(key, None)

    def folders(self, prefix: str) -> dict[str, str]:
        """Return the folders right below a prefix; stamps say nothing."""
        below = (key.removeprefix(prefix) for key in self.list(prefix))
        return {key.partition("/")[0]: "" for key in below if "/" in key}

    def has(self, key: str) -> bool:
        """Return whether there is an object."""
        return key in self._content


class MemoryDocuments:
    """The agent's documents in memory; see ``engine.stores.protocols``. A replay begins without any."""

    place = "the memory of a replay"

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def agent_document(self, name: str) -> dict[str, Any] | None:
        """Give what is kept by that name, None where nothing ever was."""
        return self._kept.get(name)

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        """Keep ``new`` if what is kept is still ``replacing``; tell whether it was."""
        with self._lock:
            if self._kept.get(name) != (None if replacing is None else dict(replacing)):
                return False
            self._kept[name] = dict(new)
            return True


class OwnLease(Lease):
    """The right to send orders nowhere: it is always held."""

    def __init__(self, lease_epoch: str) -> None:
        self.lease_epoch = lease_epoch

    def hold_for(self, seconds: float) -> None:
        """Hold it."""


@dataclass
class _OwnTime:
    """Time that passes only while somebody waits."""

    now_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s


class NoStore:
    """A store that a replay has not."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ConfigurationError(f"a replay has no store to ask for {name}; this is a defect.")


class Silence(StringIO):
    """A terminal that shows nothing, so that events cost nothing."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True
