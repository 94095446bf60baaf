"""A life whose jobs are commands: intents, jobs that are stopped or killed, remedies, and what holds.

What is wrong is collected on the way: after each command whether its exit code was the truth, at the end
whether every intent has its one order or a true word that it has none.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.log import wall_clock
from engine.waiting.retry_policy import RetryPolicy
from tests.crash_job import in_a_fork
from tests.desk import Row, content_of
from tests.exactly_once.case import SLOW_AT_MOST, Case, was_too_slow
from tests.exactly_once.command import Command, ShiftedTime, Surroundings
from tests.exactly_once.job import PATIENT, Manner
from tests.exactly_once.limits import breaches, breaches_at_any_order
from tests.exactly_once.market import Market
from tests.exactly_once.truth import Account, Record, after_a_command, at_the_end

QUICK = RetryPolicy(read_s=0.8, lookups_s=(0.01, 0.02, 0.04, 0.08, 0.16), posts=8, down_after_s=0.6)
LEASE_S, LATE_S = 75.0, 3.0
"""Longer than a lease, and longer than a look at switch, state and lease is fresh."""
_RUNS_AT_MOST, _REMEDIES_AT_MOST = 3, 6
_REMEDY = re.compile(
    r"execution-engine ((?:stores forget-folder|positions accept) (?!FILE)\S+ --by NAME --why (?:TEXT|\"…\")"
    r"|cancel-all(?: --[a-z]+ [^\s`]+)+)"
)
_DOUBT_S = 90


@dataclass
class Life(Case):
    """A case with one account, or two, and with commands for jobs; ``place`` is where its data folder is."""

    second: Market | None = None
    limit: int = 100
    place: Path = Path()
    env_of_jobs: dict[str, str] = field(default_factory=dict)
    intents: dict[tuple[str, str], Path] = field(default_factory=dict)
    lost: set[tuple[str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shift: ShiftedTime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place = self.folder / "data"
        self.settings = {
            "EXEC_MAX_POSITION_QTY": str(self.limit),
            "EXECUTION_HALTED_FILE": str(self.folder / "switch"),
            **self.settings,
        }
        self.switch("0")
        if self.second is not None:
            self.second.control("POST", "reset")
            self._name_both_accounts()

    # what there is

    @property
    def data(self) -> Path:
        return self.place

    @property
    def env(self) -> dict[str, str]:
        env = super().env
        if self.second is not None:
            for name in ("EXEC_BROKER_ACCOUNT_ID", "ALPACA_TRADING_HOST"):
                env.pop(name)
        return env

    @property
    def markets(self) -> dict[str, Market]:
        """The brokers by the account that is there."""
        found = {self.account: self.market}
        return found if self.second is None else {**found, f"{self.account}-2": self.second}

    def accounts(self) -> list[Account]:
        return [
            Account(name, market.state(), frozenset(id_ for of, id_ in self.lost if of == name))
            for name, market in self.markets.items()
        ]

    def posted(self) -> list[str]:
        """Return the client ids of the orders that arrived at the brokers, in their order."""
        rows = [row for market in self.markets.values() for row in market.state()["requests"]]
        return [row["body"]["client_order_id"] for row in rows if row["method"] == "POST"]

    # what happens

    def put(self, name: str, rows: list[Row], *, folder: Path | None = None) -> None:
        """Drop a file with intents, each with an id of its own; for the first account where none is named."""
        named = self.markets.keys()
        whole = [
            row if row["broker_account_id"] in named else {**row, "broker_account_id": self.account}
            for row in rows
        ]
        path = (folder or self.place) / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content_of(name, whole))
        seen_at = self.clock().timestamp() - 60
        os.utime(path, (seen_at, seen_at))
        for row in whole:
            self.intents[row["broker_account_id"], row["client_intent_id"]] = folder or self.place

    def switch(self, word: str) -> None:
        (self.folder / "switch").write_text(word)

    def passes(self, seconds: float) -> None:
        """Let time pass for leases and looks, by the clocks of every job that begins or goes on."""
        (self.folder / "passed").write_text(str(self.passed() + seconds))

    def passed(self) -> float:
        """Return the seconds that were let pass."""
        file = self.folder / "passed"
        return float(file.read_text()) if file.exists() else 0.0

    def lease_clock(self) -> datetime:
        return wall_clock() + timedelta(seconds=self.passed())

    def start(
        self,
        *said: str,
        folder: Path | None = None,
        mounts: Callable[[], None] | None = None,
        **manner: Any,
    ) -> Command:
        """Begin a command; ``run`` with JSON where none is said."""
        env = {**self.env, **self.env_of_jobs, "EXEC_DATA_DIR": str(folder or self.place)}
        settled: dict[str, Any] = {
            "clock": self.clock,
            "lease_clock": self.lease_clock,
            "retry_policy": QUICK,
            "at_once": 1,
        }
        command = Command.run(
            said or ("run", "--json"),
            env,
            self.folder / f"job-{len(self.jobs) + 1}",
            manner=Manner(**{**settled, **self.manner, **manner}),
            surroundings=Surroundings(starts=self.starts, time=self.shift, mounts=mounts, clock=self.clock),
        )
        self.jobs.append(command)
        return command

    def do(self, *said: str, **how: Any) -> Command:
        """Let a command come to its end, one way or the other, and look whether it tells the truth."""
        command = self.start(*said, **how)
        self.end_of(command)
        return command

    def end_of(self, command: Command) -> None:
        """Wait for a command's end, and look whether it tells the truth."""
        command.ended()
        self.mend_all()
        if command.said[0] == "run":
            self._look_after(command)
        self.look_at_limits(f"after {self._name_of(command)}")

    def look_at_limits(self, when: str) -> None:
        for name, market in self.markets.items():
            self.wrong += [f"limit: {name} {when}: {one}" for one in breaches(market.state(), self.limit)]

    def mend_all(self) -> None:
        for market in self.markets.values():
            market.control("DELETE", "faults")

    def finish(self, *folders: Path) -> None:
        """Run until nothing is left to do, doing what the commands say; then judge."""
        self.mend_all()
        self._wait_long()
        self._to_the_end(folders or (self.place,))
        for market in self.markets.values():
            market.by_hand("DELETE", "/v2/orders")
        self.begun -= _DOUBT_S
        self._to_the_end(folders or (self.place,))
        accounts, env = self.accounts(), self.env
        for account in accounts:
            found = breaches_at_any_order(account.state, self.limit)
            self.wrong += [f"limit: {account.name}: {one}" for one in found]
        record, intents = Record.of(folders or (self.place,)), [*self.intents]
        self.wrong += at_the_end(accounts, record, intents, env)

    # how

    def _wait_long(self) -> None:
        """Let commands wait for as long as a loaded machine takes; only faults make that take long."""
        self.settings.pop("EXEC_RISK_DATA_TIMEOUT_S", None)
        self.manner = {"retry_policy": PATIENT}

    def _to_the_end(self, folders: tuple[Path, ...]) -> None:
        """Run in every folder until all runs end with 0; where running is not enough, do what they say."""
        ends = self._run_in(folders)
        for _ in range(_RUNS_AT_MOST):
            if not any(ends.values()):
                return
            self.begun -= _DOUBT_S
            ends = self._run_in(folders)
        for _ in range(_REMEDIES_AT_MOST):
            for folder, code in ends.items():
                if code and not self._remedied(self.do("run", folder=folder), folder):
                    return
            ends = self._run_in(folders)
            if not any(ends.values()):
                return
        self.wrong.append(f"doubtful: after all remedies runs still end with {[*ends.values()]}")

    def _run_in(self, folders: tuple[Path, ...]) -> dict[Path, int | None]:
        return {folder: self._run_when_fast(folder).code for folder in folders}

    def _run_when_fast(self, folder: Path) -> Command:
        command = self.do("run", folder=folder)
        for _ in range(SLOW_AT_MOST):
            if not was_too_slow(command.text()):
                break
            command = self.do("run", folder=folder)
        return command

    def _remedied(self, command: Command, folder: Path) -> bool:
        """Do what a command, or a sync, tells an operator to do; False, which is wrong, without a remedy."""
        shown = (command.out, self.do("sync", folder=folder).out)
        found = next(filter(None, (_remedies(one.read_text()) for one in shown)), [])
        for remedy in found:
            self.notes.append(" ".join(remedy[:2]))
            done = self.do(*remedy, folder=folder)
            if done.code not in {0, 4}:
                said = f"the remedy {remedy} ended with {done.code}: {done.text()[-800:]}"
                self.wrong.append(f"doubtful: {said}")
                return False
        if not found and command.code:
            said = f"{self._name_of(command)} still ends with {command.code}: {command.text()[-1500:]}"
            self.wrong.append(f"doubtful: no remedy is named, and {said}")
        return bool(found) or not command.code

    def _look_after(self, command: Command) -> None:
        if command.code is None or not self.place.exists():
            return
        accounts, folder = self.accounts(), self._real(command.data)
        name, code = self._name_of(command), command.code
        printed, text = command.printed(), command.text()
        wants_json = "--json" in command.said

        def look() -> list[str]:
            return after_a_command(
                code, printed if wants_json else None, text, accounts, Record.of((folder,))
            )

        self.wrong += [f"{one} ({name})" for one in in_a_fork(look)]

    def _real(self, data: Path) -> Path:
        """Return the folder that a command saw; one that was mounted in its process only is seen as it is."""
        return data if (data / "runs").exists() else self.place

    def _name_of(self, command: Command) -> str:
        return f"{command.log.stem} {' '.join(command.said)}"

    def _name_both_accounts(self) -> None:
        text = "".join(
            f'[accounts."{name}"]\npaper = true\nhost = "{market.host}"\n'
            'api_key_env = "ALPACA_API_KEY"\nsecret_key_env = "ALPACA_SECRET_KEY"\n'
            for name, market in self.markets.items()
        )
        file = self.folder / "accounts.toml"
        file.write_text(text)
        self.settings["EXEC_ACCOUNTS_FILE"] = str(file)


def _remedies(text: str) -> list[tuple[str, ...]]:
    """Return the commands that a text tells an operator to enter, each once, with a name and a reason."""
    lines = dict.fromkeys(_REMEDY.findall(text))
    return [
        tuple(shlex.split(line.replace("NAME", "somebody").replace("TEXT", "lost").replace("…", "meant")))
        for line in lines
    ]
