"""A batch of intents as the rules see it: typed columns, read once from a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from engine.model.columns import (
    Column,
    Columns,
    NumberColumn,
    TextColumn,
    TimeColumn,
    constant_text,
    flag_column,
    json_column,
    number_column,
    text_column,
    time_column,
)
from engine.model.contract import is_well_formed
from engine.model.quantity import Ints, Mask
from engine.model.schema import DECISION_FIELDS, FIELD_BY_NAME
from engine.model.symbols import canonical_symbol
from engine.risk.buckets import Buckets, Numbered
from engine.risk.identity import Identity, identify
from engine.risk.verdicts import Amounts


def _symbol_column(series: pd.Series) -> TextColumn:
    """Return symbols in their canonical form; other text stays as it is, and breaks the contract."""
    return text_column(series).mapped(
        lambda text: canonical_symbol(text) if is_well_formed("symbol", text) else text
    )


_READERS: dict[str, Callable[[pd.Series], Column]] = {
    "text": text_column,
    "upper": text_column,
    "symbol": _symbol_column,
    "enum": text_column,
    "quantity": number_column,
    "number": number_column,
    "time": time_column,
    "flag": flag_column,
    "json": json_column,
}


@dataclass(frozen=True)
class Batch:
    """Columns of a batch, and what several rules derive from them. Rows are by position, not by index.

    ``by_notional``: the quantity of orders by notional, where prices give them one.
    """

    rows: int
    columns: Columns
    client_intent_ids: pd.Series | None
    source_files: pd.Series | None
    by_strategy: bool
    by_notional: Amounts | None = None

    @classmethod
    def of(cls, intents: pd.DataFrame, *, by_strategy: bool = False) -> Batch:
        """Read a frame; columns may be absent, and of any dtype.

        ``by_strategy``: strategies tell buckets apart, which only limits of strategies need.
        """
        columns = {
            name: _READERS[FIELD_BY_NAME[name].kind](intents[name])
            for name in DECISION_FIELDS
            if name in intents.columns and name != "client_intent_id"
        }
        ids = intents["client_intent_id"] if "client_intent_id" in intents.columns else None
        files = intents["source_file"] if "source_file" in intents.columns else None
        return cls(len(intents), columns, ids, files, by_strategy)

    def text(self, name: str) -> TextColumn:
        """Return a text column; what is missing has the default of its field."""
        column, default = self.columns.get(name), FIELD_BY_NAME[name].default
        if not isinstance(column, TextColumn):
            return constant_text(default, self.rows)
        return column if default is None else column.with_default(default)

    def time(self, name: str) -> TimeColumn | None:
        """Return a column of timestamps, None where no row has one."""
        column = self.columns.get(name)
        return column if isinstance(column, TimeColumn) and column.given.any() else None

    @cached_property
    def accounts(self) -> Numbered:
        """The batch's accounts."""
        return _numbered(self.text("broker_account_id"), "broker_account_id")

    @cached_property
    def strategies(self) -> Numbered:
        """The batch's strategies."""
        return _numbered(self.text("strategy_id"), "strategy_id")

    @cached_property
    def symbols(self) -> Numbered:
        """The batch's symbols, in their canonical form."""
        return _numbered(self.text("symbol"), "symbol")

    @cached_property
    def buckets(self) -> Buckets:
        """The buckets of the rows."""
        strategies = self.strategies if self.by_strategy else None
        return Buckets.of(self.accounts, strategies, self.symbols, (self._sides, self.text("side").codes))

    @cached_property
    def is_cancel(self) -> Mask:
        """The rows that cancel an earlier order instead of placing one."""
        return self.text("action").where("cancel".__eq__)

    @cached_property
    def side(self) -> Any:
        """+1 for a buy, -1 for a sell, 0 for neither (int8)."""
        return self._sides[self.text("side").codes]

    @cached_property
    def _sides(self) -> Any:
        """The same by distinct text, the last one of rows without any."""
        values = self.text("side").values
        sign = [{"buy": 1, "sell": -1}.get(value, 0) if isinstance(value, str) else 0 for value in values]
        return np.array([*sign, 0], dtype=np.int8)

    @cached_property
    def is_order(self) -> Mask:
        """The rows that place an order."""
        return ~self.is_cancel

    @cached_property
    def qty(self) -> Amounts:
        """Quantity in units of 1e-9; unknown where it is missing, invalid, or by notional."""
        column = self.columns.get("qty")
        if not isinstance(column, NumberColumn):
            return Amounts(np.zeros(self.rows, dtype=np.int64), np.zeros(self.rows, dtype=bool))
        known = column.units > 0
        return Amounts(column.units if known.all() else np.where(known, column.units, 0), known)

    @cached_property
    def traded(self) -> Amounts:
        """Quantity as it changes a position: unknown, too, where the side is neither buy nor sell.

        That of an order by notional follows from its price.
        """
        units, known = self.qty.units, self.qty.known
        if self.by_notional is not None:
            units = np.where(self.by_notional.known, self.by_notional.units, units)
            known = known | self.by_notional.known
        return Amounts(units, known & (self.side != 0))

    @cached_property
    def has_notionals(self) -> bool:
        """Whether any row gives a notional."""
        column = self.columns.get("notional")
        return isinstance(column, NumberColumn) and bool((column.numbers > 0).any())

    @cached_property
    def all_traded_known(self) -> bool:
        """Whether every row has a known quantity and side."""
        return bool(self.traded.known.all())

    @cached_property
    def has_cancels(self) -> bool:
        """Whether any row is a cancel."""
        return bool(self.is_cancel.any())

    @cached_property
    def files(self) -> Ints:
        """The file of each row as a code from 0; without a column that names it, the batch is one file."""
        files = self.source_files
        if files is None:
            return np.zeros(self.rows, dtype=np.int64)
        codes, _ = pd.factorize(files, use_na_sentinel=False)
        return np.asarray(codes, dtype=np.int64)

    @cached_property
    def identity(self) -> Identity:
        """Which rows carry the same client intent id for the same account, and which have a valid one."""
        return identify(self.client_intent_ids, self.text("broker_account_id"))


def _numbered(column: TextColumn, field: str) -> Numbered:
    code_of: dict[str, int] = {}
    codes = [
        code_of.setdefault(str(value), len(code_of)) if is_well_formed(field, value) else -1
        for value in column.values
    ]
    return Numbered(np.array([*codes, -1], dtype=np.int64), column.codes, code_of)
