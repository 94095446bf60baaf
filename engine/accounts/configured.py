"""The configured broker accounts: names, hosts and the places of their keys.

One account is ``EXEC_BROKER_ACCOUNT_ID`` with ``ALPACA_API_KEY``, ``ALPACA_SECRET_KEY`` and
``ALPACA_TRADING_HOST``. Several accounts are listed in a file, ``EXEC_ACCOUNTS_FILE``, which holds
no secret itself::

    [accounts.main]                          # the broker_account_id of intents
    paper = true                             # false: a live account
    host = "https://paper-api.alpaca.markets"   # the default where paper is true
    api_key_env = "MAIN_API_KEY"             # the environment variable that holds the key,
    secret_key_file = "/run/secrets/main"    # or the file; either form for either key
    account_number = "PA3..."                # optional: refuse the keys of any other account
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from engine.errors import ConfigurationError, SeveralFaults
from engine.risk.settings import not_read
from engine.settings.accounts_file import FILE, listed_accounts
from engine.settings.alpaca import checked_key
from engine.settings.hosts import PAPER_HOST, checked_host
from engine.settings.paths import as_path
from engine.settings.variables import read_setting
from engine.text.masking import is_key

_Part = TypeVar("_Part")
_PAPER_KEY, _LIVE_KEY = "PK", "AK"
"""Prefixes of Alpaca's keys (source: dashboard and support pages; not in its API documents)."""


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """One account. ``name``: the ``broker_account_id`` of its intents, "" for a single account without one.

    ``api_key_source`` and ``secret_key_source`` name the variable or file of each key, for messages.
    ``account_number`` is the expected number, None for any.
    """

    name: str
    trading_host: str
    api_key_source: str
    secret_key_source: str
    api_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    account_number: str | None = field(default=None, repr=False)

    @property
    def shown_as(self) -> str:
        """Return the account's name for messages."""
        return self.name or "the account of the keys"


def read_accounts(env: Mapping[str, str] | None = None) -> tuple[AccountSettings, ...]:
    """Return the accounts with their keys, sorted by name.

    Raises ``ConfigurationError`` for a malformed accounts file and for a key that is missing or of the wrong
    kind for its host; ``SeveralFaults`` for more than one fault.
    """
    env = os.environ if env is None else env
    path = read_setting(FILE, env)
    if not path:
        return (_the_one(env),)
    accounts = sorted(listed_accounts(path).items())
    return tuple(_all_of(*(partial(_account, name, entry, env) for name, entry in accounts)))


def _all_of(*parts: Callable[[], _Part]) -> list[_Part]:
    """Return the results of all parts. Raises ``ConfigurationError`` with the faults of all that fail."""
    read: list[_Part] = []
    faults: list[str] = []
    for part in parts:
        try:
            read.append(part())
        except ConfigurationError as error:
            faults += error.lines
    if len(faults) > 1:
        raise SeveralFaults(faults)
    if faults:
        raise ConfigurationError(faults[0])
    return read


def _the_one(env: Mapping[str, str]) -> AccountSettings:
    names = ("ALPACA_API_KEY", "ALPACA_SECRET_KEY")
    api_key, secret_key = _all_of(*(partial(_key_of_environment, name, env) for name in names))
    return _checked(
        AccountSettings(
            name=read_setting("EXEC_BROKER_ACCOUNT_ID", env) or "",
            trading_host=_host(env),
            api_key_source="ALPACA_API_KEY",
            secret_key_source="ALPACA_SECRET_KEY",
            api_key=api_key,
            secret_key=secret_key,
        )
    )


def _key_of_environment(name: str, env: Mapping[str, str]) -> str:
    if not env.get(name, "").strip() and (other := _under_another_name(name, env)):
        raise ConfigurationError(
            f"{name} is not set. {other} is set, but the engine doesn't read it. Set {name} to the key "
            f"for this engine."
        )
    return checked_key(name, env.get(name, ""))


def _host(env: Mapping[str, str]) -> str:
    """Return the configured host, which another program's variable never sets."""
    name = "ALPACA_TRADING_HOST"
    other = "" if env.get(name) else _under_another_name(name, env)
    host = env[other].strip().rstrip("/").removesuffix("/v2") if other else PAPER_HOST
    if host.startswith("http") and host != PAPER_HOST:
        raise ConfigurationError(
            f"{name} is not set. {other} is set to another host than {PAPER_HOST}, but the engine doesn't "
            f"read it. Set {name} to the host for this engine."
        )
    return checked_host(read_setting(name, env))


def _under_another_name(setting: str, env: Mapping[str, str]) -> str:
    """Return the variable that other programs use for a setting, "" where none is set."""
    return next((name for name, meant in not_read(env).items() if meant == setting), "")


def _account(name: str, entry: Mapping[str, Any], env: Mapping[str, str]) -> AccountSettings:
    place = f"{env[FILE]}, account {name!r}"
    if not entry["paper"] and "host" not in entry:
        raise ConfigurationError(
            f"{place}: paper is false and host is missing. Name the host of the live account."
        )
    try:
        host = checked_host(entry.get("host", PAPER_HOST))
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {str(error).replace('ALPACA_TRADING_HOST', 'host')}") from error
    on_loopback = host.startswith("http:")
    if not on_loopback and entry["paper"] != (host == PAPER_HOST):
        kind = "paper is true" if entry["paper"] else "paper is false"
        raise ConfigurationError(
            f"{place}: {kind}, and host is {host}; the paper host is {PAPER_HOST}. Correct one of them."
        )
    (key_source, key), (secret_source, secret) = _all_of(
        *(partial(_key, place, what, entry, env) for what in ("api_key", "secret_key"))
    )
    return _checked(
        AccountSettings(
            name=name,
            trading_host=host,
            api_key_source=key_source,
            secret_key_source=secret_source,
            api_key=key,
            secret_key=secret,
            account_number=entry["account_number"].strip() if "account_number" in entry else None,
        )
    )


def _key(place: str, what: str, entry: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, str]:
    """Return the source of a key and the key itself."""
    variable, file = entry.get(f"{what}_env"), entry.get(f"{what}_file")
    if (variable is None) == (file is None):
        raise ConfigurationError(
            f"{place}: expected either {what}_env (the name of an environment variable) or {what}_file."
        )
    if variable is not None:
        # The key itself may have been pasted.
        if is_key(variable) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
            raise ConfigurationError(f"{place}: {what}_env is not the name of an environment variable.")
        return variable, checked_key(variable, env.get(variable, ""))
    try:
        text = Path(as_path(f"{place}: {what}_file", str(file))).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConfigurationError(
            f"{place}: {what}_file can't be read ({error.strerror}). Name a file."
        ) from error
    return f"{what}_file of {place}", checked_key(f"{what}_file of {place}", text)


def _checked(account: AccountSettings) -> AccountSettings:
    """Refuse paper keys at a live host and live keys at the paper host; loopback accepts any."""
    if account.trading_host.startswith("http:"):
        return account
    is_paper = account.trading_host == PAPER_HOST
    if account.api_key.startswith(_PAPER_KEY if not is_paper else _LIVE_KEY):
        kind, other = ("a live", "paper") if is_paper else ("a paper", "live")
        raise ConfigurationError(
            f"{account.api_key_source} is the key of {kind} account, and {account.trading_host} is a {other} "
            f"host: nothing is sent there with it. Name the keys of the {other} account, or the other host."
        )
    return account
