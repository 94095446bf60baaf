from __future__ import annotations

import io
import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.errors import DataUnavailable, EngineError, LeaseHeld, LeaseLost, RunInProgress, RunStopped
from engine.log import EventLog
from engine.model.schema import CLOCK_SKEW_LIMIT_S
from engine.safety.lease import LONGEST_HOLD_S, LONGEST_WAIT_S, RESERVE_S, TTL_S, Leasing
from engine.safety.lease_document import Holder
from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import AgentDocuments
from tests.engine.safety.lease_desk import (
    ALICE,
    BOB,
    DOCUMENT,
    DOWN,
    SEND_S,
    Desk,
    Documents,
    Time,
    Watch,
    fail,
)
from tests.processes import exit_codes


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Documents(EmbeddedStore(tmp_path / "engine.db")), Time())


# --- taking it


def test_what_nobody_holds_is_taken_at_once_and_kept_for_a_minute(desk: Desk) -> None:
    desk.acquired()
    kept = desk.kept()
    assert (kept["holder"], kept["identity"]) == ("alice@one, process 1", "folder-1")
    assert desk.expires_s() == TTL_S == 60
    assert desk.time.now_s == 0
    assert desk.events() == ["lease_acquired"]


def test_how_long_a_machine_has_been_up_is_no_part_of_when_a_lease_expires(desk: Desk) -> None:
    lease = desk.acquired(watch=Watch(desk.time, monotonic_off_s=86_400))
    assert desk.expires_s() == TTL_S
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S
    desk.time.pass_s(10)
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S - 10


def test_each_acquisition_has_a_nonce_of_its_own(desk: Desk) -> None:
    desk.acquired().release()
    first = desk.kept()["nonce"]
    desk.acquired()
    assert desk.kept()["nonce"] != first


def test_another_holder_is_waited_for_until_the_longest_wait_is_over(desk: Desk) -> None:
    desk.acquired(ALICE)
    before = desk.kept()
    with pytest.raises(LeaseHeld) as held:
        desk.leasing(BOB, longest_wait_s=30).acquire("paper")
    assert desk.time.now_s == pytest.approx(30)
    assert str(held.value) == (
        "Account paper is in use: alice@one, process 1 holds its trading lease until "
        "2026-03-02 17:01:00 UTC, and still did after 30 s of waiting (the store of a test). Nothing "
        "was sent. Wait for the end of that job and run again; if it has died, its lease expires by itself."
    )
    assert held.value.exit_code == 1
    assert desk.kept() == before
    assert desk.events() == ["lease_acquired", "lease_waiting"]


def test_accounts_have_leases_of_their_own(desk: Desk) -> None:
    desk.acquired(ALICE)
    desk.leasing(BOB, longest_wait_s=0).acquire("live").hold_for(SEND_S)


@pytest.mark.parametrize("key", ["", "Paper", "a-b", "a/b", "a" * 49, "ü", "a\n"])
def test_an_account_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    with pytest.raises(ValueError, match="the account key is"):
        desk.leasing().acquire(key)


def test_a_released_lease_is_free_at_once(desk: Desk) -> None:
    desk.acquired(ALICE).release()
    desk.acquired(BOB).hold_for(SEND_S)
    assert desk.time.now_s == 0


def test_a_lease_that_is_released_while_another_job_waits_is_taken_then(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    desk.time.at(12.5, alice.release)
    desk.leasing(BOB).acquire("paper").hold_for(SEND_S)
    assert desk.time.now_s == 13


def test_a_lease_that_ran_out_is_taken_once_skewed_clocks_allow(desk: Desk) -> None:
    desk.acquired(ALICE)
    desk.time.pass_s(TTL_S + CLOCK_SKEW_LIMIT_S - 0.001)
    with pytest.raises(LeaseHeld):
        desk.acquired(BOB)
    desk.time.pass_s(0.001)
    desk.acquired(BOB).hold_for(SEND_S)


def test_a_holder_that_died_is_outlasted_by_the_usual_wait(desk: Desk) -> None:
    desk.acquired(ALICE, watch=Watch(desk.time, wall_off_s=CLOCK_SKEW_LIMIT_S))
    desk.leasing(BOB, watch=Watch(desk.time, wall_off_s=-CLOCK_SKEW_LIMIT_S)).acquire("paper")
    assert desk.kept()["holder"] == BOB.name
    assert desk.time.now_s <= LONGEST_WAIT_S


def test_a_holder_that_goes_on_renewing_is_not_outlasted(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    for n in range(1, 40):
        desk.time.at(10.0 * n, lambda: alice.hold_for(SEND_S))
    with pytest.raises(LeaseHeld):
        desk.leasing(BOB, longest_wait_s=300).acquire("paper")
    alice.hold_for(SEND_S)


def test_what_an_earlier_job_of_the_same_data_folder_held_is_taken_at_once(desk: Desk) -> None:
    died = desk.acquired(ALICE)
    desk.acquired(Holder("alice@one, process 7", ALICE.identity)).hold_for(SEND_S)
    assert desk.time.now_s == 0
    desk.time.pass_s(TTL_S)
    with pytest.raises(LeaseLost, match=r"alice@one, process 7 took it over\."):
        died.hold_for(SEND_S)


def test_holders_without_an_identity_wait_for_each_other(desk: Desk) -> None:
    desk.acquired(Holder("somebody"))
    with pytest.raises(LeaseHeld):
        desk.acquired(Holder("somebody"))


def test_who_is_asked_to_stop_waits_no_longer(desk: Desk) -> None:
    desk.acquired(ALICE)
    with pytest.raises(
        RunStopped, match="while waiting for the trading lease of account paper, which alice@one"
    ):
        desk.leasing(BOB, stopping=lambda: desk.time.now_s >= 3).acquire("paper")
    assert desk.time.now_s == 3


def test_a_lease_that_is_not_renewed_expires_whatever_its_date_says(desk: Desk) -> None:
    desk.acquired(ALICE, watch=Watch(desk.time, wall_off_s=1e6))
    desk.time.pass_s(100)
    desk.leasing(BOB).acquire("paper").hold_for(SEND_S)
    assert desk.time.now_s == pytest.approx(100 + TTL_S)


def test_a_wall_clock_that_jumps_forward_does_not_end_the_waiting(desk: Desk) -> None:
    desk.acquired(ALICE)
    watch = Watch(desk.time)
    desk.time.at(5, lambda: setattr(watch, "wall_off_s", 1e6))
    with pytest.raises(LeaseHeld):
        desk.leasing(BOB, watch=watch, longest_wait_s=TTL_S - 1).acquire("paper")


def test_of_two_that_see_it_free_the_slower_one_waits(desk: Desk) -> None:
    rival = Desk(Documents(desk.documents.inner), desk.time)
    desk.documents.before_write = lambda: (
        rival.acquired(BOB) if desk.documents.inner.agent_document(DOCUMENT) is None else None
    )
    with pytest.raises(LeaseHeld, match="bob@two"):
        desk.acquired(ALICE)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"holder": "x", "identity": "", "nonce": "1", "tenure": "t"},
        {"holder": "x", "identity": "", "nonce": "1", "tenure": "t", "expires_at": "soon"},
        {"holder": "x", "identity": "", "nonce": "1", "tenure": "t", "expires_at": 1.5},
        {"holder": "x", "identity": "", "nonce": "1", "tenure": "t", "expires_at": "2026-03-02T17:00:00"},
        {"holder": "x", "identity": "", "nonce": 1, "tenure": "t", "expires_at": None},
    ],
)
def test_an_invalid_lease_is_left_for_its_repair(desk: Desk, document: dict[str, Any]) -> None:
    desk.documents.inner.replace_agent_document(DOCUMENT, document, replacing=None)
    with pytest.raises(DataUnavailable, match="the lease of account paper is invalid"):
        desk.acquired()
    assert desk.kept() == document


@pytest.mark.parametrize("timestamp", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00Z"])
def test_any_time_can_be_waited_for(desk: Desk, timestamp: str) -> None:
    document = {"holder": "x", "identity": "", "nonce": "1", "tenure": "t", "expires_at": timestamp}
    desk.documents.inner.replace_agent_document(DOCUMENT, document, replacing=None)
    desk.leasing().acquire("paper").hold_for(SEND_S)


# --- holding it


def test_while_enough_is_left_the_store_is_not_asked(desk: Desk) -> None:
    lease = desk.acquired()
    before = (desk.documents.reads, desk.documents.writes)
    desk.time.pass_s(TTL_S - CLOCK_SKEW_LIMIT_S - RESERVE_S - SEND_S)
    lease.hold_for(SEND_S)
    assert (desk.documents.reads, desk.documents.writes) == before


def test_when_less_than_the_reserve_would_be_left_it_is_renewed(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(TTL_S - CLOCK_SKEW_LIMIT_S - RESERVE_S - SEND_S + 0.001)
    lease.hold_for(SEND_S)
    assert desk.expires_s() == desk.time.now_s + TTL_S
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S


@pytest.mark.parametrize("seconds", [LONGEST_HOLD_S + 0.001, float("nan"), float("inf")])
def test_longer_than_a_lease_can_last_is_refused(desk: Desk, seconds: float) -> None:
    with pytest.raises(ValueError, match="expected at most 40"):
        desk.acquired().hold_for(seconds)


def test_a_lease_is_held_for_exactly_as_long_as_it_can_last(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(30)
    lease.hold_for(LONGEST_HOLD_S)
    assert lease.left_s() >= LONGEST_HOLD_S


def test_a_lease_that_expired_and_was_not_taken_is_renewed(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(3600)
    assert lease.left_s() < 0
    lease.hold_for(SEND_S)
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S


def test_a_lease_that_another_job_took_over_is_lost_for_good(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    desk.time.pass_s(TTL_S + CLOCK_SKEW_LIMIT_S)
    bob = desk.acquired(BOB)
    for _ in range(2):
        with pytest.raises(LeaseLost) as lost:
            alice.hold_for(SEND_S)
        assert str(lost.value) == (
            "The trading lease of account paper is lost: bob@two, process 2 took it over. Nothing "
            "more is sent here; run again, and unfinished work is resumed."
        )
        bob.release()
    assert lost.value.exit_code == 1


def test_a_lease_that_another_job_took_and_released_is_lost(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    desk.time.pass_s(TTL_S + CLOCK_SKEW_LIMIT_S)
    desk.acquired(BOB).release()
    with pytest.raises(LeaseLost):
        alice.hold_for(SEND_S)


def test_a_lease_that_another_job_takes_while_it_is_renewed_is_lost(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    rival = Desk(Documents(desk.documents.inner), desk.time)
    desk.time.pass_s(TTL_S + CLOCK_SKEW_LIMIT_S)
    desk.documents.before_write = lambda: rival.acquired(BOB)
    with pytest.raises(LeaseLost, match="bob@two"):
        alice.hold_for(SEND_S)
    assert desk.kept()["holder"] == BOB.name


def test_a_lease_whose_document_was_removed_is_lost(tmp_path: Path, desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.inner = EmbeddedStore(tmp_path / "another.db")
    desk.time.pass_s(TTL_S)
    with pytest.raises(LeaseLost, match=r"it was removed\."):
        lease.hold_for(SEND_S)


def test_while_enough_is_left_a_store_that_is_down_is_reported_once(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.before_write = fail(DOWN)
    desk.time.pass_s(TTL_S - CLOCK_SKEW_LIMIT_S - SEND_S)
    for _ in range(3):
        lease.hold_for(SEND_S)
    assert desk.events() == ["lease_acquired", "lease_not_renewed"]


@pytest.mark.parametrize("error", [DOWN, DataUnavailable("the store can't be read. Start it.")])
def test_a_lease_that_cannot_be_renewed_in_time_is_lost_for_good(desk: Desk, error: EngineError) -> None:
    lease = desk.acquired()
    desk.documents.before_write = fail(error)
    desk.time.pass_s(TTL_S - CLOCK_SKEW_LIMIT_S - SEND_S + 0.001)
    with pytest.raises(LeaseLost, match=rf"can't be renewed in time: {error} Nothing more is sent here"):
        lease.hold_for(SEND_S)
    desk.documents.before_write = lambda: None
    with pytest.raises(LeaseLost):
        lease.hold_for(0)


def test_a_store_that_is_back_in_time_renews_it(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.before_write = fail(DOWN)
    desk.time.pass_s(30)
    lease.hold_for(SEND_S)
    desk.documents.before_write = lambda: None
    lease.hold_for(SEND_S)
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S


def test_a_renewal_whose_answer_was_lost_is_found_and_renewed_again(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.after_write = fail(DOWN)
    desk.time.pass_s(30)
    lease.hold_for(SEND_S)
    assert desk.expires_s() == 90
    desk.documents.after_write = lambda: None
    desk.time.pass_s(30)
    lease.hold_for(SEND_S)
    assert desk.expires_s() == 120


def test_what_is_left_counts_from_before_the_renewal_was_asked_for(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(50)
    desk.documents.before_write = desk.documents.after_write = lambda: desk.time.pass_s(7)
    lease.hold_for(SEND_S)
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S - 14


def test_a_store_that_needs_longer_than_the_lease_lasts_loses_it(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.after_write = lambda: desk.time.pass_s(50)
    desk.time.pass_s(50)
    with pytest.raises(LeaseLost, match="renewing it takes longer than it lasts"):
        lease.hold_for(SEND_S)


# --- clocks that jump


def test_a_wall_clock_that_jumps_back_does_not_lengthen_it(desk: Desk) -> None:
    watch = Watch(desk.time)
    lease = desk.acquired(watch=watch)
    watch.wall_off_s = -3600
    desk.time.pass_s(50)
    assert lease.left_s() == TTL_S - 50 - CLOCK_SKEW_LIMIT_S
    lease.hold_for(SEND_S)
    assert desk.expires_s() == 50 + TTL_S, "others must not take it for run out"


def test_a_wall_clock_that_jumps_forward_leads_to_a_renewal(desk: Desk) -> None:
    watch = Watch(desk.time)
    lease = desk.acquired(watch=watch)
    watch.wall_off_s = 3600
    assert lease.left_s() < 0
    lease.hold_for(SEND_S)
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S
    watch.wall_off_s = 0
    assert lease.left_s() == TTL_S - CLOCK_SKEW_LIMIT_S


def test_a_machine_that_was_suspended_renews_it(desk: Desk) -> None:
    watch = Watch(desk.time)
    lease = desk.acquired(watch=watch)
    desk.time.pass_s(1000)
    watch.monotonic_off_s = -1000
    assert lease.left_s() < 0
    lease.hold_for(SEND_S)
    assert desk.expires_s() == 1000 + TTL_S


# --- threads


def at_once(works: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_of_many_threads_that_need_a_renewal_one_asks_for_it(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(50)
    gate, held, writes = threading.Barrier(8), [], desk.documents.writes

    def hold() -> None:
        gate.wait()
        lease.hold_for(SEND_S)
        held.append(1)

    at_once([hold] * 8)
    assert len(held) == 8
    assert desk.documents.writes == writes + 1


def test_a_thread_without_enough_left_waits_for_the_renewal_of_another(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(50)
    is_renewing, may_end, held = threading.Event(), threading.Event(), threading.Event()

    def wait_for_the_other() -> None:
        is_renewing.set()
        assert may_end.wait(60)

    def hold() -> None:
        lease.hold_for(SEND_S)
        held.set()

    desk.documents.before_write = wait_for_the_other
    first = threading.Thread(target=lambda: lease.hold_for(SEND_S))
    first.start()
    assert is_renewing.wait(60)
    second = threading.Thread(target=hold)
    second.start()
    assert not held.wait(0.05)
    may_end.set()
    first.join(60)
    second.join(60)
    assert held.is_set()


def test_a_thread_with_enough_left_does_not_wait_for_the_renewal_of_another(desk: Desk) -> None:
    lease = desk.acquired()
    desk.time.pass_s(30)
    is_renewing, may_end = threading.Event(), threading.Event()

    def wait_for_the_other() -> None:
        is_renewing.set()
        assert may_end.wait(60)

    desk.documents.before_write = wait_for_the_other
    renewing = threading.Thread(target=lambda: lease.hold_for(SEND_S))
    renewing.start()
    assert is_renewing.wait(60)
    lease.hold_for(SEND_S)
    may_end.set()
    renewing.join(60)
    assert desk.expires_s() == 90


# --- letting go


def test_it_is_released_at_the_end_of_the_work(desk: Desk) -> None:
    with desk.acquired(ALICE) as lease:
        lease.hold_for(SEND_S)
    assert desk.kept()["expires_at"] is None
    with pytest.raises(LeaseLost, match="it was released"):
        lease.hold_for(SEND_S)


@pytest.mark.parametrize("error", [RunStopped("stopped"), EngineError("no")])
def test_it_is_released_where_the_engine_ends_the_work(desk: Desk, error: EngineError) -> None:
    with pytest.raises(type(error)), desk.acquired():
        raise error
    assert desk.kept()["expires_at"] is None


@pytest.mark.parametrize("error", [RuntimeError("?"), KeyboardInterrupt()])
def test_it_runs_out_where_something_else_ends_the_work(desk: Desk, error: BaseException) -> None:
    with pytest.raises(type(error)), desk.acquired():
        raise error
    assert desk.expires_s() == TTL_S


def test_a_release_that_fails_is_reported_and_ends_no_run(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.before_write = fail(DOWN)
    lease.release()
    assert desk.events() == ["lease_acquired", "lease_not_released"]
    assert "expires at 2026-03-02 17:01:00 UTC: the store can't be written." in desk.logged.getvalue()


def test_a_release_after_a_renewal_without_an_answer_lets_go(desk: Desk) -> None:
    lease = desk.acquired()
    desk.documents.after_write = fail(DOWN)
    desk.time.pass_s(30)
    lease.hold_for(SEND_S)
    desk.documents.after_write = lambda: None
    lease.release()
    desk.acquired(BOB)


def test_a_late_release_leaves_the_next_holder_alone(desk: Desk) -> None:
    alice = desk.acquired(ALICE)
    desk.time.pass_s(TTL_S + CLOCK_SKEW_LIMIT_S)
    desk.acquired(BOB)
    before = desk.kept()
    alice.release()
    assert desk.kept() == before


def test_what_was_released_or_lost_is_not_released_again(desk: Desk) -> None:
    lease = desk.acquired()
    lease.release()
    before = (desk.documents.reads, desk.documents.writes)
    lease.release()
    assert (desk.documents.reads, desk.documents.writes) == before


# --- whose data folder it is


def folder(path: Path) -> Path:
    path.mkdir()
    (path / ".lock").touch()
    return path


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    path = tmp_path / "boot_id"
    path.write_text("c6214ae5-7b6c-4892-9cd8-d99e8c7fbe30\n")
    return path


def test_a_data_folder_has_an_identity_of_its_own(tmp_path: Path, boot_id: Path) -> None:
    one, two = (Holder.of(folder(tmp_path / name), boot_id=boot_id) for name in ("one", "two"))
    assert one.identity == Holder.of(tmp_path / "one", boot_id=boot_id).identity != ""
    assert one.identity != two.identity
    assert one.name.endswith(f", process {os.getpid()}, data folder {tmp_path / 'one'}")


def test_a_copy_of_a_data_folder_has_another_identity(tmp_path: Path, boot_id: Path) -> None:
    shutil.copytree(folder(tmp_path / "one"), tmp_path / "two")
    one, two = (Holder.of(tmp_path / name, boot_id=boot_id).identity for name in ("one", "two"))
    assert one != two


def test_a_data_folder_has_another_identity_after_a_restart(tmp_path: Path, boot_id: Path) -> None:
    before = Holder.of(folder(tmp_path / "one"), boot_id=boot_id).identity
    boot_id.write_text("6ad3a0a8-4f3b-4f0c-a21b-3ad2ec2ef5a1\n")
    assert Holder.of(tmp_path / "one", boot_id=boot_id).identity != before


@pytest.mark.parametrize("contents", [None, b"", b"\n", b"\xff"])
def test_where_nothing_tells_the_boot_there_is_no_identity(
    tmp_path: Path, boot_id: Path, contents: bytes | None
) -> None:
    boot_id.unlink() if contents is None else boot_id.write_bytes(contents)
    assert Holder.of(folder(tmp_path / "one"), boot_id=boot_id).identity == ""


def test_without_a_lock_file_there_is_no_identity(tmp_path: Path, boot_id: Path) -> None:
    assert Holder.of(tmp_path, boot_id=boot_id).identity == ""


def test_the_identity_lasts_from_one_job_to_the_next(tmp_path: Path, boot_id: Path) -> None:
    found = []
    for _ in range(2):
        with exclusive(tmp_path / "data", since="noon"):
            found.append(Holder.of(tmp_path / "data", boot_id=boot_id).identity)
            with pytest.raises(RunInProgress), exclusive(tmp_path / "data", since="noon"):
                pass
    assert found[0] == found[1] != ""


# --- several jobs, each store


@pytest.fixture(params=["embedded", "firestore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AgentDocuments:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


def leasing_of(store: AgentDocuments, name: str, *, longest_wait_s: float) -> Leasing:
    """Return what a job on its own machine takes leases with; it hardly waits between two polls."""
    return Leasing(
        documents=store,
        holder=Holder(name, name),
        log=EventLog(io.StringIO()),
        stopping=lambda: False,
        longest_wait_s=longest_wait_s,
        poll_s=0.001,
    )


def test_of_threads_that_want_one_lease_exactly_one_gets_it(store: AgentDocuments) -> None:
    gate, won, refused = threading.Barrier(8), [], []

    def attempt(n: int) -> None:
        gate.wait()
        try:
            leasing_of(store, f"job {n}", longest_wait_s=0).acquire("paper").hold_for(SEND_S)
        except LeaseHeld as error:
            refused.append(str(error))
        else:
            won.append(f"job {n}")

    at_once([partial(attempt, n) for n in range(8)])
    assert len(won) == 1
    assert len(refused) == 7
    assert all(won[0] in text for text in refused)


def count_up(store: AgentDocuments, name: str, book: Path) -> None:
    """Read and write a number, which only one at a time may do."""
    for _ in range(5):
        with leasing_of(store, name, longest_wait_s=60).acquire("paper") as lease:
            lease.hold_for(SEND_S)
            book.write_text(str(int(book.read_text()) + 1))


def test_processes_that_hold_it_in_turn_are_never_inside_together(
    store: AgentDocuments, tmp_path: Path
) -> None:
    book = tmp_path / "number"
    book.write_text("0")
    holders = [(store, f"job {n}", book) for n in range(2)]
    assert exit_codes(count_up, *holders, within_s=120) == [0, 0]
    assert book.read_text() == "10"


# --- tenure: whether somebody else can have sent orders in between


def lease_epochs(desk: Desk, *holders: Holder) -> list[str]:
    """Return the tenures of jobs that hold the lease one after the other."""
    found = []
    for holder in holders:
        with desk.acquired(holder) as lease:
            found.append(lease.lease_epoch)
    return found


def test_the_lease_epoch_goes_on_through_the_jobs_of_one_data_folder(desk: Desk) -> None:
    first, *later = lease_epochs(desk, ALICE, ALICE, ALICE)
    assert later == [first, first]


def test_the_lease_epoch_ends_where_another_data_folder_had_the_lease_in_between(desk: Desk) -> None:
    assert len(set(lease_epochs(desk, ALICE, BOB, ALICE))) == 3


def test_a_data_folder_without_identity_counts_as_another_one(desk: Desk) -> None:
    stranger = Holder("somebody")
    assert len(set(lease_epochs(desk, stranger, stranger))) == 2
