from __future__ import annotations

from pathlib import Path

import pytest

from engine import drop_intents, outcomes
from engine.errors import ConfigurationError, UsageError
from engine.safety.kill_switch import KillSwitch
from engine.settings.variables import RunSettings, read_setting

PATHS = ("EXEC_DATA_DIR", "EXEC_ACCOUNTS_FILE")
NOT_EXPANDED = [
    "$HOME/x",
    "/srv/${DATA}",
    "$(pwd)/x",
    "`pwd`/x",
    "%USERPROFILE%/x",
    "{{ data }}",
    "/srv/${{x}}",
]
NO_PATHS = {
    "no address": [
        "gs://bucket/x",
        "s3://bucket",
        "file:///srv/x",
        "gs:/bucket",
        "HTTPS://x/y",
        "C:\\data",
        "//server/share",
    ],
    "without quotes": ['"/srv/x"', "'/srv/x'", '/srv/"x"', "\u201c/srv/x\u201d", "/srv/x'", '"'],
    "without blanks at its ends": [" /srv/x", "/srv/x ", "\u2003/srv/x"[1:] + " "],
    "without variables": NOT_EXPANDED,
    "visible text": [
        "/srv/x\r",
        "/srv/x\n",
        "/srv/\x1bx",
        "/srv/\u200bx",
        "/srv/x\u202e",
        "/srv/x\u00a0",
        "/a\t",
    ],
    "without backslashes": ["/srv/my\\ data", "\\\\host\\share", "data\\"],
    "without a name before it": ["EXEC_DATA_DIR=/srv/x", "export DATA=/srv/x", "=/srv/x"],
    "holds the place of one": ["<data>", "None", "null", "@DATA@"],
    "without a comment": ["./data # the book"],
    "home folder": ["~nobody-of-this-name/x"],
    "a path": ["", "  "],
}
CASES = [(text, said) for said, texts in NO_PATHS.items() for text in texts if text]


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(("text", "said"), CASES)
def test_a_path_that_was_not_read_as_it_was_meant_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        RunSettings.from_env({name: text})
    assert str(error.value).startswith(f"{name} is ")
    assert said in str(error.value)


@pytest.mark.parametrize("name", PATHS)
def test_a_tilde_is_the_home_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert read_setting(name, {name: "~/data"}) == "/home/ann/data"
    assert read_setting(name, {name: "~"}) == "/home/ann"


@pytest.mark.parametrize(
    "text",
    [
        "./data",
        "../x",
        "/srv/O'Brien/data",
        "/srv/a b",
        "/srv/ü",
        "data-1:2",
        "/srv/a=b",
        "nullable",
        "/srv/50%",
        "/srv/a$",
        "/a/~/b",
    ],
)
def test_any_other_path_is_taken_as_it_stands(text: str) -> None:
    assert RunSettings.from_env({"EXEC_DATA_DIR": text}).data_dir == Path(text)


@pytest.mark.parametrize("name", ["EXECUTION_HALTED_FILE", "EXEC_KILL_SWITCH_FILE"])
@pytest.mark.parametrize(("text", "said"), CASES)
def test_a_kill_switch_whose_path_was_not_read_as_it_was_meant_is_on_and_says_why(
    name: str, text: str, said: str
) -> None:
    state = KillSwitch.from_env({name: text}).read()
    assert state.on
    assert name in state.why
    assert said in state.why


def test_the_file_of_a_kill_switch_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "halted").write_text("0")
    assert not KillSwitch.from_env({"EXECUTION_HALTED_FILE": "~/halted"}).read().on
    (tmp_path / "halted").write_text("1")
    assert KillSwitch.from_env({"EXECUTION_HALTED_FILE": "~/halted"}).read().on


def test_python_finds_folders_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "book").mkdir()
    path = drop_intents([], "~/book/inbox")
    assert path.is_relative_to(tmp_path / "book" / "inbox")
    assert outcomes(data_dir="~/book").empty
    with pytest.raises(UsageError):
        outcomes(data_dir="~/other")
