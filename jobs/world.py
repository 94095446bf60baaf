"""The composition root: settings in, the world that a command works in out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.config import RiskConfig, RunSettings
from engine.errors import ConfigurationError
from engine.log import EventLog
from engine.stores.embedded import EmbeddedStore
from engine.stores.inbox import Inbox
from engine.stores.kill_switch import KillSwitch
from engine.stores.objects import LocalObjects
from engine.world import World


@dataclass(frozen=True)
class Setup:
    """What every command starts from; reading it fails before anything is touched."""

    settings: RunSettings
    config: RiskConfig
    kill_switch: KillSwitch
    store: EmbeddedStore

    @property
    def data_dir(self) -> Path:
        """The folder of inbox, archive, quarantine, runs and engine.db."""
        return self.settings.data_dir

    @property
    def inbox(self) -> Inbox:
        """Where strategies drop files."""
        return Inbox(self.data_dir / "inbox")

    def world(self, *, progress: Callable[[str, int, int], None]) -> World:
        """Give the edges of a run: the embedded store, the disk, the wall clock, SIGTERM."""
        return World(
            objects=LocalObjects(self.data_dir),
            inbox=self.inbox,
            positions=self.store,
            ledger=self.store,
            kill_switch=self.kill_switch.read,
            log=EventLog(),
            stopping=_termination_asked(),
            progress=progress,
        )


def read_setup(env: Mapping[str, str] | None = None) -> Setup:
    """Read all settings. Raises ``ConfigurationError``."""
    env = os.environ if env is None else env
    settings = RunSettings.from_env(env)
    if settings.data_dir.exists() and not settings.data_dir.is_dir():
        where = str(settings.data_dir)
        raise ConfigurationError(f"EXEC_DATA_DIR is {where!r}, which is no folder; name a folder.")
    return Setup(
        settings,
        RiskConfig.from_env(env),
        KillSwitch.from_env(env),
        EmbeddedStore(settings.data_dir / "engine.db"),
    )


def _termination_asked() -> Callable[[], bool]:
    """Take SIGTERM as a wish to end between two steps; tell whether it has come."""
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    return lambda: bool(asked)
