"""Rows that are alike to every limit: of one account, strategy, symbol and side.

Limits, cells and what is used of them depend on a row's bucket alone, so they are worked out per bucket, of
which there are few, and looked up per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model.quantity import Ints, Mask
from engine.model.symbols import canonical_symbol
from engine.risk.levels import Level, Scope
from engine.text.plain_text import trimmed

_DENSE_BOUND = 65_536
"""Up to so many possible buckets, those without rows are kept too; beyond, only those with rows."""

Codes = npt.NDArray[np.integer[Any]]

_ABSENT = -2
"""The code of a name that is in no row."""


@dataclass(frozen=True)
class Numbered:
    """The well-formed texts of a column, numbered from 0; rows without one have code -1.

    ``by_value``: the code of each distinct text of the column, the last one of rows without any; ``value``:
    the place of each row's text among these.
    """

    by_value: Ints
    value: Codes
    code_of: dict[str, int]

    @cached_property
    def codes(self) -> Ints:
        """The code of each row; not to be changed."""
        return self.by_value[self.value]


@dataclass(frozen=True)
class Buckets:
    """The buckets of a batch; ``of_row`` is each row's.

    Per bucket: the codes of ``account``, ``strategy`` and ``symbol`` (-1 for none that is well-formed) and
    the ``sign`` of its side (+1 buy, -1 sell, 0 neither). ``names``: the code of each name.
    """

    of_row: Ints
    account: Ints
    strategy: Ints
    symbol: Ints
    sign: Ints
    account_codes: dict[str, int]
    strategy_codes: dict[str, int]
    symbol_codes: dict[str, int]

    @classmethod
    def of(
        cls,
        accounts: Numbered,
        strategies: Numbered | None,
        symbols: Numbered,
        sides: tuple[Ints, Codes],
    ) -> Buckets:
        """Return the buckets of a batch's columns; without strategies every strategy has code -1.

        ``sides``: +1 for a buy, -1 for a sell, 0 for neither, by distinct text, and each row's place among
        these.
        """
        strategy_count = len(strategies.code_of) if strategies else 0
        sizes = (len(accounts.code_of) + 1, strategy_count + 1, len(symbols.code_of) + 1)
        of_side, side_of_row = sides
        code = ((symbols.by_value + 1) * 3)[symbols.value]
        code += (of_side.astype(np.int64) + 1)[side_of_row]
        code += ((accounts.by_value + 1) * (sizes[1] * sizes[2] * 3))[accounts.value]
        if strategies is not None:
            code += ((strategies.by_value + 1) * (sizes[2] * 3))[strategies.value]
        possible = sizes[0] * sizes[1] * sizes[2] * 3
        if possible <= _DENSE_BOUND:
            occurring = np.arange(possible, dtype=np.int64)
            of_row = code
        else:
            occurring, of_row = renumbered(code, possible)
        rest, side = np.divmod(occurring, 3)
        rest, symbol = np.divmod(rest, sizes[2])
        account, strategy = np.divmod(rest, sizes[1])
        return cls(
            of_row,
            account - 1,
            strategy - 1,
            symbol - 1,
            side - 1,
            accounts.code_of,
            strategies.code_of if strategies else {},
            symbols.code_of,
        )

    @property
    def count(self) -> int:
        """The number of buckets."""
        return len(self.account)

    def within(self, scope: Scope) -> Mask:
        """Return which buckets a scope contains."""
        held = np.ones(self.count, dtype=bool)
        if scope.account is not None:
            held &= self.account == self.account_codes.get(trimmed(scope.account), _ABSENT)
        if scope.strategy is not None:
            held &= self.strategy == self.strategy_codes.get(trimmed(scope.strategy), _ABSENT)
        if scope.symbol is not None:
            held &= self.symbol == self.symbol_codes.get(canonical_symbol(scope.symbol), _ABSENT)
        return held

    def at(self, level: Level) -> Mask:
        """Return which buckets a level judges."""
        held = self.within(level.scope)
        for scope in level.except_in:
            held &= ~self.within(scope)
        return held

    @cached_property
    def every(self) -> Mask:
        """All buckets."""
        return np.ones(self.count, dtype=bool)


def renumbered(code: Ints, possible: int) -> tuple[Ints, Ints]:
    """Return the codes that occur, in order, and each row's place among them; all are below ``possible``."""
    if possible > 16 * max(len(code), 1_000_000):
        occurring, of_row = np.unique(code, return_inverse=True)
        return occurring.astype(np.int64), of_row.astype(np.int64)
    present = np.zeros(possible, dtype=bool)
    present[code] = True
    occurring = np.flatnonzero(present)
    number = np.zeros(possible, dtype=np.int32)
    number[occurring] = np.arange(len(occurring), dtype=np.int32)
    return occurring, number[code].astype(np.int64)
