"""What an operator halts, or lets only reduce, in store and folder; both stores, and either of them lost."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataUnavailable, EngineError
from engine.log import EventLog
from engine.model.schema import inputs_schemas
from engine.record.objects import LocalObjects
from engine.run.risk_inputs import as_recorded
from engine.safety.agent_state import TRANSITIONS_KEPT, Agent
from engine.safety.halt_mark import HaltMark
from engine.safety.state_marks import PLACE, StateMarks
from engine.safety.trading_states import (
    ACTIVE,
    DOCUMENT,
    EVERYTHING,
    HALTED,
    REDUCING,
    KeptStates,
    Scope,
    Scoped,
    TradingState,
    TradingStates,
)
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import AgentDocuments

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
MOMENTUM = Scoped(Scope.STRATEGY, "momentum")
SPY, PAPER = Scoped(Scope.SYMBOL, "SPY"), Scoped(Scope.ACCOUNT, "paper")
SCOPES = [MOMENTUM, SPY, PAPER]
ORDER = {"account": "paper", "symbol": "SPY", "strategy": "momentum"}


@dataclass
class Desk:
    """A store and a data folder, and the time by which a person acts on them."""

    store: AgentDocuments
    folder: Path
    now: datetime = NOON
    logged: io.StringIO = field(default_factory=io.StringIO)

    def states(self, by: str = "ann", *, marked: bool = True) -> KeptStates:
        marks = StateMarks(LocalObjects(self.folder)) if marked else None
        return KeptStates(self.store, EventLog(self.logged, self.clock), by, self.clock, marks)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def marks(self) -> list[Path]:
        return sorted((self.folder / PLACE).glob("*"))

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logged.getvalue().splitlines()]


@pytest.fixture(params=["embedded", "firestore"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    if request.param == "embedded":
        return Desk(EmbeddedStore(tmp_path / "engine.db"), tmp_path)
    project = request.getfixturevalue("firestore_project")
    return Desk(FirestoreStore(project, timeout_s=60), tmp_path)


@pytest.fixture
def local(tmp_path: Path) -> Desk:
    return Desk(EmbeddedStore(tmp_path / "engine.db"), tmp_path)


class Down:
    """A store that is down."""

    place = "the store of a test"

    def agent_document(self, name: str) -> dict[str, Any] | None:
        raise DataUnavailable("the store is down")

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        raise EngineError("the store is down")


@pytest.mark.parametrize("scoped", SCOPES, ids=str)
@pytest.mark.parametrize("state", [HALTED, REDUCING])
def test_what_was_set_is_kept_with_who_when_and_why_until_it_is_ended(
    desk: Desk, scoped: Scoped, state: str
) -> None:
    assert desk.states().set(scoped, state, why="fat finger")
    (entry,) = desk.states("bob").read().entries
    assert (entry.of, entry.state, entry.set_by, entry.why) == (scoped, state, "ann", "fat finger")
    assert entry.since == "2026-03-02T17:00:01+00:00"
    assert desk.states("bob").end(scoped, state, why="corrected")
    assert desk.states().read().entries == ()
    assert desk.marks() == []


def test_where_nothing_was_set_all_trading_is_active_and_nothing_is_written(local: Desk) -> None:
    states = local.states().read()
    assert (states.entries, states.of(EVERYTHING), states.of(MOMENTUM)) == ((), ACTIVE, ACTIVE)
    assert not local.states().end(MOMENTUM, HALTED, why="so")
    assert list(local.folder.iterdir()) == []


def test_the_first_of_two_reasons_stays(desk: Desk) -> None:
    desk.states("ann").set(SPY, HALTED, why="first")
    assert not desk.states("bob").set(SPY, HALTED, why="second")
    assert str(desk.states().read().entries[0]) == (
        "symbol SPY is HALTED: first (ann, 2026-03-02 17:00:01 UTC)"
    )


def test_a_halt_that_ends_leaves_what_was_reducing_before_reducing(desk: Desk) -> None:
    desk.states().set(MOMENTUM, REDUCING, why="wind down")
    desk.states().set(MOMENTUM, HALTED, why="stop")
    states = desk.states().read()
    assert (states.of(MOMENTUM), [one.state for one in states.in_force]) == (HALTED, [HALTED])
    desk.states().end(MOMENTUM, HALTED, why="goes on")
    assert desk.states().read().of(MOMENTUM) == REDUCING


def test_scopes_of_the_same_name_are_kept_apart(desk: Desk) -> None:
    for scope in (Scope.STRATEGY, Scope.ACCOUNT):
        desk.states().set(Scoped(scope, "SPY"), HALTED, why="so")
    desk.states().end(Scoped(Scope.STRATEGY, "SPY"), HALTED, why="so")
    assert [entry.of for entry in desk.states().read().entries] == [Scoped(Scope.ACCOUNT, "SPY")]


@pytest.mark.parametrize("name", ["a/b", "ü", "..", "a" * 256, "A", "a\\b", "=1+1"])
def test_a_name_of_any_characters_is_marked(desk: Desk, name: str) -> None:
    scoped = Scoped(Scope.STRATEGY, name)
    desk.states().set(scoped, HALTED, why="so")
    assert desk.states().read().of(scoped) == HALTED
    assert len(desk.marks()) == 1
    desk.states().end(scoped, HALTED, why="so")
    assert desk.marks() == []


@pytest.mark.parametrize("state", [HALTED, REDUCING])
def test_a_store_that_is_lost_ends_nothing_and_its_end_is_recorded_in_the_new_one(
    local: Desk, tmp_path: Path, state: str
) -> None:
    local.states().set(MOMENTUM, state, why="fat finger")
    local.store = EmbeddedStore(tmp_path / "new.db")
    (entry,) = local.states().read().entries
    assert (entry.of, entry.state, entry.why, entry.set_by) == (MOMENTUM, state, "fat finger", "ann")
    assert local.states("bob").end(MOMENTUM, state, why="corrected")
    assert local.states().read().entries == ()
    document = local.store.agent_document(DOCUMENT)
    assert document is not None
    assert [(one["before"], one["after"], one["by"]) for one in document["transitions"]] == [
        (state, ACTIVE, "bob")
    ]


def test_a_folder_whose_marks_are_lost_is_halted_by_the_store(desk: Desk) -> None:
    desk.states().set(SPY, HALTED, why="so")
    for mark in desk.marks():
        mark.unlink()
    assert desk.states().read().of(SPY) == HALTED


def test_another_folder_keeps_its_own_mark_after_the_store_has_recovered(desk: Desk, tmp_path: Path) -> None:
    desk.states().set(SPY, HALTED, why="so")
    other = Desk(desk.store, tmp_path / "other")
    other.states().end(SPY, HALTED, why="so")
    assert other.states().read().of(SPY) == ACTIVE
    assert desk.states().read().of(SPY) == HALTED


def test_where_the_store_is_down_nothing_is_known_to_be_active(local: Desk) -> None:
    local.store = Down()
    with pytest.raises(DataUnavailable, match="the store is down"):
        local.states().read()


def test_a_halt_that_the_store_can_not_keep_is_marked_all_the_same(local: Desk) -> None:
    kept, local.store = local.store, Down()
    with pytest.raises(EngineError, match="the store is down"):
        local.states().set(SPY, HALTED, why="so")
    assert local.states().is_marked(SPY, HALTED)
    local.store = kept
    assert local.states().read().of(SPY) == HALTED
    assert local.states().set(SPY, HALTED, why="again"), "the store lacked it"


def test_a_recovery_that_the_store_can_not_keep_leaves_the_mark(local: Desk) -> None:
    local.states().set(SPY, HALTED, why="so")
    local.store = Down()
    with pytest.raises(EngineError):
        local.states().end(SPY, HALTED, why="so")
    assert local.states().is_marked(SPY, HALTED)


def test_a_folder_that_can_not_be_marked_is_reported_and_the_store_has_it(
    local: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(LocalObjects, "put", read_only)
        assert local.states().set(SPY, HALTED, why="so")
    assert local.states().read().of(SPY) == HALTED
    error, _ = local.events()
    assert error["severity"] == "ERROR"
    assert "symbol SPY is HALTED is not marked in the data folder" in error["message"]


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"{}", b"\xff", b'{"scope": "all", "name": "x", "state": "HALTED"}']
)
def test_a_mark_that_can_not_be_read_makes_everything_unknown_until_its_state_is_ended(
    local: Desk, content: bytes
) -> None:
    local.states().set(SPY, HALTED, why="so")
    (mark,) = local.marks()
    mark.write_bytes(content)
    with pytest.raises(DataUnavailable, match=f"{mark.name} can't be read"):
        local.states().read()
    local.states().end(SPY, HALTED, why="so")
    assert local.states().read().entries == ()


GOOD = {
    "scope": "symbol",
    "name": "SPY",
    "state": "HALTED",
    "since": "2026-03-02T17:00:00+00:00",
    "set_by": "ann",
    "why": "so",
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "sector"},
        {"state": "ACTIVE"},
        {"state": "halted"},
        {"name": ""},
        {"scope": "all"},
        {"scope": "all", "name": ""},
        {"since": "noon"},
        {"since": "2026-03-02T17:00:00"},
    ],
)
def test_an_invalid_document_makes_everything_unknown(local: Desk, wrong: dict[str, str]) -> None:
    local.store.replace_agent_document(DOCUMENT, {"states": [GOOD | wrong]}, replacing=None)
    with pytest.raises(DataUnavailable, match="the trading states are invalid"):
        local.states().read()


def test_a_valid_document_is_read(local: Desk) -> None:
    local.store.replace_agent_document(DOCUMENT, {"states": [GOOD]}, replacing=None)
    assert local.states().read().entries == (TradingState(**GOOD),)


@pytest.mark.parametrize("missing", list(GOOD))
def test_a_document_without_a_field_makes_everything_unknown(local: Desk, missing: str) -> None:
    rest = {name: text for name, text in GOOD.items() if name != missing}
    local.store.replace_agent_document(DOCUMENT, {"states": [rest]}, replacing=None)
    with pytest.raises(DataUnavailable):
        local.states().read()


@pytest.mark.parametrize(
    ("scoped", "is_in"),
    [
        (EVERYTHING, True),
        (MOMENTUM, True),
        (SPY, True),
        (PAPER, True),
        (Scoped(Scope.STRATEGY, "Momentum"), False),
        (Scoped(Scope.SYMBOL, "QQQ"), False),
        (Scoped(Scope.ACCOUNT, "SPY"), False),
        (Scoped(Scope.STRATEGY, "paper"), False),
    ],
    ids=str,
)
def test_an_order_is_subject_to_the_states_of_its_own_scopes(
    local: Desk, scoped: Scoped, *, is_in: bool
) -> None:
    local.states().set(scoped, REDUCING, why="so")
    found = local.states().read().of_order(**ORDER)
    assert [entry.of for entry in found] == ([scoped] if is_in else [])


@pytest.mark.parametrize("written", ["BRK.B", "BRK/B", "brk-b"])
def test_a_symbol_counts_in_every_spelling(written: str) -> None:
    assert Scoped(Scope.SYMBOL, "BRK.B").has(account="paper", symbol=written, strategy="momentum")


def test_the_frame_has_one_row_for_each_scope_in_the_schema_of_the_record(desk: Desk) -> None:
    desk.states().set(EVERYTHING, REDUCING, why="wind down")
    for state in (REDUCING, HALTED):
        desk.states().set(SPY, state, why=state)
    table = as_recorded("trading_states", desk.states().frame())
    assert table.schema == inputs_schemas()["trading_states"]
    rows = [(row["scope"], row["name"], row["state"], row["why"]) for row in table.to_pylist()]
    assert rows == [("all", "", "REDUCING", "wind down"), ("symbol", "SPY", "HALTED", "HALTED")]
    assert table["since"].to_pylist()[0] == NOON + timedelta(seconds=1)


def test_the_frame_of_no_state_has_its_columns_and_no_row() -> None:
    frame = TradingStates().frame()
    assert (len(frame), list(frame.columns)) == (0, inputs_schemas()["trading_states"].names)


def test_every_change_is_logged_once_with_its_states(desk: Desk) -> None:
    desk.states().set(MOMENTUM, REDUCING, why="a")
    desk.states().set(MOMENTUM, HALTED, why="b")
    desk.states().set(MOMENTUM, HALTED, why="again")
    desk.states("bob").end(MOMENTUM, HALTED, why="c")
    desk.states("bob").end(MOMENTUM, REDUCING, why="d")
    shown = ("severity", "scope", "name", "before", "after", "by", "why")
    assert [tuple(event[name] for name in shown) for event in desk.events()] == [
        ("WARNING", "strategy", "momentum", "ACTIVE", "REDUCING", "ann", "a"),
        ("WARNING", "strategy", "momentum", "REDUCING", "HALTED", "ann", "b"),
        ("WARNING", "strategy", "momentum", "HALTED", "REDUCING", "bob", "c"),
        ("NOTICE", "strategy", "momentum", "REDUCING", "ACTIVE", "bob", "d"),
    ]
    assert {event["event"] for event in desk.events()} == {"state_transition"}


def test_the_latest_changes_are_kept(local: Desk) -> None:
    for turn in range(TRANSITIONS_KEPT):
        local.states().set(SPY, HALTED, why=f"set {turn}")
        local.states().end(SPY, HALTED, why=f"end {turn}")
    document = local.store.agent_document(DOCUMENT)
    assert document is not None
    assert len(document["transitions"]) == TRANSITIONS_KEPT
    assert document["transitions"][-1]["why"] == f"end {TRANSITIONS_KEPT - 1}"


def test_of_many_who_change_states_at_the_same_time_no_change_is_lost(desk: Desk) -> None:
    scopes = [Scoped(Scope.STRATEGY, f"s{number}") for number in range(6)]
    threads = [
        threading.Thread(target=lambda one=one: desk.states().set(one, HALTED, why="so")) for one in scopes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.of for entry in desk.states(marked=False).read().entries} == set(scopes)


def test_a_store_in_which_others_are_always_faster_is_an_error() -> None:
    class Busy(Down):
        def agent_document(self, name: str) -> dict[str, Any] | None:
            return None

        def replace_agent_document(
            self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
        ) -> bool:
            return False

    with pytest.raises(EngineError, match="other jobs changed the states at the same time, 50 times"):
        KeptStates(Busy(), EventLog(io.StringIO()), "ann").set(SPY, HALTED, why="so")


def test_the_states_of_an_agent_are_in_its_store_and_its_folder(local: Desk) -> None:
    agent = Agent(
        local.store, EventLog(local.logged), "eve", local.clock, HaltMark(LocalObjects(local.folder))
    )
    KeptStates.of_agent(agent).set(SPY, HALTED, why="so")
    assert (local.states().read().entries[0].set_by, local.states().is_marked(SPY, HALTED)) == ("eve", True)


@pytest.mark.parametrize(
    ("scoped", "state", "command"),
    [
        (MOMENTUM, HALTED, "`execution-engine recover --strategy momentum`"),
        (Scoped(Scope.ACCOUNT, "my fund"), HALTED, "`execution-engine recover --account 'my fund'`"),
        (SPY, REDUCING, "`execution-engine state active --symbol SPY --why …`"),
        (EVERYTHING, REDUCING, "`execution-engine state active --why …`"),
    ],
)
def test_a_state_names_the_command_that_ends_it(scoped: Scoped, state: str, command: str) -> None:
    entry = TradingState(str(scoped.scope), scoped.name, state, NOON.isoformat(), "ann", "so")
    assert entry.remedy == command
