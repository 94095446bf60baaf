from __future__ import annotations

from pathlib import Path

import pytest

from tests.desk import Desk
from tests.engine.routing.trading import TradingDesk
from tests.jobs.command_line import Command, in_this_process


@pytest.fixture
def dry_desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


@pytest.fixture
def live_desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command in this process, as the installed script would."""

    return in_this_process(monkeypatch, capsys)
