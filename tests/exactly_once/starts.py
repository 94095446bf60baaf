"""How the process of a job begins: as a fork of this one, or, for a share of jobs, as a new interpreter.

A fork has already imported and computed what every job does, which is most of a job's cost. A new interpreter
does all that by itself, as an operator's does, so that deaths and stops strike it there too.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import NoReturn

from engine.accounts.names import AccountKey
from engine.brokers.account import BrokerAccount
from engine.brokers.alpaca.keys import Keys
from engine.run.manifest import code_version
from tests.exactly_once.market import KEY, SECRET, Market

ONE_IN_TWENTY = 0.05


@dataclass
class Starts:
    """Begins the processes of a schedule's jobs; ``share`` of them, by chance, as new interpreters."""

    share: float = 0.0
    chance: Random = field(default_factory=lambda: Random(0))
    fresh: int = 0

    def begin(self, work: Callable[[], NoReturn], file: Path) -> int:
        """Begin a process that does ``work`` and ends; return its id.

        A new interpreter reads ``file``, so ``work`` has to be picklable.
        """
        if self.chance.random() < self.share:
            self.fresh += 1
            file.write_bytes(pickle.dumps(work))
            arguments = [sys.executable, "-m", "tests.exactly_once.starts", str(file)]
            return os.posix_spawn(sys.executable, arguments, os.environ)
        process = os.fork()
        if process == 0:
            work()
        return process


def prepare(modules: Iterable[str], markets: Iterable[tuple[str, Market]]) -> None:
    """Do once, in the process that is forked, what every job would do with the same result.

    ``markets``: each with an address under which jobs reach it.
    """
    for name in modules:
        with suppress(ImportError):
            import_module(name)
    code_version()
    Keys(KEY, SECRET)
    for host, market in markets:
        AccountKey.of(host, _account_of(market))


def _account_of(market: Market) -> BrokerAccount:
    told = market.by_hand("GET", "/v2/account")
    return BrokerAccount(
        account_number=told["account_number"],
        status=told["status"],
        trading_blocked=False,
        account_blocked=False,
        trade_suspended_by_user=False,
        currency=told["currency"],
        account_id=told["id"],
    )


def main(file: str) -> None:
    """Do the work that is in a file."""
    work: Callable[[], NoReturn] = pickle.loads(Path(file).read_bytes())
    work()


if __name__ == "__main__":
    main(sys.argv[1])
