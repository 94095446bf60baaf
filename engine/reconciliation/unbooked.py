"""Our orders that filled at the broker and are in neither the ledger nor this folder's record.

A data folder and its store that were restored from one backup agree with each other and lack the orders sent
since. Of two copies of a folder that trade one account, each lacks the orders that the other sends. Such an
order can be recognized by its client id alone. The broker gives a UUID to an order without one, so any other
id that an intent could have may be ours: it counts for the daily limit, and is never reported as foreign.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from engine.brokers.trading import TradingBroker
from engine.model.calendar import session_if_covered
from engine.model.orders import BrokerFill, BrokerOrder, OrderIntent
from engine.record.fills import ledger_documents
from engine.routing.fills import executions

LOOKED_BACK = timedelta(days=14)
"""How far back the broker's orders are read: longer than a backup is left unrestored."""
_OURS = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_GIVEN_BY_THE_BROKER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def may_be_ours(order: BrokerOrder) -> bool:
    """Return whether an order's client id is one that an intent could have."""
    client_id = order.client_order_id
    return bool(_OURS.fullmatch(client_id)) and not _GIVEN_BY_THE_BROKER.fullmatch(client_id)


@dataclass(frozen=True)
class Unbooked:
    """Orders and legs that may be ours: by the broker's id, each with the head of its group."""

    heads: Mapping[str, BrokerOrder]

    @property
    def client_ids(self) -> dict[str, str]:
        """The client id of each one's group."""
        return {order_id: head.client_order_id for order_id, head in self.heads.items()}

    def trades_of(
        self, session: date, fills: Iterable[BrokerFill], calendar: str, *, besides: Collection[str]
    ) -> int:
        """Count the groups with a fill in a session; those that still work count as working orders instead.

        ``besides``: the broker's ids of the heads that still work.
        """
        traded = {
            self.heads[fill.broker_order_id].broker_order_id
            for fill in fills
            if fill.broker_order_id in self.heads
            and session_if_covered(fill.filled_at, calendar) in {None, session}
        }
        return len(traded - {*besides})


def unbooked_among(order_ids: Collection[str], orders: Iterable[BrokerOrder]) -> Unbooked:
    """Return the orders or legs among ``order_ids`` that may be ours; ``orders`` are the broker's heads."""
    heads = {order.broker_order_id: head for head in orders for order in (head, *head.legs)}
    return Unbooked(
        {one: heads[one] for one in sorted(order_ids) if one in heads and may_be_ours(heads[one])}
    )


def executed_documents(
    broker: TradingBroker, account: str, *, besides: Collection[str], calendar: str, now: datetime
) -> list[dict[str, Any]]:
    """Return the ledger documents of recent fills of orders that may be ours.

    They are made from the broker's orders and executions alone: of the intent only the terms of the order are
    known, not its strategy. ``besides``: ids, the broker's and ours, of orders to leave out. Raises
    ``BrokerError``.
    """
    filled = [
        head
        for head in broker.orders_since(now - LOOKED_BACK)
        if may_be_ours(head)
        and not {head.broker_order_id, head.client_order_id} & {*besides}
        and any(order.filled_qty > 0 for order in (head, *head.legs))
    ]
    pairs = [(_intent(head, account), head) for head in filled]
    fills = executions(filled, broker)
    return list(ledger_documents(pairs, fills, calendar=calendar, now=now))


def _intent(order: BrokerOrder, account: str) -> OrderIntent:
    return OrderIntent(
        strategy_id="",
        broker_account_id=account,
        symbol=order.symbol,
        side=order.side,
        qty=order.qty,
        notional=order.notional,
        client_intent_id=order.client_order_id,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        order_class=order.order_class or "simple",
        limit_price=order.limit_price,
        stop_price=order.stop_price,
    )
