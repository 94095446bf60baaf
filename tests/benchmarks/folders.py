"""A data folder on this disk for a measurement: its settings, its stores, files in its inbox."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

from engine.context import RunContext
from engine.log import EventLog
from engine.record.objects import LocalObjects
from engine.safety.kill_switch import KillSwitch
from engine.safety.latches import KeptLatches
from engine.safety.trading_states import TradingStates
from engine.settings.variables import RunSettings
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.inbox.inbox import Inbox


def settings_of(folder: Path) -> RunSettings:
    """Return the settings of a dry run that takes files at once."""
    settings = RunSettings.from_env({"EXEC_DATA_DIR": str(folder)})
    return replace(settings, inbox_settle_s=0.0)


def context_of(folder: Path) -> RunContext:
    """Return what lies outside a run: the embedded store, and a log that shows nothing below a warning."""
    store = EmbeddedStore(folder / "engine.db")
    return RunContext(
        objects=LocalObjects(folder),
        inbox=Inbox(folder / "inbox"),
        positions=store,
        ledger=store,
        kill_switch=KillSwitch.from_env({}).read,
        trading_states=TradingStates,
        latches=lambda mode: KeptLatches(store, EventLog(), "a benchmark", mode),
        log=EventLog(stream=_Silence()),
        clock=lambda: datetime.now(UTC),
    )


def drop(folder: Path, name: str, content: bytes) -> None:
    """Put a file into the inbox."""
    (folder / "inbox").mkdir(exist_ok=True)
    (folder / "inbox" / name).write_bytes(content)


class _Silence(StringIO):
    """A terminal that shows nothing, so that events below a warning cost nothing."""

    def isatty(self) -> bool:
        return True
