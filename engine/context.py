"""The run context: places, stores, kill switch, clock and log, handed in together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from engine.accounts.connection import Connections
from engine.log import EventLog, wall_clock
from engine.market_data.quotes import MarketData
from engine.record.objects import Objects
from engine.record.run_folder import RunFolders
from engine.safety.kill_switch import KillSwitchState
from engine.safety.latches import KeptLatches
from engine.safety.trading_states import TradingStates
from engine.stores.inbox.inbox import Inbox
from engine.stores.protocols import LedgerStore, PositionStore
from engine.waiting.pause import never


def _unseen(step: str, done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Everything outside the code that a run reads or writes.

    Only the stages of a run, the sync of all accounts, the rehearsal and the API take it whole; other code
    takes the parts that it may use, such as ``TradingControls``.

    ``objects`` holds run folders, archive and quarantine. ``kill_switch`` and ``trading_states`` (which
    raises ``DataUnavailable``) are read again at every check; ``latches`` returns those of a mode, ``live``
    or ``dry``. A store that doesn't answer within ``risk_data_timeout_s`` is unavailable; a switch that
    doesn't is on. ``stopping`` returns whether the job was asked to stop; it is read between two steps.
    ``progress`` takes the step, the part that is done and the total. ``connections``: those of a live run,
    None in a dry run. ``closed_by``: reason and message where the gate before live trading is closed: cancels
    are carried out, and no order is sent. ``market_data`` returns the provider of quotes at a host, for a
    feed; it raises ``ConfigurationError`` without keys, and is None where no provider may be asked.
    """

    objects: Objects
    inbox: Inbox
    positions: PositionStore
    ledger: LedgerStore
    kill_switch: Callable[[], KillSwitchState]
    trading_states: Callable[[], TradingStates]
    latches: Callable[[str], KeptLatches]
    log: EventLog
    clock: Callable[[], datetime] = wall_clock
    risk_data_timeout_s: float = 10.0
    stopping: Callable[[], bool] = never
    progress: Callable[[str, int, int], None] = _unseen
    connections: Connections | None = None
    closed_by: tuple[str, str] | None = None
    market_data: Callable[[str, str], MarketData] | None = None

    @property
    def runs(self) -> RunFolders:
        """Return the run folders."""
        return RunFolders(self.objects)
