from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import DataUnavailable
from engine.safety.kill_switch import FILE_SIZE_LIMIT, KillSwitch, KillSwitchState
from engine.settings.values import OFF_WORDS, ON_WORDS

WORD_SETTINGS = ("EXECUTION_HALTED", "EXEC_KILL_SWITCH")
FILE_SETTINGS = ("EXECUTION_HALTED_FILE", "EXEC_KILL_SWITCH_FILE")
DOCUMENT_SETTINGS = ("EXECUTION_HALTED_DOC", "EXEC_KILL_SWITCH_DOC")


def read(**env: str) -> KillSwitchState:
    return KillSwitch.from_env(env).read()


@pytest.fixture
def switch_file(tmp_path: Path) -> Path:
    return tmp_path / "EXECUTION_HALTED"


def read_file(path: Path) -> KillSwitchState:
    return read(EXECUTION_HALTED_FILE=str(path))


def read_contents(path: Path, contents: bytes) -> KillSwitchState:
    path.write_bytes(contents)
    return read_file(path)


def test_with_nothing_set_the_switch_is_off() -> None:
    assert not read().on


def test_empty_variables_are_unset() -> None:
    assert not read(**dict.fromkeys((*WORD_SETTINGS, *FILE_SETTINGS, *DOCUMENT_SETTINGS), "")).on


@pytest.mark.parametrize("name", WORD_SETTINGS)
@pytest.mark.parametrize("word", sorted(OFF_WORDS))
def test_words_for_off_are_off_trimmed_and_in_any_case(name: str, word: str) -> None:
    assert not read(**{name: f" {word.upper()}\n"}).on


@pytest.mark.parametrize("name", WORD_SETTINGS)
@pytest.mark.parametrize("word", sorted(ON_WORDS))
def test_words_for_on_are_on_trimmed_and_in_any_case(name: str, word: str) -> None:
    assert read(**{name: f" {word.title()} "}).on


@pytest.mark.parametrize(
    "word", [" ", "\n", "halted", "2", "flase", "0 1", "00", "off!", "\ufeff0", "\uff10"]
)
def test_blanks_and_unknown_words_are_on(word: str) -> None:
    assert read(EXECUTION_HALTED=word).on


@given(st.text(min_size=1).filter(lambda text: text.strip().lower() not in OFF_WORDS))
def test_whatever_is_no_word_for_off_is_on(text: str) -> None:
    assert read(EXECUTION_HALTED=text).on


@pytest.mark.parametrize("name", [*WORD_SETTINGS, *FILE_SETTINGS, *DOCUMENT_SETTINGS])
def test_any_one_source_is_enough_whatever_the_others_say(name: str, switch_file: Path) -> None:
    switch_file.write_text("0")
    others = dict.fromkeys(WORD_SETTINGS, "0") | dict.fromkeys(FILE_SETTINGS, str(switch_file))
    assert not read(**others).on
    assert read(**(others | {name: "/no/such/thing"})).on


# --- the document


class Documents:
    """Firestore, as far as the switch asks it: gives what it holds, and remembers what it was asked for."""

    def __init__(self, **held: Any) -> None:
        self.held: dict[str, Any] = held
        self.asked: list[str] = []

    def document(self, path: str) -> Mapping[str, Any] | None:
        self.asked.append(path)
        found: Mapping[str, Any] | None = self.held.get(path)
        return found


def read_document(document: Any, name: str = "EXECUTION_HALTED_DOC") -> KillSwitchState:
    documents = Documents(**{"ops/switch": document})
    return KillSwitch.from_env({name: "ops/switch"}, read_document=documents.document).read()


@pytest.mark.parametrize("name", DOCUMENT_SETTINGS)
@pytest.mark.parametrize("value", [False, 0, *sorted(OFF_WORDS), " FALSE ", "Off\n"])
def test_a_document_whose_field_is_false_or_a_word_for_off_is_off(name: str, value: Any) -> None:
    assert read_document({"enabled": value, "enabled_by": "somebody"}, name) == KillSwitchState(
        on=False, why="No kill switch is on."
    )


@pytest.mark.parametrize("name", DOCUMENT_SETTINGS)
@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"enabled": True}, "says enabled: True"),
        ({"enabled": 1}, "says enabled: 1"),
        *[({"enabled": word}, f"says enabled: {word!r}") for word in sorted(ON_WORDS)],
        ({"enabled": " ON\n"}, r"says enabled: ' ON\n'"),
        ({"enabled": None}, "says enabled: None, which is no word for off"),
        ({"enabled": ""}, "says enabled: '', which is no word for off"),
        ({"enabled": " "}, "says enabled: ' ', which is no word for off"),
        ({"enabled": "halted"}, "says enabled: 'halted', which is no word for off"),
        ({"enabled": 2}, "says enabled: 2, which is no word for off"),
        ({"enabled": -1}, "says enabled: -1, which is no word for off"),
        ({"enabled": 0.0}, "says enabled: 0.0, which is no word for off"),
        ({"enabled": 1.0}, "says enabled: 1.0, which is no word for off"),
        ({"enabled": math.nan}, "says enabled: nan, which is no word for off"),
        ({"enabled": b"0"}, "says enabled: b'0', which is no word for off"),
        ({"enabled": []}, "says enabled: [], which is no word for off"),
        ({"enabled": [False]}, "says enabled: [False], which is no word for off"),
        ({"enabled": {}}, "says enabled: {}, which is no word for off"),
        ({"enabled": {"enabled": False}}, "says enabled: {'enabled': False}, which is no word for off"),
        ({}, "has no field enabled"),
        ({"Enabled": False}, "has no field enabled"),
        ({"halted": False}, "has no field enabled"),
        (None, "does not exist"),
        (["enabled"], "can't be read (list indices must be integers or slices, not str)"),
        (7, "can't be read (argument of type 'int' is not iterable)"),
    ],
)
def test_a_document_that_says_anything_else_is_on_and_says_why(name: str, document: Any, why: str) -> None:
    assert read_document(document, name) == KillSwitchState(
        on=True,
        why=f"The kill switch is on: the document 'ops/switch' ({name}) {why}. "
        f"Set its field enabled to false to switch it off.",
    )


def test_a_long_value_is_not_shown_whole() -> None:
    assert len(read_document({"enabled": "x" * 5000}).why) < 300


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (DataUnavailable("Firestore project p: no answer within 10 s."), "no answer within 10 s)"),
        (RuntimeError("out of luck"), "out of luck"),
        (TimeoutError(), "can't be read"),
    ],
)
def test_a_document_that_cannot_be_read_is_on_and_never_an_exception(fault: Exception, why: str) -> None:
    def fail(path: str) -> None:
        raise fault

    state = KillSwitch.from_env({"EXECUTION_HALTED_DOC": "ops/switch"}, read_document=fail).read()
    assert state.on
    assert "the document 'ops/switch' (EXECUTION_HALTED_DOC) can't be read" in state.why
    assert why in state.why


@pytest.mark.parametrize("name", DOCUMENT_SETTINGS)
def test_a_document_without_a_project_to_read_it_from_is_on_and_says_so(name: str) -> None:
    state = read(**{name: "ops/switch"})
    assert state.on
    assert f"the document 'ops/switch' ({name}) can't be read without a Firestore project" in state.why
    assert "set FIREBASE_PROJECT_ID" in state.why


def test_the_document_is_read_anew_each_time() -> None:
    documents = Documents()
    switch = KillSwitch.from_env({"EXECUTION_HALTED_DOC": " ops/switch "}, read_document=documents.document)
    states = []
    for held in ({"enabled": False}, {"enabled": True}, {"enabled": False}, None):
        documents.held["ops/switch"] = held
        states.append(switch.read().on)
    assert states == [False, True, False, True]
    assert documents.asked == ["ops/switch"] * 4


@pytest.mark.parametrize(
    ("old", "new", "on"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_the_documents_of_old_and_new_name_both_count(old: bool, new: bool, on: bool) -> None:
    documents = Documents(**{"ops/old": {"enabled": old}, "ops/new": {"enabled": new}})
    env = {"EXEC_KILL_SWITCH_DOC": "ops/old", "EXECUTION_HALTED_DOC": "ops/new"}
    assert KillSwitch.from_env(env, read_document=documents.document).read().on == on


@pytest.mark.parametrize("name", [*WORD_SETTINGS, *FILE_SETTINGS])
def test_the_document_is_not_asked_where_another_source_is_on_already(name: str) -> None:
    documents = Documents(**{"ops/switch": {"enabled": False}})
    env = {"EXECUTION_HALTED_DOC": "ops/switch", name: "/no/such/thing"}
    switch = KillSwitch.from_env(env, read_document=documents.document)
    assert switch.read().on
    assert documents.asked == []


@pytest.mark.parametrize("name", [*WORD_SETTINGS, *FILE_SETTINGS])
def test_the_document_is_asked_where_another_source_is_off(name: str, switch_file: Path) -> None:
    switch_file.write_text("0")
    documents = Documents(**{"ops/switch": {"enabled": True}})
    env = {"EXECUTION_HALTED_DOC": "ops/switch", name: "0" if name in WORD_SETTINGS else str(switch_file)}
    assert KillSwitch.from_env(env, read_document=documents.document).read().on


# --- the file


@pytest.mark.parametrize("name", FILE_SETTINGS)
@pytest.mark.parametrize("contents", [b"0", b"0\n", b" off \r\n", b"FALSE", b"no\n\n \n", b"\xef\xbb\xbf0\n"])
def test_a_file_whose_only_line_is_a_word_for_off_is_off(
    name: str, contents: bytes, switch_file: Path
) -> None:
    switch_file.write_bytes(contents)
    assert not read(**{name: str(switch_file)}).on


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "has a blank first line"),
        (b"\n0\n", "has a blank first line"),
        (b"   ", "has a blank first line"),
        (b"1", "says '1'. "),
        (b"\xef\xbb\xbf1", "says '1'. "),
        (b"halted\n", "says 'halted', which is no word for off"),
        (b"0\n1\n", "says '0' and then more, '1'"),
        (b"0\r1", "which is no word for off"),
        (b"0\x001", "which is no word for off"),
        (b"0\x00", "which is no word for off"),
        ("0".encode("utf-16"), "is not UTF-8 text"),
        (b"0\n\xff", "is not UTF-8 text"),
        (b"0" + b" " * FILE_SIZE_LIMIT, "is longer than 4096 bytes"),
    ],
)
def test_a_file_that_says_anything_else_is_on_and_says_why(
    contents: bytes, why: str, switch_file: Path
) -> None:
    state = read_contents(switch_file, contents)
    assert state.on
    assert why in state.why


@given(
    st.lists(st.sampled_from([b"0", b"OFF", b"1", b"\n", b" ", b"\r", b"\xef\xbb\xbf", b"\xff"])).map(
        b"".join
    )
)
def test_only_a_word_for_off_alone_and_on_the_first_line_is_off(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes
) -> None:
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "not UTF-8"
    off = text.strip().lower() in OFF_WORDS and text.split("\n")[0].strip() != ""
    path = tmp_path_factory.getbasetemp() / f"switch-{os.getpid()}"
    assert read_contents(path, contents).on == (not off)


def test_a_file_of_exactly_the_size_limit_is_read(switch_file: Path) -> None:
    assert not read_contents(switch_file, b"0" + b" " * (FILE_SIZE_LIMIT - 1)).on


def test_a_missing_file_is_on(switch_file: Path) -> None:
    state = read_file(switch_file)
    assert state == KillSwitchState(
        on=True,
        why=f"The kill switch is on: the file {str(switch_file)!r} (EXECUTION_HALTED_FILE) can't be read "
        f"(No such file or directory). Write 0 as its only line to switch it off.",
    )


def test_a_directory_is_on(tmp_path: Path) -> None:
    assert "it is a directory" in read_file(tmp_path).why


def test_a_blank_path_is_on() -> None:
    assert read(EXECUTION_HALTED_FILE="  ").on


def test_a_path_that_no_file_can_have_is_on() -> None:
    assert read(EXECUTION_HALTED_FILE="a\0b").on
    assert read(EXECUTION_HALTED_FILE="\ud800").on
    assert read(EXECUTION_HALTED_FILE="a" * 5000).on


def test_an_unreadable_file_is_on(switch_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_file.write_text("0")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in read_file(switch_file).why


def test_a_fault_while_reading_is_on_and_never_an_exception(
    switch_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_file.write_text("0")

    def fail(*_: object) -> bytes:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(os, "read", fail)
    state = read_file(switch_file)
    assert state.on
    assert "out of luck" in state.why


@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_fifo_without_a_writer_is_on_at_once(tmp_path: Path, through_a_link: bool) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    if through_a_link:
        (tmp_path / "link").symlink_to(path)
        path = tmp_path / "link"
    started = time.monotonic()
    assert "it is no regular file" in read_file(path).why
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_on(device: str) -> None:
    assert "it is no regular file" in read(EXECUTION_HALTED_FILE=device).why


def test_a_link_to_a_file_is_followed_as_configmaps_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "key").write_text("0")
    (tmp_path / "key").symlink_to("..data/key")
    assert not read_file(tmp_path / "key").on
    (tmp_path / "..data" / "key").unlink()
    assert read_file(tmp_path / "key").on


def test_the_file_is_read_anew_each_time(switch_file: Path) -> None:
    switch_file.write_text("0")
    switch = KillSwitch.from_env({"EXECUTION_HALTED_FILE": str(switch_file)})
    states = [switch.read().on]
    for contents in ("1", "0"):
        switch_file.write_text(contents)
        states.append(switch.read().on)
    switch_file.unlink()
    assert [*states, switch.read().on] == [False, True, False, True]


def test_reading_leaves_no_file_open(switch_file: Path, tmp_path: Path) -> None:
    switch_file.write_text("0")
    before = len(list(Path("/dev/fd").iterdir()))
    for path in (switch_file, tmp_path, tmp_path / "missing"):
        read_file(path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_the_environment_is_fixed_once_it_was_read() -> None:
    env = {"EXECUTION_HALTED": "0"}
    switch = KillSwitch.from_env(env)
    env["EXECUTION_HALTED"] = "1"
    assert not switch.read().on


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXEC_KILL_SWITCH", "1")
    assert KillSwitch.from_env().read().on


def test_why_names_every_source_that_is_on_with_its_value_and_the_remedy(switch_file: Path) -> None:
    state = read(EXECUTION_HALTED="1", EXEC_KILL_SWITCH="maybe", EXECUTION_HALTED_FILE="0")
    assert state.why == (
        "The kill switch is on: EXECUTION_HALTED is '1'. "
        "Set it to 0 or unset it, and start again, to switch it off. "
        "The kill switch is on: EXEC_KILL_SWITCH is 'maybe', which is no word for off. "
        "Set it to 0 or unset it, and start again, to switch it off. "
        "The kill switch is on: the file '0' (EXECUTION_HALTED_FILE) can't be read "
        "(No such file or directory). Write 0 as its only line to switch it off."
    )
