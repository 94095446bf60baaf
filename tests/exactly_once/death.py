"""A process that kills itself at its nth operation with an effect, and what brings that about.

Operations are counted from 1, over everything that the job touches. A *point* is a moment before or after
one: to die there is to leave exactly what was done until then.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from engine.brokers.alpaca.broker import AlpacaBroker
from engine.brokers.alpaca.transport import GuardedRequest
from engine.brokers.interaction import Interaction
from engine.brokers.trading import Recorder
from engine.record.journal import Journal
from engine.stores.protocols import AgentDocuments, LedgerStore, PositionStore

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_TO_STAND_STILL_S = 0.2
_ON_DISK = {"os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


@dataclass
class Death:
    """Counts points, and kills this process by SIGKILL (or what ``signal`` says) at the one numbered ``at``.

    What was counted, the last point included, is appended to ``told``, a line each.
    """

    at: int | None
    told: Path
    signal: signal.Signals = signal.SIGKILL
    only: str = ""
    count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._line = os.open(self.told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, what: str, *, torn: int | None = None) -> None:
        """Pass a point; ``torn`` is a file that is cut in half where the process dies here."""
        if not what.startswith(self.only):
            return
        with self._lock:
            self.count += 1
            os.write(self._line, f"{self.count} {what}\n".encode())
            if self.count != self.at:
                return
            if torn is not None and self.signal == signal.SIGKILL:
                with suppress(OSError):  # of a folder nothing can be cut off
                    os.ftruncate(torn, os.fstat(torn).st_size // 2)
            os.kill(os.getpid(), self.signal)
            if self.signal == signal.SIGSTOP:
                time.sleep(_TO_STAND_STILL_S)  # any thread may have taken it, and this one go on for a moment

    def on_disk(self, root: Path) -> None:
        """Count what this process does to files below a folder, from now on.

        The interpreter announces it before it does it; flushing a file is the moment before which it may be
        half written.
        """
        below = f"{root}/"

        def hook(event: str, said: tuple[Any, ...]) -> None:
            if event == "open":
                path, flags = said[0], said[2]
                if not (isinstance(flags, int) and flags & _WRITING):
                    return
            elif event in _ON_DISK:
                path = said[0]
            else:
                return
            if isinstance(path, (str, Path)) and str(path).startswith(below):
                self(f"disk {event.removeprefix('os.')} {str(path).removeprefix(below)}")

        sys.addaudithook(hook)
        os.fsync = lambda fd: self("disk flush", torn=fd if isinstance(fd, int) else fd.fileno())


@dataclass(eq=False)
class DyingTransport(BaseAdapter):
    """A transport with a point before each request, and one after the server has answered.

    Where a job dies of it, there is one more before each write to the connection, of headers and of body.
    """

    inner: BaseAdapter
    death: Death

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        what = f"{request.method} {urlsplit(request.url or '').path}"
        if self.death.only.startswith("connected"):
            request = _guarded(request)
            request.may_leave = partial(self._connected, what, request.may_leave)
        self.death(f"request {what}")
        try:
            return self.inner.send(request, *args, **kwargs)
        finally:
            self.death(f"answered {what}")

    def close(self) -> None:
        self.inner.close()

    def _connected(self, what: str, may_leave: Callable[[], None]) -> None:
        self.death(f"connected {what}")
        may_leave()


def _guarded(request: PreparedRequest) -> GuardedRequest:
    if isinstance(request, GuardedRequest):
        return request
    guarded = GuardedRequest()
    vars(guarded).update(vars(request))
    return guarded


class WatchedBroker(AlpacaBroker):
    """A broker whose recorder's work is followed by a point; what is on disk then is noted by ``kept``."""

    death: Death
    kept: Callable[[Interaction], None]

    def recorded(self, recorder: Recorder, account: str = "") -> AlpacaBroker:
        return super().recorded(_WatchedRecorder(recorder, self.death, self.kept), account)


@dataclass(frozen=True)
class _WatchedRecorder:
    inner: Recorder
    death: Death
    note: Callable[[Interaction], None]

    def next_number(self) -> int:
        return self.inner.next_number()

    def keep(self, interaction: Interaction) -> None:
        self.inner.keep(interaction)
        if isinstance(self.inner, Journal):  # what was asked before there is a run is in memory only
            self.note(interaction)
        self.death(f"kept {interaction.request['method']}")


class _Store:
    """A store with points, which is of the inner one's class to whoever asks, as ``identity_of`` does."""

    def __init__(self, inner: Any, death: Death) -> None:
        self._inner, self._death = inner, death

    @property
    def __class__(self) -> Any:
        return type(self._inner)

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise TypeError("the class of a store stays")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _with_points(self, what: str, write: Callable[[], Any]) -> Any:
        self._death(f"before {what}")
        done = write()
        self._death(f"after {what}")
        return done


class DyingPositions(_Store):
    """Positions with a point before and after each write."""

    def keep_book(self, *args: Any, **kwargs: Any) -> Any:
        return self._with_points("positions", lambda: self._inner.keep_book(*args, **kwargs))


class DyingLedger(_Store):
    """A ledger with a point before and after each write."""

    def write_ledger(self, documents: Iterable[Mapping[str, Any]]) -> Any:
        return self._with_points("ledger", lambda: self._inner.write_ledger(documents))


class DyingDocuments(_Store):
    """The agent's documents with a point before and after each change."""

    def replace_agent_document(self, name: str, *args: Any, **kwargs: Any) -> Any:
        kind = name.partition("-")[0]
        return self._with_points(kind, lambda: self._inner.replace_agent_document(name, *args, **kwargs))


def dying_positions(store: PositionStore, death: Death) -> PositionStore:
    return cast(PositionStore, DyingPositions(store, death))


def dying_ledger(store: LedgerStore, death: Death) -> LedgerStore:
    return cast(LedgerStore, DyingLedger(store, death))


def dying_documents(store: AgentDocuments, death: Death) -> AgentDocuments:
    return cast(AgentDocuments, DyingDocuments(store, death))
