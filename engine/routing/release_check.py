"""The approved orders, read from the sealed batch, and their comparison with the sealed decisions."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import EngineError
from engine.model.orders import INTENT_NAMES, OrderIntent, intent_of
from engine.model.quantity import NOT_A_QUANTITY, to_units
from engine.model.symbols import canonical_symbol
from engine.record.run_folder import BATCH, DECISIONS, RunFolder

Key = tuple[str, str]
"""Account and client intent id: ids belong to accounts."""
About = tuple[str, str, int, int]
"""Symbol, side, units of shares and units of USD of an order; -1 for the quantity that isn't given."""


@dataclass(frozen=True)
class ApprovedOrder:
    """An allowed intent and its row in the batch."""

    row: int
    intent: OrderIntent

    @property
    def key(self) -> Key:
        """Account and id."""
        return self.intent.broker_account_id, str(self.intent.client_intent_id)


class OrderMismatch(EngineError):
    """An order about to be sent is not what was allowed: a defect; nothing more is sent."""


def allowed_intents(folder: RunFolder) -> list[ApprovedOrder]:
    """Return the allowed intents of a run in batch order, cancels included."""
    allowed = folder.table(DECISIONS, ["allowed"])["allowed"].to_numpy()
    rows = np.flatnonzero(allowed)
    intents = folder.table(BATCH, list(INTENT_NAMES)).take(pa.array(rows)).to_pylist()
    return [ApprovedOrder(int(row), intent_of(one)) for row, one in zip(rows, intents, strict=True)]


@dataclass
class Allowance:
    """The orders that may still be sent: each allowed order once, and their totals of shares and of USD.

    It is read from the decisions by other code than the orders, so that a mistake in one is detected by the
    other. Source: SEC 34-70694 on Knight Capital, ¶¶11 to 22: orders sent were not compared with orders
    received.
    """

    orders: Mapping[Key, About]
    left: set[Key] = field(default_factory=set)
    left_units: int = 0
    left_usd_units: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, folder: RunFolder, account: str) -> Allowance:
        """Return the allowance of an account from the sealed decisions."""
        allowed = folder.table(DECISIONS, ["allowed"])["allowed"]
        names = ["broker_account_id", "client_intent_id", "symbol", "side", "qty", "notional", "action"]
        batch = folder.table(BATCH, names)
        is_new = pc.not_equal(batch["action"].cast(pa.string()), "cancel")
        is_its_own = pc.equal(batch["broker_account_id"].cast(pa.string()), account)
        batch = batch.filter(pc.and_(pc.and_(allowed, is_its_own), pc.fill_null(is_new, True)))
        accounts, ids, symbols, sides = (batch[name].to_pylist() for name in names[:4])
        amounts = [_units(batch[name].to_numpy()) for name in ("qty", "notional")]
        abouts = zip(map(canonical_symbol, symbols), sides, *amounts, strict=True)
        return cls(dict(zip(zip(accounts, ids, strict=True), abouts, strict=True)))

    @cached_property
    def units(self) -> int:
        """The total that may be sent, in units of shares; orders by notional count as ``usd_units``."""
        return sum(max(qty, 0) for _, _, qty, _ in self.orders.values())

    @cached_property
    def usd_units(self) -> int:
        """The total notional that may be sent, in units of 1e-9 USD."""
        return sum(max(notional, 0) for _, _, _, notional in self.orders.values())

    def check_all(self, orders: Iterable[ApprovedOrder]) -> None:
        """Compare all orders about to be sent with the allowed ones. Raises ``OrderMismatch``."""
        approved = Counter(order.key for order in orders if order.intent.action != "cancel")
        allowed = Counter(list(self.orders))
        if approved != allowed:
            wrong = sorted([*(approved - allowed), *(allowed - approved)])
            raise OrderMismatch(
                f"{approved.total()} orders are about to be sent where {allowed.total()} were allowed; they "
                f"differ in {wrong[:3]}. Nothing more is sent; this is a defect: keep the run's folder."
            )

    def check(self, order: ApprovedOrder) -> None:
        """Compare an order about to be sent with what was allowed. Raises ``OrderMismatch``.

        An order may be checked again where it is sent again under the same id.
        """
        intent = order.intent
        amounts = (math.nan if amount is None else amount for amount in (intent.qty, intent.notional))
        about = (canonical_symbol(intent.symbol), intent.side, *_units(list(amounts)))
        if self.orders.get(order.key) != about:
            raise OrderMismatch(
                f"order {order.key[1]} of {order.key[0]} is about to be sent as {about}, where "
                f"{self.orders.get(order.key)} was allowed. Nothing more is sent; this is a defect: keep the "
                f"run's folder."
            )
        with self._lock:
            if order.key not in self.left:
                self.left.add(order.key)
                self.left_units += max(about[2], 0)
                self.left_usd_units += max(about[3], 0)
        sent = len(self.left), self.left_units, self.left_usd_units
        allowed = len(self.orders), self.units, self.usd_units
        if any(left > most for left, most in zip(sent, allowed, strict=True)):
            raise OrderMismatch(
                "{} orders of {} units and {} units of USD are about to be sent where {} of {} and {} were "
                "allowed. Nothing more is sent; this is a defect: keep the run's folder.".format(
                    *sent, *allowed
                )
            )


def _units(qty: Any) -> list[int]:
    units = to_units(np.asarray(qty, dtype=np.float64))
    return [-1 if unit == NOT_A_QUANTITY else int(unit) for unit in units.tolist()]
