"""Lookup of a batch's accounts and positions in the frames of the risk inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from engine.model.columns import text_column
from engine.model.quantity import Ints, Mask
from engine.model.symbols import canonical_symbol
from engine.risk.batch import Batch
from engine.text.plain_text import is_plain, trimmed

_DENSE_BOUND = 2_000_000


@dataclass(frozen=True)
class AccountKeys:
    """The accounts of a batch: a code each, from 0 to below ``count``."""

    account: Ints
    code_of: dict[str, int]
    count: int

    @classmethod
    def of(cls, batch: Batch) -> AccountKeys:
        """Return codes for the well-formed accounts of a batch; any other has code -1."""
        accounts = batch.accounts
        return cls(accounts.codes, accounts.code_of, len(accounts.code_of))

    def codes(self, frame: pd.DataFrame) -> Ints | None:
        """Return a frame's rows as account codes, -1 for other accounts; None where a row has no account."""
        return _codes(frame, "broker_account_id", self.code_of)


@dataclass(frozen=True)
class PositionKeys:
    """The (account, symbol) pairs of a batch: a code each, from 0 to below ``count``; -1 for no such pair."""

    key: Ints
    accounts: dict[str, int]
    symbols: dict[str, int]
    pairs: Ints | None
    count: int

    @classmethod
    def of(cls, batch: Batch) -> PositionKeys:
        """Return codes for the pairs: dense while they are few, else only for those that occur."""
        accounts, symbols = batch.accounts, batch.symbols
        pair = _pairs(accounts.codes, symbols.codes, len(symbols.code_of))
        possible = len(accounts.code_of) * len(symbols.code_of)
        if possible <= _DENSE_BOUND:
            return cls(pair, accounts.code_of, symbols.code_of, None, possible)
        pairs, key = np.unique(pair, return_inverse=True)
        missing = int(len(pairs) > 0 and pairs[0] < 0)
        return cls(key - missing, accounts.code_of, symbols.code_of, pairs[missing:], len(pairs) - missing)

    def codes(self, frame: pd.DataFrame) -> Ints | None:
        """Return a frame's rows as codes, -1 for pairs not in the batch; None where a row has no pair."""
        account = _codes(frame, "broker_account_id", self.accounts)
        symbol = _codes(frame, "symbol", self.symbols, form=canonical_symbol)
        if account is None or symbol is None:
            return None
        pair = _pairs(account, symbol, len(self.symbols))
        if self.pairs is None:
            return pair
        place = np.minimum(np.searchsorted(self.pairs, pair), max(len(self.pairs) - 1, 0))
        return np.where(self.pairs[place] == pair, place, -1) if len(self.pairs) else np.full(len(pair), -1)

    def of_accounts(self, accounts: Ints) -> Mask:
        """Return the mask of the pairs of some accounts, given as codes (-1: not in the batch)."""
        pairs = np.arange(self.count) if self.pairs is None else self.pairs
        wanted = np.zeros(len(self.accounts) + 1, dtype=bool)
        wanted[accounts] = True
        wanted[-1] = False
        return np.asarray(wanted[pairs // max(len(self.symbols), 1)])

    def accounts_in_doubt(self, frame: pd.DataFrame) -> tuple[Ints | None, pd.DataFrame]:
        """Return the accounts of the rows without a symbol, as codes, and the other rows.

        The codes are None where such a row has no account either.
        """
        named = _named(frame, "symbol")
        if named.all():
            return np.zeros(0, dtype=np.int64), frame
        return _codes(frame[~named], "broker_account_id", self.accounts), frame[named]


def names_something(text: str) -> bool:
    """Return whether a text of a frame is a key: not blank, and plain once it is trimmed."""
    name = trimmed(text)
    return bool(name) and is_plain(name)


def names_every_symbol(frame: pd.DataFrame) -> bool:
    """Return whether every row has a symbol; one without it makes the whole frame unavailable."""
    return bool(_named(frame, "symbol").all())


def _pairs(account: Ints, symbol: Ints, symbols: int) -> Ints:
    return np.where((account < 0) | (symbol < 0), -1, account * symbols + symbol)


def _codes(
    frame: pd.DataFrame, name: str, code_of: dict[str, int], *, form: Callable[[str], str] = trimmed
) -> Ints | None:
    """Return a column as codes; None where a key is missing or malformed, since it could be any key."""
    if len(frame) == 0:
        return np.zeros(0, dtype=np.int64)
    if not _named(frame, name).all():
        return None
    column = text_column(frame[name])
    codes = [code_of.get(form(str(value)), -1) for value in column.values]
    return np.array([*codes, -1], dtype=np.int64)[column.codes]


def _named(frame: pd.DataFrame, name: str) -> Mask:
    """Return the mask of the rows with a well-formed key; a text that isn't plain could be any name."""
    return text_column(frame[name]).where(names_something) if len(frame) else np.zeros(0, bool)
