from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.intents.formats import read_raw
from engine.record.modes import Modes
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.run.stages import finish
from engine.stores.inbox.files import name_with_hash
from engine.stores.inbox.inbox import Dropped, Inbox, Left, Reading, hash_of
from tests.desk import NOON, SESSION, Desk, order, rows_of, statuses, tampered


def left(run: RunFolder) -> dict[str, tuple[str, str]]:
    """Return kind and reason of what a finished run left, by name."""
    return {one["name"]: (one["kind"], one["why"]) for one in run.json("manifest.json")["left"]}


def exit_code(run: RunFolder) -> int:
    code: int = run.json("manifest.json")["exit_code"]
    return code


def ends_well(run: RunFolder, **kinds: str) -> None:
    """Assert that the good file beside was traded, and what is left is named, with the exit code for it."""
    assert statuses(run) == ["dry_run"]
    assert {name: kind for name, (kind, _) in left(run).items()} == kinds
    assert exit_code(run) == (4 if "blocked" in kinds.values() else 0)
    assert all(identity["holds"] for identity in run.json("manifest.json")["identities"])


# --- each file is its own failure


def test_a_link_is_left_named_and_ends_the_run_with_4_while_the_good_file_beside_it_trades(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "shadow").write_text("root:secret")
    desk.drop("good.json", order())
    (desk.inbox / "b.csv").symlink_to(tmp_path / "shadow")
    run = desk.run()
    ends_well(run, **{"b.csv": "blocked"})
    assert desk.kept("quarantine") == {}
    assert "secret" not in desk.logged.getvalue()


@pytest.mark.parametrize(
    "failure", [MemoryError(), RecursionError("too deep"), ZeroDivisionError(), OSError(5, "I/O")]
)
def test_whatever_reading_a_file_raises_is_of_that_file_alone(desk: Desk, failure: Exception) -> None:
    desk.drop("bad.json", order(qty=2))
    desk.drop("good.json", order())

    def fails(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        if file.name == "bad.json":
            raise failure
        return Inbox(inbox.root).read(file, max_bytes=max_bytes)

    ends_well(desk.run(context=tampered(desk.context(), read=fails)), **{"bad.json": "blocked"})
    assert desk.left() == ["bad.json"]


def test_a_parser_that_fails_quarantines_that_file_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("bad.csv", order(qty=2))
    desk.drop("good.json", order())

    def fails(name: str, *said: Any) -> Any:
        if name == "bad.csv":
            raise RecursionError
        return read_raw(name, *said)

    monkeypatch.setattr("engine.intents.reading.read_raw", fails)
    run = desk.run()
    ends_well(run)
    assert rows_of(run)["quarantined"] == 1


@pytest.mark.parametrize("what", ["folder", "link", "other content"])
def test_a_file_whose_place_in_the_archive_is_taken_is_left_and_never_lost(
    desk: Desk, tmp_path: Path, what: str
) -> None:
    desk.drop("good.json", order())
    bad = desk.drop("bad.json", order(qty=2))
    place = desk.data / "archive/2026-03-02" / f"bad.{hash_of(bad.read_bytes())}.json"
    place.parent.mkdir(parents=True)
    if what == "folder":
        place.mkdir()
    elif what == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place.write_bytes(b"other")
    run = desk.run()
    ends_well(run, **{"bad.json": "blocked"})
    assert f"archive/2026-03-02/{place.name} is taken" in left(run)["bad.json"][1]
    assert desk.left() == ["bad.json"]
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_of_the_archive_that_is_none_leaves_files_of_its_name(desk: Desk, tmp_path: Path) -> None:
    (desk.data / "archive/2026-03-02").mkdir(parents=True)
    (desk.data / "archive/2026-03-02/desk").write_text("")
    (desk.data / "archive/2026-03-02/linked").symlink_to(tmp_path)
    for name in ("good.json", "desk/a.json", "linked/a.json"):
        desk.drop(name, order())
    ends_well(desk.run(), **{"desk/a.json": "blocked", "linked/a.json": "blocked"})
    assert not (tmp_path / "a.json").exists()


def test_a_place_for_reasons_that_is_taken_ends_nothing(desk: Desk) -> None:
    desk.drop("a.json", order(), order(qty=0))
    (desk.data / "quarantine").mkdir()
    (desk.data / "quarantine/2026-03-02").write_text("no folder")
    run = desk.run()
    ends_well(run, **{"a.json": "blocked"})
    assert f"runs/2026-03-02/{run.run_id}/collected.json has them" in left(run)["a.json"][1]
    assert desk.left() == []
    desk.drop("good.json", order(qty=2))
    ends_well(desk.run())


# --- what is consumed and can't be removed


def irremovable(inbox: Inbox, file: Dropped) -> Left | None:
    if file.name == "stays.json":
        return file.is_blocked("it can't be removed (Permission denied); remove it")
    return Inbox(inbox.root).remove(file)


def test_a_consumed_file_that_cannot_be_removed_is_named_each_time_and_never_taken_again(
    desk: Desk,
) -> None:
    desk.drop("stays.json", order(qty=2))
    runs = []
    for day in range(3):
        desk.drop(f"good{day}.json", order(qty=1))
        runs.append(desk.run(context=tampered(desk.context(), remove=irremovable)))
        desk.later(days=1)
    assert [rows_of(run)["batched"] for run in runs] == [2, 1, 1]
    assert [exit_code(run) for run in runs] == [4, 4, 4]
    assert all("can't be removed (Permission denied)" in left(run)["stays.json"][1] for run in runs)
    assert [event["severity"] for event in desk.events("file_left")] == ["ERROR"] * 3


def test_a_consumed_file_is_removed_as_soon_as_it_can_be_and_forgotten_then(desk: Desk) -> None:
    path = desk.drop("stays.json", order(qty=2))
    desk.run(context=tampered(desk.context(), remove=irremovable))
    desk.drop("good.json", order())
    ends_well(desk.run())
    assert desk.left() == []
    assert desk.context().objects.list("unremoved/") == []
    desk.later(days=1)
    assert desk.drop("stays.json", order(qty=2)) == path
    assert statuses(desk.run()) == ["dry_run"]


def test_a_file_in_the_place_of_one_that_could_not_be_removed_is_taken(desk: Desk) -> None:
    desk.drop("stays.json", order(qty=2))
    desk.run(context=tampered(desk.context(), remove=irremovable))
    desk.drop("stays.json", order(qty=3), age_s=20)
    ends_well(desk.run())


def test_what_could_not_be_removed_is_remembered_while_its_folder_cannot_be_listed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.drop("stays.json", order(qty=2))
    desk.run(context=tampered(desk.context(), remove=irremovable))
    with monkeypatch.context() as patch:
        scandir = os.scandir

        def fails(place: Any) -> Any:
            if isinstance(place, int) and os.fstat(place).st_ino == desk.inbox.stat().st_ino:
                raise OSError(errno.EIO, "Input/output error")
            return scandir(place)

        patch.setattr("os.scandir", fails)
        unseen = desk.run()
    assert (rows_of(unseen)["dropped"], exit_code(unseen)) == (0, 4)
    assert "can't be listed" in left(unseen)["the inbox"][1]
    desk.later(days=1)
    assert rows_of(desk.run(context=tampered(desk.context(), remove=irremovable)))["dropped"] == 0


def test_a_file_that_is_appended_to_after_it_was_read_stays_and_its_new_rows_are_taken(
    desk: Desk,
) -> None:
    path = desk.drop("a.jsonl", order(qty=1))
    opened = []

    def read_before_a_writer_comes(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        reading = Inbox(inbox.root).read(file, max_bytes=max_bytes)
        opened.append(path.open("ab"))
        return reading

    first = desk.run(context=tampered(desk.context(), read=read_before_a_writer_comes))
    assert (statuses(first), exit_code(first)) == (["dry_run"], 0)
    assert left(first)["a.jsonl"][0] == "waiting"
    still = desk.run()
    assert (rows_of(still)["dropped"], exit_code(still)) == (0, 0)
    with opened[0] as stream:
        stream.write(
            b'{"strategy_id":"momentum","broker_account_id":"paper","symbol":"SPY","side":"buy","qty":2}\n'
        )
    timestamp = NOON.timestamp()
    os.utime(path, (timestamp, timestamp))
    last = desk.run()
    assert rows_of(last) == {"dropped": 2, "batched": 1, "quarantined": 0, "duplicate": 1}
    assert desk.left() == []


# --- files that are too large


def sparse(desk: Desk, name: str = "big.json") -> Path:
    path = desk.drop(name, content=b"")
    os.truncate(path, 1 << 40)
    os.utime(path, (desk.now.timestamp() - 60,) * 2)
    return path


def test_a_sparse_terabyte_is_quarantined_whole_with_the_limit_named_as_one_row(
    desk: Desk,
) -> None:
    sparse(desk)
    desk.drop("good.json", order())
    run = desk.run()
    ends_well(run)
    assert rows_of(run) == {"dropped": 2, "batched": 1, "quarantined": 1, "duplicate": 0}
    (refused,) = run.json("collected.json")["refused"]
    assert "more than 268435456 bytes" in refused["message"]
    assert "EXEC_INBOX_MAX_FILE_BYTES" in refused["message"]
    assert desk.left() == []
    sizes = [path.stat().st_size for path in (desk.data / "quarantine/2026-03-02").iterdir()]
    assert 1 << 40 in sizes


def moved(desk: Desk) -> Path:
    kept = (desk.data / "quarantine" / SESSION).iterdir()
    (path,) = (path for path in kept if ".reasons." not in path.name)
    return path


@pytest.mark.parametrize(("group_access", "mode"), [(False, 0o600), (True, 0o640)])
def test_a_file_that_is_moved_unread_gets_the_mode_of_what_the_engine_keeps(
    desk: Desk, group_access: bool, mode: int
) -> None:
    sparse(desk).chmod(0o4777)
    objects = LocalObjects(desk.data, Modes.of(group_access=group_access))
    desk.run(context=desk.context(objects=objects))
    assert stat.S_IMODE(moved(desk).stat().st_mode) == mode


def test_a_file_that_is_moved_unread_keeps_a_mode_that_is_narrower(desk: Desk) -> None:
    sparse(desk).chmod(0o400)
    desk.run()
    assert stat.S_IMODE(moved(desk).stat().st_mode) == 0o400


def test_where_the_mode_of_a_moved_file_cannot_be_changed_the_log_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse(desk).chmod(0o644)

    def denies(path: Any, mode: int, **said: Any) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    desk.drop("good.json", order())
    monkeypatch.setattr("os.chmod", denies)
    ends_well(desk.run())
    (event,) = desk.events("file_mode_kept")
    assert "Restrict it as root" in event["message"]
    assert stat.S_IMODE(moved(desk).stat().st_mode) == 0o644


def test_the_limit_on_a_file_is_a_setting_and_a_file_at_it_is_read(desk: Desk) -> None:
    at_limit = desk.drop("a.json", order())
    desk.drop("b.json", order(qty=11))
    run = desk.run(EXEC_INBOX_MAX_FILE_BYTES=str(at_limit.stat().st_size))
    assert rows_of(run) == {"dropped": 2, "batched": 1, "quarantined": 1, "duplicate": 0}


def test_a_job_that_dies_before_or_after_a_large_file_is_moved_moves_it_once(desk: Desk) -> None:
    class Died(Exception):
        pass

    def dies_before(inbox: Inbox, file: Dropped, place: Path) -> Left | None:
        raise Died

    def dies_after(inbox: Inbox, file: Dropped, place: Path) -> Left | None:
        Inbox(inbox.root).move(file, place)
        raise Died

    sparse(desk)
    folder = desk.begin()
    for dies in (dies_before, dies_after):
        with pytest.raises(Died):
            finish(folder, tampered(desk.context(), move=dies))
    finish(folder, desk.context())
    assert rows_of(folder) == {"dropped": 1, "batched": 0, "quarantined": 1, "duplicate": 0}
    assert (exit_code(folder), desk.left()) == (0, [])
    assert sum(size == 1 << 40 for size in _sizes(desk)) == 1


def test_a_large_file_that_cannot_be_moved_stays_named_and_counts_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def another_disk(source: Any, target: Any, **said: Any) -> None:
        if "quarantine" in str(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target, **said)

    monkeypatch.setattr("os.rename", another_disk)
    sparse(desk)
    desk.drop("good.json", order())
    first = desk.run()
    ends_well(first, **{"big.json": "blocked"})
    assert "another disk" in left(first)["big.json"][1]
    desk.drop("good.json", order(qty=3))
    second = desk.run()
    assert rows_of(second) == {"dropped": 1, "batched": 1, "quarantined": 0, "duplicate": 0}
    ends_well(second, **{"big.json": "blocked"})
    monkeypatch.undo()
    assert (exit_code(desk.run()), desk.left()) == (0, [])
    assert sum(size == 1 << 40 for size in _sizes(desk)) == 1


def _sizes(desk: Desk) -> list[int]:
    return [path.stat().st_size for path in (desk.data / "quarantine/2026-03-02").iterdir()]


# --- all files together


@pytest.mark.parametrize(
    ("setting", "limit", "taken"),
    [
        ("EXEC_INBOX_MAX_FILES", "2", 2),
        ("EXEC_INBOX_MAX_TOTAL_BYTES", "1", 1),
        ("EXEC_INBOX_MAX_ROWS", "2", 2),
    ],
)
def test_what_is_beyond_the_limits_of_a_run_waits_for_the_next_one_oldest_first(
    desk: Desk, setting: str, limit: str, taken: int
) -> None:
    for number in range(3):
        desk.drop(f"{2 - number}.json", order(qty=1 + number), age_s=60 - number)
    first = desk.run(None, context=None, **{setting: limit})
    assert rows_of(first)["batched"] == taken
    assert exit_code(first) == 0
    assert desk.left() == [f"{number}.json" for number in range(3 - taken)]
    assert all(kind == "waiting" and setting in why for kind, why in left(first).values())
    assert rows_of(desk.run())["batched"] == 3 - taken


def test_refused_rows_of_all_files_together_are_bounded(desk: Desk) -> None:
    for number in range(3):
        desk.drop(f"{number}.json", order(qty=0), order(qty=-1))
    assert rows_of(desk.run(EXEC_INBOX_MAX_REFUSED_ROWS="2"))["quarantined"] == 2
    assert len(desk.left()) == 2


def test_very_many_files_that_are_left_are_counted_beyond_a_thousand(desk: Desk) -> None:
    desk.drop("good.json", order())
    for number in range(1500):
        (desk.inbox / f"{number}.tmp").touch()
    run = desk.run()
    assert statuses(run) == ["dry_run"]
    found = run.json("manifest.json")["left"]
    assert len(found) == 1001
    assert found[-1] == {"name": "…", "why": "500 more are left", "kind": "waiting"}


# --- times ahead of the clock


def test_a_file_whose_time_is_in_the_future_is_taken_once_the_system_vouches_for_it(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=-3600)
    run = desk.run()
    assert statuses(run) == ["dry_run"]
    assert run.table("intents.parquet")["created_at"].to_pylist() == [NOON]


def test_a_file_whose_time_is_in_the_future_is_not_taken_while_it_is_written(desk: Desk) -> None:
    with desk.drop("a.json", order(), age_s=-3600).open("ab"):
        assert left(desk.run())["a.json"] == ("waiting", "a program has it open for writing")


@pytest.mark.parametrize(("changed_s_ago", "kind"), [(60.0, None), (1.0, "waiting"), (-3600.0, "blocked")])
def test_where_the_system_knows_no_writers_the_time_of_the_last_change_counts(
    desk: Desk, changed_s_ago: float, kind: str | None
) -> None:
    desk.drop("a.json", order(), age_s=-3600)

    def read(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        reading = Inbox(inbox.root).read(file, max_bytes=max_bytes)
        assert isinstance(reading, Reading)
        changed = desk.now.timestamp() - changed_s_ago
        return Reading(reading.content, has_no_writer=False, ctime_ns=int(changed * 1e9))

    run = desk.run(context=tampered(desk.context(), read=read))
    assert [kind for kind, _ in left(run).values()] == ([] if kind is None else [kind])


def test_a_file_a_little_ahead_of_the_clock_is_young(desk: Desk) -> None:
    desk.drop("a.json", order(), age_s=-3)
    assert left(desk.run())["a.json"] == ("waiting", "it is younger than 2 s (EXEC_INBOX_SETTLE_S)")


@pytest.mark.parametrize("name", ["a.csv.part1", "a.dtapart", "a.jsonl.AbC123"])
@pytest.mark.parametrize(("age_s", "is_left"), [(3, True), (3599, True), (3601, False)])
def test_what_may_be_an_upload_is_left_until_it_has_rested_for_an_hour(
    desk: Desk, name: str, age_s: float, is_left: bool
) -> None:
    desk.drop("good.json", order(), age_s=10)
    path = desk.inbox / name
    path.write_bytes(b"strategy_id,broker_account_id,symbol,side,qty\ns,paper,SPY,bu")
    os.utime(path, times=2 * (desk.now.timestamp() - age_s,))
    run = desk.run()
    rows = run.json("collected.json")["rows"]
    assert (rows["batched"], rows["quarantined"], path.exists()) == (1, int(not is_left), is_left)
    if is_left:
        kind, why = left(run)[name]
        assert kind == "waiting"
        assert "rename it once it is whole" in why
    else:
        (refused,) = run.json("collected.json")["refused"]
        assert "unknown kind of file" in refused["message"]
        assert "Give the file one of the endings .json .jsonl .csv .parquet" in refused["message"]


def test_an_upload_whose_name_carries_the_hash_of_its_content_is_whole(desk: Desk) -> None:
    content = b"no intents"
    desk.inbox.mkdir(parents=True, exist_ok=True)
    (desk.inbox / name_with_hash("a.csv.part1", hash_of(content))).write_bytes(content)
    assert desk.run().json("collected.json")["rows"]["quarantined"] == 1


def test_a_young_file_is_not_even_opened(desk: Desk) -> None:
    def never(inbox: Inbox, file: Dropped, *, max_bytes: int) -> Reading | Left:
        raise EngineError("it was opened")

    desk.drop("a.json", order(), age_s=1)
    assert left(desk.run(context=tampered(desk.context(), read=never)))["a.json"][0] == "waiting"
