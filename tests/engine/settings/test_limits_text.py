from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings.limits_text import LARGEST_FILE, limits_text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "limits.toml"


def test_the_text_is_that_of_the_bytes(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfversion = 1\r\n# \xc3\xa4\n")
    assert limits_text(str(file)).encode() == file.read_bytes()


def test_a_link_is_followed_as_a_mounted_secret_or_map_is_one(file: Path) -> None:
    file.write_text("version = 1")
    link = file.with_name("link")
    link.symlink_to(file.name)
    assert limits_text(str(link)) == "version = 1"


def test_a_file_of_the_largest_size_is_read_and_none_beyond(file: Path) -> None:
    file.write_text("#" * LARGEST_FILE)
    assert len(limits_text(str(file))) == LARGEST_FILE
    file.write_text("#" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigurationError, match=f"more than {LARGEST_FILE} bytes; expected a limits file"):
        limits_text(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'a = 1\nb = "\xe4"\n', "limits.toml:2: the byte 0xe4 is not UTF-8; expected text in UTF-8"),
        ("version = 1".encode("utf-16"), "limits.toml:1: the text is UTF-16; expected UTF-8"),
    ],
)
def test_text_of_another_encoding_is_refused_with_its_line(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        limits_text(str(file))


def test_what_is_no_file_is_refused_at_once(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    (file.with_name("dangling")).symlink_to("none")
    (file.with_name("loop")).symlink_to("loop")
    for name, why in {
        "pipe": "no regular file",
        ".": "Is a directory",
        "none.toml": "No such file",
        "dangling": "No such file",
        "loop": "Too many levels of symbolic links",
        "x\0y": "can't be a path",
    }.items():
        with pytest.raises(ConfigurationError, match=why):
            limits_text(str(file.parent / name))
    with pytest.raises(ConfigurationError, match="no regular file; expected a TOML file"):
        limits_text("/dev/zero")


def test_a_file_that_may_not_be_read_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.open", denied)
    with pytest.raises(ConfigurationError, match=r"Permission denied.*permissions of the file"):
        limits_text(str(file))


def test_the_message_names_what_names_the_file(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^EXEC_LIMITS_FILE is '.*', which can't be read"):
        limits_text(str(file))
    with pytest.raises(ConfigurationError, match=r"^--limits is '.*', which can't be read"):
        limits_text(str(file), named_by="--limits")


def test_a_command_may_read_a_pipe(file: Path) -> None:
    os.mkfifo(file)
    writer = threading.Thread(target=lambda: file.write_text("version = 1"))
    writer.start()
    assert limits_text(str(file), may_be_pipe=True) == "version = 1"
    writer.join()
    with pytest.raises(ConfigurationError, match="no regular file"):
        limits_text("/dev/null", may_be_pipe=True)
