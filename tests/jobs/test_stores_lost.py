"""Stores that are removed, damaged, restored or swapped under a live account with two orders filled."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.record.folder_identity import folder_identity
from engine.record.objects import LocalObjects
from engine.safety.generations import Generations
from engine.stores.embedded.store import EmbeddedStore
from tests.desk import order
from tests.jobs.command_line import Done, jsonl, waiting
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Live

BY = ("--by", "ann", "--why", "the disk broke")
Loss = Callable[[Live, Path], None]


@pytest.fixture
def traded(live: Live, tmp_path: Path) -> Live:
    """A machine with a daily limit of two trades, both of which filled; its store was backed up before."""
    live.env |= {"EXEC_MAX_DAILY_TRADES": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    if (live.data / "engine.db").exists():
        shutil.copy(live.data / "engine.db", tmp_path / "backup.db")
    buy(live, "first", "second")
    assert live("run", "--json").json["fills"] == 2
    buy(live, "third")
    return live


def buy(live: Live, *names: str) -> None:
    live.cli("drop", stdin=jsonl(*(order(client_intent_id=name, symbol="QQQ") for name in names)))


def refused(live: Live, *, by: int = 2) -> str:
    """Run, see that nothing was traded or touched, and return why."""
    orders, files = len(live.orders()), waiting(live.data)
    done = live("run")
    assert (done.code, len(live.orders()), waiting(live.data)) == (by, orders, files)
    message: str = done.events[-1]["message"]
    return message


def reasons(done: Done) -> dict[str, int]:
    found: dict[str, int] = done.json["decisions"]["by_reason"]
    return found


def by_hand(live: Live) -> None:
    """Let a person buy three shares at the broker."""
    live.alpaca.session.post(
        f"{live.alpaca.url}/v2/orders",
        json={"symbol": "SPY", "qty": "3", "side": "buy", "type": "market", "time_in_force": "day"},
        headers={"APCA-API-KEY-ID": API_KEY, "APCA-API-SECRET-KEY": SECRET_KEY},
    ).raise_for_status()


def as_of_the_version_before(live: Live) -> None:
    """Take from folder and store what they know of each other."""
    folder = folder_identity(LocalObjects(live.data))
    shutil.rmtree(live.data / "folder/generations")
    with closing(sqlite3.connect(live.data / "engine.db")) as connection, connection:
        connection.execute("DELETE FROM agent_documents WHERE name IN (?, 'store')", (f"folder-{folder}",))


def removed(live: Live, _: Path) -> None:
    (live.data / "engine.db").unlink()


def damaged_and_moved_away(live: Live, tmp_path: Path) -> None:
    (live.data / "engine.db").write_bytes(b"garbage")
    assert "can't be read" in refused(live)
    (live.data / "engine.db").rename(tmp_path / "damaged.db")


def restored_from_a_backup(live: Live, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "backup.db", live.data / "engine.db")


def emptied(live: Live, _: Path) -> None:
    os.truncate(live.data / "engine.db", 0)


def of_another_folder(live: Live, tmp_path: Path) -> None:
    (live.data / "engine.db").unlink()
    EmbeddedStore(live.data / "engine.db").replace_agent_document(
        "store", {"identity": "f" * 32}, replacing=None
    )


@pytest.mark.parametrize(
    ("loss", "what"),
    [
        (removed, "is empty or gone"),
        (damaged_and_moved_away, "is empty or gone"),
        (restored_from_a_backup, "is older than this data folder"),
        (of_another_folder, "is another store than the one that the last live run used"),
    ],
)
def test_one_command_leads_from_a_lost_ledger_back_to_the_same_limits(
    traded: Live, tmp_path: Path, loss: Loss, what: str
) -> None:
    loss(traded, tmp_path)
    assert what in refused(traded)
    assert what in traded("status").told
    assert any(what in problem for problem in traded("doctor", "--json").json["fatal"])
    assert traded("sync").code == 2
    shown = traded("ledger", "rebuild")
    assert shown.code == 0
    assert "lacks 2 of 2 documents" in shown.told
    assert what in refused(traded)
    assert traded("ledger", "rebuild", *BY).code == 0
    assert "has all 2 documents" in traded("ledger", "rebuild", *BY).told
    done = traded("run", "--json")
    assert (done.code, reasons(done)) == (0, {"max_daily_trades_exceeded": 1})
    assert traded("sync", "--json").json["breaks"] == []
    assert len(traded.orders()) == 2


def test_an_empty_file_in_place_of_the_store_is_refused_until_it_is_moved_away(
    traded: Live, tmp_path: Path
) -> None:
    emptied(traded, tmp_path)
    assert "it has the layout 0" in refused(traded)
    assert traded("ledger", "rebuild", *BY).code == 1
    (traded.data / "engine.db").unlink()
    assert traded("ledger", "rebuild", *BY).code == 0
    assert reasons(traded("run", "--json")) == {"max_daily_trades_exceeded": 1}


def test_a_backup_made_while_a_run_was_booking_is_behind_as_well(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.env |= {"EXEC_MAX_DAILY_TRADES": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    buy(live, "first", "second")
    write, backup = EmbeddedStore.write_ledger, tmp_path / "backup.db"

    def backed_up_before(self: EmbeddedStore, documents: Any) -> int:
        if not backup.exists():
            shutil.copy(self.path, backup)
        return write(self, documents)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedStore, "write_ledger", backed_up_before)
        assert live("run", "--json").json["fills"] == 2
    live.cli("drop", stdin=jsonl(order(client_intent_id="third", symbol="IWM")))
    restored_from_a_backup(live, tmp_path)
    assert "is older than this data folder" in refused(live)
    assert live("ledger", "rebuild", *BY).code == 0
    assert reasons(live("run", "--json")) == {"max_daily_trades_exceeded": 1}


def test_a_backup_of_before_an_adjustment_is_behind_and_the_adjustment_is_made_again(
    traded: Live, tmp_path: Path
) -> None:
    by_hand(traded)
    proposal = traded("sync", "--json").json["proposal"]
    shutil.copy(traded.data / "engine.db", tmp_path / "backup.db")
    assert traded("positions", "accept", proposal, *BY).code == 0
    restored_from_a_backup(traded, tmp_path)
    assert "is older than this data folder" in refused(traded)
    assert traded("ledger", "rebuild", *BY).code == 0
    assert traded("sync", "--json").json["breaks"] == []


def test_what_a_store_had_in_its_opening_balance_is_not_counted_twice_once_it_is_booked(
    traded: Live, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert traded("sync", EXEC_DATA_DIR=str(other)).code == 0
    shutil.copy(other / "engine.db", traded.data / "engine.db")
    assert "is another store" in refused(traded)
    assert traded("ledger", "rebuild", *BY).code == 0
    assert reasons(traded("run", "--json")) == {"max_daily_trades_exceeded": 1}
    synced = traded("sync", "--json")
    assert (synced.code, synced.json["breaks"]) == (0, [])
    assert EmbeddedStore(traded.data / "engine.db").net_positions("paper") == {"QQQ": 2_000_000_000}
    assert traded("ledger", "rebuild", *BY).code == 0
    assert traded("sync", "--json").json["breaks"] == []


@pytest.mark.parametrize("loss", [removed, restored_from_a_backup])
def test_a_halt_is_never_lifted_by_a_store_that_is_lost(traded: Live, tmp_path: Path, loss: Loss) -> None:
    traded("halt", "--why", "flash crash")
    loss(traded, tmp_path)
    assert "flash crash" in refused(traded, by=3)
    assert traded("ledger", "rebuild", *BY).code == 0
    done = traded("run")
    assert done.code == 3
    assert len(traded.orders()) == 2


@pytest.mark.parametrize("loss", [removed, restored_from_a_backup])
def test_a_halt_outlives_the_loss_of_its_mark_after_that_of_the_store(
    traded: Live, tmp_path: Path, loss: Loss
) -> None:
    traded("halt", "--why", "flash crash")
    loss(traded, tmp_path)
    assert traded("ledger", "rebuild", *BY).code == 0
    shutil.rmtree(traded.data / "folder")
    buy(traded, "third")
    assert "flash crash" in traded("status").told
    assert traded("run").code == 3
    assert len(traded.orders()) == 2
    assert traded("recover").code == 0
    assert traded("run").code == 0


def test_a_halted_strategy_outlives_the_loss_of_its_mark_after_that_of_the_store(
    traded: Live, tmp_path: Path
) -> None:
    traded("halt", "--strategy", "momentum", "--why", "flash crash")
    removed(traded, tmp_path)
    assert traded("ledger", "rebuild", *BY).code == 0
    shutil.rmtree(traded.data / "folder")
    assert "flash crash" in traded("status").told
    assert traded("recover", "--strategy", "momentum").code == 0
    assert "flash crash" not in traded("status").told


def test_a_halt_outlives_the_loss_of_the_store_after_a_restored_folder_was_adopted(
    traded: Live, tmp_path: Path
) -> None:
    shutil.copytree(traded.data / "folder", tmp_path / "folder")
    traded("halt", "--why", "flash crash")
    assert traded("run").code == 3
    shutil.rmtree(traded.data / "folder")
    shutil.copytree(tmp_path / "folder", traded.data / "folder")
    assert traded("stores", "adopt", *BY).code == 0
    removed(traded, tmp_path)
    assert traded("ledger", "rebuild", *BY).code == 0
    assert traded("run").code == 3
    assert traded("recover").code == 0


@pytest.mark.parametrize("loss", [removed, restored_from_a_backup])
def test_a_lost_store_is_not_adopted_before_its_fills_are_booked(
    traded: Live, tmp_path: Path, loss: Loss
) -> None:
    loss(traded, tmp_path)
    done = traded("stores", "adopt", *BY)
    assert done.code == 2
    assert "lacks fills of 2 orders" in done.err
    assert "ledger rebuild" in done.err
    refused(traded)


def test_where_nothing_is_wrong_nothing_is_adopted(traded: Live) -> None:
    done = traded("stores", "adopt", *BY)
    assert done.code == 2
    assert "there is nothing to adopt" in done.err


def test_a_folder_of_the_version_before_goes_on_where_the_store_has_its_fills(traded: Live) -> None:
    as_of_the_version_before(traded)
    done = traded("run", "--json")
    assert (done.code, reasons(done)) == (0, {"max_daily_trades_exceeded": 1})


def test_a_folder_of_the_version_before_is_refused_where_the_store_lacks_its_fills(traded: Live) -> None:
    shutil.rmtree(traded.data / "folder/generations")
    (traded.data / "engine.db").unlink()
    assert "lacks fills of 2 orders" in refused(traded)


def test_accepted_adjustments_are_made_again_with_the_ledger(traded: Live, tmp_path: Path) -> None:
    by_hand(traded)
    proposed: dict[str, Any] = traded("sync", "--json").json
    assert len(proposed["breaks"]) == 1
    accept = ("positions", "accept", proposed["proposal"], "--by", "ann", "--why", "a manual trade")
    assert traded(*accept).code == 0
    assert traded("sync", "--json").json["breaks"] == []
    (traded.data / "engine.db").unlink()
    assert traded("ledger", "rebuild", *BY).code == 0
    assert traded("sync", "--json").json["breaks"] == []


def test_an_opening_balance_is_made_again_with_the_ledger(live: Live) -> None:
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    by_hand(live)
    assert live("sync", "--json").json["breaks"] == []
    buy(live, "first")
    assert live("run").code == 0
    (live.data / "engine.db").unlink()
    assert live("ledger", "rebuild", *BY).code == 0
    assert live("sync", "--json").json["breaks"] == []


def test_adjustments_that_only_the_ledger_had_are_carried_over_by_the_first_generation(traded: Live) -> None:
    by_hand(traded)
    proposal = traded("sync", "--json").json["proposal"]
    assert traded("positions", "accept", proposal, "--by", "ann", "--why", "a manual trade").code == 0
    before = sorted((traded.data / "adjustments").rglob("*.json"))
    as_of_the_version_before(traded)
    shutil.rmtree(traded.data / "adjustments")
    assert traded("sync").code == 0
    assert sorted((traded.data / "adjustments").rglob("*.json")) == before
    assert len(before) == 1


def test_an_order_of_ours_that_the_ledger_lost_is_never_called_foreign(traded: Live) -> None:
    with closing(sqlite3.connect(traded.data / "engine.db")) as connection, connection:
        connection.execute("DELETE FROM ledger_trades")
    done = traded("sync", "--json")
    assert done.code == 4
    assert {found["kind"] for found in done.json["breaks"]} == {"unbooked_order"}
    told = traded("sync").told
    assert "which a run of ours sent and the ledger lacks" in told
    assert "none of ours" not in told
    assert traded("ledger", "rebuild", *BY).code == 0
    assert traded("sync", "--json").json["breaks"] == []


def test_a_backup_made_while_a_run_was_booking_that_was_killed_then_is_found_lacking(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live.env |= {"EXEC_MAX_DAILY_TRADES": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    buy(live, "first", "second")
    write, backup = EmbeddedStore.write_ledger, tmp_path / "backup.db"

    def backed_up_before(self: EmbeddedStore, documents: Any) -> int:
        if not backup.exists():
            shutil.copy(self.path, backup)
        return write(self, documents)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedStore, "write_ledger", backed_up_before)
        patch.setattr(Generations, "end", lambda *_, **__: None)  # as where it is killed right before
        assert live("run", "--json").json["fills"] == 2
    live.cli("drop", stdin=jsonl(order(client_intent_id="third", symbol="IWM")))
    restored_from_a_backup(live, tmp_path)
    assert "lacks fills of 2 orders that runs of this data folder sent" in refused(live)
    assert live("ledger", "rebuild", *BY).code == 0
    assert reasons(live("run", "--json")) == {"max_daily_trades_exceeded": 1}


@pytest.mark.parametrize("dry_run", ["0", "1"])
@pytest.mark.parametrize("loss", [removed, restored_from_a_backup])
def test_status_takes_no_state_of_a_lost_store_for_the_agents(
    traded: Live, tmp_path: Path, loss: Loss, dry_run: str
) -> None:
    loss(traded, tmp_path)
    said = traded("status", "--json", EXEC_DRY_RUN=dry_run).json["agent"]
    if dry_run == "1" and loss is restored_from_a_backup:
        assert said["state"] == "READY"  # a dry run does not look how far the store has come
        return
    assert said["state"] == "unknown"
    told = traded("status", EXEC_DRY_RUN=dry_run).told
    assert "Agent: unknown. " in told
    assert "no live run has been started yet" not in told


def test_before_any_live_run_the_agents_state_is_known(live: Live) -> None:
    assert "no live run has been started yet" in live("status").told


# --- folder and store together


@pytest.fixture
def both_old(live: Live, tmp_path: Path) -> Live:
    """A machine whose folder and store were restored together, from before two orders that filled."""
    live.env |= {"EXEC_MAX_DAILY_TRADES": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    shutil.copytree(live.data, tmp_path / "backup")
    buy(live, "first")
    live.cli("drop", stdin=jsonl(order(symbol="SPY", strategy_id="without_ids")))
    assert live("run", "--json").json["fills"] == 2
    restored_together(live, tmp_path)
    live.cli("drop", stdin=jsonl(order(client_intent_id="third", symbol="IWM")))
    return live


def restored_together(live: Live, tmp_path: Path) -> None:
    shutil.rmtree(live.data)
    shutil.copytree(tmp_path / "backup", live.data)


def test_orders_of_ours_that_neither_folder_nor_store_has_count_and_are_never_foreign(both_old: Live) -> None:
    done = both_old("run", "--json")
    assert (done.code, reasons(done)) == (4, {"max_daily_trades_exceeded": 1})
    synced = both_old("sync", "--json").json
    assert {found["kind"] for found in synced["breaks"]} == {"unbooked_order"}
    assert {found["symbol"] for found in synced["breaks"]} == {"QQQ", "SPY"}
    assert "first" in {found["client_intent_id"] for found in synced["breaks"]}
    told = both_old("sync").told
    assert "none of ours" not in told
    assert "ledger rebuild --by NAME --why TEXT` books it by the broker's executions" in told
    assert "If a copy of this folder trades the account as well, end one of the two" in told


def test_one_command_books_what_only_the_broker_has_and_the_limit_stays(both_old: Live) -> None:
    shown = both_old("ledger", "rebuild", "--json").json
    assert [one["broker_account_id"] for one in shown["lacking"]] == ["paper", "paper"]
    assert both_old("sync", "--json").code == 4
    assert both_old("ledger", "rebuild", *BY).code == 0
    assert both_old("ledger", "rebuild", "--json", *BY).json["lacking"] == []
    assert both_old("sync", "--json").json["breaks"] == []
    done = both_old("run", "--json")
    assert (done.code, reasons(done)) == (0, {"max_daily_trades_exceeded": 1})
    assert len(both_old.orders()) == 2


def test_to_accept_what_may_be_ours_loosens_no_limit(both_old: Live) -> None:
    proposal = both_old("sync", "--json").json["proposal"]
    assert both_old("positions", "accept", proposal, *BY).code == 0
    assert both_old("sync", "--json").json["breaks"] == []
    assert both_old("ledger", "rebuild", "--json").json["lacking"] == []
    assert reasons(both_old("run", "--json")) == {"max_daily_trades_exceeded": 1}


def test_an_order_of_ours_that_rests_and_that_neither_has_is_reported_and_booked_once_it_fills(
    live: Live, tmp_path: Path
) -> None:
    live.env |= {"EXEC_MAX_DAILY_TRADES": "1", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    live.env |= {"EXEC_SETTLE_S": "0.2"}
    assert live("run").code == 0
    shutil.copytree(live.data, tmp_path / "backup")
    rests = order(client_intent_id="rests", symbol="QQQ", order_type="limit", limit_price=1)
    live.cli("drop", stdin=jsonl(rests))
    assert live("run", "--json").json["orders"]["sent"] == 1
    restored_together(live, tmp_path)
    buy(live, "second")
    done = live("run", "--json")
    assert (done.code, sum(reasons(done).values())) == (4, 1)
    synced = live("sync", "--json").json
    assert [(one["kind"], one["difference_qty"]) for one in synced["breaks"]] == [("unbooked_order", 0)]
    told = live("sync").told
    assert "not in the record of this folder, and may be ours" in told
    assert "none of ours" not in told
    assert live("positions", "accept", synced["proposal"], *BY).code == 0
    assert live("sync", "--json").json["breaks"] == []
    live.alpaca.session.post(
        f"{live.alpaca.url}/simulator/fill", json={"order_id": live.orders()[0]["id"]}
    ).raise_for_status()
    assert [one["kind"] for one in live("sync", "--json").json["breaks"]] == ["unbooked_order"]
    assert live("ledger", "rebuild", *BY).code == 0
    assert live("sync", "--json").json["breaks"] == []
    buy(live, "third")
    assert reasons(live("run", "--json")) == {"max_daily_trades_exceeded": 1}


def test_a_folder_that_begins_anew_counts_what_the_old_one_has_traded_today(traded: Live) -> None:
    shutil.rmtree(traded.data)
    buy(traded, "third")
    for _ in range(2):
        done = traded("run", "--json")
        assert (done.code, sum(reasons(done).values())) == (0, 1)
        assert "max_daily_trades_exceeded" in reasons(done)
        buy(traded, "fourth")


def test_what_a_person_traded_counts_for_no_limit(live: Live) -> None:
    live.env |= {"EXEC_MAX_DAILY_TRADES": "1", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    by_hand(live)
    buy(live, "first")
    assert live("run", "--json").json["decisions"]["allowed"] == 1
    assert {found["kind"] for found in live("sync", "--json").json["breaks"]} == {"manual_trade"}


def test_a_copy_of_folder_and_store_that_trades_beside_the_original_is_reported(
    live: Live, tmp_path: Path
) -> None:
    live.env |= {"EXEC_MAX_DAILY_TRADES": "2", "EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    shutil.copytree(live.data, tmp_path / "copy")
    copy = {"EXEC_DATA_DIR": str(tmp_path / "copy")}
    live.cli("drop", stdin=jsonl(order(client_intent_id="original", symbol="QQQ")))
    live.cli("drop", stdin=jsonl(order(client_intent_id="copy", symbol="QQQ")), **copy)
    live.cli("drop", stdin=jsonl(order(client_intent_id="copy-2", symbol="IWM")), **copy)
    assert live("run").code == 0
    done = live("run", "--json", **copy)
    assert done.code == 4
    assert reasons(done) == {"position_unreconciled": 1}
    buy(live, "third")
    assert reasons(live("run", "--json")) == {"max_daily_trades_exceeded": 1}
    assert "may be ours" in live("sync").told


def test_a_rebuild_on_an_older_copy_says_that_the_newer_one_is_given_up(
    in_firestore: Live, tmp_path: Path
) -> None:
    live = in_firestore
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("run").code == 0
    shutil.copytree(live.data, tmp_path / "backup")
    buy(live, "first")
    assert live("run").code == 0
    restored_together(live, tmp_path)
    shown = live("ledger", "rebuild")
    assert "accepts this: " in shown.told
    assert "another copy of this data folder has traded since" in shown.told
    done = live("ledger", "rebuild", *BY)
    assert done.code == 0
    assert "Accepted: " in done.told


# --- with Firestore


@pytest.fixture
def in_firestore(live: Live, firestore_project: str) -> Live:
    live.env |= {"FIREBASE_PROJECT_ID": firestore_project, "EXEC_TENANT_ID": "desk"}
    return live


def test_a_mistyped_tenant_is_refused_and_the_setting_is_named(
    in_firestore: Live, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    traded: Live = request.getfixturevalue("traded")
    traded.env["EXEC_TENANT_ID"] = "dseks"
    message = refused(traded)
    assert "EXEC_TENANT_ID" in message
    assert "back to what they were" in message
    traded.env["EXEC_TENANT_ID"] = "desk"
    assert reasons(traded("run", "--json")) == {"max_daily_trades_exceeded": 1}


def test_a_halt_of_one_folder_halts_every_folder_that_shares_the_store_until_it_recovers(
    in_firestore: Live, tmp_path: Path
) -> None:
    live, other = in_firestore, {"EXEC_DATA_DIR": str(tmp_path / "other")}
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert (live("run").code, live("run", **other).code) == (0, 0)
    assert live("halt", "--why", "flash crash", **other).code == 0
    assert live("run").code == 3
    assert "flash crash" in live("status").told
    assert live("recover").code == 0
    assert live("run").code == 0
    done = live("run", **other)  # whose own folder is marked
    assert done.code == 3
    assert live("recover", **other).code == 0
    assert live("run", **other).code == 0


def test_a_scope_that_one_folder_halts_is_halted_for_every_folder_that_shares_the_store(
    in_firestore: Live, tmp_path: Path
) -> None:
    live, other = in_firestore, {"EXEC_DATA_DIR": str(tmp_path / "other")}
    live.env |= {"EXEC_BROKER_ACCOUNT_ID": "paper"}
    assert live("halt", "--symbol", "QQQ", "--why", "flash crash", **other).code == 0
    buy(live, "first")
    assert reasons(live("run", "--json")) == {"kill_switch_enabled": 1}
    assert "symbol QQQ HALTED" in live("status").told
    assert live("recover", "--symbol", "QQQ").code == 0
    buy(live, "first")
    assert reasons(live("run", "--json")) == {}
    assert "symbol QQQ HALTED" in live("status", **other).told  # whose own folder is marked


def test_the_embedded_store_never_stands_in_for_firestore(
    in_firestore: Live, request: pytest.FixtureRequest
) -> None:
    traded: Live = request.getfixturevalue("traded")
    del traded.env["FIREBASE_PROJECT_ID"], traded.env["EXEC_TENANT_ID"]
    assert "back to what they were" in refused(traded)


def test_a_halt_says_where_the_folder_could_not_be_marked(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LocalObjects, "put", read_only)
        done = live("halt", "--why", "the feed is wrong")
    assert (done.code, "could NOT be marked" in done.told, "marked as well" in done.told) == (0, True, False)
    done = live("halt", "--why", "again")
    assert (done.code, "marked as well" in done.told) == (0, True)
    assert live("run").code == 3


def read_only(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
