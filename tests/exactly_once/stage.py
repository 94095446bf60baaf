"""Where lives are played: the simulators, the places of stores, and the wires to all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.exactly_once.case import Case
from tests.exactly_once.life import Life
from tests.exactly_once.market import Market
from tests.exactly_once.starts import Starts
from tests.exactly_once.stores import SERVERS, Places
from tests.exactly_once.wire import Wire

BROKER, POSTGRESQL, FIRESTORE = "broker", "postgresql", "firestore"


@dataclass
class Lived:
    """What came of a schedule; ``notes`` are what happened in it, ``modules`` what its jobs had imported."""

    wrong: list[str]
    became: Counter[str] = field(default_factory=Counter)
    died: int = 0
    ends: list[str] = field(default_factory=list)
    points: int = 0
    jobs: int = 0
    orders: int = 0
    notes: list[str] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """Where cases are played; ``second`` is the broker of a second account."""

    folder: Path
    market: Market
    second: Market
    places: Places
    wires: Mapping[str, Wire]
    cases: list[Case] = field(default_factory=list)
    starts: Starts = field(default_factory=Starts)

    def case(self, name: str, kind: str, **said: Any) -> Case:
        case = Case(name, self.folder / name, self.market, self.places, kind, starts=self.starts, **said)
        self.cases.append(case)
        return case

    def life(self, name: str, kind: str, *, with_second: bool = False, **said: Any) -> Life:
        said = {"second": self.second if with_second else None, "starts": self.starts, **said}
        life = Life(name, self.folder / name, self.market, self.places, kind, **said)
        self.cases.append(life)
        return life

    def wires_of(self, kind: str) -> dict[str, Wire]:
        """Return the wires that jobs with stores of a kind use."""
        return {name: wire for name, wire in self.wires.items() if kind == SERVERS or name == BROKER}

    def environment_by_wire(self, kind: str) -> dict[str, str]:
        """Return the settings of jobs that reach every server through its wire."""
        broker = f"http://{self.wires[BROKER].address}"
        found = {"ALPACA_TRADING_HOST": broker, "ALPACA_DATA_HOST": broker}
        if kind == SERVERS:
            found["FIRESTORE_EMULATOR_HOST"] = self.wires[FIRESTORE].address
            found["DATABASE_URL"] = self.places.database_at(self.wires[POSTGRESQL].address)
        return found

    def clear(self) -> None:
        """End what the cases have left behind."""
        for wire in self.wires.values():
            wire.mend()
        for case in self.cases:
            case.end_jobs()
