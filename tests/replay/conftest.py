from __future__ import annotations

import io
from pathlib import Path

import pytest

from jobs.cli import main
from tests.desk import Desk
from tests.engine.routing.trading import TradingDesk
from tests.jobs.command_line import Command, Done


@pytest.fixture
def dry_desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


@pytest.fixture
def live_desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give a function that runs a command in this process, as the installed script would."""

    def run(*args: object) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["execution-engine", *map(str, args)])
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))
            capsys.readouterr()
            code: object = 0
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
            assert isinstance(code, int)
            said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run
