"""What stops or limits single orders, for ``status``: trading states."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import EngineError
from engine.safety.agent_state import Agent
from engine.safety.trading_states import KeptStates, TradingStates
from jobs.tables import print_table, say


@dataclass(frozen=True)
class Stops:
    """The trading states; ``states_unknown`` says why they can't be read, "" where they can."""

    states: TradingStates
    states_unknown: str = ""

    def record(self) -> dict[str, Any]:
        """Return them for machines; what is unknown is None."""
        states = None if self.states_unknown else as_records(self.states)
        return {"trading_states": states, "trading_states_unknown": self.states_unknown}


def read_stops(agent: Agent) -> Stops:
    """Return what stops or limits orders now."""
    try:
        return Stops(KeptStates.of_agent(agent).read())
    except EngineError as error:
        return Stops(TradingStates(), str(error))


def print_stops(stops: Stops) -> None:
    """Print what stops or limits orders; nothing where nothing does."""
    if stops.states_unknown:
        say(f"Trading states: unknown. {stops.states_unknown}", color="red")
    print_states(stops.states)


def as_records(states: TradingStates) -> list[dict[str, Any]]:
    """Return the entries in force for machines."""
    return [asdict(entry) for entry in states.in_force]


def print_states(states: TradingStates) -> None:
    """Print the entries in force, none where all trading is ACTIVE."""
    rows = [
        (str(entry.of), entry.state, entry.since[:19], entry.set_by, f"{entry.why}; {entry.remedy} ends that")
        for entry in states.in_force
    ]
    if rows:
        print_table("Trading states", ("what", "state", "since (UTC)", "by", "why"), rows)
        say()
