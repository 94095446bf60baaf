"""What broker and ledger say of an account, and what differs: the words of reconciliation.

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
    """What changed a position, or may have, without a trade.

    ``kind`` is the broker's own word (SPLIT), or ``unclear`` where its record couldn't be read. ``qty`` is
    the signed change in shares, None where that isn't said; one action may come in parts (shares removed,
    shares added). ``day`` is None where it isn't known. Activities with one ``group_id`` belong
    together. ``is_known`` is false for a type that we know nothing of. ``is_cash_in_lieu``: money for the
    fraction of a share that another action left over.
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
    """What the broker says of an account.

    ``positions``: signed shares by symbol. ``recent_orders`` has every order that our record takes for open
    and that the broker knows, and whatever else was read. ``fills``, oldest first, and ``corporate_actions``
    are those since the last clean comparison; a few from before do no harm. ``asked_at``: a moment, by the
    broker's clock, before positions were read; what filled since may be in them or not yet.
    """

    positions: Mapping[str, float]
    open_orders: Sequence[BrokerOrder] = ()
    recent_orders: Sequence[BrokerOrder] = ()
    fills: Sequence[BrokerFill] = ()
    corporate_actions: Sequence[CorporateAction] = ()
    asked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class OwnOrder:
    """An order as our results and the ledger have it, this sync's late fills included.

    ``qty`` and ``filled_qty`` in shares; ``qty`` is None for an order by notional. ``broker_order_id`` is ""
    where the broker never gave one. ``is_open``: our record takes it for placed and not over. ``looked_up``:
    what asking for it by its id gave, in words, where it was asked for.
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
    """What this sync has brought into the ledger of one order.

    ``units`` are signed; ``filled_at`` is the moment of the last of it.
    """

    broker_order_id: str
    client_intent_id: str
    symbol: str
    units: int
    filled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """What somebody has taken in before: it is no break any more.

    ``orders``: pairs of a break's kind and the id of its order (the intent's where the broker gave none).
    ``activities``: ids of executions and corporate actions, and what an order or its price was corrected to.
    ``filled``: what an order had filled, in units, by the latest acceptance of a ``quantity_differs`` of it.
    """

    orders: frozenset[tuple[str, str]] = frozenset()
    activities: frozenset[str] = frozenset()
    filled: Mapping[str, int] = field(default_factory=dict)


_FILLED = "@filled:"


def filled_key(order_id: str, units: int) -> str:
    """Return what an acceptance of a ``quantity_differs`` names: the order, and how much of it has filled.

    An order that is corrected once more is news again.
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
    """What our own records say of an account.

    ``positions``: units by symbol, summed from the ledger as it was before this sync wrote ``late`` into it.
    ``known_orders``: the broker's ids of all orders that are ours, in the ledger or not, those of ``orders``
    not repeated. ``recorded``: of orders that the record has as sent, whatever the ledger has. ``unbooked``:
    of orders that neither has and that may be ours, each with its client id
    (``engine.reconciliation.unbooked``).
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

    ``broker_qty`` and ``ledger_qty`` are the symbol's position, in units, at the broker and in the ledger as
    it is now; ``difference_qty`` is the part of what lies between that this break explains, and what would
    balance it: 0 where only the records of an order differ. ``broker_order_id`` is "" where it is about no
    order, ``activity_id`` names the last execution, or the corporate actions, that it was concluded from.
    Prices are averages per share. ``said`` and ``remedy`` are sentences for people. ``is_repaired``: the sync
    has put it right already.
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
    """Give breaks as ``reconciliation.parquet`` keeps them: quantities in shares."""
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
    """Give the breaks of a ``reconciliation.parquet``."""
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        row |= {name: units_of(row[name]) for name in _QUANTITIES}
    return [Break(**row) for row in rows]


def unreconciled(breaks: Iterable[Break]) -> pd.DataFrame:
    """Give where orders may only shrink a position: ``broker_account_id, symbol`` of the open breaks.

    A symbol is there once; None stands for the whole account. As ``RiskInputs.unreconciled`` has it.
    """
    import pandas as pd

    keys = {
        (found.broker_account_id, found.symbol or None): None for found in breaks if not found.is_repaired
    }
    return pd.DataFrame(list(keys), columns=["broker_account_id", "symbol"])


def shares(units: int) -> str:
    """Write units as shares, exactly: ``-1.5``."""
    text = f"{Decimal(units).scaleb(-9):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def units_of(qty: float) -> int:
    """Give shares that a broker, or the ledger, has told of in units, as ``round_to_units`` does."""
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
    """Write a count with its noun: ``2 executions``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def in_utc(timestamp: datetime) -> str:
    """Write a moment to the second, UTC."""
    return f"{timestamp.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
