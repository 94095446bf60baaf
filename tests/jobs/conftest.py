from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.command_line import Command, in_this_process
from tests.jobs.live_machine import API_KEY, SECRET_KEY, Alpaca, Live


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of all commands of a test, which run in another folder that is empty."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("EXEC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def cli(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Yield a function that runs a command in this process, as the installed script would."""

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield in_this_process(monkeypatch, capsys)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def alpaca() -> Iterator[Alpaca]:
    with Alpaca() as server, server.serving():
        yield server
        server.let_go.set()


@pytest.fixture
def live(cli: Command, data: Path, alpaca: Alpaca) -> Live:
    env = {
        "EXEC_DRY_RUN": "0",
        "EXEC_STORE": "embedded",
        "AGENT_MODE": "LIVE",
        "ALPACA_API_KEY": API_KEY,
        "ALPACA_SECRET_KEY": SECRET_KEY,
        "ALPACA_TRADING_HOST": alpaca.url,
        "ALPACA_DATA_HOST": alpaca.url,
        "EXEC_SETTLE_S": "5",
    }
    return Live(cli, data, alpaca, env)
