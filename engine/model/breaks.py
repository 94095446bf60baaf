"""The types of reconciliation: an account's books at broker and ledger, and the breaks between them.

Quantities of breaks are int64 units of 1e-9 shares, those of the broker's own objects float64 shares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import EngineError
from engine.model.orders import BrokerFill, BrokerOrder
from engine.model.quantity import NOT_A_QUANTITY, UNITS, round_to_units
from engine.model.schema import reconciliation_schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_QUANTITIES = ("broker_qty", "ledger_qty", "difference_qty")


_WITHOUT_AN_ARRAY = 1e6


@dataclass(frozen=True, kw_only=True)
class CorporateAction:
    """An event that changed a position, or may have, without a trade.

    ``kind`` is the broker's own word (SPLIT), or ``unclear`` where its record couldn't be read. ``qty`` is
    the signed change in shares, None where the broker reports none; one action may come in parts (shares
    removed, shares added). ``day`` is None where unknown. Activities with one ``group_id`` belong together.
    ``is_known`` is false for a type that is unknown to the engine. ``is_cash_in_lieu``: cash for the fraction
    of a share that another action left over.
    """

    activity_id: str
    kind: str
    symbol: str = ""
    qty: float | None = None
    day: date | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    group_id: str = ""
    is_known: bool = True
    is_cash_in_lieu: bool = False


@dataclass(frozen=True, kw_only=True)
class BrokerBook:
    """An account's book at the broker.

    ``positions``: signed shares by symbol. ``recent_orders`` has every order that is open on our record and
    known to the broker, and any others that were read. ``fills``, oldest first, and ``corporate_actions`` are
    those since the last clean comparison; a few earlier ones do no harm. ``asked_at``: a timestamp, by the
    broker's clock, before positions were read; later fills may be in them or not.
    """

    positions: Mapping[str, float]
    open_orders: Sequence[BrokerOrder] = ()
    recent_orders: Sequence[BrokerOrder] = ()
    fills: Sequence[BrokerFill] = ()
    corporate_actions: Sequence[CorporateAction] = ()
    asked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OwnOrder:
    """An order in our results and the ledger, with this sync's late fills.

    ``qty`` and ``filled_qty`` in shares; ``qty`` is None for an order by notional. ``broker_order_id`` is ""
    where the broker never returned one. ``is_open``: placed and not terminal on our record. ``looked_up``:
    the outcome of its lookup by id, as text, where there was one.
    """

    client_intent_id: str
    broker_order_id: str
    symbol: str
    side: str
    qty: float | None
    filled_qty: float = 0.0
    filled_avg_price: float | None = None
    is_open: bool = False
    looked_up: str = ""


@dataclass(frozen=True, kw_only=True)
class LateFill:
    """The fills of one order that this sync wrote into the ledger.

    ``units`` are signed; ``filled_at`` is the timestamp of the last fill.
    """

    broker_order_id: str
    client_intent_id: str
    symbol: str
    units: int
    filled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """The differences that an operator has accepted before; they are no breaks any more.

    ``orders``: pairs of a break's kind and the id of its order (the intent's where the broker gave none).
    ``activities``: ids of executions and corporate actions, and the corrected values of orders or prices.
    ``filled``: the filled units of an order at the latest acceptance of a ``quantity_differs`` of it.
    """

    orders: frozenset[tuple[str, str]] = frozenset()
    activities: frozenset[str] = frozenset()
    filled: Mapping[str, int] = field(default_factory=dict)


_FILLED = "@filled:"


def filled_key(order_id: str, units: int) -> str:
    """Return the key of an accepted ``quantity_differs``: the order, and how much of it has filled.

    An order that is corrected again has another key, so it is a break again.
    """
    return f"{order_id}{_FILLED}{shares(units)}"


def filled_by(key: str) -> tuple[str, int] | None:
    """Return the order and the units that a ``filled_key`` names, None for another text."""
    order_id, found, filled = key.partition(_FILLED)
    if not found:
        return None
    try:
        return order_id, units_of(float(filled.partition("/")[0]))
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class OwnBook:
    """An account's book on our own records.

    ``positions``: units by symbol, summed from the ledger before this sync wrote ``late`` into it.
    ``known_orders``: the broker's ids of all our orders, in the ledger or not, without those of ``orders``.
    ``recorded``: the ids of orders that are sent on record, in the ledger or not. ``unbooked``: the ids of
    orders in neither that may be ours, each with its client id (``engine.reconciliation.unbooked``).
    """

    account: str
    positions: Mapping[str, int]
    late: Sequence[LateFill] = ()
    orders: Sequence[OwnOrder] = ()
    known_orders: frozenset[str] = frozenset()
    accepted: Accepted = field(default_factory=Accepted)
    recorded: frozenset[str] = frozenset()
    unbooked: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Break:
    """One difference between broker and ledger.

    ``broker_qty`` and ``ledger_qty`` are the symbol's current position, in units, at the broker and in the
    ledger; ``difference_qty`` is the part of their difference that this break explains, and that would
    balance it: 0 where only the records of an order differ. ``broker_order_id`` is "" where no order is
    concerned, ``activity_id`` names the last execution, or the corporate actions, behind the break. Prices
    are averages per share. ``said`` and ``remedy`` are sentences for operators. ``is_repaired``: the sync has
    repaired it.
    """

    kind: str
    broker_account_id: str
    symbol: str
    broker_qty: int
    ledger_qty: int
    difference_qty: int
    found_at: datetime
    said: str
    remedy: str
    broker_order_id: str = ""
    client_intent_id: str = ""
    activity_id: str = ""
    broker_price: float | None = None
    ledger_price: float | None = None
    is_repaired: bool = False


def breaks_table(breaks: Iterable[Break]) -> pa.Table:
    """Return breaks as the table of ``reconciliation.parquet``, with quantities in shares."""
    import pyarrow as pa

    schema = reconciliation_schema()
    rows = [
        {
            name: getattr(found, name) / UNITS if name in _QUANTITIES else getattr(found, name)
            for name in schema.names
        }
        for found in breaks
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def breaks_in(table: pa.Table) -> list[Break]:
    """Return the breaks of a ``reconciliation.parquet``."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row |= {name: units_of(row[name]) for name in _QUANTITIES}
    return [Break(**row) for row in rows]


def unreconciled(breaks: Iterable[Break]) -> pd.DataFrame:
    """Return ``broker_account_id, symbol`` of the open breaks, where orders may only shrink a position.

    Each symbol is there once; None stands for the whole account. The form is ``RiskInputs.unreconciled``'s.
    """
    import pandas as pd

    keys = {
        (found.broker_account_id, found.symbol or None): None for found in breaks if not found.is_repaired
    }
    return pd.DataFrame(list(keys), columns=["broker_account_id", "symbol"])


def shares(units: int) -> str:
    """Return units as shares, exactly: ``-1.5``."""
    text = f"{Decimal(units).scaleb(-9):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def units_of(qty: float) -> int:
    """Return shares that a broker or the ledger reported in units, rounded as by ``round_to_units``."""
    product = qty * 1e9
    if abs(qty) < _WITHOUT_AN_ARRAY and product % 1 != 0.5:
        return round(product)
    units: int = round_to_units(np.array([qty], dtype=np.float64)).tolist()[0]
    if units == NOT_A_QUANTITY:
        raise EngineError(
            f"a quantity to compare is {qty!r}; expected shares between -1e9 and 1e9. Nothing was compared; "
            f"look at the broker's dashboard, and sync again."
        )
    return units


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: ``2 executions``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def in_utc(timestamp: datetime) -> str:
    """Return a timestamp as text to the second, UTC."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
