"""What a sync reads and writes besides the broker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from engine.log import EventLog
from engine.record.objects import Objects
from engine.stores.protocols import LedgerStore, PositionStore


@dataclass(frozen=True, kw_only=True)
class SyncStores:
    """The stores of a sync, its log and its clock; ``objects`` holds run folders, open orders and breaks."""

    objects: Objects
    ledger: LedgerStore
    positions: PositionStore
    log: EventLog
    clock: Callable[[], datetime]
