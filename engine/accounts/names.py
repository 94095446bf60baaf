"""The names of broker accounts: one permanent name per account, and one account per name.

Counts, limits and the book are kept by name. An account with two names would have two of each, and a name
that moved to another account would be judged by the first one's. Kept in the store of the ledger, as
documents::

    identity-<hash of the broker's account id>    the account's key
    account-<key of the account at one host>      its name
    named-<hash of the name>                      the account's key

No account number or id is kept, nor anything from which one could be guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from shlex import quote
from urllib.parse import urlsplit

from engine.brokers.account import BrokerAccount
from engine.errors import BrokerError, ConfigurationError, UsageError
from engine.stores.protocols import AgentDocuments

_KEY_LETTERS = 32
_WHERE = "in the settings (EXEC_BROKER_ACCOUNT_ID or EXEC_ACCOUNTS_FILE) and in the intents"
_RENAME = "execution-engine stores rename-account"


@dataclass(frozen=True)
class AccountKey:
    """An account's ``key`` at one host, its ``identity`` at every host, and how messages show it."""

    key: str
    identity: str
    shown_as: str

    @classmethod
    def of(cls, host: str, account: BrokerAccount) -> AccountKey:
        """Return an account's key and identity. Raises ``BrokerError`` where it has no number."""
        return cls(account_key(host, account), _identity(host, account), account.shown_as)


@dataclass(frozen=True)
class Names:
    """The names of accounts in the store of the ledger."""

    documents: AgentDocuments

    def of(self, key: str) -> str:
        """Return the name of an account, "" where it has none."""
        return str((self.documents.agent_document(_of_account(key)) or {}).get("name", ""))

    def check_identity(self, name: str, account: AccountKey) -> None:
        """Record the account's identity at its first use.

        Raises ``ConfigurationError`` where it was traded at another host, and so under another key.
        """
        document = f"identity-{account.identity}"
        kept = self.documents.agent_document(document)
        if kept is None:
            self.documents.replace_agent_document(document, {"account_key": account.key}, replacing=None)
            kept = self.documents.agent_document(document)
        before = str((kept or {}).get("account_key", account.key))
        if before == account.key:
            return
        known_as = self.of(before)
        if (
            known_as and known_as == name and self._key_of(name) is None
        ):  # it was renamed to move to another host
            self.documents.replace_agent_document(document, {"account_key": account.key}, replacing=kept)
            return
        if known_as and name and known_as != name:
            raise ConfigurationError(self._two_names(name, known_as, f"{account.shown_as}, at another host"))
        raise ConfigurationError(self._elsewhere(name or known_as or "This"))

    def claim(self, name: str, key: str) -> None:
        """Record the permanent name of an account. Raises ``ConfigurationError`` for a conflict.

        Name and account are checked before anything is written: a refused name leaves no document.
        """
        of_account, of_name = _of_account(key), _of_name(name)
        self._check(name, key)
        for document, wanted in ((of_name, {"name": name, "account_key": key}), (of_account, {"name": name})):
            if self.documents.agent_document(document) is None:
                self.documents.replace_agent_document(document, wanted, replacing=None)
        self._check(name, key)  # another job may have written first

    def key_to_rename(self, old: str, new: str) -> str:
        """Return the key of the account to rename. Raises ``UsageError`` where it can't be renamed."""
        key = self._key_of(old)
        if key is None or self.of(key) != old:
            called = f"the account is named {self.of(key)} now" if key else "no account was traded under it"
            raise UsageError(f"{old} is not the name of an account in {self.documents.place}: {called}.")
        if self._key_of(new) not in {None, key}:
            raise UsageError(
                f"{new} is the name of another account ({self.documents.place}). Choose another."
            )
        return key

    def rename(self, old: str, new: str, *, by: str, why: str, at: datetime) -> None:
        """Rename an account. Raises ``UsageError`` as ``key_to_rename``."""
        document = _of_account(self.key_to_rename(old, new))
        before = self.documents.agent_document(document) or {}
        change = {"from": old, "to": new, "by": by, "why": why, "at": at.isoformat()}
        after = {**before, "name": new, "renamed": [*before.get("renamed", []), change]}
        if not self.documents.replace_agent_document(document, after, replacing=before):
            raise UsageError(
                f"the name of {old} was changed by another job meanwhile. Run the command again."
            )

    def _check(self, name: str, key: str) -> None:
        known_as = self.of(key) or name
        if known_as != name:
            raise ConfigurationError(self._two_names(name, known_as, "the same host"))
        if self._key_of(name) not in {None, key}:
            raise ConfigurationError(self._elsewhere(name))

    def _key_of(self, name: str) -> str | None:
        kept = self.documents.agent_document(_of_name(name))
        return None if kept is None else str(kept.get("account_key"))

    def _two_names(self, name: str, known_as: str, where: str) -> str:
        return (
            f"The account of these keys is called {name} here, and has been traded as {known_as} "
            f"({where}; {self.documents.place}): under two names it would have two limits. Call it "
            f"{known_as}, {_WHERE}; or go on as {name}: {_RENAME} {quote(known_as)} {quote(name)} "
            f"--by NAME --why TEXT"
        )

    def _elsewhere(self, name: str) -> str:
        return (
            f"{name} is the name of another broker account, or of this one at another host "
            f"({self.documents.place}): its positions, counts and orders are that one's. Set the host back; "
            f"or give the account of these keys a name of its own, {_WHERE}, after `{_RENAME}` where it is "
            f"the same account."
        )


def check_one_name_each(keys: Mapping[str, AccountKey]) -> None:
    """Refuse settings that give one account two names; ``keys`` by name. Raises ``ConfigurationError``."""
    first: dict[str, str] = {}
    for name, account in keys.items():
        other = first.setdefault(account.identity, name)
        if other != name:
            raise ConfigurationError(
                f"{other} and {name} are one broker account ({account.shown_as}): under two names it would "
                f"have two limits. Leave one of them out of the accounts file and give its intents the other "
                f"name, or correct the keys of one."
            )


def account_key(host: str, account: BrokerAccount) -> str:
    """Return the key of an account, a hash of its number. Raises ``BrokerError`` where it has no number."""
    if not account.account_number:
        raise BrokerError(
            f"{host} returned an account without a number, so the engine can't stop other jobs from trading "
            f"on it. Check that ALPACA_TRADING_HOST is a trading host."
        )
    return _slow_hash(account.account_number, salt=host)


def _identity(host: str, account: BrokerAccount) -> str:
    """Return a hash of the broker's account id, which is the same at each of its hosts.

    On loopback the port is part of it: simulators at different ports use the same ids.
    """
    port = f" {urlsplit(host).port}" if host.startswith("http:") else ""
    return _slow_hash(account.account_id or account.account_number, salt=f"account id{port}")


@lru_cache(maxsize=64)
def _slow_hash(text: str, *, salt: str) -> str:
    return hashlib.scrypt(text.encode(), salt=salt.encode(), n=2**12, r=8, p=1).hex()[:_KEY_LETTERS]


def _of_account(key: str) -> str:
    return f"account-{key}"


def _of_name(name: str) -> str:
    return f"named-{hashlib.sha256(name.encode()).hexdigest()[:_KEY_LETTERS]}"
