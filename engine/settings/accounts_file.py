"""Parsing of the accounts file: the accounts that it names, each a table of known settings.

``engine.accounts.configured`` checks the settings against each other and reads the keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError
from engine.model.schema import TEXT_LENGTH
from engine.text.masking import shown_text, shown_word
from engine.text.plain_text import NORMAL, VISIBLE, is_plain
from engine.text.printable import printable

FILE = "EXEC_ACCOUNTS_FILE"
_LARGEST_FILE = 1_000_000
_NAMES_SHOWN = 5
_TEXTS = ("host", "api_key_env", "api_key_file", "secret_key_env", "secret_key_file", "account_number")
SETTINGS_OF_ACCOUNT = ("paper", *_TEXTS)


def listed_accounts(path: str) -> dict[str, dict[str, Any]]:
    """Return the settings of each account in the file, by name: ``SETTINGS_OF_ACCOUNT``, of the right types.

    Raises ``ConfigurationError``.
    """
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(
            f"{FILE} is {shown_text(path)}, which can't be read ({error.strerror})."
        ) from error
    if len(raw) > _LARGEST_FILE:
        raise ConfigurationError(f"{path} has more than {_LARGEST_FILE} bytes; that is no list of accounts.")
    try:
        said = tomllib.loads(raw.decode())
    except ValueError as error:  # of TOML, and of UTF-8
        raise ConfigurationError(f"{path} is no TOML: {error}. Correct it.") from error
    if wrong := _what_is_wrong(said):
        raise ConfigurationError(f"{path} {wrong}")
    for name, account in said["accounts"].items():
        _check_account(path, name, account)
    return dict(said["accounts"])


def variables_named(path: str | Path) -> frozenset[str]:
    """Return the environment variables that hold keys. Raises ``ConfigurationError``."""
    accounts = listed_accounts(str(path)).values()
    named = [account.get(key) for account in accounts for key in ("api_key_env", "secret_key_env")]
    return frozenset(name for name in named if name)


def _check_account(path: str, name: str, said: object) -> None:
    place = f"{path}, account {printable(repr(name))}"
    if name != name.strip() or not 0 < len(name) <= TEXT_LENGTH:
        raise ConfigurationError(
            f"{place}: the name has {len(name)} characters, or a blank at an end; expected 1 to "
            f"{TEXT_LENGTH}, as intents write it in broker_account_id."
        )
    if not is_plain(name):
        raise ConfigurationError(f"{place}: the name is not {VISIBLE}, {NORMAL}. Type it anew.")
    if not isinstance(said, dict):
        raise ConfigurationError(f"{place} is {shown_word(said)}; expected a table [accounts.{name}].")
    for key, value in said.items():
        if key not in SETTINGS_OF_ACCOUNT:
            close = get_close_matches(key, SETTINGS_OF_ACCOUNT, n=1)
            hint = (
                f"Did you mean {close[0]}?" if close else f"Expected one of {', '.join(SETTINGS_OF_ACCOUNT)}."
            )
            raise ConfigurationError(f"{place}: {shown_text(key)} is no setting of an account. {hint}")
        if key in _TEXTS and (not isinstance(value, str) or not value.strip()):
            raise ConfigurationError(f"{place}: {key} is no text; write it in quotes, or leave it out.")
    if not isinstance(said.get("paper"), bool):
        raise ConfigurationError(
            f"{place}: paper is {shown_word(said.get('paper'))}; expected true, or false for "
            f"an account with money."
        )


def _what_is_wrong(said: Mapping[str, Any]) -> str:
    """Return what is wrong with the file as a whole, and the remedy; empty where it holds accounts."""
    name = "NAME is what intents write as broker_account_id"
    expected = f"expected a table [accounts.NAME] for each account, where {name}"
    accounts = said.get("accounts")
    if others := [shown_text(other) for other in said if other != "accounts"][:_NAMES_SHOWN]:
        return f"has {', '.join(others)} at its top; {expected}, and nothing else."
    if not said:
        return f"names no account; {expected}."
    if not isinstance(accounts, dict):
        return f"has accounts that are no tables; {expected}."
    if not accounts:
        return f"has a table [accounts] with no account in it; {expected}."
    if any(not isinstance(accounts.get(setting, {}), dict) for setting in SETTINGS_OF_ACCOUNT):
        return f"has the settings of an account right below [accounts]; {expected}."
    return ""
