"""What stops or limits single orders, for ``status``: trading states, latches, overrides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.safety.agent_state import Agent
from engine.safety.latches import MODES, KeptLatches, Latch
from engine.safety.trading_states import KeptStates, TradingStates
from jobs.tables import print_table, say

if TYPE_CHECKING:  # most folders have no override
    from engine.risk.override_file import Override
    from engine.safety.override_files import Overrides

_IN_FORCE, _EXPIRED = "in force", "expired; the next run sets it aside"


@dataclass(frozen=True)
class Stops:
    """Trading states, latches by mode, and overrides; ``unknown``: why one of them can't be read, by name."""

    states: TradingStates | None
    latches: dict[str, tuple[Latch, ...]] | None
    overrides: Overrides | None
    unknown: dict[str, str]

    def record(self) -> dict[str, Any]:
        """Return them for machines; what is unknown is None."""
        latches = None
        if self.latches is not None:
            latches = [{**asdict(one), "mode": mode} for mode, own in self.latches.items() for one in own]
        return {
            "trading_states": None if self.states is None else as_records(self.states),
            "latches": latches,
            "overrides": None if self.overrides is None else _records_of(self.overrides),
            "stops_unknown": self.unknown,
        }


def read_stops(agent: Agent, overrides: Callable[[], Overrides]) -> Stops:
    """Return what stops or limits orders now."""
    states, latches, kept, unknown = None, None, None, {}
    try:
        states = KeptStates.of_agent(agent).read()
    except EngineError as error:
        unknown["trading_states"] = str(error)
    try:
        latches = {mode: KeptLatches.of_agent(agent, mode).read().latches for mode in MODES}
    except EngineError as error:
        unknown["latches"] = str(error)
    try:
        kept = overrides()
    except EngineError as error:
        unknown["overrides"] = str(error)
    return Stops(states, latches, kept, unknown)


def print_stops(stops: Stops) -> None:
    """Print what stops or limits orders; nothing where nothing does."""
    for name, why in stops.unknown.items():
        text = name.replace("_", " ")
        say(f"{text[:1].upper()}{text[1:]}: unknown. {why[:1].upper()}{why[1:]}", color="red")
    if stops.states is not None:
        print_states(stops.states)
    rows = [
        (str(one.of), one.rule, mode, one.since[:19], f"{one.why} (run {one.run_id}); {one.remedy}")
        for mode, own in (stops.latches or {}).items()
        for one in own
    ]
    if rows:
        print_table("Stopped by a rule", ("what", "rule", "runs", "since (UTC)", "why; what ends it"), rows)
        say()
    for what, one in _overrides_by_kind(stops.overrides):
        say(f"Override, {what}: {one}.", color="red" if what == _IN_FORCE else None)


def _overrides_by_kind(overrides: Overrides | None) -> list[tuple[str, Override]]:
    if overrides is None:
        return []
    kinds = ((_IN_FORCE, overrides.in_force), ("of the next session", overrides.upcoming))
    found = [(what, one) for what, own in kinds for one in own]
    return [*found, *((_EXPIRED, one) for one in overrides.expired)]


def _records_of(overrides: Overrides) -> list[dict[str, Any]]:
    return [{**one.row(), "state": what} for what, one in _overrides_by_kind(overrides)]


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
