"""What stops or limits single orders, for ``status``: trading states and latches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from engine.errors import EngineError
from engine.safety.agent_state import Agent
from engine.safety.latches import MODES, KeptLatches, Latch
from engine.safety.trading_states import KeptStates, TradingStates
from jobs.tables import print_table, say


@dataclass(frozen=True)
class Stops:
    """The trading states, and the latches by mode; ``unknown``: why one of the two can't be read, by name."""

    states: TradingStates | None
    latches: dict[str, tuple[Latch, ...]] | None
    unknown: dict[str, str]

    def record(self) -> dict[str, Any]:
        """Return them for machines; what is unknown is None."""
        latches = None
        if self.latches is not None:
            latches = [{**asdict(one), "mode": mode} for mode, own in self.latches.items() for one in own]
        return {
            "trading_states": None if self.states is None else as_records(self.states),
            "latches": latches,
            "stops_unknown": self.unknown,
        }


def read_stops(agent: Agent) -> Stops:
    """Return what stops or limits orders now."""
    states, latches, unknown = None, None, {}
    try:
        states = KeptStates.of_agent(agent).read()
    except EngineError as error:
        unknown["trading_states"] = str(error)
    try:
        latches = {mode: KeptLatches.of_agent(agent, mode).read().latches for mode in MODES}
    except EngineError as error:
        unknown["latches"] = str(error)
    return Stops(states, latches, unknown)


def print_stops(stops: Stops) -> None:
    """Print what stops or limits orders; nothing where nothing does."""
    for name, why in stops.unknown.items():
        text = name.replace("_", " ")
        say(f"{text[:1].upper()}{text[1:]}: unknown. {why[:1].upper()}{why[1:]}", color="red")
    if stops.states is not None:
        print_states(stops.states)
    rows = [
        (one.strategy_id, one.rule, mode, one.since[:19], f"{one.why} (run {one.run_id}); {one.remedy}")
        for mode, own in (stops.latches or {}).items()
        for one in own
    ]
    if rows:
        print_table(
            "Stopped strategies", ("strategy", "rule", "runs", "since (UTC)", "why; what ends it"), rows
        )
        say()


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
