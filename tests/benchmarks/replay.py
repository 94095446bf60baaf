"""What replaying takes: against reading the same files, loading the same cassette, and a bare rate.

The recorded runs are made first, by the job's own stages: dry runs of generated files, and a live run against
a simulator in this process.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

import replay
from engine.record.run_folder import CASSETTE, RunFolder
from engine.risk.config import RiskConfig
from tests.benchmarks import data
from tests.benchmarks.timing import Figure, Timing, best_of, rate_of, ratio_of
from tests.desk import Desk, order
from tests.live_desk import LiveDesk, simulated

_DAY, _DAYS, _OF_A_DAY = 10_000, 252, 1_000
_DISTINCT = 12
_ACCOUNTS = [f"account-{number:02d}" for number in range(5)]
_A_REQUEST_S = 0.0005
_HALF = {"EXEC_MAX_POSITION_QTY": 50}
_PEAK = """
import sys, replay
for piece in replay.replay_each(replay.days(sys.argv[1])[:int(sys.argv[2])], {"EXEC_MAX_POSITION_QTY": 50},
                                decisions_only=True):
    piece.counted()
    del piece
status = open("/proc/self/status").read()
print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
"""


def figures() -> Iterator[Figure]:
    """Yield all figures of replaying."""
    with tempfile.TemporaryDirectory() as name:
        place = _dry_run(Path(name), _DAY, seed=0)
        plain = best_of(9, lambda: replay.replay(place, _HALF, decisions_only=True).record())
        yield from a_year_of_days()
        yield from decisions_of_a_day(place, plain)
    yield from a_day_with_its_broker()


def decisions_of_a_day(place: Path, plain: Timing) -> Iterator[Figure]:
    """Replay a recorded day from its folder, hashes and all, under half the limit; and read its tables.

    The gate is compiled by then, as after any replay of 100,000 intents; ``plain`` is what it took before.
    """

    def read() -> None:
        for path in place.glob("*.parquet"):
            pd.read_parquet(path)

    timing = best_of(15, lambda: replay.replay(place, _HALF, decisions_only=True).record())
    yardstick = best_of(15, read)
    name, against = "replay of a day of 10,000 intents, decisions only", "pandas reads its Parquet files"
    more = {"against": against, "ratio_before_compiling": round(plain.seconds / yardstick.seconds, 3)}
    yield ratio_of(name, _DAY, timing, yardstick, at_most=3.0, **more)


def a_day_with_its_broker() -> Iterator[Figure]:
    """Replay a live run of 10,000 orders over its cassette; and load the cassette with ``json``."""
    with tempfile.TemporaryDirectory() as name:
        place = _live_run(Path(name), _DAY)
        content = (place / CASSETTE).read_bytes()
        found = replay.replay(place)
        assert (found.differences, found.first_differing_stage) == (0, None)
        requests = len(json.loads(content)["interactions"])
        timing = best_of(3, lambda: replay.replay(place).record())
        loading = best_of(3, lambda: json.loads(content))
    allowed_s = 2 * loading.seconds + _A_REQUEST_S * requests
    yield {
        "name": "replay of a live day of 10,000 orders, broker side and all", "n": _DAY,
        "seconds": round(timing.seconds, 3), "rate": round(_DAY / timing.seconds),
        "ratio": round(timing.seconds / allowed_s, 3), "asked": 1.0, "met": timing.seconds <= allowed_s,
        "against": "twice json.loads of the cassette, and 0.5 ms a request", "requests": requests,
        "json_seconds": round(loading.seconds, 3),
    }  # fmt: skip


def a_year_of_days() -> Iterator[Figure]:
    """Decide on 252 days of 1,000 intents anew, once they are read; and see what memory a quarter takes."""
    with tempfile.TemporaryDirectory() as name:
        _year(Path(name))
        recordings = [one for day in replay.days(name) for one in replay.read(day, traffic=False)]
        assert len(recordings) == _DAYS

        def decide() -> None:
            for piece in replay.replay_each(recordings, _HALF, decisions_only=True):
                piece.counted().record()

        timing = best_of(7, decide)
        yield rate_of("252 days of 1,000 intents, after reading", _DAYS * _OF_A_DAY, timing, at_least=1e6)
        year, half = (_peak_kib(name, days) for days in (_DAYS, _DAYS // 2))
        yield {
            "name": "peak memory of a year, in that of half a year", "n": _DAYS, "mib": year >> 10,
            "ratio": round(year / half, 3), "asked": 1.15, "met": year / half <= 1.15,
        }  # fmt: skip


def _peak_kib(folder: str, days: int) -> int:
    command = [sys.executable, "-c", _PEAK, folder, str(days)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def _dry_run(root: Path, rows: int, *, seed: int) -> Path:
    """Record a dry run of generated intents, of 5 accounts with some hundred positions."""
    desk = Desk(root / "data", now=data.AS_OF.to_pydatetime())
    desk.inbox.mkdir(parents=True)
    positions = data.inputs().positions
    assert positions is not None
    own = positions["broker_account_id"].isin(_ACCOUNTS) & (positions.index % 10 == 0)
    desk.store.load_positions(positions[own], updated_at=desk.now)
    intents = pd.read_parquet(BytesIO(data.intent_file("parquet", rows + seed, bad=False))).head(rows)
    names = pd.Series(_ACCOUNTS).take(np.arange(rows) % len(_ACCOUNTS))
    content = intents.assign(broker_account_id=names.to_numpy()).to_parquet(index=False)
    desk.drop("intents.parquet", content=content)
    limits = RiskConfig(max_position_qty=100, max_daily_trades=rows)
    return _place(desk, desk.run(limits))


def _live_run(root: Path, orders: int) -> Path:
    desk = LiveDesk(root / "data", simulator=simulated(cash=Decimal(10) ** 12, rate_limit=1_000_000))
    symbols = ["SPY", "QQQ", "AAPL", "MSFT", "KO", "XOM", "T", "F"]
    rows = [
        order(
            client_intent_id=f"order-{number:05}", symbol=symbols[number % len(symbols)], reference_price=90
        )
        for number in range(orders)
    ]
    desk.drop("intents.jsonl", *rows)
    limits = RiskConfig(max_position_qty=orders, max_daily_trades=orders, accounts=frozenset({"paper"}))
    return _place(desk, desk.live(limits))


def _year(root: Path) -> None:
    """Record a few different days, and copy them until they are a year."""
    with tempfile.TemporaryDirectory() as name:
        made = [_dry_run(Path(name) / str(seed), _OF_A_DAY, seed=seed) for seed in range(_DISTINCT)]
        for number in range(_DAYS):
            session = date(2025, 1, 1) + timedelta(days=number)
            shutil.copytree(made[number % _DISTINCT], root / "runs" / session.isoformat() / f"run-{number}")


def _place(desk: Desk, run: RunFolder) -> Path:
    return desk.data / run.key
