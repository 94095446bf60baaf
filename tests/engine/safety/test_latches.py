"""Latches in store and folder: set at most once for a run, ended by an operator alone; both stores."""

from __future__ import annotations

import io
import json
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
from engine.safety.latches import KeptLatches, Latched
from engine.safety.state_marks import LATCHES, StateMarks
from engine.safety.trading_states import Scope, Scoped
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import AgentDocuments

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
LOSS = "daily_loss_limit_reached"
THROTTLE, REPEATS = "reject_throttle", "strategy_repeats"
MOMENTUM = Scoped(Scope.STRATEGY, "momentum")


@dataclass
class Desk:
    """A store and a data folder, and the time by which runs and a person act on them."""

    store: AgentDocuments
    folder: Path
    now: datetime = NOON
    logged: io.StringIO = field(default_factory=io.StringIO)

    def latches(self, by: str = "ann", *, mode: str = "live", marked: bool = True) -> KeptLatches:
        marks = StateMarks(LocalObjects(self.folder), LATCHES) if marked else None
        log = EventLog(self.logged, lambda: self.now)
        return KeptLatches(self.store, log, by, mode, self.clock, marks)

    def clock(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def set(self, strategy: str = "momentum", rule: str = THROTTLE, **said: Any) -> bool:
        run = {"why": "3 in a row", "run_id": "run-1", "began_at": NOON, **said}
        return self.latches().set(Scoped(Scope.STRATEGY, strategy), rule, **run)

    def kept(self) -> list[tuple[Scoped, str]]:
        return [latch.key for latch in self.latches().read().latches]

    def marks(self) -> list[Path]:
        return sorted((self.folder / LATCHES).glob("*"))


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


def test_an_account_is_stopped_and_enabled_apart_from_a_strategy_of_its_name(desk: Desk) -> None:
    account = Scoped(Scope.ACCOUNT, "momentum")
    desk.set()
    desk.latches().set(account, LOSS, why="lost", run_id="run-1", began_at=NOON)
    assert desk.kept() == [(MOMENTUM, THROTTLE), (account, LOSS)]
    frame = desk.latches().read().frame()
    assert frame[["strategy_id", "broker_account_id"]].to_numpy().tolist() == [
        ["momentum", ""],
        ["", "momentum"],
    ]
    (ended,) = desk.latches().enable(account, why="raised")
    assert str(ended).startswith("account momentum is stopped by daily_loss_limit_reached: lost (run run-1")
    assert ended.remedy == "`execution-engine enable-account momentum --by NAME --why TEXT`"
    assert desk.kept() == [(MOMENTUM, THROTTLE)]
    assert not desk.latches().set(account, LOSS, why="lost", run_id="run-1", began_at=NOON)
    assert len(desk.marks()) == 1


def test_a_latch_holds_until_an_operator_enables_its_strategy(desk: Desk) -> None:
    assert desk.set()
    (latch,) = desk.latches().read().latches
    assert str(latch) == (
        "strategy momentum is stopped by reject_throttle: 3 in a row (run run-1, 2026-03-02 17:00:01 UTC)"
    )
    assert [one.key for one in desk.latches().enable(MOMENTUM, why="corrected")] == [latch.key]
    assert (desk.kept(), desk.marks()) == ([], [])


def test_a_strategy_may_be_latched_by_both_rules_and_is_enabled_for_both(desk: Desk) -> None:
    desk.set(rule=THROTTLE)
    desk.set(rule=REPEATS)
    desk.set("value", REPEATS)
    assert len(desk.latches().enable(MOMENTUM, why="corrected")) == 2
    assert desk.kept() == [(Scoped(Scope.STRATEGY, "value"), REPEATS)]


def test_a_run_that_is_resumed_latches_once_with_its_first_reason(desk: Desk) -> None:
    assert desk.set(why="first")
    assert not desk.set(why="again")
    assert [latch.why for latch in desk.latches().read().latches] == ["first"]


def test_a_run_whose_latch_was_ended_does_not_set_it_again(desk: Desk) -> None:
    desk.set()
    desk.latches().enable(MOMENTUM, why="corrected")
    assert not desk.set()
    assert not desk.set(began_at=NOON + timedelta(days=1)), "by its id, whatever the clocks say"
    assert desk.kept() == []


def test_a_run_that_began_before_the_strategy_was_enabled_counts_no_more(desk: Desk) -> None:
    desk.latches().enable(MOMENTUM, why="a new start")
    assert not desk.set(run_id="other", began_at=NOON)
    assert desk.set(run_id="other", began_at=NOON + timedelta(minutes=1))
    latched = desk.latches().read()
    assert not latched.counts(MOMENTUM, run_id="x", began_at=NOON)
    assert latched.counts(Scoped(Scope.STRATEGY, "value"), run_id="x", began_at=NOON)


def test_a_strategy_that_is_enabled_may_be_latched_by_a_later_run(desk: Desk) -> None:
    desk.set()
    desk.latches().enable(MOMENTUM, why="corrected")
    assert desk.set(run_id="run-2", began_at=NOON + timedelta(minutes=1))
    assert desk.kept() == [(MOMENTUM, THROTTLE)]


def test_a_strategy_that_has_no_latch_is_enabled_all_the_same(desk: Desk) -> None:
    assert desk.latches().enable(MOMENTUM, why="so") == ()
    assert not desk.latches().read().counts(MOMENTUM, run_id="x", began_at=NOON)


def test_dry_runs_latch_no_live_ones(desk: Desk) -> None:
    desk.latches(mode="dry").set(MOMENTUM, REPEATS, why="so", run_id="r", began_at=NOON)
    assert desk.kept() == []
    assert [one.key for one in desk.latches(mode="dry").read().latches] == [(MOMENTUM, REPEATS)]
    assert desk.latches().enable(MOMENTUM, why="so") == ()
    assert len(desk.latches(mode="dry").read().latches) == 1
    assert len(desk.latches(mode="dry").enable(MOMENTUM, why="so")) == 1


def test_a_latch_survives_its_store_and_its_marks_each_alone(local: Desk, tmp_path: Path) -> None:
    local.set()
    kept, local.store = local.store, EmbeddedStore(tmp_path / "new.db")
    assert local.kept() == [(MOMENTUM, THROTTLE)]
    local.store = kept
    for mark in local.marks():
        mark.unlink()
    assert local.kept() == [(MOMENTUM, THROTTLE)]


def test_what_is_marked_alone_is_ended_and_not_set_again_for_its_run(local: Desk, tmp_path: Path) -> None:
    local.set()
    local.store = EmbeddedStore(tmp_path / "new.db")
    assert [one.key for one in local.latches().enable(MOMENTUM, why="so")] == [(MOMENTUM, THROTTLE)]
    assert local.kept() == []
    assert not local.set(began_at=NOON + timedelta(days=1))


def test_a_job_that_died_between_store_and_mark_marks_it_when_it_is_resumed(local: Desk) -> None:
    local.latches(marked=False).set(MOMENTUM, THROTTLE, why="so", run_id="run-1", began_at=NOON)
    assert local.marks() == []
    assert not local.set()
    assert len(local.marks()) == 1


def test_latches_that_can_not_be_read_are_unavailable(local: Desk) -> None:
    local.set()
    (mark,) = local.marks()
    mark.write_text("{")
    with pytest.raises(DataUnavailable, match=f"{mark.name} can't be read.*enable-strategy"):
        local.latches().read()
    local.latches().enable(MOMENTUM, why="so")
    assert local.kept() == []
    local.store = Down()
    with pytest.raises(DataUnavailable, match="the store is down"):
        local.latches().read()
    with pytest.raises(EngineError, match="the store is down"):
        local.set()


GOOD = {"strategy_id": "s", "rule": THROTTLE, "since": NOON.isoformat(), "why": "so", "run_id": "r"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"latches": [GOOD | {"since": "noon"}]},
        {"latches": [GOOD | {"since": "2026-03-02T17:00:00"}]},
        {"latches": [GOOD | {"strategy_id": ""}]},
        {"latches": [GOOD | {"rule": 7}]},
        {"latches": ["s"]},
        {
            "latches": [],
            "enabled": [{"strategy_id": "s", "at": "noon", "by": "a", "why": "b", "run_ids": []}],
        },
        {"latches": [], "enabled": [{"strategy_id": "s", "at": NOON.isoformat(), "by": "a", "why": "b"}]},
        *({"latches": [{name: text for name, text in GOOD.items() if name != gone}]} for gone in GOOD),
    ],
)
def test_an_invalid_document_is_unavailable(local: Desk, document: dict[str, Any]) -> None:
    local.store.replace_agent_document("latches", document, replacing=None)
    with pytest.raises(DataUnavailable, match="the latches are invalid"):
        local.latches().read()


def test_a_valid_document_is_read(local: Desk) -> None:
    local.store.replace_agent_document("latches", {"latches": [GOOD]}, replacing=None)
    assert local.kept() == [(Scoped(Scope.STRATEGY, "s"), THROTTLE)]


def test_the_frame_is_in_the_schema_of_the_record(desk: Desk) -> None:
    desk.set()
    table = as_recorded("latches", desk.latches().read().frame())
    assert table.schema == inputs_schemas()["latches"]
    (row,) = table.to_pylist()
    assert (row["strategy_id"], row["rule"], row["why"]) == ("momentum", THROTTLE, "3 in a row")
    assert row["since"] == NOON + timedelta(seconds=1)
    assert as_recorded("latches", Latched().frame()).num_rows == 0


def test_setting_and_ending_a_latch_are_logged_once(local: Desk) -> None:
    local.set()
    local.set()
    local.latches("bob").enable(MOMENTUM, why="corrected")
    shown = ("event", "severity", "strategy_id", "rule", "mode", "before", "after", "by", "why")
    events = [json.loads(line) for line in local.logged.getvalue().splitlines()]
    assert [tuple(event[name] for name in shown) for event in events] == [
        (
            "state_transition",
            "WARNING",
            "momentum",
            THROTTLE,
            "live",
            "enabled",
            "latched",
            "ann",
            "3 in a row",
        ),
        (
            "state_transition",
            "NOTICE",
            "momentum",
            THROTTLE,
            "live",
            "latched",
            "enabled",
            "bob",
            "corrected",
        ),
    ]


def test_a_latch_names_the_command_that_ends_it(local: Desk) -> None:
    local.set("my strategy")
    (latch,) = local.latches().read().latches
    assert latch.remedy == "`execution-engine enable-strategy 'my strategy' --by NAME --why TEXT`"


def test_a_store_in_which_others_are_always_faster_is_an_error(tmp_path: Path) -> None:
    class Busy(Down):
        def agent_document(self, name: str) -> dict[str, Any] | None:
            return None

        def replace_agent_document(
            self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
        ) -> bool:
            return False

    with pytest.raises(EngineError, match="other jobs changed them at the same time, 50 times"):
        Desk(Busy(), tmp_path).set()
