"""What the engine creates is its user's alone, whatever the umask; what exists keeps its mode."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.record.modes import OWNER_ONLY, WITH_GROUP, Modes
from engine.record.objects import LocalObjects
from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.inbox.inbox import drop_file
from tests.engine.stores.trades import trade

both = pytest.mark.parametrize("modes", [OWNER_ONLY, WITH_GROUP])


@pytest.fixture(params=[0, 0o022, 0o077], ids=oct, autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    assert os.umask(before) == request.param  # which nothing has changed on the way


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_modes_are_those_of_the_setting() -> None:
    assert Modes.of(group_access=False) == Modes(0o700, 0o600)
    assert Modes.of(group_access=True) == Modes(0o750, 0o640)


@both
def test_objects_and_all_folders_around_them_get_the_modes(tmp_path: Path, modes: Modes) -> None:
    objects = LocalObjects(tmp_path / "new" / "data", modes)
    objects.put("runs/2026-03-02/a/run.json", b"{}")
    assert mode_of(tmp_path / "new/data/runs/2026-03-02/a/run.json") == modes.file
    for folder in (
        "new",
        "new/data",
        "new/data/runs",
        "new/data/runs/2026-03-02",
        "new/data/runs/2026-03-02/a",
    ):
        assert mode_of(tmp_path / folder) == modes.folder


@both
def test_the_lock_and_its_note_get_the_modes(tmp_path: Path, modes: Modes) -> None:
    with exclusive(tmp_path / "data", since="noon", modes=modes):
        assert mode_of(tmp_path / "data/.lock.holder") == modes.file
    assert mode_of(tmp_path / "data/.lock") == modes.file
    assert mode_of(tmp_path / "data") == modes.folder


@both
def test_the_embedded_store_and_its_journal_get_the_mode(tmp_path: Path, modes: Modes) -> None:
    store = EmbeddedStore(tmp_path / "data" / "engine.db", modes)
    store.write_ledger([trade("o-1")])
    assert mode_of(store.path) == modes.file
    with sqlite3.connect(store.path) as connection:
        connection.execute("DELETE FROM ledger_trades")
        assert mode_of(tmp_path / "data" / "engine.db-journal") == modes.file
    assert [path.name for path in store.path.parent.iterdir()] == ["engine.db"]


def test_the_inbox_and_what_is_dropped_have_the_modes_of_the_umask(tmp_path: Path, umask: int) -> None:
    path = drop_file("a.csv", b"", tmp_path / "data" / "inbox" / "mine")
    assert mode_of(path) == 0o666 & ~umask
    assert mode_of(path.parent) == mode_of(path.parent.parent) == 0o777 & ~umask
    assert mode_of(tmp_path / "data") == 0o700


def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "runs").mkdir(parents=True)
    for path in (data, data / "runs"):
        path.chmod(0o775)
    (data / ".lock").touch()
    (data / ".lock").chmod(0o664)
    LocalObjects(data).put("runs/a", b"")
    with exclusive(data, since="noon"):
        assert mode_of(data / ".lock") == 0o664
    assert mode_of(data) == mode_of(data / "runs") == 0o775
    with open(data / "runs" / "a", "ab", opener=WITH_GROUP.opener):
        assert mode_of(data / "runs" / "a") == 0o600


def test_a_folder_that_passes_its_group_on_goes_on_to_do_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    WITH_GROUP.make_folder(tmp_path / "data" / "runs")
    assert mode_of(tmp_path / "data" / "runs") == 0o2750


def test_what_is_wider_is_found_but_for_the_inbox_and_links(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "inbox").mkdir(parents=True, mode=0o777)
    (data / "inbox" / "a.csv").touch(0o666)
    OWNER_ONLY.make_folder(data / "runs" / "deep")
    (data / "runs" / "deep" / "a").touch(0o666)
    (data / "runs" / "deep" / "a").chmod(0o644)
    (data / "runs" / "link").symlink_to("/etc")
    assert list(OWNER_ONLY.wider(data, at_most=100)) == [(data / "runs" / "deep" / "a", 0o644)]
    (data / "runs" / "deep" / "a").chmod(0o640)
    assert list(WITH_GROUP.wider(data, at_most=100)) == []
    assert list(OWNER_ONLY.wider(data, at_most=2)) == []
