from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import (
    ConfigurationError,
    DataUnavailable,
    EngineError,
    GateClosed,
    RecordError,
    RunStopped,
)
from engine.log import EventLog
from engine.safety.agent_state import TRANSITIONS_KEPT, Agent, AgentState, State, Transition, process_name
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import AgentDocuments

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
NOON_TEXT = "2026-03-02T17:00:00+00:00"
FROM_A_RUN = [state for state in State if state is not State.HALTED]


@dataclass
class FaultyStore:
    """A store that raises where it is told to, or in which others are faster so many times."""

    kept: dict[str, Any] | None = None
    unreadable: Exception | None = None
    unwritable: Exception | None = None
    others_are_faster: int = 0
    place: str = "the store of a test"

    def agent_document(self, name: str) -> dict[str, Any] | None:
        if self.unreadable:
            raise self.unreadable
        return self.kept

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        if self.unwritable:
            raise self.unwritable
        if self.others_are_faster:
            self.others_are_faster -= 1
            return False
        self.kept = dict(new)
        return True


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "engine.db")


def noon() -> datetime:
    return NOON


def agent_of(store: AgentDocuments, *, by: str = "alice", logged: io.StringIO | None = None) -> Agent:
    return Agent(store, EventLog(io.StringIO() if logged is None else logged, noon), by, noon)


def in_state(store: AgentDocuments, state: State | None) -> None:
    """Keep a state as somebody else brought it about; None: nothing was ever kept."""
    if state is not None:
        change = Transition(NOON_TEXT, "", str(state), "it was so", "bob")
        store.replace_agent_document("state", AgentState(state, (change,)).to_document(), replacing=None)


def events(logged: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in logged.getvalue().splitlines()]


# --- the states


def test_the_states_are_those_of_the_design() -> None:
    assert [str(state) for state in State] == ["INIT", "READY", "DEGRADED", "HALTED", "ERROR"]


def test_where_nothing_was_kept_the_agent_is_in_init(store: EmbeddedStore) -> None:
    state = agent_of(store).state()
    assert (state.state, state.transitions) == (State.INIT, ())
    assert state.why == "no live run has been started yet"


def test_looking_at_the_state_keeps_nothing(store: EmbeddedStore) -> None:
    agent_of(store).state()
    assert not store.path.exists()


@pytest.mark.parametrize("before", [None, *FROM_A_RUN])
@pytest.mark.parametrize("after", list(State))
def test_a_run_may_change_any_state_but_halted(
    store: EmbeddedStore, before: State | None, after: State
) -> None:
    in_state(store, before)
    assert agent_of(store).to(after, why="so").state is after
    assert agent_of(store).state().state is after


@pytest.mark.parametrize("after", list(State))
def test_a_run_never_leads_out_of_halted(store: EmbeddedStore, after: State) -> None:
    in_state(store, State.HALTED)
    assert agent_of(store).to(after, why="so").state is State.HALTED
    assert agent_of(store).state().why == "it was so (bob, 2026-03-02 17:00:00 UTC)"


@pytest.mark.parametrize("before", [None, *FROM_A_RUN])
def test_a_halt_leads_from_any_state_to_halted(store: EmbeddedStore, before: State | None) -> None:
    in_state(store, before)
    assert agent_of(store).halt(why="flash crash").state is State.HALTED
    assert agent_of(store).state().why == "flash crash (alice, 2026-03-02 17:00:00 UTC)"


def test_the_first_of_two_halts_is_kept_with_its_who_and_why(store: EmbeddedStore) -> None:
    agent_of(store).halt(why="flash crash")
    again = agent_of(store, by="bob").halt(why="lunch")
    assert again.why == "flash crash (alice, 2026-03-02 17:00:00 UTC)"
    assert len(again.transitions) == 1


def test_recovering_leads_from_halted_to_init(store: EmbeddedStore) -> None:
    in_state(store, State.HALTED)
    assert agent_of(store).recover(why="it was a drill").state is State.INIT
    assert agent_of(store).state().state is State.INIT


@pytest.mark.parametrize("before", FROM_A_RUN)
def test_recovering_changes_no_other_state(store: EmbeddedStore, before: State) -> None:
    in_state(store, before)
    kept = store.agent_document("state")
    assert agent_of(store).recover(why="so").state is before
    assert store.agent_document("state") == kept


# --- what is kept and logged of a transition


def test_a_transition_is_kept_with_timestamp_before_after_why_and_who(store: EmbeddedStore) -> None:
    agent_of(store).to(State.INIT, why="a live run begins")
    agent_of(store, by="bob").halt(why="flash crash")
    assert agent_of(store).state().transitions == (
        Transition(NOON_TEXT, "", "INIT", "a live run begins", "alice"),
        Transition(NOON_TEXT, "INIT", "HALTED", "flash crash", "bob"),
    )


@pytest.mark.parametrize(
    ("after", "severity"),
    [
        (State.INIT, "NOTICE"),
        (State.READY, "NOTICE"),
        (State.DEGRADED, "WARNING"),
        (State.HALTED, "WARNING"),
        (State.ERROR, "WARNING"),
    ],
)
def test_a_transition_is_logged_with_before_after_by_and_why(
    store: EmbeddedStore, after: State, severity: str
) -> None:
    in_state(store, State.ERROR)
    logged = io.StringIO()
    agent_of(store, logged=logged).to(after, why="because")
    (event,) = events(logged)
    expected = {"before": "ERROR", "after": str(after), "by": "alice", "why": "because"}
    assert (event["event"], event["severity"]) == ("state_transition", severity)
    assert {name: event[name] for name in expected} == expected
    assert "because" in event["message"]


def test_what_changes_nothing_is_not_logged_as_a_transition(store: EmbeddedStore) -> None:
    logged = io.StringIO()
    agent = agent_of(store, logged=logged)
    agent.recover(why="so")
    in_state(store, State.HALTED)
    agent.to(State.READY, why="so")
    agent.halt(why="so")
    assert events(logged) == []


def test_a_transition_that_cannot_be_kept_is_not_logged() -> None:
    logged = io.StringIO()
    with pytest.raises(EngineError, match="full"):
        agent_of(FaultyStore(unwritable=EngineError("disk full")), logged=logged).to(State.INIT, why="so")
    assert events(logged) == []


def test_the_last_twenty_transitions_are_kept_oldest_first(store: EmbeddedStore) -> None:
    assert TRANSITIONS_KEPT == 20
    for number in range(25):
        agent_of(store).to(State.READY if number % 2 else State.INIT, why=f"change {number}")
    kept = agent_of(store).state().transitions
    assert [change.why for change in kept] == [f"change {number}" for number in range(5, 25)]


# --- a store that fails


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"state": "READY"},
        {"transitions": []},
        {"state": "ready", "transitions": []},
        {"state": "LIVE", "transitions": []},
        {"state": None, "transitions": []},
        {"state": ["READY"], "transitions": []},
        {"state": "READY", "transitions": None},
        {"state": "READY", "transitions": "READY"},
        {"state": "READY", "transitions": [{}]},
        {"state": "READY", "transitions": [{"at": "noon", "before": "", "after": "", "why": "", "by": ""}]},
        {"state": "READY", "transitions": [{"at": 12, "before": "", "after": "", "why": "", "by": ""}]},
        {"state": "READY", "transitions": [dict.fromkeys(("at", "before", "after", "why", "by", "x"), "")]},
    ],
)
@pytest.mark.parametrize("ask", ["state", "to", "halt", "recover"])
def test_a_kept_state_that_makes_no_sense_is_unavailable_and_stays_as_it_is(
    store: EmbeddedStore, kept: dict[str, Any], ask: str
) -> None:
    store.replace_agent_document("state", kept, replacing=None)
    agent = agent_of(store)
    asked: dict[str, Callable[[], object]] = {
        "state": agent.state,
        "to": lambda: agent.to(State.READY, why="so"),
        "halt": lambda: agent.halt(why="so"),
        "recover": lambda: agent.recover(why="so"),
    }
    with pytest.raises(DataUnavailable, match="the agent's state is invalid"):
        asked[ask]()
    assert store.agent_document("state") == kept


def test_a_change_that_others_forestall_is_made_upon_the_new_state() -> None:
    store = FaultyStore(others_are_faster=3)
    assert agent_of(store).halt(why="so").state is State.HALTED
    assert store.kept is not None


def test_a_change_that_others_always_forestall_ends_with_an_error_that_says_so() -> None:
    with pytest.raises(
        EngineError, match=r"the agent's state could not be changed to HALTED: other jobs changed it"
    ):
        agent_of(FaultyStore(others_are_faster=10**9)).halt(why="so")


# --- at the same time


@pytest.mark.parametrize("turn", range(5))
def test_a_halt_wins_against_runs_that_change_the_state_meanwhile_and_no_transition_is_lost(
    store: EmbeddedStore, turn: int
) -> None:
    start, logged, became = threading.Barrier(6), [io.StringIO() for _ in range(6)], list[State]()

    def work(number: int) -> None:
        agent = agent_of(store, by=f"job {number}", logged=logged[number])
        start.wait()
        if number < 2:
            became.append(agent.halt(why="stop").state)
            return
        for after in (State.INIT, State.READY, State.DEGRADED, State.ERROR):
            agent.to(after, why=f"{number} {after}")

    at_the_same_time(work, 6)
    state = agent_of(store).state()
    assert state.state is State.HALTED
    assert became == [State.HALTED] * 2
    told = [(event["before"], event["after"], event["by"]) for log in logged for event in events(log)]
    assert sorted(told) == sorted((each.before, each.after, each.by) for each in state.transitions)
    assert [each.before for each in state.transitions] == ["", *(e.after for e in state.transitions[:-1])]
    assert [each.after for each in state.transitions].count("HALTED") == 1


def test_changes_at_the_same_time_are_all_kept(store: EmbeddedStore) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        agent_of(store, by=f"job {number}").to(State.INIT, why="so")

    at_the_same_time(work, 8)
    kept = agent_of(store).state().transitions
    assert sorted(each.by for each in kept) == [f"job {number}" for number in range(8)]


def test_of_two_that_recover_at_the_same_time_one_does(store: EmbeddedStore) -> None:
    in_state(store, State.HALTED)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        agent_of(store).recover(why="so")

    at_the_same_time(work, 4)
    assert [each.after for each in agent_of(store).state().transitions] == ["HALTED", "INIT"]


def at_the_same_time(work: Callable[[int], None], count: int) -> None:
    """Do the work in threads, one for each number below ``count``; each has to end well."""
    ended: list[int] = []

    def run(number: int) -> None:
        work(number)
        ended.append(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ended) == list(range(count))


# --- at work


FULL = (
    "/srv/data can't be used: its disk is full. Make room there (`df -h` and `df -i` show how much there is)"
    ", then run the command again; a run that was begun goes on"
)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (RuntimeError("out of luck"), "a run ended unexpectedly: RuntimeError: out of luck"),
        (KeyError(), "a run ended unexpectedly: KeyError"),
        (KeyError("qty"), "a run ended unexpectedly: KeyError: 'qty'"),
        (RecordError("runs/x is damaged"), "a run ended unexpectedly: runs/x is damaged"),
        (DataUnavailable("nobody knows"), "a run ended unexpectedly: nobody knows"),
        (OSError(28, "No space left", "/srv/data"), f"a run ended unexpectedly: {FULL}"),
    ],
)
def test_an_unexpected_end_is_kept_as_error_and_passes_on(
    store: EmbeddedStore, fault: Exception, why: str
) -> None:
    in_state(store, State.READY)
    with pytest.raises(type(fault)) as raised, agent_of(store).at_work():
        raise fault
    assert raised.value is fault
    state = agent_of(store).state()
    assert (state.state, state.transitions[-1].why) == (State.ERROR, why)


@pytest.mark.parametrize(
    "expected",
    [
        RunStopped("SIGTERM"),
        ConfigurationError("EXEC_DRY_RUN is 'y'"),
        GateClosed([("kill_switch_enabled", "It is on.")]),
    ],
)
def test_an_end_that_is_expected_changes_no_state(store: EmbeddedStore, expected: Exception) -> None:
    in_state(store, State.READY)
    with pytest.raises(type(expected)), agent_of(store).at_work():
        raise expected
    assert agent_of(store).state().state is State.READY


def test_a_good_end_changes_no_state(store: EmbeddedStore) -> None:
    in_state(store, State.READY)
    with agent_of(store).at_work():
        pass
    assert agent_of(store).state().state is State.READY


def test_an_unexpected_end_leaves_a_halt_as_it_is(store: EmbeddedStore) -> None:
    with pytest.raises(RuntimeError):
        fail_at_work(agent_of(store), before=lambda: agent_of(store).halt(why="flash crash"))
    assert agent_of(store).state().why.startswith("flash crash")


@pytest.mark.parametrize("fault", ["unreadable", "unwritable"])
def test_where_error_cannot_be_kept_that_is_logged_and_the_first_fault_passes_on(fault: str) -> None:
    logged = io.StringIO()
    broken: dict[str, Any] = {fault: DataUnavailable("the store is down")}
    with pytest.raises(RuntimeError, match="out of luck"):
        fail_at_work(agent_of(FaultyStore(**broken), logged=logged))
    (event,) = events(logged)
    assert event["severity"] == "ERROR"
    assert "the store is down" in event["message"]


def fail_at_work(agent: Agent, before: Callable[[], object] = lambda: None) -> None:
    with agent.at_work():
        before()
        raise RuntimeError("out of luck")


# --- who


def test_an_operator_is_named_by_user_machine_and_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "desk-1")
    monkeypatch.setattr("os.getpid", lambda: 42)
    assert process_name() == "alice@desk-1, process 42"


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 1234)
    assert process_name().startswith("uid 1234@")
