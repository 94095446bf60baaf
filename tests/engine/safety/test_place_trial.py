from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.safety.place_trial import inbox_remarks, try_place, try_places

Break = Callable[[pytest.MonkeyPatch], None]


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def no_locks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fcntl, "flock", refusing(errno.ENOLCK))


def locks_not_supported(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fcntl, "flock", refusing(errno.EOPNOTSUPP))


def locks_that_lie(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fcntl, "flock", lambda *_: None)


def no_locks_of_ranges(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fcntl, "fcntl", refusing(errno.ENOLCK))


def locks_of_ranges_that_lie(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fcntl, "fcntl", lambda *_: None)


def no_hard_links(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "link", refusing(errno.EPERM))


def links_that_overwrite(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "link", os.replace)


def full(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", refusing(errno.ENOSPC))


def no_flushes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "fsync", refusing(errno.EINVAL))


@pytest.mark.parametrize(
    ("broken", "promise", "why"),
    [
        (no_locks, "one run at a time", "has no locks"),
        (locks_not_supported, "one run at a time", "has no locks"),
        (locks_that_lie, "one run at a time", "grants the same lock twice"),
        (no_locks_of_ranges, "one writer of engine.db at a time", "has no locks"),
        (locks_of_ranges_that_lie, "one writer of engine.db at a time", "the same range of a file twice"),
        (no_hard_links, "files of record that are written once, whole", "takes no hard links"),
        (links_that_overwrite, "files of record that are written once, whole", "take the name of another"),
        (full, "a record that outlives a power cut", "its disk is full"),
        (no_flushes, "a record that outlives a power cut", "the system refuses it"),
    ],
)
def test_a_promise_that_can_not_be_kept_is_named_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Break, promise: str, why: str
) -> None:
    with monkeypatch.context() as patch:
        broken(patch)
        (unkept,) = try_places(tmp_path)
    assert (unkept.place, unkept.promise) == (tmp_path, promise)
    assert why in unkept.why
    assert f"{tmp_path} can't be used" in unkept.why
    assert [*tmp_path.iterdir()] == []


def test_a_sound_place_keeps_every_promise_and_nothing_of_the_trial_stays(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert try_places(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_each_disk_below_a_data_folder_is_tried(tmp_path: Path, other_disk: Path) -> None:
    (tmp_path / "runs").symlink_to(other_disk)
    (tmp_path / "archive").mkdir()
    tried = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", lambda first, _: tried.append(Path(first).parent.parent))
        places = [one.place for one in try_places(tmp_path)]
    assert places == [tmp_path, tmp_path / "runs"]
    assert set(tried) == set(places)


def test_an_inbox_on_another_disk_is_remarked_on_with_what_can_not_be_done_there(
    tmp_path: Path, other_disk: Path
) -> None:
    assert inbox_remarks(tmp_path) == []
    (tmp_path / "inbox").mkdir()
    assert inbox_remarks(tmp_path) == []
    (tmp_path / "inbox").rmdir()
    (tmp_path / "inbox").symlink_to(other_disk)
    (remark,) = inbox_remarks(tmp_path)
    assert "EXEC_INBOX_MAX_FILE_BYTES can't be moved to the quarantine" in remark
    assert try_place(other_disk) == []
