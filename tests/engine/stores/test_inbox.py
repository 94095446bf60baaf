from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.intents.reading import IntentFile, read_intent_file
from engine.stores.inbox.files import name_with_hash
from engine.stores.inbox.inbox import Dropped, Found, Inbox, Left, Reading, drop_file


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    (tmp_path / "inbox").mkdir()
    return Inbox(tmp_path / "inbox")


def put(inbox: Inbox, name: str, content: bytes = b"{}") -> Dropped:
    path = inbox.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return found(inbox)[name]


def found(inbox: Inbox) -> dict[str, Dropped]:
    return {file.name: file for file in inbox.find().files}


def content_of(inbox: Inbox, file: Dropped) -> bytes | None:
    """Read a file that may be read; None where it is left for a later run."""
    reading = inbox.read(file, max_bytes=1000)
    if isinstance(reading, Left):
        assert reading.kind == "waiting"
        return None
    return reading.content


def contents(inbox: Inbox) -> dict[str, bytes]:
    """Return every file, hidden ones too."""
    files = sorted(path for path in inbox.root.rglob("*") if path.is_file())
    return {path.relative_to(inbox.root).as_posix(): path.read_bytes() for path in files}


def read_back(path: Path) -> IntentFile:
    return read_intent_file(path.name, path.read_bytes(), file_time_us=0, trading_date=date(2026, 3, 2))


# --- what is looked at


def test_files_are_found_by_name_in_any_sub_folder(inbox: Inbox) -> None:
    for name in ("b.csv", "desk/us/a.json", "a.csv"):
        put(inbox, name)
    assert [file.name for file in inbox.find().files] == ["a.csv", "b.csv", "desk/us/a.json"]


@pytest.mark.parametrize(
    "name", [".a.csv", "_a.csv", "a.csv.tmp", "a.part", "A.TMP", "A.Part", ".d/a.csv", "_d/a.csv"]
)
def test_a_name_that_says_unfinished_or_private_is_left_alone(inbox: Inbox, name: str) -> None:
    path = inbox.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}")
    assert inbox.find().files == []
    (left,) = inbox.find().left
    assert (left.kind, name.startswith(left.name.rstrip("/"))) == ("waiting", True)


def test_an_inbox_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert Inbox(tmp_path / "none").find() == Found([], [], is_complete=False)


def left(inbox: Inbox) -> dict[str, tuple[str, str]]:
    """Return kind and reason of what is left alone, by name."""
    return {one.name: (one.kind, one.why) for one in inbox.find().left}


def test_a_link_is_left_and_named_whatever_it_points_to(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_bytes(b"[]")
    put(inbox, "good.json")
    targets = ("good.json", "nowhere.json", "loop.json", str(tmp_path / "elsewhere.json"), "/dev/zero")
    for number, target in enumerate(targets):
        (inbox.root / f"{number}.json").symlink_to(target)
    assert list(found(inbox)) == ["good.json"]
    assert {name: kind for name, (kind, _) in left(inbox).items()} == {
        f"{number}.json": "blocked" for number in range(len(targets))
    }
    assert "it is a link, which is not followed" in left(inbox)["0.json"][1]


@pytest.mark.parametrize("target", [".", "/etc"])
def test_a_linked_folder_is_left_and_named_and_not_looked_into(inbox: Inbox, target: str) -> None:
    put(inbox, "a.json")
    (inbox.root / "linked").symlink_to(target, target_is_directory=True)
    assert list(found(inbox)) == ["a.json"]
    assert list(left(inbox)) == ["linked"]


def test_a_pipe_a_socket_and_a_device_are_left_and_named_and_nothing_waits_for_them(inbox: Inbox) -> None:
    os.mkfifo(inbox.root / "pipe.json")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(inbox.root / "socket.json"))
    put(inbox, "good.json")
    expected = {
        "pipe.json": ("blocked", "it is a pipe, not a file; remove it"),
        "socket.json": ("blocked", "it is a socket, not a file; remove it"),
    }
    with suppress(PermissionError):  # devices are made by root alone, and not in every container
        os.mknod(inbox.root / "zero.json", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        expected["zero.json"] = ("blocked", "it is a device, not a file; remove it")
    assert list(found(inbox)) == ["good.json"]
    assert left(inbox) == expected


def test_a_hard_link_to_a_file_outside_is_left_and_one_to_a_file_inside_is_a_file(
    inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"[]")
    os.link(tmp_path / "secret", inbox.root / "outside.json")
    put(inbox, "good.json")
    os.link(inbox.root / "good.json", inbox.root / "again.json")
    assert list(found(inbox)) == ["again.json", "good.json"]
    assert "hard link to a file outside" in left(inbox)["outside.json"][1]


def test_a_folder_that_cannot_be_listed_is_named_and_the_others_are_looked_at(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox, "broken/a.json")
    put(inbox, "good/b.json")
    broken, scandir = (inbox.root / "broken").stat().st_ino, os.scandir

    def fails(folder: int) -> object:
        if os.fstat(folder).st_ino == broken:
            raise OSError(5, "Input/output error")
        return scandir(folder)

    monkeypatch.setattr("os.scandir", fails)
    assert list(found(inbox)) == ["good/b.json"]
    kind, why = left(inbox)["broken/"]
    assert (kind, "can't be listed (Input/output error)" in why) == ("blocked", True)
    assert not inbox.find().is_complete


def test_an_inbox_that_links_to_a_share_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").symlink_to(tmp_path / "unmounted")
    ((name, (kind, why)),) = left(Inbox(tmp_path / "inbox")).items()
    assert (name, kind) == ("the inbox", "blocked")
    assert "can't be listed (No such file" in why


def test_folders_are_looked_into_down_to_the_limit_and_deeper_ones_are_named(inbox: Inbox) -> None:
    put(inbox, "1/2/a.json")
    put(inbox, "1/2/3/b.json")
    at_limit = inbox.find(max_depth=2)
    assert [file.name for file in at_limit.files] == ["1/2/a.json"]
    assert [(one.name, one.kind) for one in at_limit.left] == [("1/2/3/", "blocked")]
    assert "EXEC_INBOX_MAX_DEPTH" in at_limit.left[0].why


def test_a_thousand_folders_below_each_other_are_no_obstacle(inbox: Inbox) -> None:
    put(inbox, "good.json")
    here = os.open(inbox.root, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    for max_depth in (16, 999_999_999):
        inbox.recover(max_depth=max_depth)
        search = inbox.find(max_depth=max_depth)
        assert [file.name for file in search.files] == ["good.json"]
        assert len(search.left) == 1
    subprocess.run(["rm", "-rf", str(inbox.root)], check=True)  # pytest can't


@pytest.mark.parametrize(
    "name",
    [
        *("Thumbs.db", "thumbs.db", ".DS_Store", "desktop.ini", "~$book.csv", ".~lock.book.csv#", "a.csv~"),
        *("a.csv.filepart", "a.csv.FILEPART", "a.csv.crdownload", "a.csv.upload", "a.csv.uploading"),
        *("a.csv.aria2", "a.csv.!ut", "a.csv.opdownload", "a.csv.lftp-pget-status", "a.csv.lock"),
    ],
)
def test_files_of_others_and_unfinished_ones_wait_and_are_named(inbox: Inbox, name: str) -> None:
    (inbox.root / name).write_bytes(b"{}")
    assert found(inbox) == {}
    assert left(inbox)[name][0] == "waiting"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, True) for name in ("a.csv.part1", "a.csv.AbC123", "a.parquet.dtapart", "a.CSV.Xyz.gz")),
        *(
            (name, True)
            for name in ("a.part1", "a.dtapart", "a.tmp123", "a.temp.7", "a.uploading2", "a.csv.1")
        ),
        *((name, False) for name in ("a.csv", "a.csv.gz", "a.part1.csv", "a.tmp.b.jsonl.gz", "a.tmp.JSON")),
        *((name, False) for name in ("a.txt", "a.xlsx", "part1", "csv", "apart", "a", "parts/a.txt")),
    ],
)
def test_a_name_of_no_known_kind_may_be_one_of_an_upload(inbox: Inbox, name: str, expected: bool) -> None:
    assert put(inbox, name).is_perhaps_an_upload is expected


def test_a_name_that_is_not_utf_8_can_be_printed(inbox: Inbox) -> None:
    (inbox.root / os.fsdecode(b"caf\xe9.json")).write_bytes(b"[]")
    (file,) = inbox.find().files
    assert file.printable_name == "caf\\udce9.json"


# --- reading


def test_a_file_is_read_as_it_was_found(inbox: Inbox) -> None:
    assert content_of(inbox, put(inbox, "a.json", b"[1]")) == b"[1]"


def test_a_file_that_grew_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl", b"{}\n")
    with (inbox.root / "a.jsonl").open("ab") as opened:
        opened.write(b"{}\n")
    assert content_of(inbox, file) is None


def test_a_file_that_was_replaced_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    (inbox.root / "new").write_bytes(b"[2]")
    os.utime(inbox.root / "new", ns=(file.mtime_ns, file.mtime_ns))
    (inbox.root / "new").replace(inbox.root / "a.json")
    assert content_of(inbox, file) is None


def test_a_file_that_went_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.json")
    (inbox.root / "a.json").unlink()
    assert content_of(inbox, file) is None


def test_what_took_the_place_of_a_file_that_was_found_is_never_followed_nor_waited_for(
    inbox: Inbox, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"{}")
    for replace in (lambda path: path.symlink_to(tmp_path / "secret"), os.mkfifo):
        file = put(inbox, "a.json")
        (inbox.root / "a.json").unlink()
        replace(inbox.root / "a.json")
        assert isinstance(inbox.read(file, max_bytes=100), Left)
        (inbox.root / "a.json").unlink()


def test_a_folder_that_was_swapped_for_a_link_is_not_followed(inbox: Inbox, tmp_path: Path) -> None:
    file = put(inbox, "desk/a.json")
    (inbox.root / "desk").rename(tmp_path / "desk")
    (inbox.root / "desk").symlink_to(tmp_path / "desk")
    assert isinstance(inbox.read(file, max_bytes=100), Left)
    assert isinstance(inbox.remove(file), Left)
    assert (tmp_path / "desk/a.json").exists()


def test_a_file_above_the_limit_is_not_read(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"12345")
    whole, unread = inbox.read(file, max_bytes=5), inbox.read(file, max_bytes=4)
    assert (isinstance(whole, Reading), isinstance(unread, Reading)) == (True, True)
    assert (whole.content, unread.content) == (b"12345", None)  # type: ignore[union-attr]


def test_a_sparse_file_of_a_terabyte_costs_nothing(inbox: Inbox) -> None:
    put(inbox, "a.json")
    os.truncate(inbox.root / "a.json", 1 << 40)
    reading = inbox.read(found(inbox)["a.json"], max_bytes=1 << 28)
    assert isinstance(reading, Reading)
    assert reading.content is None


# --- while it is written


def test_a_file_that_a_program_has_open_for_writing_waits(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl")
    with (inbox.root / "a.jsonl").open("ab"):
        assert inbox.read(file, max_bytes=100) == file.waits("a program has it open for writing")
    assert content_of(inbox, file) == b"{}"


def test_a_file_that_another_program_reads_is_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl")
    with (inbox.root / "a.jsonl").open("rb"):
        assert content_of(inbox, file) == b"{}"


def test_a_writer_that_comes_while_a_file_is_read_is_held_up_and_ends_nothing(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, writers = put(inbox, "a.jsonl"), []
    fdopen = os.fdopen

    def fdopen_while_a_writer_comes(*said: Any, **more: Any) -> Any:
        append = f"open({str(inbox.root / 'a.jsonl')!r}, 'a').write('late')"
        writers.append(subprocess.Popen([sys.executable, "-c", append]))
        with pytest.raises(subprocess.TimeoutExpired):
            writers[0].wait(0.5)
        return fdopen(*said, **more)

    monkeypatch.setattr("os.fdopen", fdopen_while_a_writer_comes)
    reading = inbox.read(file, max_bytes=100)
    assert isinstance(reading, Reading)
    assert reading.content == b"{}"
    assert writers[0].wait(10) == 0
    assert inbox.remove(file) is None
    assert contents(inbox) == {"a.jsonl": b"{}late"}


def test_a_consumed_file_that_a_program_has_open_for_writing_stays_for_what_it_appends(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl", b"{}\n")
    with (inbox.root / "a.jsonl").open("ab") as opened:
        stays = inbox.remove(file)
        opened.write(b"{}\n")
    assert stays is not None
    assert stays.kind == "waiting"
    assert contents(inbox) == {"a.jsonl": b"{}\n{}\n"}


# --- removing


def test_a_consumed_file_leaves_nothing_behind(inbox: Inbox) -> None:
    assert inbox.remove(put(inbox, "desk/a.json")) is None
    assert contents(inbox) == {}


def test_removing_what_has_gone_already_is_no_error(inbox: Inbox) -> None:
    file = put(inbox, "a.json")
    inbox.remove(file)
    assert inbox.remove(file) is None


def test_a_file_that_took_the_place_of_the_consumed_one_stays(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    (inbox.root / "new").write_bytes(b"[2]")
    (inbox.root / "new").replace(inbox.root / "a.json")
    assert inbox.remove(file) is None
    assert contents(inbox) == {"a.json": b"[2]"}


def test_a_consumed_file_that_has_grown_meanwhile_stays(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl", b"{}\n")
    with (inbox.root / "a.jsonl").open("ab") as opened:
        opened.write(b"{}\n")
    assert inbox.remove(file) is None
    assert contents(inbox) == {"a.jsonl": b"{}\n{}\n"}


def test_two_files_that_come_while_one_is_removed_both_stay(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(inbox, "a.json", b"[1]")
    path = inbox.root / "a.json"
    path.unlink()
    path.write_bytes(b"[22]")
    rename = os.rename

    def rename_while_another_is_dropped(*said: Any, **more: Any) -> None:
        rename(*said, **more)
        path.write_bytes(b"[333]")

    monkeypatch.setattr("os.rename", rename_while_another_is_dropped)
    assert inbox.remove(file) is None
    assert contents(inbox) == {"a.json": b"[333]", "a-2.json": b"[22]"}


# --- a job that dies while it removes


def died_aside(inbox: Inbox, name: str) -> None:
    """Leave a file as a job does that dies between moving it aside and looking at it."""
    path = inbox.root / name
    path.rename(path.with_name(f".consumed-{path.name}"))


def test_removal_goes_on_where_a_killed_job_left_it(inbox: Inbox) -> None:
    file = put(inbox, "desk/a.json", b"[1]")
    died_aside(inbox, "desk/a.json")
    assert inbox.remove(file) is None
    assert contents(inbox) == {}


def test_removal_that_goes_on_spares_a_file_that_came_meanwhile(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    died_aside(inbox, "a.json")
    put(inbox, "a.json", b"[2]")
    assert inbox.remove(file) is None
    assert contents(inbox) == {"a.json": b"[2]"}


def test_a_newcomer_that_a_killed_job_had_moved_aside_is_not_written_over(inbox: Inbox) -> None:
    consumed = put(inbox, "a.json", b"[1]")
    (inbox.root / "a.json").unlink()
    put(inbox, "a.json", b"[22]")
    died_aside(inbox, "a.json")
    put(inbox, "a.json", b"[333]")
    assert inbox.remove(consumed) is None
    assert sorted(contents(inbox).values()) == [b"[22]", b"[333]"]
    assert not any(name.startswith(".") for name in contents(inbox))


def test_a_file_left_aside_that_no_batch_knows_comes_back(inbox: Inbox) -> None:
    put(inbox, "desk/a.json", b"[1]")
    died_aside(inbox, "desk/a.json")
    inbox.recover()
    assert contents(inbox) == {"desk/a.json": b"[1]"}


def test_a_file_that_comes_back_makes_room_for_the_one_in_its_place(inbox: Inbox) -> None:
    put(inbox, "a.json", b"[1]")
    died_aside(inbox, "a.json")
    put(inbox, "a.json", b"[2]")
    inbox.recover()
    assert contents(inbox) == {"a.json": b"[2]", "a-2.json": b"[1]"}


def test_a_file_that_comes_back_keeps_the_endings_that_say_its_kind(inbox: Inbox) -> None:
    put(inbox, "a.csv.gz", b"old")
    died_aside(inbox, "a.csv.gz")
    put(inbox, "a.csv.gz", b"new")
    inbox.recover()
    assert contents(inbox) == {"a.csv.gz": b"new", "a-2.csv.gz": b"old"}


def test_a_file_that_was_put_back_by_a_killed_job_is_one_file(inbox: Inbox) -> None:
    put(inbox, "a.json", b"[1]")
    os.link(inbox.root / "a.json", inbox.root / ".consumed-a.json")
    inbox.recover()
    assert contents(inbox) == {"a.json": b"[1]"}


# --- dropping


@pytest.mark.parametrize("name", ["", ".a.json", "_a.json", "a.tmp", "a.PART", "d/a.json", "a" * 200])
def test_a_name_that_would_never_be_looked_at_is_refused(inbox: Inbox, name: str) -> None:
    with pytest.raises(UsageError, match="is a name that the inbox leaves alone"):
        drop_file(name, b"{}", inbox.root)
    assert contents(inbox) == {}


# --- names


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("a.csv", "a.0123456789abcdef.csv"),
        ("a.csv.gz", "a.0123456789abcdef.csv.gz"),
        ("desk/us.east/a.json", "desk/us.east/a.0123456789abcdef.json"),
        ("plain", "plain.0123456789abcdef"),
        ("a.0123456789abcdef.csv", "a.0123456789abcdef.csv"),
        ("a.0123456789abcdef", "a.0123456789abcdef"),
        ("a.fedcba9876543210.csv", "a.0123456789abcdef.fedcba9876543210.csv"),
    ],
)
def test_a_hash_goes_before_the_endings_of_a_name_once(name: str, hashed: str) -> None:
    assert name_with_hash(name, "0123456789abcdef") == hashed
