"""Processes of their own for tests that want several writers at once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from typing import Any

_LOADED = [
    "google.cloud.firestore",
    "hypothesis",
    "pandas",
    "psycopg",
    "pytest",
    "engine.stores.embedded.store",
    "engine.stores.firestore.store",
    "engine.stores.postgres.store",
    "tests.engine.stores.trades",
]
_SERVERS = ("FIRESTORE_", "no_grpc_proxy")


def exit_codes(work: Callable[..., None], *calls: Sequence[Any], within_s: float = 60.0) -> list[int | None]:
    """Return the exit codes of processes that each make one call of ``work``, all at the same time.

    They are forks of one process that has imported what stores need, and started no threads.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    environment = {name: value for name, value in os.environ.items() if name.startswith(_SERVERS)}
    jobs = [context.Process(target=_work, args=(environment, work, call)) for call in calls]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(within_s)
    return [job.exitcode for job in jobs]


def _work(environment: dict[str, str], work: Callable[..., None], call: Sequence[Any]) -> None:
    os.environ.update(environment)
    work(*call)
