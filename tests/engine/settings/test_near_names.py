from __future__ import annotations

import pytest

from engine.accounts.configured import read_accounts
from engine.errors import ConfigurationError
from engine.risk.settings import not_read

MEANT = {
    "APCA_API_KEY_ID": "ALPACA_API_KEY",
    "APCA_API_SECRET_KEY": "ALPACA_SECRET_KEY",
    "ALPACA_API_SECRET": "ALPACA_SECRET_KEY",
    "ALPACA_API_SECRET_KEY": "ALPACA_SECRET_KEY",
    "ALPACA_KEY_ID": "ALPACA_API_KEY",
    "ALPACA_KEY": "ALPACA_API_KEY",
    "ALPACA_APIKEY": "ALPACA_API_KEY",
    "alpaca_api_key": "ALPACA_API_KEY",
    "ALPACA_SECRET": "ALPACA_SECRET_KEY",
    "APCA_API_BASE_URL": "ALPACA_TRADING_HOST",
    "ALPACA_BASE_URL": "ALPACA_TRADING_HOST",
    "ALPACA_TRADING_HSOT": "ALPACA_TRADING_HOST",
    "ALPACA_PAPER": "ALPACA_TRADING_HOST",
    "agent_mode": "AGENT_MODE",
    "AGENTMODE": "AGENT_MODE",
    "DATABASE_URI": "DATABASE_URL",
    "FIREBASE_PROJECTID": "FIREBASE_PROJECT_ID",
    "MARKETDATA_STALE_TRESHOLD_S": "MARKETDATA_STALE_THRESHOLD_S",
    "ALPACA_MOON": "",
    "APCA_RETRY_MAX": "",
}
OF_OTHERS = ["PATH", "HOME", "DATABASE_NAME", "GOOGLE_APPLICATION_CREDENTIALS", "ALPACA_SERVICE_HOST", "LANG"]


@pytest.mark.parametrize(("name", "meant"), MEANT.items())
def test_a_variable_that_may_be_meant_for_a_setting_is_noticed(name: str, meant: str) -> None:
    assert not_read({name: "x"}) == {name: meant}


@pytest.mark.parametrize("name", [*OF_OTHERS, "ALPACA_API_KEY", "EXEC_DATA_DIR"])
def test_variables_of_other_programs_and_settings_are_not(name: str) -> None:
    assert not_read({name: "x"}) == {}


def test_variables_that_the_accounts_file_names_are_read() -> None:
    assert not_read({"ALPACA_KEY_MAIN": "x", "ALPACA_KEY_ID": "y"}, used={"ALPACA_KEY_MAIN"}) == {
        "ALPACA_KEY_ID": "ALPACA_API_KEY"
    }


def test_an_empty_variable_is_none() -> None:
    assert not_read({"APCA_API_KEY_ID": ""}) == {}


@pytest.mark.parametrize(
    ("env", "missing", "other"),
    [
        ({"APCA_API_KEY_ID": "k", "ALPACA_SECRET_KEY": "s"}, "ALPACA_API_KEY", "APCA_API_KEY_ID"),
        ({"ALPACA_API_KEY": "k", "ALPACA_API_SECRET": "s"}, "ALPACA_SECRET_KEY", "ALPACA_API_SECRET"),
    ],
)
def test_a_key_that_is_missing_is_named_with_the_variable_that_has_it(
    env: dict[str, str], missing: str, other: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_accounts(env)
    assert str(error.value).startswith(
        f"{missing} is not set. {other} is set, but the engine doesn't read it."
    )


KEYS = {"ALPACA_API_KEY": "PKA", "ALPACA_SECRET_KEY": "s"}


@pytest.mark.parametrize("name", ["APCA_API_BASE_URL", "ALPACA_BASE_URL"])
def test_another_program_s_host_is_not_overlooked(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ALPACA_TRADING_HOST is not set. {name} is"):
        read_accounts({**KEYS, name: "https://api.alpaca.markets"})


def test_another_program_s_host_does_not_matter_where_it_is_the_same_or_ours_is_set() -> None:
    paper = {**KEYS, "APCA_API_BASE_URL": "https://paper-api.alpaca.markets/v2"}
    assert read_accounts(paper)[0].trading_host == "https://paper-api.alpaca.markets"
    ours = {**KEYS, "APCA_API_BASE_URL": "https://x.example", "ALPACA_TRADING_HOST": "http://127.0.0.1:1"}
    assert read_accounts(ours)[0].trading_host == "http://127.0.0.1:1"
