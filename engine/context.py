"""The run context: places, stores, kill switch, clock and log, handed in together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Required, TypedDict, Unpack

from engine.accounts.connection import Connections
from engine.accounts.market_data import MarketDataAccess
from engine.log import EventLog, wall_clock
from engine.record.objects import Objects
from engine.record.run_folder import RunFolders
from engine.safety.agent_state import Agent
from engine.safety.chain import Chain
from engine.safety.kill_switch import KillSwitchState
from engine.safety.latches import KeptLatches
from engine.safety.trading_states import KeptStates, TradingStates
from engine.stores.inbox.inbox import Inbox
from engine.stores.protocols import LedgerStore, PositionStore
from engine.waiting.pause import never


def _unseen(step: str, done: int, total: int) -> None:
    """Show no progress."""


class Parts(TypedDict, total=False):
    """The parts of a run context that differ from command to command."""

    objects: Required[Objects]
    inbox: Required[Inbox]
    positions: Required[PositionStore]
    ledger: Required[LedgerStore]
    kill_switch: Required[Callable[[], KillSwitchState]]
    trading_states: Callable[[], TradingStates]
    risk_data_timeout_s: float
    stopping: Callable[[], bool]
    progress: Callable[[str, int, int], None]
    connections: Connections | None
    closed_by: tuple[str, str] | None
    market_data: MarketDataAccess | None


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Everything outside the code that a run reads or writes.

    Only the stages of a run, the sync of all accounts, the rehearsal and the API take it whole; other code
    takes the parts that it may use, such as ``TradingControls``.

    ``objects`` holds run folders, archive and quarantine. ``kill_switch`` and ``trading_states`` (which
    raises ``DataUnavailable``) are read again at every check; ``latches`` returns those of a mode, ``live``
    or ``dry``. A store that doesn't answer within ``risk_data_timeout_s`` is unavailable; a switch that
    doesn't is on. ``stopping`` returns whether the job was asked to stop; it is read between two steps.
    ``progress`` takes the step, the part that is done and the total. ``chain`` links the manifests of runs;
    None links none. ``connections``: those of a live run,
    None in a dry run. ``closed_by``: reason and message where the gate before live trading is closed: cancels
    are carried out, and no order is sent. ``market_data``: access to a provider of quotes, None where
    none may be asked.
    """

    objects: Objects
    inbox: Inbox
    positions: PositionStore
    ledger: LedgerStore
    kill_switch: Callable[[], KillSwitchState]
    trading_states: Callable[[], TradingStates]
    latches: Callable[[str], KeptLatches]
    log: EventLog
    chain: Chain | None = None
    clock: Callable[[], datetime] = wall_clock
    risk_data_timeout_s: float = 10.0
    stopping: Callable[[], bool] = never
    progress: Callable[[str, int, int], None] = _unseen
    connections: Connections | None = None
    closed_by: tuple[str, str] | None = None
    market_data: MarketDataAccess | None = None

    @classmethod
    def of_agent(cls, agent: Agent, **parts: Unpack[Parts]) -> RunContext:
        """Return the context of a run whose states, latches and chain are kept beside an agent's state."""
        kept: Parts = {"trading_states": KeptStates.of_agent(agent).read, **parts}
        return cls(
            latches=partial(KeptLatches.of_agent, agent),
            chain=Chain(agent.store, parts["objects"]),
            log=agent.log,
            clock=agent.clock,
            **kept,
        )

    @property
    def runs(self) -> RunFolders:
        """Return the run folders."""
        return RunFolders(self.objects)
