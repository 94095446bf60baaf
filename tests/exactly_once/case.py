"""One account's life: intents, jobs that die, faults, a job that comes to its end, and the judgement."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.desk import NOON, Row, content_of
from tests.exactly_once.batches import ACCOUNT, quotes
from tests.exactly_once.job import PATIENT_S, Job, Manner
from tests.exactly_once.market import KEY, SECRET, Market
from tests.exactly_once.starts import Starts
from tests.exactly_once.stores import Places

_SLOW = "where only the reply was slow"
SLOW_AT_MOST = 10


def was_too_slow(text: str) -> bool:
    """Return whether a command was refused because the broker's clock couldn't be read fast enough.

    That is so on a machine that does ten other things. Nothing was sent, and running it again is right.
    """
    return _SLOW in text


@dataclass
class Case:
    """A data folder below ``folder``, in front of a market that has just begun anew."""

    name: str
    folder: Path
    market: Market
    places: Places
    kind: str
    settings: dict[str, str] = field(default_factory=dict)
    manner: dict[str, Any] = field(default_factory=dict)
    starts: Starts = field(default_factory=Starts)
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "prices.csv").write_text(quotes())
        self.begun = time.time()
        self.market.control("POST", "reset")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def account(self) -> str:
        return f"{ACCOUNT}-{self.name}"

    @property
    def env(self) -> dict[str, str]:
        return {
            "EXEC_DATA_DIR": str(self.data),
            "EXEC_DRY_RUN": "0",
            "AGENT_MODE": "LIVE",
            "ALPACA_TRADING_HOST": self.market.host,
            "ALPACA_DATA_HOST": self.market.host,
            "ALPACA_API_KEY": KEY,
            "ALPACA_SECRET_KEY": SECRET,
            "EXEC_BROKER_ACCOUNT_ID": self.account,
            "EXEC_MAX_DAILY_TRADES": "1000",
            "EXEC_PRICES": str(self.folder / "prices.csv"),
            "EXEC_MAX_QUOTE_AGE_S": "86400",
            "EXEC_RISK_DATA_TIMEOUT_S": str(PATIENT_S),
            **self.places.environment(self.kind, self.name),
            **self.settings,
        }

    def clock(self) -> datetime:
        """Return the jobs' moment: noon when the case began, and on from there."""
        return NOON + timedelta(seconds=time.time() - self.begun)

    def later(self) -> None:
        """Let so much time pass that no order is in doubt any more."""
        self.begun -= 90

    def drop(self, files: dict[str, list[Row]], *, folder: Path | None = None) -> None:
        """Put files into the inbox, old enough to be read."""
        timestamp = self.clock().timestamp() - 60
        for name, rows in files.items():
            path = (folder or self.data) / "inbox" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content_of(name, [{**row, "broker_account_id": self.account} for row in rows]))
            os.utime(path, (timestamp, timestamp))

    def begin(self, dies_at: int | None = None, *, folder: Path | None = None, **manner: Any) -> Job:
        """Begin a job, which dies at a point; on another data folder where one is given."""
        env = self.env if folder is None else {**self.env, "EXEC_DATA_DIR": str(folder)}
        said = {"clock": self.clock, "dies_at": dies_at, **self.manner, **manner}
        job = Job.begun(env, self.folder / f"job-{len(self.jobs) + 1}", Manner(**said), self.starts)
        self.jobs.append(job)
        return job

    def end_jobs(self) -> None:
        """See that none of its jobs outlives it."""
        for job in self.jobs:
            job.end()

    def run(self, dies_at: int | None = None, **said: Any) -> Job:
        """Let a job come to its end, one way or the other."""
        job = self.begin(dies_at, **said)
        job.ended()
        return job

    def run_to_the_end(self, **said: Any) -> Job:
        """Run with nothing in the way; raises ``AssertionError`` where the job fails all the same."""
        self.market.control("DELETE", "faults")
        job = self.run(**said)
        for _ in range(SLOW_AT_MOST):
            if not was_too_slow(job.log.read_text()):
                break
            job = self.run(**said)
        assert job.status == 0, f"a job with nothing in its way failed:\n{job.told()}"
        return job

    def close(self) -> None:
        """Let everything come to its end: withdraw by hand what is open, then sync once more."""
        self.market.control("DELETE", "faults")
        self.market.by_hand("DELETE", "/v2/orders")
        self.later()
        self.run_to_the_end()
