from __future__ import annotations

import io
import itertools
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataUnavailable, EngineError, RecordError, StoreChanged
from engine.log import EventLog
from engine.record.folder_identity import folder_identity
from engine.record.objects import LocalObjects
from engine.safety.generations import Generations, Store
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import AgentDocuments

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)


@dataclass
class Desk:
    """A data folder, and the two stores that it uses, all below one folder."""

    root: Path

    @property
    def generations(self) -> Generations:
        return self.of(self.root / "data", self.root / "positions.db", self.root / "ledger.db")

    def of(self, folder: Path, positions: Path, ledger: Path) -> Generations:
        stores = (
            Store("positions", "postgres", EmbeddedStore(positions)),
            Store("ledger", "firestore", EmbeddedStore(ledger)),
        )
        return Generations(LocalObjects(folder), stores, list)

    def live_run(self) -> None:
        self.generations.verify()
        self.generations.advance(by="alice", at=NOON)

    def refusal(self) -> StoreChanged:
        with pytest.raises(StoreChanged) as changed:
            self.generations.verify()
        with pytest.raises(StoreChanged):
            self.generations.advance(by="alice", at=NOON)
        return changed.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "data").mkdir()
    return Desk(tmp_path)


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_live_runs_follow_each_other(desk: Desk) -> None:
    for _ in range(10):
        desk.live_run()
    desk.generations.verify()
    assert len([*(desk.root / "data/folder/generations").iterdir()]) <= 6


def test_verifying_changes_nothing(desk: Desk) -> None:
    desk.generations.verify()
    assert files_below(desk.root) == {}
    desk.live_run()
    before = files_below(desk.root)
    desk.generations.verify()
    assert files_below(desk.root) == before


@pytest.mark.parametrize("store", ["positions", "ledger"])
def test_a_store_that_is_gone_is_refused(desk: Desk, store: str) -> None:
    desk.live_run()
    (desk.root / f"{store}.db").unlink()
    (fault,) = desk.refusal().faults
    assert fault.startswith(f"{store}: ")
    assert "is empty or gone" in fault
    assert "ledger rebuild" in fault
    assert not (desk.root / f"{store}.db").exists()


@pytest.mark.parametrize("store", ["positions", "ledger"])
def test_a_store_of_a_backup_is_refused(desk: Desk, store: str) -> None:
    desk.live_run()
    shutil.copy(desk.root / f"{store}.db", desk.root / "backup")
    desk.live_run()
    shutil.copy(desk.root / "backup", desk.root / f"{store}.db")
    (fault,) = desk.refusal().faults
    assert "is older than this data folder (its generation is 1" in fault
    assert "ledger rebuild" in fault


def test_a_store_from_before_the_folders_first_run_is_refused(desk: Desk) -> None:
    other = Desk(desk.root / "other")
    shared = replace(other, root=desk.root)
    shared.of(desk.root / "b", desk.root / "positions.db", desk.root / "ledger.db").advance(by="b", at=NOON)
    shutil.copy(desk.root / "ledger.db", desk.root / "backup")
    desk.live_run()
    shutil.copy(desk.root / "backup", desk.root / "ledger.db")
    (fault,) = desk.refusal().faults
    assert "it knows nothing of this folder" in fault


@pytest.mark.parametrize("store", ["positions", "ledger"])
def test_another_store_is_refused(desk: Desk, store: str) -> None:
    desk.live_run()
    another = Desk(desk.root / "another")
    (desk.root / "another/data").mkdir(parents=True)
    another.live_run()
    shutil.copy(another.root / f"{store}.db", desk.root / f"{store}.db")
    (fault,) = desk.refusal().faults
    assert "is another store than the one that the last live run used" in fault
    assert "stores adopt" in fault


def test_other_settings_are_refused(desk: Desk) -> None:
    desk.live_run()
    at_another = [replace(store, place="elsewhere") for store in desk.generations.stores]
    with pytest.raises(StoreChanged, match="the last live run used postgres") as changed:
        replace(desk.generations, stores=tuple(at_another)).verify()
    assert "and the last live run used firestore" in str(changed.value)
    assert "back to what they were" in str(changed.value)


def test_the_embedded_store_in_place_of_two_is_refused(desk: Desk) -> None:
    desk.live_run()
    embedded = Store("positions and ledger", "engine.db", EmbeddedStore(desk.root / "engine.db"))
    with pytest.raises(StoreChanged, match="and the last live run used postgres and firestore"):
        replace(desk.generations, stores=(embedded,)).verify()
    assert not (desk.root / "engine.db").exists()


def test_of_two_copies_of_a_folder_the_one_that_is_behind_is_refused(desk: Desk) -> None:
    desk.live_run()
    shutil.copytree(desk.root / "data", desk.root / "copy")
    desk.live_run()
    copy = desk.of(desk.root / "copy", desk.root / "positions.db", desk.root / "ledger.db")
    with pytest.raises(StoreChanged, match="another copy of this data folder has traded since"):
        copy.verify()
    desk.generations.verify()


def test_a_folder_whose_generations_are_lost_is_refused(desk: Desk) -> None:
    desk.live_run()
    shutil.rmtree(desk.root / "data/folder/generations")
    assert "another copy of this data folder" in desk.refusal().faults[0]


def test_folders_that_share_stores_go_on_side_by_side(desk: Desk) -> None:
    other = desk.of(desk.root / "other", desk.root / "positions.db", desk.root / "ledger.db")
    for _ in range(3):
        desk.live_run()
        other.verify()
        other.advance(by="bob", at=NOON)
    desk.generations.verify()


def test_adopting_accepts_a_change_that_is_meant(desk: Desk) -> None:
    desk.live_run()
    (desk.root / "ledger.db").unlink()
    desk.refusal()
    desk.generations.adopt(by="alice", why="a new project", at=NOON)
    desk.generations.verify()
    desk.live_run()


def test_adopting_accepts_a_folder_that_is_behind(desk: Desk) -> None:
    desk.live_run()
    shutil.copytree(desk.root / "data", desk.root / "copy")
    desk.live_run()
    copy = desk.of(desk.root / "copy", desk.root / "positions.db", desk.root / "ledger.db")
    copy.adopt(by="alice", why="the other one is lost", at=NOON)
    copy.verify()
    assert "another copy" in desk.refusal().faults[0]


class Killed(BaseException):
    """The end of a job at a chosen effect."""


@dataclass
class Mortal:
    """Objects and documents of which the next effect but so many is the last."""

    left: int

    def objects(self, inner: LocalObjects) -> Any:
        return self._watched(inner, ("put", "delete"))

    def documents(self, inner: AgentDocuments) -> Any:
        return self._watched(inner, ("replace_agent_document",))

    def _watched(self, inner: object, effects: tuple[str, ...]) -> object:
        outer = self

        class Watched:
            def __getattr__(self, name: str) -> Any:
                found = getattr(inner, name)
                return outer._dying(found) if name in effects else found

        return Watched()

    def _dying(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def done(*values: Any, **named: Any) -> Any:
            if not self.left:
                raise Killed
            self.left -= 1
            return effect(*values, **named)

        return done


@pytest.mark.parametrize("runs_before", [0, 1, 5])
def test_a_job_killed_at_any_effect_leaves_a_folder_that_goes_on(tmp_path: Path, runs_before: int) -> None:
    for effects in itertools.count():
        desk = Desk(tmp_path / str(effects))
        (desk.root / "data").mkdir(parents=True)
        for _ in range(runs_before):
            desk.live_run()
        mortal = Mortal(effects)
        whole = desk.generations
        dying = Generations(
            mortal.objects(LocalObjects(desk.root / "data")),
            tuple(replace(store, documents=mortal.documents(store.documents)) for store in whole.stores),
            list,
        )
        try:
            dying.advance(by="alice", at=NOON)
        except Killed:
            desk.generations.verify()
            desk.live_run()
            desk.generations.verify()
        else:
            assert effects >= 4
            return


def test_a_copy_that_is_at_work_at_the_same_time_is_noticed(desk: Desk) -> None:
    desk.live_run()
    (positions, ledger) = desk.generations.stores

    class Faster:
        def __getattr__(self, name: str) -> Any:
            return getattr(ledger.documents, name)

        def replace_agent_document(self, *_: object, **__: object) -> bool:
            return False

    raced: Any = Faster()
    generations = replace(desk.generations, stores=(positions, replace(ledger, documents=raced)))
    with pytest.raises(EngineError, match="a copy of the folder is in use as well"):
        generations.advance(by="alice", at=NOON)


def test_a_store_that_can_t_be_asked_is_unavailable_and_no_change(desk: Desk) -> None:
    desk.live_run()

    class Down:
        place = "a store that is down"

        def agent_document(self, _: str) -> None:
            raise DataUnavailable("it is down")

    down: Any = Down()
    positions, ledger = desk.generations.stores
    with pytest.raises(DataUnavailable, match="it is down"):
        replace(desk.generations, stores=(positions, replace(ledger, documents=down))).verify()


@pytest.mark.parametrize("mark", [{}, {"generation": "7"}, {"generation": None, "token": 3}])
def test_a_mark_that_makes_no_sense_is_refused(desk: Desk, mark: dict[str, Any]) -> None:
    desk.live_run()
    name = f"folder-{folder_identity(desk.generations.objects)}"
    ledger = desk.generations.stores[1].documents
    assert ledger.replace_agent_document(name, mark, replacing=ledger.agent_document(name))
    assert len(desk.refusal().faults) == 1


def test_a_file_of_another_name_among_the_generations_is_an_error(desk: Desk) -> None:
    desk.live_run()
    (desk.root / "data/folder/generations/notes.txt").write_text("mine")
    with pytest.raises(RecordError, match=r"notes\.txt is not a file of the engine"):
        desk.generations.verify()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"[]", b"{}", b'{"stores": 1}', b'{"stores": {"ledger": 1}}']
)
def test_a_generation_that_is_damaged_is_refused_until_the_stores_are_adopted(
    desk: Desk, content: bytes
) -> None:
    desk.live_run()
    (begun,) = (desk.root / "data/folder/generations").glob("*.begun.json")
    begun.chmod(0o600)
    begun.write_bytes(content)
    assert "`execution-engine stores adopt" in desk.refusal().faults[0]
    assert len(desk.generations.faults()) == 1
    desk.generations.adopt(by="alice", why="the file is damaged", at=NOON)
    desk.live_run()


def test_a_generation_whose_stores_are_gone_is_refused_until_they_are_adopted(desk: Desk) -> None:
    desk.live_run()
    (begun,) = (desk.root / "data/folder/generations").glob("*.begun.json")
    begun.unlink()
    assert "it is unknown which stores the last live run used" in desk.refusal().faults[0]
    desk.generations.adopt(by="alice", why="the file is gone", at=NOON)
    desk.live_run()


# --- a command that did not end


def unbooked(*order_ids: str) -> Callable[[], list[str]]:
    return lambda: list(order_ids)


def test_where_the_latest_command_has_not_ended_the_ledger_is_compared_with_the_record(desk: Desk) -> None:
    desk.live_run()
    desk.generations.verify()
    lacking = replace(desk.generations, unbooked=unbooked("o-1", "o-2"))
    for check in (lacking.verify, lambda: lacking.advance(by="alice", at=NOON)):
        with pytest.raises(StoreChanged) as changed:
            check()
        (fault,) = changed.value.faults
        assert "lacks fills of 2 orders that runs of this data folder sent (o-1, o-2)" in fault
        assert "ledger rebuild" in fault
    assert lacking.faults() == [fault]


def test_where_it_has_ended_the_record_is_not_read(desk: Desk) -> None:
    def never() -> list[str]:
        raise AssertionError("the record was read")

    desk.live_run()
    desk.generations.end(by="alice", at=NOON, log=EventLog(io.StringIO()))
    replace(desk.generations, unbooked=never).verify()
    replace(desk.generations, unbooked=never).advance(by="alice", at=NOON)


def test_a_command_that_ends_does_not_compare(desk: Desk) -> None:
    desk.live_run()
    logged = io.StringIO()
    replace(desk.generations, unbooked=unbooked("o-1")).end(by="alice", at=NOON, log=EventLog(logged))
    assert logged.getvalue() == ""
    replace(desk.generations, unbooked=unbooked("o-1")).verify()


def test_a_store_that_is_adopted_counts_as_ended(desk: Desk) -> None:
    desk.live_run()
    desk.generations.adopt(by="ann", why="moved", at=NOON)
    replace(desk.generations, unbooked=unbooked("o-1")).verify()


def test_a_folder_of_the_version_before_is_compared_once(desk: Desk) -> None:
    desk.live_run()
    (kept,) = (desk.root / "data/folder/generations").glob("*.kept.json")
    kept.unlink()
    LocalObjects(desk.root / "data").put(f"folder/generations/{kept.name}", b'{"by": "alice"}')
    with pytest.raises(StoreChanged):
        replace(desk.generations, unbooked=unbooked("o-1")).verify()
