"""``serve-simulator``: an Alpaca on this machine, for any Alpaca client to be pointed at, until Ctrl-C."""

from __future__ import annotations

import math
import signal
import threading
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import UsageError

if TYPE_CHECKING:
    from replay.simulator.server import Simulator


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command was asked for; the defaults are the command line's."""

    host: str
    port: int
    key: str
    secret: str
    cash: str
    rate_limit: int | None
    seed: int
    prices: str | None
    speed: float
    wall_clock: bool
    partial_fills: float


def serve_simulator(options: Options) -> int:
    """Serve until SIGINT or SIGTERM; gives the exit code, 0.

    Raises UsageError where an option can't be, the port can't be had or the libraries are not installed.
    """
    simulator = _simulator(options)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with simulator.serving(options.port, options.host) as address:
        click.echo(_greeting(address, options))
        stop.wait()
    click.echo("Stopped.")
    return 0


def _simulator(options: Options) -> Simulator:
    if options.wall_clock and options.speed != 1.0:
        raise UsageError(
            f"--wall-clock has no other speed, and --speed is {options.speed:g}. Drop one of them."
        )
    try:
        from replay.simulator.server import Simulator
        from replay.simulator.wire.http_server import is_loopback
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "httptools", "uvloop"):
            raise
        message = f"serve-simulator needs {error.name}, which is not installed."
        raise UsageError(f"{message} Run pip install 'execution-engine[simulator]'.") from None
    if not is_loopback(options.host):
        click.echo(f"Other machines reach {options.host}; only --host 127.0.0.1 keeps them out.", err=True)
    return Simulator(
        key=options.key,
        secret=options.secret,
        rate_limit=options.rate_limit,
        cash=_cash(options.cash),
        seed=options.seed,
        partial_fill_probability=_chance(options.partial_fills),
        prices=None if options.prices is None else Path(options.prices),
        clock="wall" if options.wall_clock else "running",
        speed=_speed(options.speed),
    )


def _greeting(address: str, options: Options) -> str:
    headers = f"-H 'APCA-API-KEY-ID: {options.key}' -H 'APCA-API-SECRET-KEY: {options.secret}'"
    order = '\'{"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}\''
    return (
        f"Alpaca, simulated, at {address}\n"
        f"  key     {options.key}\n"
        f"  secret  {options.secret}\n"
        f"Try it:\n"
        f"  curl {headers} -d {order} {address}/v2/orders\n"
        f"  TradingClient({options.key!r}, {options.secret!r}, url_override={address!r})  # alpaca-py\n"
        f"  curl {address}/simulator/state  # all that happened\n"
        "Ctrl-C ends it."
    )


def _cash(text: str) -> Decimal:
    try:
        cash = Decimal(text)
    except InvalidOperation:
        cash = Decimal("NaN")
    if not cash.is_finite() or cash < 0:
        raise UsageError(f"--cash is {text!r}; expected dollars, 0 or more. Write --cash 100000.")
    return cash


def _chance(value: float) -> float:
    if not 0 <= value <= 1:
        raise UsageError(f"--partial-fills is {value:g}; expected a probability from 0 to 1. Write 0.1.")
    return value


def _speed(value: float) -> float:
    if not 0 < value < math.inf:
        raise UsageError(f"--speed is {value:g}; expected a positive number. Write --speed 60.")
    return value
