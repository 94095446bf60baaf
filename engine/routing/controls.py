"""What the routing watches while it sends orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.log import EventLog
from engine.safety.kill_switch import KillSwitchState
from engine.safety.trading_states import TradingStates
from engine.waiting.pause import never


def unseen(step: str, done: int, total: int) -> None:
    """Show no progress."""


def unwatched(symbols: Mapping[int, str]) -> None:
    """Do nothing about orders that are sent."""


@dataclass(frozen=True, kw_only=True)
class TradingControls:
    """What stops orders from being sent, and how the sending is reported.

    ``kill_switch`` and ``trading_states`` (which raises ``DataUnavailable``) are read again at every check.
    ``closed_by``: reason and message where the gate before live trading is closed; cancels are carried out
    then. ``stopping`` returns whether the job was asked to stop. ``progress`` takes the step, the part that
    is done and the total. ``sending`` is called with the symbols of orders that may be sent from now on, by
    row of the batch; it returns at once.
    """

    kill_switch: Callable[[], KillSwitchState]
    trading_states: Callable[[], TradingStates]
    log: EventLog
    clock: Callable[[], datetime]
    closed_by: tuple[str, str] | None = None
    stopping: Callable[[], bool] = never
    progress: Callable[[str, int, int], None] = unseen
    sending: Callable[[Mapping[int, str]], None] = unwatched
