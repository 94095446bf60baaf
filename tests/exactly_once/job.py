"""What ``execution-engine run`` does, in a process of its own, with everything that it touches handed in.

It is ``jobs.run.work`` itself, gate and preflight included; only the clock, the patience and the number of
connections are others, and everything that has an effect can end the process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Unpack

import requests

from engine.accounts.configured import AccountSettings
from engine.accounts.connection import Connections
from engine.brokers.access import Access
from engine.brokers.alpaca.read_retries import ReadSettings
from engine.brokers.alpaca.transport import BoundedAdapter
from engine.brokers.interaction import Interaction
from engine.context import RunContext
from engine.errors import ConfigurationError, EngineError
from engine.log import EventLog, wall_clock
from engine.safety.agent_state import Agent, process_name
from engine.safety.halt_mark import HaltMark
from engine.stores.chosen import Stores
from engine.waiting.retry_policy import RetryPolicy
from jobs.run import work
from jobs.setup import Setup, read_setup
from tests.exactly_once.death import (
    Death,
    DyingTransport,
    WatchedBroker,
    dying_documents,
    dying_ledger,
    dying_positions,
)
from tests.exactly_once.starts import Starts

PATIENT_S = 60.0
PATIENT = RetryPolicy(
    read_s=PATIENT_S, lookups_s=(0.01, 0.02, 0.04, 0.08, 0.16), posts=8, down_after_s=PATIENT_S
)
"""Outlasts every fault that strikes here, on a loaded machine too: what stays unresolved was tried enough."""
LONGEST_S = 900.0
"""After this time a job is stuck: much longer than one takes on a machine that does ten other things."""
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.002, 0.03
FAILED, BROKEN = 1, 70
"""Exit codes: failed with an error of the engine's own, safe to run again; and with any other one."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a job goes about it: ``at_once`` orders, ``settle_s`` seconds for fills, its clocks, and its death.

    ``clock`` is the run's, ``lease_clock`` the one by which it holds its lease. It is sent ``dies_of`` at
    the point numbered ``dies_at``, of those whose names begin with ``only``.
    """

    at_once: int = 8
    settle_s: float = 0.05
    retry_policy: RetryPolicy = PATIENT
    reply_within_s: float = 20.0
    clock: Callable[[], datetime] = wall_clock
    lease_clock: Callable[[], datetime] = wall_clock
    dies_at: int | None = None
    dies_of: signal.Signals = signal.SIGKILL
    only: str = ""


@dataclass(frozen=True)
class MortalSetup(Setup):
    """The setup of a job that may die at any point."""

    death: Death
    manner: Manner
    kept: Callable[[Interaction], None]

    def agent(self, *, by: str | None = None, log: EventLog | None = None) -> Agent:
        clock, mark = self.manner.lease_clock, HaltMark(self.objects)
        return Agent(self.stores.agent, log or EventLog(), by or process_name(), clock=clock, mark=mark)

    def accesses(self, *, only: str | None = None, **reading: Unpack[ReadSettings]) -> list[Access]:
        stopping = reading.get("stopping", lambda: False)
        accounts = [account for account in self.accounts if only in {None, account.name}]
        return [Access(account=account.name, broker=self._broker(account, stopping)) for account in accounts]

    def _broker(self, account: AccountSettings, stopping: Callable[[], bool]) -> WatchedBroker:
        session, within_s = requests.Session(), self.manner.reply_within_s
        inner = BoundedAdapter(connections=16, deadline_s=within_s)
        session.mount(account.trading_host + "/", DyingTransport(inner, self.death))
        broker = WatchedBroker(
            api_key=account.api_key,
            secret_key=account.secret_key,
            trading_host=account.trading_host,
            session=session,
            timeout_s=(min(within_s, 5.0), min(within_s, 15.0)),
            retry_policy=self.manner.retry_policy,
            stopping=stopping,
        )
        broker.death, broker.kept = self.death, self.kept
        return broker

    @contextmanager
    def connections(self, stopping: Callable[[], bool], *, to_trade: bool = True) -> Iterator[Connections]:
        with super().connections(stopping, to_trade=to_trade) as connections:
            at_work = tuple(
                replace(
                    venue,
                    retry_policy=self.manner.retry_policy,
                    settle_s=self.manner.settle_s,
                    orders_at_once=self.manner.at_once,
                )
                for venue in connections.at_work
            )
            yield replace(connections, at_work=at_work)

    def context(self, **said: Any) -> RunContext:
        return replace(super().context(**said), clock=self.manner.clock)


def mortal(
    env: Mapping[str, str], death: Death, manner: Manner, kept: Callable[[Interaction], None]
) -> Setup:
    """Return the setup of a job by its environment."""
    setup = read_setup(env)
    agent = dying_documents(setup.stores.agent, death)
    in_one = setup.stores.with_positions is setup.stores.agent
    stores = Stores(
        dying_positions(setup.stores.positions, death),
        dying_ledger(setup.stores.ledger, death),
        agent,
        setup.stores.documents,
        agent if in_one else dying_documents(setup.stores.with_positions, death),
    )
    return MortalSetup(setup.settings, setup.kill_switch, stores, env, death, manner, kept)


@dataclass
class Job:
    """A job in a process of its own; what it logs is in ``log``, its points are in ``points``."""

    process: int
    log: Path
    points: Path
    status: int | None = field(default=None, init=False)

    @classmethod
    def begun(cls, env: Mapping[str, str], files: Path, manner: Manner, starts: Starts) -> Job:
        """Begin one; ``files`` is the beginning of the names of its files."""
        log, points = files.with_suffix(".log"), files.with_suffix(".points")
        log.touch()
        points.touch()
        work = partial(_be_the_job, env, log, points, manner)
        return cls(starts.begin(work, files.with_suffix(".work")), log, points)

    def ended(self, *, at_most_s: float = LONGEST_S) -> bool:
        """Wait for the end; tell whether it came to its own. Raises ``AssertionError`` where it is stuck."""
        for _ in _looks(at_most_s):
            if self.status is None:
                found, status = os.waitpid(self.process, os.WNOHANG)
                self.status = status if found else None
            if self.status is not None:
                break
        else:
            self.end()
            raise AssertionError(f"a job was stuck:\n{self.told()}")
        if os.WIFEXITED(self.status) and not self.may_end_with(os.WEXITSTATUS(self.status)):
            raise AssertionError(f"a job broke:\n{self.told()}")
        return self.status == 0

    def may_end_with(self, code: int) -> bool:
        """Return whether a job may end by itself with an exit code."""
        return code in {0, FAILED}

    def end(self) -> None:
        """See that it is gone, whatever it was doing."""
        if self.status is None:
            os.kill(self.process, signal.SIGKILL)
            _, self.status = os.waitpid(self.process, 0)

    @property
    def was_killed(self) -> bool:
        return self.status is not None and os.WIFSIGNALED(self.status)

    def stopped_itself(self, *, at_most_s: float = LONGEST_S) -> bool:
        """Wait until it is stopped (SIGSTOP); False where it came to its end instead."""
        for _ in _looks(at_most_s):
            found, status = os.waitpid(self.process, os.WNOHANG | os.WUNTRACED)
            if found and os.WIFSTOPPED(status):
                return True
            if found:
                self.status = status
                return False
        raise AssertionError("a job was not stopped")

    def go_on(self) -> None:
        """Continue it where it was stopped."""
        os.kill(self.process, signal.SIGCONT)

    def passed(self) -> list[str]:
        """Return the points that it came by, in their order."""
        return [line.partition(" ")[2] for line in self.points.read_text().splitlines()]

    def modules(self) -> list[str]:
        """Return the modules that it had imported when it ended by itself; none of a job that was killed."""
        imported = _imported(self.log)
        return imported.read_text().split() if imported.exists() else []

    def told(self) -> str:
        """Return the end of what it said beside its log."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith('{"severity":"'))[-3000:]


def _looks(at_most_s: float) -> Iterator[None]:
    """Yield for as long as a process may take, with pauses that grow: it may take long, or be over soon."""
    until, pause_s = time.monotonic() + at_most_s, _FIRST_PAUSE_S
    while time.monotonic() < until:
        yield
        time.sleep(pause_s)
        pause_s = min(1.2 * pause_s, _LAST_PAUSE_S)


def _be_the_job(env: Mapping[str, str], log: Path, points: Path, manner: Manner) -> NoReturn:
    code = BROKEN
    try:
        death = Death(manner.dies_at, points, manner.dies_of, manner.only)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        noted = os.open(log.parent / "kept", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        death.on_disk(Path(env["EXEC_DATA_DIR"]))
        work(mortal(env, death, manner, note_of(noted)), "test")
        code = 0
    except EngineError as error:
        code = BROKEN if isinstance(error, ConfigurationError) else FAILED
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        _imported(log).write_text("\n".join(sys.modules))
        sys.stderr.flush()
        os._exit(code)


def _imported(log: Path) -> Path:
    return log.with_suffix(".imported")


def note_of(noted: int) -> Callable[[Interaction], None]:
    """Return what notes, in a file that is open, that an exchange was kept."""
    return lambda interaction: _note(noted, interaction)


def _note(noted: int, interaction: Interaction) -> None:
    headers = (interaction.response or {}).get("headers", {})
    named = {name.lower(): value for name, value in headers.items()}.get("x-request-id", [""])
    os.write(noted, f"{os.getpid()} {interaction.number} {named[0]}\n".encode())
