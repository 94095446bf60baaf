from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from engine.errors import EngineError, UsageError
from engine.intents.reading import IntentFile, read_intent_file
from engine.stores.inbox import Dropped, Inbox, drop_file, name_with_hash

UNREADABLE = Path("/proc/self/mem")
"""A regular file that even root can open and not read."""


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
    return {file.name: file for file in inbox.waiting()}


def contents(inbox: Inbox) -> dict[str, bytes]:
    """Give every file, hidden ones too."""
    files = sorted(path for path in inbox.root.rglob("*") if path.is_file())
    return {path.relative_to(inbox.root).as_posix(): path.read_bytes() for path in files}


def read_back(path: Path) -> IntentFile:
    return read_intent_file(path.name, path.read_bytes(), file_time_us=0, trading_date=date(2026, 3, 2))


# --- what is looked at


def test_files_are_found_by_name_in_any_sub_folder(inbox: Inbox) -> None:
    for name in ("b.csv", "desk/us/a.json", "a.csv"):
        put(inbox, name)
    assert [file.name for file in inbox.waiting()] == ["a.csv", "b.csv", "desk/us/a.json"]


@pytest.mark.parametrize(
    "name", [".a.csv", "_a.csv", "a.csv.tmp", "a.part", "A.TMP", "A.Part", ".d/a.csv", "_d/a.csv"]
)
def test_a_name_that_says_unfinished_or_private_is_left_alone(inbox: Inbox, name: str) -> None:
    path = inbox.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}")
    assert inbox.waiting() == []


def test_an_inbox_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert Inbox(tmp_path / "none").waiting() == []


def test_a_link_to_a_file_counts_as_that_file(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_bytes(b"[]")
    (inbox.root / "link.json").symlink_to(tmp_path / "elsewhere.json")
    file = found(inbox)["link.json"]
    assert inbox.read(file) == b"[]"


def test_a_consumed_link_leaves_the_inbox_and_its_target_stays(inbox: Inbox, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.json"
    target.write_bytes(b"[]")
    (inbox.root / "link.json").symlink_to(target)
    assert inbox.remove(found(inbox)["link.json"])
    assert (list(inbox.root.iterdir()), target.read_bytes()) == ([], b"[]")


def test_a_link_to_nowhere_is_passed_over(inbox: Inbox) -> None:
    (inbox.root / "link.json").symlink_to("nowhere.json")
    assert inbox.waiting() == []


def test_a_link_to_itself_is_told_of_and_hides_nothing_else(inbox: Inbox) -> None:
    (inbox.root / "loop.json").symlink_to("loop.json")
    put(inbox, "good.json")
    files = found(inbox)
    assert sorted(files) == ["good.json", "loop.json"]
    with pytest.raises(EngineError, match=r"loop\.json can't be read \(Too many levels"):
        inbox.read(files["loop.json"])


def test_a_folder_that_links_to_its_parent_is_not_followed(inbox: Inbox) -> None:
    put(inbox, "a.json")
    (inbox.root / "loop").symlink_to(inbox.root, target_is_directory=True)
    assert list(found(inbox)) == ["a.json"]


def test_a_pipe_is_passed_over_and_nobody_waits_for_its_writer(inbox: Inbox) -> None:
    os.mkfifo(inbox.root / "pipe.json")
    assert inbox.waiting() == []


def test_a_name_that_is_not_utf_8_can_be_printed(inbox: Inbox) -> None:
    (inbox.root / os.fsdecode(b"caf\xe9.json")).write_bytes(b"[]")
    (file,) = inbox.waiting()
    assert file.printable_name == "caf\\udce9.json"


# --- reading


def test_a_file_is_read_as_it_was_found(inbox: Inbox) -> None:
    assert inbox.read(put(inbox, "a.json", b"[1]")) == b"[1]"


def test_a_file_that_grew_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl", b"{}\n")
    with (inbox.root / "a.jsonl").open("ab") as opened:
        opened.write(b"{}\n")
    assert inbox.read(file) is None


def test_a_file_that_was_replaced_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    (inbox.root / "new").write_bytes(b"[2]")
    os.utime(inbox.root / "new", ns=(file.mtime_ns, file.mtime_ns))
    (inbox.root / "new").replace(inbox.root / "a.json")
    assert inbox.read(file) is None


def test_a_file_that_went_since_it_was_found_is_not_taken(inbox: Inbox) -> None:
    file = put(inbox, "a.json")
    (inbox.root / "a.json").unlink()
    assert inbox.read(file) is None


def test_a_file_that_cannot_be_read_is_an_error_that_says_which_and_why(inbox: Inbox) -> None:
    (inbox.root / "a.json").symlink_to(UNREADABLE)
    with pytest.raises(EngineError, match=r"inbox/a\.json can't be read \(Input/output error\); mend"):
        inbox.read(found(inbox)["a.json"])


# --- removing


def test_a_consumed_file_leaves_nothing_behind(inbox: Inbox) -> None:
    assert inbox.remove(put(inbox, "desk/a.json"))
    assert contents(inbox) == {}


def test_removing_what_has_gone_already_is_no_error(inbox: Inbox) -> None:
    file = put(inbox, "a.json")
    inbox.remove(file)
    assert not inbox.remove(file)


def test_a_file_that_took_the_place_of_the_consumed_one_stays(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    (inbox.root / "new").write_bytes(b"[2]")
    (inbox.root / "new").replace(inbox.root / "a.json")
    assert not inbox.remove(file)
    assert contents(inbox) == {"a.json": b"[2]"}


def test_a_consumed_file_that_has_grown_meanwhile_stays(inbox: Inbox) -> None:
    file = put(inbox, "a.jsonl", b"{}\n")
    with (inbox.root / "a.jsonl").open("ab") as opened:
        opened.write(b"{}\n")
    assert not inbox.remove(file)
    assert contents(inbox) == {"a.jsonl": b"{}\n{}\n"}


def test_two_files_that_come_while_one_is_removed_both_stay(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(inbox, "a.json", b"[1]")
    path = inbox.root / "a.json"
    path.unlink()
    path.write_bytes(b"[22]")
    rename = Path.rename

    def rename_while_another_is_dropped(self: Path, target: Path) -> Path:
        moved = rename(self, target)
        path.write_bytes(b"[333]")
        return moved

    monkeypatch.setattr(Path, "rename", rename_while_another_is_dropped)
    assert not inbox.remove(file)
    assert contents(inbox) == {"a.json": b"[333]", "a-2.json": b"[22]"}


# --- a job that dies while it removes


def died_aside(inbox: Inbox, name: str) -> None:
    """Leave a file as a job does that dies between moving it aside and looking at it."""
    path = inbox.root / name
    path.rename(path.with_name(f".consumed-{path.name}"))


def test_removal_goes_on_where_a_killed_job_left_it(inbox: Inbox) -> None:
    file = put(inbox, "desk/a.json", b"[1]")
    died_aside(inbox, "desk/a.json")
    assert inbox.remove(file)
    assert contents(inbox) == {}


def test_removal_that_goes_on_spares_a_file_that_came_meanwhile(inbox: Inbox) -> None:
    file = put(inbox, "a.json", b"[1]")
    died_aside(inbox, "a.json")
    put(inbox, "a.json", b"[2]")
    assert inbox.remove(file)
    assert contents(inbox) == {"a.json": b"[2]"}


def test_a_newcomer_that_a_killed_job_had_moved_aside_is_not_written_over(inbox: Inbox) -> None:
    consumed = put(inbox, "a.json", b"[1]")
    (inbox.root / "a.json").unlink()
    put(inbox, "a.json", b"[22]")
    died_aside(inbox, "a.json")
    put(inbox, "a.json", b"[333]")
    assert not inbox.remove(consumed)
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
