"""A data folder with a clock set by hand: what the tests of runs drop files into, run jobs on and look at."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from engine.context import RunContext
from engine.log import EventLog
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.safety.kill_switch import KillSwitchState
from engine.safety.latches import KeptLatches
from engine.safety.state_marks import LATCHES, StateMarks
from engine.safety.trading_states import KeptStates
from engine.settings.variables import RunSettings
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.inbox.inbox import Inbox

NOON = datetime(2026, 3, 2, 17, tzinfo=UTC)
"""Noon in New York, on a Monday."""
SESSION = "2026-03-02"

Row = dict[str, Any]


def order(**said: Any) -> Row:
    """Return a good intent, one share of SPY, with what is ``said`` instead; None leaves a field out."""
    row = {"strategy_id": "momentum", "broker_account_id": "paper", "symbol": "SPY", "side": "buy", "qty": 1}
    return {name: value for name, value in {**row, **said}.items() if value is not None}


def content_of(name: str, rows: list[Row]) -> bytes:
    """Write rows as the file that ``name`` says: .json, .jsonl or .csv."""
    if name.endswith(".jsonl"):
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".json"):
        return json.dumps(rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(column for row in rows for column in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def off() -> KillSwitchState:
    return KillSwitchState(on=False, why="No kill switch is on.")


def on() -> KillSwitchState:
    return KillSwitchState(on=True, why="The kill switch is on: a test says so.")


@dataclass
class Desk:
    """A data folder, the moment that jobs take for now, and what they logged."""

    data: Path
    now: datetime = NOON
    logged: io.StringIO = field(default_factory=io.StringIO)

    @property
    def inbox(self) -> Path:
        return self.data / "inbox"

    @property
    def store(self) -> EmbeddedStore:
        return EmbeddedStore(self.data / "engine.db")

    def later(self, **by: float) -> None:
        self.now += timedelta(**by)

    def hold(self, **qty_by_symbol: float) -> None:
        """Make these the positions of account ``paper``."""
        rows = [("paper", symbol, qty) for symbol, qty in qty_by_symbol.items()]
        frame = pd.DataFrame(rows, columns=["broker_account_id", "symbol", "qty"])
        self.store.load_positions(frame, updated_at=self.now)

    def trade(self, *order_ids: str, session: str = SESSION) -> None:
        """Put filled orders of account ``paper`` into the ledger."""
        documents = [
            {"broker_order_id": order_id, "broker_account_id": "paper", "trading_date": session}
            for order_id in order_ids
        ]
        self.store.write_ledger(documents)

    def drop(self, name: str, *rows: Row, content: bytes | None = None, age_s: float = 60) -> Path:
        """Put a file into the inbox, of an age that counts from ``now``."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name, list(rows)) if content is None else content)
        timestamp = self.now.timestamp() - age_s
        os.utime(path, (timestamp, timestamp))
        return path

    def context(self, **changes: Any) -> RunContext:
        context = RunContext(
            objects=LocalObjects(self.data),
            inbox=Inbox(self.inbox),
            positions=self.store,
            ledger=self.store,
            kill_switch=off,
            trading_states=self.states().read,
            latches=self.latches,
            log=EventLog(self.logged, lambda: self.now),
            clock=lambda: self.now,
        )
        return replace(context, **changes)

    def states(self) -> KeptStates:
        """Return the trading states, which a test sets."""
        log, marks = EventLog(self.logged, lambda: self.now), StateMarks(LocalObjects(self.data))
        return KeptStates(self.store, log, "a test", lambda: self.now, marks)

    def latches(self, mode: str = "dry") -> KeptLatches:
        """Return the latches of strategies, which a test reads and sets."""
        log, marks = EventLog(self.logged, lambda: self.now), StateMarks(LocalObjects(self.data), LATCHES)
        return KeptLatches(self.store, log, "a test", mode, lambda: self.now, marks)

    def settings(self, **env: str) -> RunSettings:
        return RunSettings.from_env({"EXEC_DATA_DIR": str(self.data), **env})

    def begin(
        self,
        config: RiskConfig | None = None,
        *,
        context: RunContext | None = None,
        slot: str = "test",
        **env: str,
    ) -> RunFolder:
        """Start a run, whose stages are yet to be done."""
        return start(self.settings(**env), config or RiskConfig(), context or self.context(), slot=slot)

    def run(
        self, config: RiskConfig | None = None, *, context: RunContext | None = None, **env: str
    ) -> RunFolder:
        """Do a whole run; the next one is a minute later."""
        folder = self.begin(config, context=context, **env)
        finish(folder, context or self.context())
        self.later(minutes=1)
        return folder

    def left(self) -> list[str]:
        """Return the files that the inbox still holds, hidden ones too."""
        found = (path for path in self.inbox.rglob("*") if not path.is_dir())
        return sorted(path.relative_to(self.inbox).as_posix() for path in found)

    def kept(self, place: str, session: str = SESSION) -> dict[str, bytes]:
        """Return the files of ``archive`` or ``quarantine`` of a session, by name."""
        root = self.data / place / session
        found = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(found)}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the logged events of one kind."""
        lines = map(json.loads, self.logged.getvalue().splitlines())
        return [line for line in lines if line["event"] == name]


def outcomes(folder: RunFolder) -> list[tuple[str, str]]:
    """Return status and reason of each intent of a finished run, in the sealed order."""
    results = folder.table("results.parquet", ["status", "reason"]).to_pandas()
    return list(zip(results["status"].astype(str), results["reason"].astype(str), strict=True))


def statuses(folder: RunFolder) -> list[str]:
    return [status for status, _ in outcomes(folder)]


def reasons(folder: RunFolder) -> list[str]:
    return [reason for _, reason in outcomes(folder)]


def rows_of(folder: RunFolder) -> Mapping[str, int]:
    """Return the manifest's counts of rows."""
    counts: Mapping[str, int] = folder.json("manifest.json")["rows"]
    return counts


def tampered(context: RunContext, **methods: Callable[..., Any]) -> RunContext:
    """Return a run context whose inbox has some methods replaced; each is handed the inbox first."""
    return replace(context, inbox=type("Tampered", (Inbox,), methods)(context.inbox.root))
