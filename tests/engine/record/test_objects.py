from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import AlreadyWritten, RecordError
from engine.record.objects import LocalObjects, many_puts

KEY = "runs/2026-03-02/one/run.json"


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "data")


def test_an_object_is_read_as_it_was_put(objects: LocalObjects) -> None:
    objects.put(KEY, b"\x00 whole \xff")
    assert objects.read(KEY) == b"\x00 whole \xff"


def test_an_arrow_buffer_is_kept_like_bytes(objects: LocalObjects) -> None:
    objects.put(KEY, pa.py_buffer(b"whole"))
    assert objects.read(KEY) == b"whole"


def test_an_empty_object_is_an_object(objects: LocalObjects) -> None:
    objects.put(KEY, b"")
    assert (objects.read(KEY), objects.list("runs/")) == (b"", [KEY])


def test_a_taken_key_is_refused_and_its_content_stays(objects: LocalObjects) -> None:
    objects.put(KEY, b"first")
    with pytest.raises(AlreadyWritten, match=r"one/run\.json exists already"):
        objects.put(KEY, b"second")
    assert objects.read(KEY) == b"first"


def test_of_many_that_put_the_same_key_at_once_one_wins_and_its_content_is_whole(
    objects: LocalObjects,
) -> None:
    contents = [bytes([65 + i]) * 300_000 for i in range(8)]

    def put(content: bytes) -> bytes | None:
        try:
            objects.put(KEY, content)
        except AlreadyWritten:
            return None
        return content

    with ThreadPoolExecutor(8) as pool:
        won = [content for content in pool.map(put, contents) if content is not None]
    assert won == [objects.read(KEY)]


def test_a_put_that_fails_half_way_leaves_nothing_to_see(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_is_full(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", disk_is_full)
        with pytest.raises(OSError, match="No space"):
            objects.put(KEY, b"whole")
    assert objects.list("runs/") == []
    with pytest.raises(RecordError):
        objects.read(KEY)


def test_what_a_failed_put_left_does_not_stand_in_the_way_of_the_next(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link_fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.link", link_fails)
        with pytest.raises(OSError, match="Input/output"):
            objects.put(KEY, b"torn")
    objects.put(KEY, b"whole")
    assert (objects.read(KEY), objects.list("runs/")) == (b"whole", [KEY])


def test_a_put_that_was_killed_after_it_took_the_name_is_never_overwritten_by_the_next(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "unlink", lambda *_, **__: None
        )  # the draft stays, as a second name of the object
        objects.put(KEY, b"first")
    with pytest.raises(AlreadyWritten):
        objects.put(KEY, b"another")
    assert objects.read(KEY) == b"first"


def test_an_object_and_the_folders_made_for_it_are_flushed_to_the_disk(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(
        "os.fsync", lambda descriptor: flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    objects.put("runs/day/run.json", b"whole")
    root = objects.root
    assert {str(folder) for folder in (root.parent, root, root / "runs", root / "runs/day")} <= set(flushed)
    assert any("run.json" in path for path in flushed)


def test_keys_are_listed_in_order_and_below_their_prefix_only(objects: LocalObjects) -> None:
    for key in ("runs/b/2.json", "archive/x", "runs/a/10.json", "runs/a/1.json"):
        objects.put(key, b"")
    assert objects.list("runs/") == ["runs/a/1.json", "runs/a/10.json", "runs/b/2.json"]
    assert objects.list("runs/a/") == ["runs/a/1.json", "runs/a/10.json"]


def test_a_prefix_without_objects_lists_nothing(objects: LocalObjects) -> None:
    assert objects.list("runs/") == []


def test_a_pipe_is_not_waited_for(objects: LocalObjects) -> None:
    (objects.root / "overrides").mkdir(parents=True)
    os.mkfifo(objects.root / "overrides" / "mine.toml")
    with pytest.raises(RecordError, match=r"mine\.toml can't be read: it is a pipe or a device\. Move it"):
        objects.read("overrides/mine.toml")


def test_reading_what_is_not_there_says_which_file_is_missing(objects: LocalObjects) -> None:
    with pytest.raises(RecordError, match=r"one/run\.json can't be read: it does not exist"):
        objects.read(KEY)


def test_a_deleted_object_is_gone_and_its_key_is_free(objects: LocalObjects) -> None:
    objects.put(KEY, b"first")
    objects.delete(KEY)
    assert objects.list("runs/") == []
    objects.put(KEY, b"second")
    assert objects.read(KEY) == b"second"


def test_deleting_what_is_not_there_is_no_error(objects: LocalObjects) -> None:
    objects.delete(KEY)
    assert objects.list("runs/") == []


# --- what can't be listed is unknown


def failing_to_list(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the system fail to list a folder, as a broken disk or a share that went away does."""
    scandir = os.scandir

    def fails(place: Path) -> object:
        if Path(place) == folder:
            raise OSError(5, "Input/output error", str(place))
        return scandir(place)

    monkeypatch.setattr("os.scandir", fails)


@pytest.mark.parametrize("folder", ["runs", "runs/2026-03-02", "runs/2026-03-02/one"])
def test_a_folder_that_cannot_be_listed_is_an_error_and_never_empty(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    objects.put(KEY, b"whole")
    failing_to_list(monkeypatch, objects.root / folder)
    with pytest.raises(RecordError, match=rf"{folder} can't be listed, .*: its disk reports a fault"):
        objects.list("runs/")


def test_a_place_that_links_to_a_disk_that_is_not_there_is_an_error(
    objects: LocalObjects, tmp_path: Path
) -> None:
    objects.root.mkdir()
    (objects.root / "runs").symlink_to(tmp_path / "unmounted")
    with pytest.raises(RecordError, match="runs can't be listed"):
        objects.list("runs/")


def test_a_place_may_be_a_link_to_another_disk(objects: LocalObjects, tmp_path: Path) -> None:
    objects.root.mkdir()
    (tmp_path / "disk").mkdir()
    (objects.root / "runs").symlink_to(tmp_path / "disk")
    objects.put(KEY, b"whole")
    assert objects.list("runs/") == [KEY]
    assert (tmp_path / "disk/2026-03-02/one/run.json").read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["2026-03-03", "2026-03-02/two"])
def test_a_link_below_a_place_is_an_error_and_never_passed_over(
    objects: LocalObjects, tmp_path: Path, name: str
) -> None:
    objects.put(KEY, b"whole")
    (tmp_path / "elsewhere").mkdir()
    (objects.root / "runs" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match=rf"{name} is a link, which is not followed"):
        objects.list("runs/")


# --- never written through a link


@pytest.mark.parametrize("name", ["2026-03-02", "2026-03-02/one"])
def test_nothing_is_written_through_a_link_below_a_place(
    objects: LocalObjects, tmp_path: Path, name: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = objects.root / "runs" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="nothing is written below it"):
        objects.put(KEY, b"whole")
    assert list((tmp_path / "elsewhere").rglob("*")) == []


def test_a_link_in_the_place_of_an_object_is_not_written_through(
    objects: LocalObjects, tmp_path: Path
) -> None:
    (objects.root / KEY).parent.mkdir(parents=True)
    (objects.root / KEY).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AlreadyWritten):
        objects.put(KEY, b"whole")
    assert not (tmp_path / "elsewhere").exists()


# --- many at once


def test_of_many_puts_each_file_is_flushed_and_each_folder_once_after_all_of_them(
    objects: LocalObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects.put("archive/day/first", b"")
    flushed: list[Path] = []
    monkeypatch.setattr(
        "os.fsync", lambda descriptor: flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
    )
    with many_puts(objects) as later:
        for number in range(3):
            later.put(f"archive/day/{number}", b"whole")
    folder = objects.root / "archive/day"
    assert [path.parent for path in flushed[:3]] == [folder] * 3
    assert flushed[3:] == [folder]
