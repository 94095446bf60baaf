"""Cells: what a counter counts by, such as an account, or a symbol in an account.

A basis says which of account, strategy, symbol and side tell two cells apart. An intent's cell follows from
its bucket; a row of an input frame finds its cells by the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from engine.model.columns import text_column
from engine.model.quantity import Ints, Mask
from engine.model.symbols import canonical_symbol
from engine.risk.buckets import Buckets, renumbered
from engine.text.plain_text import is_plain, trimmed

T = TypeVar("T", bound=np.ndarray[Any, Any])

_DENSE_BOUND = 300_000
"""Up to so many possible cells, or as many as buckets, all are kept; beyond, only those of a bucket."""


@dataclass(frozen=True)
class Basis:
    """What tells cells apart besides the account, within which everything is counted."""

    strategy: bool = False
    symbol: bool = False
    side: bool = False


BY_ACCOUNT = Basis()
BY_SYMBOL = Basis(symbol=True)
BY_STRATEGY = Basis(strategy=True)
BY_STRATEGY_AND_SYMBOL = Basis(strategy=True, symbol=True)


@dataclass(frozen=True)
class Cells:
    """The cells of a batch by one basis, from 0 to below ``count``.

    ``of_bucket``: each bucket's cell, -1 where a name it needs is not well-formed; ``key_of_bucket``: its
    cell without side. Per cell: ``sign`` (+1 buys, -1 sells, 0 where the basis has no side). ``keys``: the
    sorted code of each cell's account, strategy and symbol, None where every possible one has a cell.
    """

    basis: Basis
    of_bucket: Ints
    key_of_bucket: Ints
    count: int
    sign: Ints
    keys: Ints | None
    names: Buckets

    @classmethod
    def of(cls, buckets: Buckets, basis: Basis) -> Cells:
        """Return the cells of a batch."""
        sides = 2 if basis.side else 1
        key = _key(basis, buckets, buckets.account, buckets.strategy, buckets.symbol)
        possible = len(buckets.account_codes)
        possible *= len(buckets.strategy_codes) if basis.strategy else 1
        possible *= len(buckets.symbol_codes) if basis.symbol else 1
        keys = None
        if possible > max(_DENSE_BOUND, buckets.count):
            keys, place = renumbered(key + 1, possible + 1)
            missing = int(len(keys) > 0 and keys[0] == 0)
            key, keys = place - missing, keys[missing:] - 1
            possible = len(keys)
        cell = key
        if basis.side:
            known = (key >= 0) & (buckets.sign != 0)
            cell = np.where(known, key * 2 + (buckets.sign < 0), -1)
        count = possible * sides
        sign = np.tile(np.array([1, -1]), possible) if basis.side else np.zeros(count, dtype=np.int64)
        return cls(basis, cell, key, count, sign, keys, buckets)

    def codes(self, frame: pd.DataFrame) -> Ints | None:
        """Return the rows of a frame as codes of cells without side, -1 for those of no cell.

        None where a row lacks a name that the basis needs: it could be of any cell.
        """
        account = _codes(frame, "broker_account_id", self.names.account_codes)
        strategy = symbol = None
        if self.basis.strategy:
            strategy = _codes(frame, "strategy_id", self.names.strategy_codes)
        if self.basis.symbol:
            symbol = _codes(frame, "symbol", self.names.symbol_codes, form=canonical_symbol)
        lacks_a_name = account is None or (self.basis.strategy and strategy is None)
        if lacks_a_name or account is None or (self.basis.symbol and symbol is None):
            return None
        nothing = np.full(len(frame), -1, dtype=np.int64)
        key = _key(
            self.basis,
            self.names,
            account,
            nothing if strategy is None else strategy,
            nothing if symbol is None else symbol,
        )
        if self.keys is None:
            return key
        if not len(self.keys):
            return nothing
        place = np.minimum(np.searchsorted(self.keys, key), len(self.keys) - 1)
        return np.where(self.keys[place] == key, place, -1)

    @property
    def undirected(self) -> int:
        """The number of cells without side: a frame's codes are below it."""
        return self.count // 2 if self.basis.side else self.count

    def directed(self, per_key: T) -> T:
        """Return values of cells without side for each cell with its side."""
        return cast("T", np.repeat(per_key, 2)) if self.basis.side else per_key

    def of_accounts(self, accounts: Ints) -> Mask:
        """Return which cells without side are of some accounts, given as codes (-1: not in the batch)."""
        keys = np.arange(self.undirected) if self.keys is None else self.keys
        per_account = 1
        if self.basis.strategy:
            per_account *= len(self.names.strategy_codes)
        if self.basis.symbol:
            per_account *= len(self.names.symbol_codes)
        wanted = np.zeros(len(self.names.account_codes) + 1, dtype=bool)
        wanted[accounts] = True
        wanted[-1] = False
        return np.asarray(wanted[keys // max(per_account, 1)])

    def accounts_in_doubt(self, frame: pd.DataFrame) -> tuple[Ints | None, pd.DataFrame]:
        """Return the accounts of the rows without a symbol, as codes, and the other rows.

        The codes are None where such a row has no account either.
        """
        named = _named(frame, "symbol")
        if named.all():
            return np.zeros(0, dtype=np.int64), frame
        return _codes(frame[~named], "broker_account_id", self.names.account_codes), frame[named]


def names_something(text: str) -> bool:
    """Return whether a text of a frame is a key: not blank, and plain once it is trimmed."""
    name = trimmed(text)
    return bool(name) and is_plain(name)


def names_every(frame: pd.DataFrame, column: str) -> bool:
    """Return whether every row of a frame has a name in a column."""
    return bool(_named(frame, column).all())


def _key(basis: Basis, names: Buckets, account: Ints, strategy: Ints, symbol: Ints) -> Ints:
    """Return one number for account, strategy and symbol, -1 where one that the basis needs is unknown."""
    key, known = account, account >= 0
    if basis.strategy:
        key, known = key * len(names.strategy_codes) + strategy, known & (strategy >= 0)
    if basis.symbol:
        key, known = key * len(names.symbol_codes) + symbol, known & (symbol >= 0)
    return np.where(known, key, -1)


def _codes(
    frame: pd.DataFrame, name: str, code_of: dict[str, int], *, form: Callable[[str], str] = trimmed
) -> Ints | None:
    """Return a column as codes; None where a name is missing or malformed, since it could be any name."""
    if len(frame) == 0:
        return np.zeros(0, dtype=np.int64)
    if not _named(frame, name).all():
        return None
    column = text_column(frame[name])
    codes = [code_of.get(form(str(value)), -1) for value in column.values]
    return np.array([*codes, -1], dtype=np.int64)[column.codes]


def _named(frame: pd.DataFrame, name: str) -> Mask:
    """Return the mask of the rows with a well-formed name; a text that isn't plain could be any name."""
    return text_column(frame[name]).where(names_something) if len(frame) else np.zeros(0, bool)
