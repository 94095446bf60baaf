"""``serve-simulator``: a simulated Alpaca on this machine, for any Alpaca client, until Ctrl-C."""

from __future__ import annotations

import math
import shlex
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.errors import UsageError
from jobs.tables import say

if TYPE_CHECKING:
    from replay.simulator.server import Simulator


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line, which has the defaults."""

    host: str
    port: int
    key: str
    secret: str
    cash: str
    rate_limit: int | None
    data_plan: Literal["basic", "algo_trader_plus"] = "basic"
    data_rate_limit: int | None = None
    data_clock: Literal["simulated", "wall"] | None = None
    seed: int
    prices: str | None
    speed: float
    clock: Literal["running", "manual"]
    start: str | None
    wall_clock: bool
    partial_fills: float
    save_dir: str | None = None
    host_name: tuple[str, ...] = ()


def serve_simulator(options: Options) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code, 0.

    Raises ``UsageError`` for an impossible option, a port in use, or libraries that are not installed.
    """
    simulator = _simulator(options)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with simulator.serving(options.port, options.host) as address:
        for line in _greeting(address, options, simulator.control_token).split("\n"):
            say(line)
        stop.wait()
    say("Stopped.")
    return 0


def _simulator(options: Options) -> Simulator:
    _check_time(options)
    try:
        from replay.simulator.server import Simulator
        from replay.simulator.wire.http_server import is_loopback
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "httptools", "uvloop"):
            raise
        message = f"serve-simulator needs {error.name}, which is not installed."
        remedy = "Run make simulator in the clone of this project: it installs what is missing, and serves."
        raise UsageError(f"{message} {remedy}") from None
    if not is_loopback(options.host):
        say(f"Other machines reach {options.host}; only --host 127.0.0.1 keeps them out.", err=True)
    return Simulator(
        key=options.key,
        secret=options.secret,
        rate_limit=options.rate_limit,
        data_plan=options.data_plan,
        data_rate_limit=options.data_rate_limit,
        data_clock=options.data_clock or ("simulated" if options.clock == "manual" else "wall"),
        cash=_cash(options.cash),
        seed=options.seed,
        partial_fill_probability=_chance(options.partial_fills),
        prices=None if options.prices is None else Path(options.prices),
        clock="wall" if options.wall_clock else options.clock,
        speed=_speed(options.speed),
        start_ns=None if options.start is None else _timestamp_ns(options.start),
        save_dir=None if options.save_dir is None else Path(options.save_dir),
        host_names=options.host_name,
    )


def _greeting(address: str, options: Options, token: str) -> str:
    keys = (f"APCA-API-KEY-ID: {options.key}", f"APCA-API-SECRET-KEY: {options.secret}")
    headers = " ".join(f"-H {shlex.quote(header)}" for header in keys)
    advance = f"  curl -d '{{\"advance_s\": 60}}' {address}/simulator/clock  # time stands still otherwise\n"
    order = '\'{"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}\''
    return (
        f"Alpaca, simulated, at {address}\n"
        f"  hosts   ALPACA_TRADING_HOST={address} ALPACA_DATA_HOST={address}\n"
        f"  stream  {address.replace('http', 'ws', 1)}/stream\n"
        f"  key     {options.key}\n"
        f"  secret  {options.secret}\n"
        f"Try it:\n"
        f"  curl {headers} -d {order} {address}/v2/orders\n"
        f"  TradingClient({options.key!r}, {options.secret!r}, url_override={address!r})  # alpaca-py\n"
        f"  curl {headers} {shlex.quote(f'{address}/v2/stocks/snapshots?symbols=AAPL')}\n"
        f"  StockHistoricalDataClient({options.key!r}, {options.secret!r}, url_override={address!r})\n"
        f"  curl {address}/simulator/state  # everything that happened\n"
        f"From another machine, control needs -H 'X-Simulator-Token: {token}'.\n"
        f"{advance if options.clock == 'manual' else ''}"
        "Ctrl-C ends it."
    )


def _check_time(options: Options) -> None:
    if options.wall_clock and options.speed != 1.0:
        raise UsageError(
            f"--wall-clock has no other speed, and --speed is {options.speed:g}. Drop one of them."
        )
    if options.wall_clock and options.clock == "manual":
        raise UsageError("--wall-clock follows the real time; drop --clock manual, or drop it.")
    if options.wall_clock and options.start is not None:
        raise UsageError(f"--wall-clock follows the real time; drop --start {options.start}, or drop it.")
    if options.clock == "manual" and options.speed != 1.0:
        raise UsageError(f"--clock manual stands still, and --speed is {options.speed:g}. Drop one of them.")


def _timestamp_ns(text: str) -> int:
    try:
        timestamp = datetime.fromisoformat(text)
    except ValueError:
        timestamp = None
    if timestamp is None or timestamp.tzinfo is None:
        raise UsageError(
            f"--start is {text!r}; expected a timestamp with an offset. Write --start 2026-11-25T09:30-05:00."
        )
    return (timestamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


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
