from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.desk import content_of, order
from tests.jobs.command_line import Command, jsonl, waiting


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with two good files, beside names that can't be dropped."""
    for name in ("a.csv", "b.jsonl", "_draft.csv", "notes.txt"):
        (tmp_path / name).write_bytes(content_of(name, [order()]))
    (tmp_path / "folder.csv").mkdir()
    return tmp_path


def test_files_beside_one_that_is_missing_are_dropped(cli: Command, data: Path, files: Path) -> None:
    done = cli("drop", files / "a.csv", files / "missing.csv", files / "b.jsonl")
    assert done.code == 2
    assert [name.split(".")[0] for name in waiting(data)] == ["a", "b"]
    assert done.err == f"error: {files}/missing.csv: not dropped: there is no such file.\n"
    assert done.out.count("dropped ") == 2


def test_every_file_that_is_not_dropped_is_named_with_its_reason(
    cli: Command, data: Path, files: Path
) -> None:
    names = ["a.csv", "missing.csv", "_draft.csv", "notes.txt", "folder.csv"]
    done = cli("drop", "--json", *(files / name for name in names))
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert [Path(path).name.split(".")[0] for path in done.json["dropped"]] == ["a"]
    whys = {Path(failure["file"]).name: failure["why"] for failure in done.json["failed"]}
    assert list(whys) == names[1:]
    assert "no such file" in whys["missing.csv"]
    assert "leaves alone" in whys["_draft.csv"]
    assert "of no known kind" in whys["notes.txt"]
    assert "it is a folder" in whys["folder.csv"]


def test_a_file_that_cannot_be_read_does_not_hold_the_others_back(
    cli: Command, data: Path, files: Path
) -> None:
    (files / "c.csv").symlink_to("/proc/self/mem")
    done = cli("drop", files / "c.csv", files / "a.csv")
    assert done.code == 2
    assert "it can't be read (" in done.err
    assert len(waiting(data)) == 1


def test_a_device_is_not_read(cli: Command, data: Path, files: Path) -> None:
    (files / "c.csv").symlink_to("/dev/zero")
    assert "it is a device" in cli("drop", files / "c.csv").err


def test_a_file_that_is_larger_than_the_inbox_takes_is_not_read(
    cli: Command, data: Path, files: Path
) -> None:
    with (files / "huge.csv").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    done = cli("drop", files / "huge.csv", files / "a.csv", EXEC_INBOX_MAX_FILE_BYTES="1000")
    assert done.code == 2
    assert "more than 1000 bytes" in done.err
    assert "EXEC_INBOX_MAX_FILE_BYTES" in done.err
    assert [name.split(".")[0] for name in waiting(data)] == ["a"]


def test_standard_input_is_read_no_further_than_the_inbox_takes(cli: Command, data: Path) -> None:
    done = cli("drop", stdin=jsonl(order()) * 100, EXEC_INBOX_MAX_FILE_BYTES="1000")
    assert done.code == 2
    assert "error: -: not dropped: it has more than 1000 bytes" in done.err
    assert waiting(data) == []


def test_an_inbox_that_cannot_be_written_is_safe_to_try_again(cli: Command, data: Path, files: Path) -> None:
    data.mkdir()
    (data / "inbox").write_text("")
    done = cli("drop", "--json", files / "a.csv", files / "b.jsonl")
    assert done.code == 1
    assert [Path(failure["file"]).name for failure in done.json["failed"]] == ["a.csv", "b.jsonl"]
    assert all("can't be written" in failure["why"] for failure in done.json["failed"])
