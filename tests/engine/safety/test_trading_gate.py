from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataUnavailable, EngineError, GateClosed, StoreChanged
from engine.log import EventLog
from engine.record.folder_identity import folder_identity
from engine.record.objects import LocalObjects, Objects
from engine.safety.agent_state import Agent, AgentState, State, Transition
from engine.safety.generations import Generations, Store
from engine.safety.halt_mark import HaltMark
from engine.safety.kill_switch import KillSwitchState
from engine.safety.preflight import Check
from engine.safety.trading_gate import Gate
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import AgentDocuments
from tests.desk import off, on

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
HANG_S = 30.0
MODES = ["LIVE", "", "live", "PAPER"]
COMBINATIONS = list(product([off, on], MODES, State))
REFUSED_BEFOREHAND = [
    combination
    for combination in COMBINATIONS
    if combination[:2] != (off, "LIVE") or combination[2] is State.HALTED
]


def noon() -> datetime:
    return NOON


def passes() -> str:
    return "fine"


def fails() -> str:
    raise DataUnavailable("PostgreSQL is down. Start it.")


def fails_too() -> str:
    raise EngineError("the clock is 60 s ahead. Let NTP set it.")


@dataclass
class LiveDesk:
    """A machine on which everything lets live orders through, but for what a test takes away."""

    store: AgentDocuments
    objects: Objects
    switch: Callable[[], KillSwitchState] = off
    mode: str = "LIVE"
    checks: Mapping[str, Check] = field(default_factory=lambda: {"ledger": passes})
    timeout_s: float = 5.0
    logged: io.StringIO = field(default_factory=io.StringIO)
    examined: int = 0
    unbooked: Callable[[], list[str]] = list

    @property
    def agent(self) -> Agent:
        return Agent(self.store, EventLog(self.logged, noon), "alice", noon)

    @property
    def generations(self) -> Generations:
        return Generations(self.objects, (Store("ledger", "engine.db", self.store),), self.unbooked)

    @property
    def gate(self) -> Gate:
        return Gate(
            agent=self.agent,
            generations=self.generations,
            agent_mode=self.mode,
            kill_switch=self._switch_now,
            checks={name: self._counted(check) for name, check in self.checks.items()},
            timeout_s=self.timeout_s,
        )

    def _switch_now(self) -> KillSwitchState:
        return self.switch()

    def _counted(self, check: Check) -> Check:
        def counted() -> str:
            self.examined += 1
            return check()

        return counted

    def was(self, state: State) -> None:
        """Keep a state of an earlier run, or of whoever halted it."""
        change = Transition("2026-03-02T10:00:00+00:00", "", str(state), f"left {state} behind", "bob")
        assert self.store.replace_agent_document(
            "state", AgentState(state, (change,)).to_document(), replacing=None
        )

    def refused(self) -> GateClosed:
        with pytest.raises(GateClosed) as closed:
            self.gate.pass_through()
        return closed.value

    def changes(self) -> list[tuple[str, str]]:
        """Return the logged transitions: before, after."""
        events = [json.loads(line) for line in self.logged.getvalue().splitlines()]
        assert {event["event"] for event in events} <= {"state_transition"}
        return [(event["before"], event["after"]) for event in events]


@pytest.fixture
def live(tmp_path: Path) -> LiveDesk:
    return LiveDesk(EmbeddedStore(tmp_path / "engine.db"), LocalObjects(tmp_path))


def reasons(closed: GateClosed) -> list[str]:
    return [reason for reason, _ in closed.refusals]


# --- open


def test_the_gate_opens_where_nothing_stands_against_it(live: LiveDesk) -> None:
    live.gate.pass_through()
    assert live.agent.state().state is State.READY


def test_a_live_run_starts_in_init_and_earns_ready_by_its_preflight(live: LiveDesk) -> None:
    live.gate.pass_through()
    assert live.changes() == [("", "INIT"), ("INIT", "READY")]
    assert live.examined == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.HALTED])
def test_whatever_an_earlier_run_left_is_examined_anew(live: LiveDesk, state: State) -> None:
    live.was(state)
    live.gate.pass_through()
    unended = [("INIT", "ERROR")] if state is State.INIT else []
    assert live.changes() == [*unended, ("ERROR" if unended else str(state), "INIT"), ("INIT", "READY")]
    assert live.examined == 1


def test_a_run_that_never_ended_its_preflight_is_kept_as_an_error_first(live: LiveDesk) -> None:
    live.was(State.INIT)
    live.gate.pass_through()
    (error,) = [change for change in live.gate.agent.state().transitions if change.after == "ERROR"]
    assert error.why == "the run before ended in the middle of its preflight"


def test_a_recovery_is_no_run_that_never_ended(live: LiveDesk) -> None:
    live.was(State.HALTED)
    live.gate.agent.recover(why="mended")
    live.gate.pass_through()
    assert "ERROR" not in [change.after for change in live.gate.agent.state().transitions]


def test_ready_of_an_earlier_run_is_not_enough(live: LiveDesk) -> None:
    live.was(State.READY)
    live.checks = {"ledger": fails}
    assert live.refused().reason == "agent_state_not_ready:DEGRADED"


# --- each refusal alone


def test_a_kill_switch_that_is_on_refuses_with_its_own_words(live: LiveDesk) -> None:
    live.switch = on
    assert live.refused().refusals == (("kill_switch_enabled", "The kill switch is on: a test says so."),)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("", "AGENT_MODE is not set"),
        ("live", "AGENT_MODE is 'live'"),
        ("Live", "AGENT_MODE is 'Live'"),
        ("PAPER", "AGENT_MODE is 'PAPER'"),
        ("LIVE ", "AGENT_MODE is 'LIVE '"),
        ("1", "AGENT_MODE is '1'"),
    ],
)
def test_any_mode_but_live_refuses(live: LiveDesk, mode: str, said: str) -> None:
    live.mode = mode
    closed = live.refused()
    assert closed.refusals == (
        ("agent_mode_not_live", f"{said}; set it to LIVE, in capitals, to trade live."),
    )


def test_a_halted_agent_refuses_with_who_halted_it_when_and_why(live: LiveDesk) -> None:
    live.was(State.HALTED)
    why = (
        "The agent is HALTED: left HALTED behind (bob, 2026-03-02 10:00:00 UTC). "
        "`execution-engine recover` ends that."
    )
    assert live.refused().refusals == (("agent_state_not_ready:HALTED", why),)


def test_a_preflight_that_fails_refuses_as_degraded_with_the_words_of_every_finding(live: LiveDesk) -> None:
    live.checks = {"positions": fails, "ledger": passes, "clock": fails_too}
    said = "positions: PostgreSQL is down. Start it. clock: the clock is 60 s ahead. Let NTP set it."
    assert live.refused().refusals == (("agent_state_not_ready:DEGRADED", f"The preflight failed. {said}"),)
    state = live.agent.state()
    assert (state.state, state.transitions[-1].why) == (State.DEGRADED, f"the preflight failed: {said}")


def test_a_check_that_hangs_refuses_within_a_bounded_time(live: LiveDesk) -> None:
    over = threading.Event()

    def hangs() -> str:
        over.wait(HANG_S)
        return "late"

    live.checks, live.timeout_s = {"ledger": hangs}, 0.1
    closed = live.refused()
    over.set()
    assert closed.reason == "agent_state_not_ready:DEGRADED"
    assert "The preflight failed. ledger: no answer within" in str(closed)


def test_a_check_that_raises_an_unexpected_error_refuses(live: LiveDesk) -> None:
    live.checks = {"ledger": lambda: str(1 // 0)}
    assert live.refused().reason == "agent_state_not_ready:DEGRADED"


def test_a_refusal_ends_with_exit_code_3_and_says_first_reason_first(live: LiveDesk) -> None:
    live.switch, live.mode = on, ""
    closed = live.refused()
    assert closed.exit_code == 3
    assert str(closed) == (
        "Live trading is refused: kill_switch_enabled. The kill switch is on: a test says so. "
        "Also agent_mode_not_live: AGENT_MODE is not set; set it to LIVE, in capitals, to trade live. "
        "The inbox is untouched."
    )


# --- all of them, in order


@pytest.mark.parametrize(("switch", "mode", "state"), COMBINATIONS)
def test_all_that_is_certain_beforehand_is_reported_in_order_and_anything_closes_the_gate(
    live: LiveDesk, switch: Callable[[], KillSwitchState], mode: str, state: State
) -> None:
    live.was(state)
    live.switch, live.mode = switch, mode
    expected = ["kill_switch_enabled"] * (switch is on)
    expected += ["agent_mode_not_live"] * (mode != "LIVE")
    expected += ["agent_state_not_ready:HALTED"] * (state is State.HALTED)
    if not expected:
        live.gate.pass_through()
        return
    closed = live.refused()
    assert (reasons(closed), closed.reason, closed.exit_code) == (expected, expected[0], 3)


@pytest.mark.parametrize(("switch", "mode", "state"), REFUSED_BEFOREHAND)
def test_what_is_refused_beforehand_is_not_examined_and_changes_no_state(
    live: LiveDesk, switch: Callable[[], KillSwitchState], mode: str, state: State
) -> None:
    live.was(state)
    live.switch, live.mode = switch, mode
    live.refused()
    assert live.examined == 0
    assert live.agent.state().state is state
    assert live.changes() == []


# --- what happens during the preflight


def while_examined(live: LiveDesk, happens: Callable[[], object], *, then: Check = passes) -> None:
    def check() -> str:
        happens()
        return then()

    live.checks = {"ledger": check}


@pytest.mark.parametrize("then", [passes, fails])
def test_a_halt_that_comes_in_the_middle_of_the_preflight_wins(live: LiveDesk, then: Check) -> None:
    while_examined(live, lambda: live.agent.halt(why="flash crash"), then=then)
    closed = live.refused()
    assert reasons(closed) == ["agent_state_not_ready:HALTED"]
    assert "The agent is HALTED: flash crash (alice, 2026-03-02 17:00:00 UTC)." in str(closed)
    assert live.agent.state().state is State.HALTED
    assert live.changes() == [("", "INIT"), ("INIT", "HALTED")]


def test_a_halt_between_the_first_look_and_the_preflight_wins(live: LiveDesk) -> None:
    def halted_meanwhile() -> KillSwitchState:
        live.agent.halt(why="flash crash")
        return off()

    live.switch = halted_meanwhile
    assert reasons(live.refused()) == ["agent_state_not_ready:HALTED"]
    assert live.changes() == [("", "HALTED")]


def test_a_halt_while_the_switch_is_read_for_the_last_time_wins(live: LiveDesk) -> None:
    def halted_after_the_preflight() -> KillSwitchState:
        if live.examined:
            live.agent.halt(why="flash crash")
        return off()

    live.switch = halted_after_the_preflight
    assert reasons(live.refused()) == ["agent_state_not_ready:HALTED"]


def test_a_switch_that_goes_on_during_the_preflight_refuses(live: LiveDesk) -> None:
    while_examined(live, lambda: setattr(live, "switch", on))
    assert reasons(live.refused()) == ["kill_switch_enabled"]


def test_a_switch_that_goes_on_during_a_preflight_that_fails_comes_first(live: LiveDesk) -> None:
    while_examined(live, lambda: setattr(live, "switch", on), then=fails)
    assert reasons(live.refused()) == ["kill_switch_enabled", "agent_state_not_ready:DEGRADED"]


def test_switch_and_halt_during_the_preflight_are_both_reported_in_order(live: LiveDesk) -> None:
    def both() -> None:
        live.switch = on
        live.agent.halt(why="flash crash")

    while_examined(live, both)
    assert reasons(live.refused()) == ["kill_switch_enabled", "agent_state_not_ready:HALTED"]


def test_the_kill_switch_is_read_before_and_after_the_preflight(live: LiveDesk) -> None:
    examined_when_read: list[int] = []

    def switch() -> KillSwitchState:
        examined_when_read.append(live.examined)
        return off()

    live.switch = switch
    live.gate.pass_through()
    assert examined_when_read == [0, 1]


# --- a store of the state that fails


@dataclass
class FaultyStore:
    """The store of a state, which raises from the given read or write on."""

    inner: EmbeddedStore
    reads_left: int = 1000
    writes_left: int = 1000
    place: str = "the store of a test"

    def agent_document(self, name: str) -> dict[str, Any] | None:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise DataUnavailable("the store can't be read. Start it.")
        return self.inner.agent_document(name)

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise EngineError("the store can't be written. Make room.")
        return self.inner.replace_agent_document(name, new, replacing=replacing)


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyStore:
    return FaultyStore(EmbeddedStore(tmp_path / "engine.db"))


@pytest.mark.parametrize("reads", [0, 1, 2])
def test_a_state_that_cannot_be_read_refuses_at_whichever_look(
    faulty: FaultyStore, reads: int, tmp_path: Path
) -> None:
    faulty.reads_left = reads
    closed = LiveDesk(faulty, LocalObjects(tmp_path)).refused()
    assert reasons(closed) == ["agent_state_not_ready:DEGRADED"]
    assert "the store can't be read. Start it." in str(closed)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_state_that_cannot_be_kept_refuses_at_whichever_change(
    faulty: FaultyStore, writes: int, tmp_path: Path
) -> None:
    faulty.writes_left = writes
    closed = LiveDesk(faulty, LocalObjects(tmp_path)).refused()
    assert reasons(closed) == ["agent_state_not_ready:DEGRADED"]
    assert "The agent's state can't be updated: the store can't be written. Make room." in str(closed)


def test_where_the_state_cannot_be_read_at_first_nothing_is_examined(
    faulty: FaultyStore, tmp_path: Path
) -> None:
    faulty.reads_left = 0
    live = LiveDesk(faulty, LocalObjects(tmp_path))
    live.refused()
    assert live.examined == 0


def test_an_unreadable_state_does_not_hide_the_reasons_before_it(faulty: FaultyStore, tmp_path: Path) -> None:
    faulty.reads_left = 0
    closed = LiveDesk(faulty, LocalObjects(tmp_path), switch=on, mode="").refused()
    assert reasons(closed) == [
        "kill_switch_enabled",
        "agent_mode_not_live",
        "agent_state_not_ready:DEGRADED",
    ]


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"state": "READY"},
        {"state": "ready", "transitions": []},
        {"state": "LIVE", "transitions": []},
        {"state": "READY", "transitions": [{"why": "?"}]},
    ],
)
def test_an_invalid_kept_state_refuses_and_is_left_for_its_repair(
    live: LiveDesk, kept: dict[str, Any]
) -> None:
    live.store.replace_agent_document("state", kept, replacing=None)
    closed = live.refused()
    assert reasons(closed) == ["agent_state_not_ready:DEGRADED"]
    assert "the agent's state is invalid" in str(closed)
    assert live.store.agent_document("state") == kept


def test_a_damaged_file_is_a_changed_store(live: LiveDesk, tmp_path: Path) -> None:
    (tmp_path / "engine.db").write_bytes(b"garbage")
    with pytest.raises(StoreChanged, match=f"{tmp_path}/engine.db: can't be read") as changed:
        live.gate.pass_through()
    assert changed.value.exit_code == 2
    assert live.examined == 0


# --- stores that are not those of the folder's live runs


def test_each_passage_begins_a_generation_in_folder_and_store(live: LiveDesk) -> None:
    for number in (1, 2, 3):
        live.gate.pass_through()
        mark = live.store.agent_document(f"folder-{folder_identity(live.objects)}")
        assert mark is not None
        assert (mark["generation"], mark["by"]) == (number, "alice")
    live.generations.verify()


def test_a_store_that_is_gone_refuses_before_anything_is_examined(live: LiveDesk, tmp_path: Path) -> None:
    live.gate.pass_through()
    examined = live.examined
    (tmp_path / "engine.db").unlink()
    with pytest.raises(StoreChanged, match="is empty or gone"):
        live.gate.pass_through()
    assert live.examined == examined
    assert not (tmp_path / "engine.db").exists()


def test_a_halt_marked_in_the_folder_comes_before_a_store_that_is_gone(
    live: LiveDesk, tmp_path: Path
) -> None:
    live.gate.pass_through()
    agent = replace(live.agent, mark=HaltMark(live.objects))
    agent.halt(why="the book is wrong")
    (tmp_path / "engine.db").unlink()
    for cancels_pass in (False, True):
        gate = replace(live.gate, agent=agent)
        with pytest.raises(GateClosed, match=r"HALTED: the book is wrong \(alice") as closed:
            gate.pass_through(cancels_pass=cancels_pass)
        assert reasons(closed.value)[0] == "agent_state_not_ready:HALTED"
        assert ("stores_changed" in reasons(closed.value)) == cancels_pass
    assert not (tmp_path / "engine.db").exists()


def test_cancels_pass_a_closed_gate_only_where_the_stores_are_those_of_the_folder(
    live: LiveDesk, tmp_path: Path
) -> None:
    live.gate.pass_through()
    (tmp_path / "engine.db").unlink()
    gate = replace(live.gate, kill_switch=on)
    with pytest.raises(GateClosed) as closed:
        gate.pass_through(cancels_pass=True)
    assert reasons(closed.value) == ["kill_switch_enabled", "stores_changed"]


def test_runs_whose_fills_the_store_lacks_refuse_the_first_generation(live: LiveDesk) -> None:
    live.unbooked = lambda: ["o-1", "o-2", "o-3", "o-4"]
    with pytest.raises(StoreChanged, match=r"lacks fills of 4 orders .* \(o-1, o-2, o-3, …\)"):
        live.gate.pass_through()


# --- transitions


def test_the_gate_keeps_who_changed_the_state_when_and_why(live: LiveDesk) -> None:
    live.was(State.ERROR)
    live.gate.pass_through()
    noon_text = "2026-03-02T17:00:00+00:00"
    assert live.agent.state().transitions[1:] == (
        Transition(noon_text, "ERROR", "INIT", "a live run begins", "alice"),
        Transition(noon_text, "INIT", "READY", "the preflight holds", "alice"),
    )


def test_every_transition_of_the_gate_is_logged_with_its_why(live: LiveDesk) -> None:
    live.checks = {"ledger": fails}
    live.refused()
    events = [json.loads(line) for line in live.logged.getvalue().splitlines()]
    assert [(event["before"], event["after"], event["by"], event["why"]) for event in events] == [
        ("", "INIT", "alice", "a live run begins"),
        ("INIT", "DEGRADED", "alice", "the preflight failed: ledger: PostgreSQL is down. Start it."),
    ]


def test_the_last_twenty_transitions_are_kept_over_many_runs(live: LiveDesk) -> None:
    for _ in range(15):
        live.gate.pass_through()
    assert len(live.agent.state().transitions) == 20
    assert len(live.changes()) == 30


# --- the work behind the gate


def test_work_is_done_behind_an_open_gate(live: LiveDesk) -> None:
    with live.gate.opened():
        assert live.agent.state().state is State.READY
    assert live.agent.state().state is State.READY


def test_behind_a_closed_gate_no_work_is_done(live: LiveDesk) -> None:
    live.switch = on
    done: list[str] = []
    with pytest.raises(GateClosed):
        work_behind(live, lambda: done.append("work"))
    assert done == []


def test_an_unexpected_end_of_the_work_is_kept_as_error_and_examined_anew_by_the_next_run(
    live: LiveDesk,
) -> None:
    with pytest.raises(ZeroDivisionError):
        work_behind(live, lambda: 1 // 0)
    assert live.agent.state().state is State.ERROR
    live.gate.pass_through()
    assert live.agent.state().state is State.READY


def test_a_closed_gate_is_no_error_of_the_agent(live: LiveDesk) -> None:
    live.checks = {"ledger": fails}
    with pytest.raises(GateClosed):
        work_behind(live, lambda: None)
    assert live.agent.state().state is State.DEGRADED


def test_a_fault_of_the_gate_itself_is_kept_as_error_and_lets_nothing_through(live: LiveDesk) -> None:
    done: list[str] = []

    def broken() -> KillSwitchState:
        raise RuntimeError("out of luck")

    live.switch = broken
    with pytest.raises(RuntimeError, match="out of luck"):
        work_behind(live, lambda: done.append("work"))
    assert done == []
    assert live.agent.state().state is State.ERROR


def work_behind(live: LiveDesk, work: Callable[[], object]) -> None:
    with live.gate.opened():
        work()


# --- what stands against it now, for those who only ask


@pytest.fixture
def asked(live: LiveDesk) -> Iterator[LiveDesk]:
    """A machine on which, when the test is over, nothing was examined and no state was changed."""
    yield live
    assert live.examined == 0
    assert live.changes() == []


@pytest.mark.parametrize("state", [state for state in State if state is not State.HALTED])
def test_to_those_who_ask_nothing_stands_against_a_run_that_only_has_to_be_examined(
    asked: LiveDesk, state: State
) -> None:
    asked.was(state)
    assert asked.gate.standing(asked.switch(), asked.gate.kept()) == []


def test_to_those_who_ask_all_is_reported_that_is_certain_in_order(asked: LiveDesk) -> None:
    asked.was(State.HALTED)
    asked.switch, asked.mode = on, "PAPER"
    found = [refusal.reason for refusal in asked.gate.standing(asked.switch(), asked.gate.kept())]
    assert found == ["kill_switch_enabled", "agent_mode_not_live", "agent_state_not_ready:HALTED"]
