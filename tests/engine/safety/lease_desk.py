"""Jobs of different machines that want one lease, in a time that passes only where a test lets it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.errors import EngineError
from engine.log import EventLog
from engine.safety.lease import LONGEST_WAIT_S, Lease, Leasing
from engine.safety.lease_document import Holder
from engine.stores.protocols import AgentDocuments
from engine.waiting.timer import Timer

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
SEND_S = 20.0
DOCUMENT = "lease-paper"
ALICE, BOB = Holder("alice@one, process 1", "folder-1"), Holder("bob@two, process 2", "folder-2")


@dataclass
class Time:
    """The time of a test: it passes while code sleeps, and what is to happen at a time happens then."""

    now_s: float = 0.0
    plans: list[tuple[float, Callable[[], object]]] = field(default_factory=list)

    def at(self, moment_s: float, act: Callable[[], object]) -> None:
        self.plans.append((moment_s, act))

    def pass_s(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while due := sorted((plan for plan in self.plans if plan[0] <= until_s), key=lambda plan: plan[0]):
            self.plans.remove(due[0])
            self.now_s = max(self.now_s, due[0][0])
            due[0][1]()
        self.now_s = until_s


@dataclass
class Watch:
    """The clocks of one machine; ``wall_off_s`` is what its wall clock is wrong by."""

    time: Time
    wall_off_s: float = 0.0
    monotonic_off_s: float = 0.0

    def wall(self) -> datetime:
        return NOON + timedelta(seconds=self.time.now_s + self.wall_off_s)

    def monotonic(self) -> float:
        return self.time.now_s + self.monotonic_off_s


@dataclass
class Documents:
    """A store that counts, and does what it is told to before a read, and before and after a write."""

    inner: AgentDocuments
    reads: int = 0
    writes: int = 0
    before_read: Callable[[], object] = lambda: None
    before_write: Callable[[], object] = lambda: None
    after_write: Callable[[], object] = lambda: None
    place: str = "the store of a test"

    def agent_document(self, name: str) -> dict[str, Any] | None:
        self.reads += 1
        self.before_read()
        return self.inner.agent_document(name)

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        self.writes += 1
        self.before_write()
        is_kept = self.inner.replace_agent_document(name, new, replacing=replacing)
        self.after_write()
        return is_kept


@dataclass
class Desk:
    """Everything that jobs of different machines share, and the jobs."""

    documents: Documents
    time: Time
    logged: io.StringIO = field(default_factory=io.StringIO)

    def leasing(
        self,
        holder: Holder = ALICE,
        *,
        watch: Watch | None = None,
        longest_wait_s: float = LONGEST_WAIT_S,
        stopping: Callable[[], bool] = lambda: False,
    ) -> Leasing:
        watch = watch or Watch(self.time)
        return Leasing(
            documents=self.documents,
            holder=holder,
            log=EventLog(self.logged, watch.wall),
            stopping=stopping,
            longest_wait_s=longest_wait_s,
            clock=watch.wall,
            timer=Timer(monotonic=watch.monotonic, sleep=self.time.pass_s),
        )

    def acquired(self, holder: Holder = ALICE, *, watch: Watch | None = None) -> Lease:
        """Return the lease, which has to be free at once."""
        return self.leasing(holder, watch=watch, longest_wait_s=0).acquire("paper")

    def kept(self) -> dict[str, Any]:
        document = self.documents.inner.agent_document(DOCUMENT)
        assert document is not None
        return document

    def expires_s(self) -> float:
        return (datetime.fromisoformat(self.kept()["expires_at"]) - NOON).total_seconds()

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.logged.getvalue().splitlines()]


def fail(error: Exception) -> Callable[[], object]:
    def raise_it() -> object:
        raise error

    return raise_it


DOWN = EngineError("the store can't be written. Start it.")
