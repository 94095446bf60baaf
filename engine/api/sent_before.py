"""Repeated execution of an intent: whether it was sent or may have been, and its current outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from engine.brokers.order_differences import differences
from engine.brokers.trading import TradingBroker
from engine.errors import BrokerError
from engine.intents.reading import IntentFile
from engine.model.orders import BrokerOrder, OrderIntent
from engine.record.run_folder import BATCH, RESULTS, RunFolder, RunFolders
from engine.routing.cancels import outcome_of

_SENT = frozenset({"placed", "unresolved", "canceled", "cancel_requested", "too_late"})


class Reader(Protocol):
    """The parts of ``RiskManager`` that read intents."""

    def session(self) -> date:
        """Return the current session."""
        ...

    def read(self, intent: OrderIntent) -> IntentFile:
        """Return an intent as a file with one row."""
        ...


@dataclass(frozen=True)
class Sent:
    """A row of a run whose order was sent, or may have been."""

    folder: RunFolder
    row: int


@dataclass(frozen=True)
class SentBefore:
    """Looks intents up in the live runs of the session, and in ``earlier``, a run of any day."""

    runs: RunFolders
    reader: Reader
    earlier: RunFolder | None = None

    def find(self, intent: OrderIntent) -> Sent | None:
        """Return the row where an intent of this id and content was sent or may have been, None for none."""
        for folder in self._folders():
            if folder.start["mode"] != "live" or RESULTS not in folder.names():
                continue
            for row in self._rows(folder, intent):
                if self.earlier == folder or self._is_same(folder, row, intent):
                    return Sent(folder, row)
        return None

    def _folders(self) -> Iterator[RunFolder]:
        if self.earlier is not None:
            yield self.earlier
        yield from reversed(self.runs.of_day(self.reader.session()))

    @staticmethod
    def _rows(folder: RunFolder, intent: OrderIntent) -> list[int]:
        batch = folder.table(BATCH, ["broker_account_id", "client_intent_id"])
        is_own = pc.and_(
            pc.equal(batch["broker_account_id"].cast(pa.string()), intent.broker_account_id),
            pc.equal(batch["client_intent_id"].cast(pa.string()), str(intent.client_intent_id)),
        )
        if not pc.any(is_own).as_py():
            return []
        results = folder.table(RESULTS, ["status", "broker_order_id"])
        status = results["status"].cast(pa.string())
        is_sent = pc.or_(pc.is_in(status, pa.array(sorted(_SENT))), pc.is_valid(results["broker_order_id"]))
        is_both = pc.and_(is_own, is_sent).to_pylist()
        return [row for row, is_it in enumerate(is_both) if is_it]

    def _is_same(self, folder: RunFolder, row: int, intent: OrderIntent) -> bool:
        """Return whether contents are equal; a missing ``created_at`` was set at the first execution."""
        kept = folder.table(BATCH, ["content_hash", "created_at"]).slice(row, 1).to_pylist()[0]
        read = self.reader.read(replace_created(intent, kept["created_at"]))
        return not read.refused and read.table["content_hash"].to_pylist() == [kept["content_hash"]]


def replace_created(intent: OrderIntent, created_at: Any) -> OrderIntent:
    """Return the intent; where it has no ``created_at``, with the given one."""
    if intent.created_at is not None:
        return intent
    return replace(intent, created_at=created_at, client_intent_id=str(intent.client_intent_id))


def current(
    result: dict[str, Any], broker: TradingBroker, intent: OrderIntent, *, run_id: str
) -> dict[str, Any]:
    """Return a recorded result with the current state of its order, looked up at the broker.

    Where the lookup fails, the record is returned, and its message explains it.
    """
    message = f"it was sent by run {run_id}, and nothing was sent again"
    recorded = result["message"] or ""
    try:
        order = _order(result, broker, intent)
    except BrokerError as error:
        text = f"{message}; this is what was recorded, since the broker can't be asked: {error}"
        return {**result, "message": "; ".join(filter(None, [recorded, text]))}
    if order is None:
        return {**result, "message": "; ".join(filter(None, [recorded, message]))}
    now = {"status": "placed", "reason": "ok"} if result["status"] == "unresolved" else {}
    if intent.action == "cancel":
        now = {"status": outcome_of(order).status}
    return {
        **result,
        **now,
        "broker_order_id": order.broker_order_id,
        "order_status": order.order_status,
        "order_qty": order.qty,
        "filled_qty": order.filled_qty,
        "filled_avg_price": order.filled_avg_price,
        "message": message,
    }


def _order(result: dict[str, Any], broker: TradingBroker, intent: OrderIntent) -> BrokerOrder | None:
    if result["broker_order_id"] is not None:
        return broker.get_order_status(broker_order_id=result["broker_order_id"])
    if intent.action == "cancel":
        return None
    found = broker.find_order(client_order_id=str(intent.client_intent_id))
    return None if found is None or differences(intent, found) else found
