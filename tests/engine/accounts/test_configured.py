from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.accounts.configured import AccountSettings, read_accounts
from engine.errors import ConfigurationError, SeveralFaults
from engine.risk.config import RiskConfig
from engine.settings.hosts import PAPER_HOST

ENV = {
    "MAIN_KEY": "test-main",
    "MAIN_SECRET": "hidden-main",
    "SIDE_KEY": "test-side",
    "SIDE_SECRET": "hidden",
}
MAIN = """
[accounts.main]
paper = true
api_key_env = "MAIN_KEY"
secret_key_env = "MAIN_SECRET"
"""


def read(tmp_path: Path, text: str, **env: str) -> tuple[AccountSettings, ...]:
    file = tmp_path / "accounts.toml"
    file.write_text(text)
    return read_accounts({**ENV, "EXEC_ACCOUNTS_FILE": str(file), **env})


def refusal(tmp_path: Path, text: str, **env: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        read(tmp_path, text, **env)
    return str(error.value)


def test_without_a_file_the_keys_in_the_environment_are_the_one_account() -> None:
    env = {"ALPACA_API_KEY": "k", "ALPACA_SECRET_KEY": "s", "EXEC_BROKER_ACCOUNT_ID": "mine"}
    (account,) = read_accounts(env)
    assert (account.name, account.trading_host, account.api_key, account.secret_key) == (
        "mine", PAPER_HOST, "k", "s",
    )  # fmt: skip


def test_an_account_of_the_file_has_its_host_and_keys_by_name_in_alphabetical_order(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-a-file\n")
    main, side = read(
        tmp_path,
        f"""
        [accounts.side]
        paper = false
        host = "https://api.alpaca.markets"
        api_key_env = "SIDE_KEY"
        secret_key_file = "{tmp_path}/secret"
        account_number = " 123456789 "
        {MAIN}""",
    )
    assert (main.name, main.trading_host, main.api_key, main.account_number) == (
        "main", PAPER_HOST, "test-main", None,
    )  # fmt: skip
    assert (side.name, side.trading_host, side.secret_key, side.account_number) == (
        "side", "https://api.alpaca.markets", "from-a-file", "123456789",
    )  # fmt: skip


def test_the_accounts_of_the_file_are_the_ones_that_may_trade(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(MAIN)
    assert RiskConfig.from_env({"EXEC_ACCOUNTS_FILE": str(file)}).accounts == {"main"}


def test_a_repr_shows_no_key_and_no_number(tmp_path: Path) -> None:
    (account,) = read(tmp_path, MAIN + 'account_number = "PA3SECRET"\n')
    assert not {"test-main", "hidden-main", "PA3SECRET"} & set(repr(account).split("'"))


REFUSED: dict[str, tuple[str, str]] = {
    "no TOML": ("[accounts", "is no TOML"),
    "not UTF-8": ("\udcff", "is no TOML"),
    "empty": ("", "names no account; expected a table [accounts.NAME] for each account"),
    "something else at its top": ("[account.main]\npaper = true", "has 'account' at its top"),
    "a table without accounts": (
        "[accounts]",
        "has a table [accounts] with no account in it",
    ),
    "a list of accounts": (
        '[[accounts]]\nname = "main"',
        "has accounts that are no tables",
    ),
    "one account without a name": (
        '[accounts]\npaper = true\napi_key_env = "MAIN_KEY"',
        "has the settings of an account right below [accounts]; expected a table [accounts.NAME]",
    ),
    "an account that is no table": ("accounts.main = 1", "account 'main' is 1; expected a table"),
    "a typing mistake": (MAIN + 'acount_number = "1"', "Did you mean account_number?"),
    "a secret in the file": (MAIN + 'secret = "abc"', "'secret' is no setting of an account"),
    "paper left out": (MAIN.replace("paper = true", ""), "paper is None; expected true, or false"),
    "paper as text": (MAIN.replace("true", '"yes"'), "paper is 'yes'; expected true, or false"),
    "a live account without a host": (MAIN.replace("true", "false"), "Name the host of the live account"),
    "paper, and a live host": (MAIN + 'host = "https://api.alpaca.markets"', "paper is true, and host is"),
    "live, and the paper host": (
        MAIN.replace("true", "false") + f'host = "{PAPER_HOST}"',
        "paper is false, and host is",
    ),
    "plain http elsewhere": (MAIN + 'host = "http://example.org"', "plain http would show the keys"),
    "no key": (MAIN.replace('api_key_env = "MAIN_KEY"', ""), "expected either api_key_env"),
    "two keys": (MAIN + 'api_key_file = "x"', "expected either api_key_env"),
    "a key instead of its name": (
        MAIN.replace("MAIN_KEY", "PK0/abc+"),
        "not the name of an environment variable",
    ),
    "a variable that is not set": (MAIN.replace("MAIN_KEY", "NO_KEY"), "NO_KEY is not set"),
    "a file that is not there": (
        MAIN.replace('api_key_env = "MAIN_KEY"', 'api_key_file = "/nowhere/key"'),
        "api_key_file can't be read (No such file or directory)",
    ),
    "a blank name": ('[accounts." main"]\npaper = true', "or a blank at an end"),
    "a name that isn't seen": (
        '[accounts."main\u200b"]\npaper = true',
        r"'main\u200b': the name is not visible",
    ),
    "a name in full width": ('[accounts."\uff4dain"]\npaper = true', "normal form NFKC"),
}


def test_every_key_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SeveralFaults) as error:
        read_accounts({})
    assert [fault.split(";")[0] for fault in error.value.lines] == [
        "ALPACA_API_KEY is not set",
        "ALPACA_SECRET_KEY is not set",
    ]
    file = tmp_path / "accounts.toml"
    file.write_text(f"{MAIN}\n{MAIN.replace('main', 'other').replace('MAIN', 'OTHER')}")
    with pytest.raises(SeveralFaults) as error:
        read_accounts({"EXEC_ACCOUNTS_FILE": str(file)})
    assert len(error.value.faults) == 4


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_file_that_makes_no_sense_is_refused_with_place_and_remedy(
    tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "accounts.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError) as error:
        read_accounts({**ENV, "EXEC_ACCOUNTS_FILE": str(file)})
    assert said in str(error.value)
    assert "PK0/abc+" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "host", "said"),
    [
        ("PKABC", "https://api.alpaca.markets", "is the key of a paper account"),
        ("AKABC", PAPER_HOST, "is the key of a live account"),
    ],
)
def test_keys_of_the_other_kind_of_account_are_refused_before_anything_is_asked(
    tmp_path: Path, key: str, host: str, said: str
) -> None:
    paper = "true" if host == PAPER_HOST else "false"
    text = MAIN.replace("true", paper) + f'host = "{host}"\n'
    assert said in refusal(tmp_path, text, MAIN_KEY=key)
    one: dict[str, Any] = {"ALPACA_API_KEY": key, "ALPACA_SECRET_KEY": "s", "ALPACA_TRADING_HOST": host}
    with pytest.raises(ConfigurationError, match=said):
        read_accounts(one)


def test_a_simulator_on_loopback_takes_keys_of_either_kind(tmp_path: Path) -> None:
    for key in ("PKABC", "AKABC"):
        (account,) = read(tmp_path, MAIN + 'host = "http://127.0.0.1:8000"\n', MAIN_KEY=key)
        assert account.api_key == key


def test_file_and_account_contradict_each_other(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(MAIN)
    with pytest.raises(ConfigurationError, match="Unset one of them"):
        RiskConfig.from_env({"EXEC_ACCOUNTS_FILE": str(file), "EXEC_BROKER_ACCOUNT_ID": "main"})
