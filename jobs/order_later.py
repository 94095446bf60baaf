"""What happened to an order after the end of its run: what later syncs have found."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from engine.errors import EngineError
from engine.model.orders import FINAL_STATUSES
from engine.record.late_fills import late_fills_of
from engine.record.open_orders import left_open
from engine.record.run_folder import FILLS, RunFolder
from engine.stores.protocols import LedgerStore
from jobs.order_life import execution, lines
from jobs.wording import Row, number


class Later:
    """What happened to the orders of a finished run after its end, each record read once."""

    def __init__(self, folder: RunFolder, ledger: LedgerStore) -> None:
        self._ledger = ledger
        self._looked_for = {
            (one.intent.client_intent_id, one.intent.broker_account_id)
            for left in left_open(folder.objects)
            if left.run_id == folder.run_id
            for one in left.orders
        }
        recorded = set(folder.table(FILLS, ["fill_id"])["fill_id"].to_pylist())
        late = {
            fill["fill_id"]: fill
            for table in late_fills_of(folder.objects, {folder.run_id})
            for fill in table.to_pylist()
            if fill["fill_id"] not in recorded
        }
        self._late: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for fill in late.values():
            self._late[fill["client_intent_id"], fill["broker_account_id"]].append(fill)

    def of(self, row: Row) -> list[str]:
        """Return what later syncs have found of an intent that was open at the end of its run; [] of others.

        The later executions, what the ledger has of the order now, and whether syncs still ask for it.
        """
        key = (row["client_intent_id"], row["broker_account_id"])
        is_looked_for, late = key in self._looked_for, self._late[key]
        if not (is_looked_for or late or _was_open(row)):
            return []
        found = lines((fill["filled_at"], f"{execution(fill)}; found by a later sync") for fill in late)
        ids = {row["broker_order_id"], *(fill["broker_order_id"] for fill in late)} - {None}
        found += [_in_ledger(self._ledger, order_id) for order_id in sorted(ids)]
        if is_looked_for:
            found.append("It is still open or unresolved: the next sync asks the broker for it.")
        elif ids:
            found.append("It is terminal: no sync asks for it any more.")
        else:
            found.append(
                "No sync has found it at the broker, and none asks for it any more: it never arrived."
            )
        return found


def _was_open(row: Row) -> bool:
    status = row["status"]
    return status == "unresolved" or (status == "placed" and row["order_status"] not in FINAL_STATUSES)


def _in_ledger(ledger: LedgerStore, broker_order_id: str) -> str:
    try:
        document = ledger.ledger_document(broker_order_id)
    except EngineError as error:
        return f"What the ledger has of order {broker_order_id} can't be read: {error}"
    if document is None:
        return f"The ledger has no fill of order {broker_order_id}."
    price = document.get("filled_avg_price")
    at = "" if price is None else f" at {number(price)}"
    return (
        f"The ledger has {number(document['filled_qty'])} filled{at} of order {broker_order_id}, a trade of "
        f"{document['trading_date']}."
    )
