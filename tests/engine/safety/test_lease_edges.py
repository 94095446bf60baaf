"""A lease at its edges: after its end, with a slow or stubborn store, without an identity."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any

import pytest

from engine.errors import EngineError, LeaseLost
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.lease import LONGEST_WAIT_S, TTL_S
from engine.safety.lease_document import Holder
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.protocols import AgentDocuments
from tests.engine.safety.lease_desk import ALICE, BOB, SEND_S, Desk, Documents, Time, Watch, fail


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Documents(EmbeddedStore(tmp_path / "engine.db")), Time())


class Refusing:
    """A store that says of every write that another one was faster, while what it keeps stays the same."""

    def __init__(self, inner: AgentDocuments) -> None:
        self.agent_document = inner.agent_document
        self.place = inner.place

    def replace_agent_document(
        self, name: str, new: Mapping[str, Any], *, replacing: Mapping[str, Any] | None
    ) -> bool:
        return False


@dataclass
class Interrupted(Watch):
    """A clock at whose next read, and only then, another thread does something."""

    meanwhile: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        act, self.meanwhile = self.meanwhile, lambda: None
        act()
        return super().monotonic()


class WithoutInodes(PosixPath):
    """A path on a file system that has no inode numbers."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(super().stat(follow_symlinks=follow_symlinks))
        found[1] = 0
        return os.stat_result(found)


# --- after its end


def test_a_lease_that_was_released_has_nothing_left(desk: Desk) -> None:
    lease = desk.acquired()
    lease.release()
    assert lease.left_s() == 0


def test_a_lease_that_could_not_be_released_has_nothing_left_either(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.before_write = fail(EngineError("the store is down. Start it."))
    lease.release()
    assert lease.left_s() == 0


def test_a_lease_that_another_job_took_over_has_nothing_left(desk: Desk) -> None:
    lease = desk.acquired(ALICE)
    desk.acquired(Holder("alice@one, process 7", ALICE.identity))
    desk.time.pass_s(30)
    with pytest.raises(LeaseLost):
        lease.hold_for(SEND_S)
    assert lease.left_s() == 0


def test_a_thread_that_was_about_to_renew_does_not_acquire_a_released_lease_again(desk: Desk) -> None:
    watch = Interrupted(desk.time)
    lease = desk.acquired(watch=watch)
    desk.time.pass_s(50)
    watch.meanwhile = lease.release
    with pytest.raises(LeaseLost, match="it was released"):
        lease.hold_for(SEND_S)
    assert desk.kept()["expires_at"] is None


# --- a store that is slow, or takes nothing


@pytest.mark.parametrize("read_s", [0.0, 3.0, 7.0, 9.0])
def test_a_holder_that_died_is_outlasted_however_long_a_store_takes_to_answer(
    desk: Desk, read_s: float
) -> None:
    desk.acquired(ALICE, watch=Watch(desk.time, wall_off_s=CLOCK_SKEW_LIMIT_S))
    desk.documents.before_read = lambda: desk.time.pass_s(read_s)
    desk.leasing(BOB, watch=Watch(desk.time, wall_off_s=-CLOCK_SKEW_LIMIT_S)).acquire("paper")
    assert desk.kept()["holder"] == BOB.name
    assert desk.time.now_s <= LONGEST_WAIT_S + 2 * read_s


def test_a_store_that_takes_no_write_is_logged_while_enough_is_left_and_loses_the_lease_then(
    desk: Desk,
) -> None:
    lease = desk.acquired()
    desk.documents.inner = Refusing(desk.documents.inner)
    desk.time.pass_s(TTL_S - CLOCK_SKEW_LIMIT_S - SEND_S)
    lease.hold_for(SEND_S)
    assert desk.events() == ["lease_acquired", "lease_not_renewed"]
    desk.time.pass_s(0.001)
    with pytest.raises(LeaseLost, match=r"can't be renewed in time: .* its document changes with every read"):
        lease.hold_for(SEND_S)


# --- whose data folder it is


def test_on_a_file_system_without_inode_numbers_a_data_folder_has_no_identity(tmp_path: Path) -> None:
    """All folders there would be one, and each job take over the lease of a living one."""
    (tmp_path / ".lock").touch()
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("c6214ae5-7b6c-4892-9cd8-d99e8c7fbe30\n")
    assert Holder.of(tmp_path, boot_id=boot_id).identity != ""
    assert Holder.of(WithoutInodes(tmp_path), boot_id=boot_id).identity == ""
