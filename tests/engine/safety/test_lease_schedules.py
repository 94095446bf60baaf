"""No two machines can be sending at once, whatever happens when: random schedules in a time of their own."""

from __future__ import annotations

import heapq
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations, count
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import EngineError
from engine.log import EventLog
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.lease import Lease, Leasing
from engine.safety.lease_document import Holder
from engine.waiting.timer import Timer

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
SEND_S = 20.0
_STUCK_S = 30.0


@dataclass
class Stage:
    """Where machines act one at a time, in the order of the true time; it passes only where they wait."""

    true_s: float = 0.0
    failures: list[BaseException] = field(default_factory=list)
    _due: list[tuple[float, int, threading.Semaphore]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)
    _over: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def wait(self, seconds: float) -> None:
        """Let others act for so long."""
        mine = threading.Semaphore(0)
        heapq.heappush(self._due, (self.true_s + seconds, next(self._numbers), mine))
        self._go_on()
        self._take_turn(mine)

    def play(self, machines: Sequence[Machine]) -> None:
        threads = []
        for machine in machines:
            turn = threading.Semaphore(0)
            heapq.heappush(self._due, (0.0, next(self._numbers), turn))
            threads.append(threading.Thread(target=self._act, args=(machine, turn)))
        for thread in threads:
            thread.start()
        self._go_on()
        self._take_turn(self._over)
        for thread in threads:
            thread.join(_STUCK_S)
        for failure in self.failures:
            raise failure

    def _act(self, machine: Machine, turn: threading.Semaphore) -> None:
        try:
            self._take_turn(turn)
            machine.act()
        except BaseException as failure:
            self.failures.append(failure)
        self._go_on()

    def _go_on(self) -> None:
        if not self._due:
            self._over.release()
            return
        self.true_s, _, turn = heapq.heappop(self._due)
        turn.release()

    @staticmethod
    def _take_turn(turn: threading.Semaphore) -> None:
        assert turn.acquire(timeout=_STUCK_S), "the play is stuck"


@dataclass(frozen=True)
class Call:
    """How a store serves one call: seconds before and after it takes effect, and where it breaks."""

    before_s: float = 0.0
    after_s: float = 0.0
    breaks: str = ""


@dataclass
class Machine:
    """A machine with clocks of its own, its way to the store, and what it does.

    ``jumps`` are those of its wall clock: so many seconds after an acquisition began, by how much. When one
    begins the clock is right within the limit, as the preflight sees to.
    """

    name: str
    stage: Stage
    kept: dict[str, dict[str, Any]]
    sends: list[tuple[str, float, float]]
    skew_s: float
    jumps: Sequence[tuple[float, float]]
    calls: Sequence[Call]
    steps: Sequence[tuple[str, float]]
    began_s: float = 0.0
    busy_until_s: float = 0.0
    called: int = 0
    place: str = "the store of a test"

    def clock(self) -> datetime:
        since_s = self.stage.true_s - self.began_s
        jumped_s = sum(by_s for after_s, by_s in self.jumps if since_s >= after_s)
        return NOON + timedelta(seconds=self.stage.true_s + self.skew_s + jumped_s)

    def monotonic(self) -> float:
        return self.stage.true_s + 1000 * len(self.name)

    def agent_document(self, name: str) -> dict[str, Any] | None:
        call = self._served()
        found = self.kept.get(name)
        self._answered(call)
        return found

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        call = self._served()
        is_as_expected = self.kept.get(name) == replacing
        if is_as_expected:
            self.kept[name] = dict(new)
        self._answered(call)
        return is_as_expected

    def act(self) -> None:
        lease: Lease | None = None
        for step, amount in self.steps:
            if step == "release" and lease is not None:
                self.stage.wait(max(self.busy_until_s - self.stage.true_s, 0.0))
                lease.release()
            elif step == "send":
                lease = lease or self._acquired(longest_wait_s=amount)
                if lease is not None and self._sends(lease):
                    self.stage.wait(min(amount, SEND_S))
                    continue
            if step != "pause":
                lease = None  # let go, dead, or lost
            self.stage.wait(amount)

    def _acquired(self, *, longest_wait_s: float) -> Lease | None:
        self.began_s = self.stage.true_s
        leasing = Leasing(
            documents=self,
            holder=Holder(self.name, self.name),
            log=EventLog(io.StringIO()),
            stopping=lambda: False,
            longest_wait_s=longest_wait_s,
            clock=self.clock,
            timer=Timer(monotonic=self.monotonic, sleep=self.stage.wait),
        )
        try:
            return leasing.acquire("paper")
        except EngineError:
            return None

    def _sends(self, lease: Lease) -> bool:
        try:
            lease.hold_for(SEND_S)
        except EngineError:
            return False
        self.busy_until_s = self.stage.true_s + SEND_S
        self.sends.append((self.name, self.stage.true_s, self.busy_until_s))
        return True

    def _served(self) -> Call:
        call = self.calls[self.called % len(self.calls)]
        self.called += 1
        self.stage.wait(call.before_s)
        if call.breaks == "before":
            raise EngineError("the store is down")
        return call

    def _answered(self, call: Call) -> None:
        self.stage.wait(call.after_s)
        if call.breaks == "after":
            raise EngineError("the answer was lost")


def sends_of(*plays: dict[str, Any]) -> list[tuple[str, float, float]]:
    """Return who could be sending from when to when, seconds of the true time."""
    stage, sends = Stage(), list[tuple[str, float, float]]()
    kept: dict[str, dict[str, Any]] = {}
    names = ["a" * (n + 1) for n in range(len(plays))]
    stage.play([Machine(name, stage, kept, sends, **play) for name, play in zip(names, plays, strict=True)])
    return sends


def assert_one_at_a_time(sends: list[tuple[str, float, float]]) -> None:
    for (one, one_from_s, one_until_s), (other, other_from_s, other_until_s) in combinations(sends, 2):
        apart = one_until_s <= other_from_s + 1e-6 or other_until_s <= one_from_s + 1e-6
        assert one == other or apart, f"both can be sending: {sends}"


SKEWS = st.sampled_from([-CLOCK_SKEW_LIMIT_S, CLOCK_SKEW_LIMIT_S, 0.0]) | st.floats(
    -CLOCK_SKEW_LIMIT_S, CLOCK_SKEW_LIMIT_S
)
JUMPS = st.lists(
    st.tuples(st.floats(0.01, 200), st.sampled_from([-1e4, -60.0, -30.0, -6.0, 6.0, 30.0, 60.0, 1e4])),
    max_size=3,
)
DELAYS = st.sampled_from([0.0, 0.0, 0.0, 0.2, 4.0, 15.0, 33.0, 70.0])
CALLS = st.lists(
    st.builds(Call, DELAYS, DELAYS, st.sampled_from(["", "", "", "before", "after"])), min_size=1, max_size=8
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "send", "pause", "release", "die"]),
        st.sampled_from([0.0, 1.0, 10.0, 20.0, 33.0, 60.0, 64.0, 75.0, 200.0]),
    ),
    min_size=1,
    max_size=12,
)
PLAYS = st.fixed_dictionaries({"skew_s": SKEWS, "jumps": JUMPS, "calls": CALLS, "steps": STEPS})
CALM: dict[str, Any] = {"jumps": [], "calls": [Call()]}
RENEWING = [("send", 10.0)] * 12
SENT_AND_DEAD = [("send", 0.0), ("pause", 35.0), ("send", 0.0), ("die", 0.0)]
WAITING = [("send", 75.0)]
DOWN_ONCE_IT_IS_TAKEN = [Call(), Call(), *[Call(breaks="before")] * 9]
TO_THE_LAST_MOMENT = [("send", 0.0), ("pause", 34.9), ("send", 0.0), ("pause", 5.0), ("send", 0.0)]


@given(one=PLAYS, other=PLAYS)
@example(
    one=CALM | {"skew_s": -5.0, "steps": SENT_AND_DEAD, "jumps": [(30.0, -60.0)]},
    other=CALM | {"skew_s": 5.0, "steps": WAITING},
)
@example(
    one=CALM
    | {"skew_s": -5.0, "steps": [("send", 0.0), ("pause", 50.0), ("send", 0.0)], "jumps": [(30.0, -60.0)]},
    other=CALM | {"skew_s": 5.0, "steps": WAITING},
)
@example(
    one=CALM | {"skew_s": -5.0, "steps": TO_THE_LAST_MOMENT, "calls": DOWN_ONCE_IT_IS_TAKEN},
    other=CALM | {"skew_s": 5.0, "steps": WAITING},
)
@example(
    one=CALM | {"skew_s": -5.0, "steps": RENEWING},
    other=CALM | {"skew_s": 0.0, "steps": WAITING * 5, "jumps": [(1.0, 1e4)]},
)
@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
def test_two_machines_never_can_be_sending_at_once(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert_one_at_a_time(sends_of(one, other))


@given(plays=st.lists(PLAYS, min_size=3, max_size=3))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_three_machines_never_can_be_sending_at_once(plays: list[dict[str, Any]]) -> None:
    assert_one_at_a_time(sends_of(*plays))


@given(skew_s=SKEWS, other_skew_s=SKEWS, jumps=JUMPS)
@settings(deadline=None, max_examples=50)
def test_a_machine_that_died_is_always_followed_by_one_that_waits(
    skew_s: float, other_skew_s: float, jumps: list[tuple[float, float]]
) -> None:
    died = CALM | {"skew_s": skew_s, "jumps": jumps, "steps": SENT_AND_DEAD}
    waits = CALM | {"skew_s": other_skew_s, "steps": [("pause", 36.0), ("send", 70.0)]}
    assert [name for name, _, _ in sends_of(died, waits)][-1] == "aa"


def test_machines_that_let_go_take_turns() -> None:
    turns = CALM | {"skew_s": 0.0, "steps": [("send", 75.0), ("release", 5.0)] * 4}
    sends = sends_of(turns, turns)
    assert len(sends) == 8
    assert_one_at_a_time(sends)
