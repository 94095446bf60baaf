"""What every store of the agent's state must do, asked of each of them."""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.stores.embedded import EmbeddedStore
from engine.stores.firestore import FirestoreStore
from engine.stores.protocols import AgentStateStore

READY = {"state": "READY", "why": "the preflight holds", "log": [{"state": "INIT", "n": 1}]}
HALTED = {"state": "HALTED", "who": "ü.b`c", "at": {"a.b": "2026-03-02T15:00:00+00:00"}}


@pytest.fixture(params=["embedded", "firestore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AgentStateStore:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


def test_nothing_is_kept_at_first(store: AgentStateStore) -> None:
    assert store.agent_state() is None


def test_the_first_state_replaces_nothing(store: AgentStateStore) -> None:
    assert store.replace_agent_state(READY, replacing=None)
    assert store.agent_state() == READY


def test_a_state_is_replaced_whole(store: AgentStateStore) -> None:
    store.replace_agent_state(READY, replacing=None)
    assert store.replace_agent_state(HALTED, replacing=READY)
    assert store.agent_state() == HALTED


@pytest.mark.parametrize("other", [None, HALTED, READY | {"why": "x"}, {}])
def test_a_state_that_is_no_longer_the_expected_one_stays(
    store: AgentStateStore, other: dict[str, Any] | None
) -> None:
    store.replace_agent_state(READY, replacing=None)
    assert not store.replace_agent_state({"state": "INIT"}, replacing=other)
    assert store.agent_state() == READY


def test_where_nothing_is_kept_nothing_can_be_replaced(store: AgentStateStore) -> None:
    assert not store.replace_agent_state(HALTED, replacing=READY)
    assert store.agent_state() is None


def test_an_empty_state_is_a_state(store: AgentStateStore) -> None:
    assert store.replace_agent_state({}, replacing=None)
    assert store.agent_state() == {}
    assert store.replace_agent_state({}, replacing={})
    assert store.replace_agent_state(READY, replacing={})
    assert store.replace_agent_state({}, replacing=READY)
    assert store.agent_state() == {}


@pytest.mark.parametrize("fault", [{"a": math.nan}, {"a": object()}, {1: "a"}, {"": "a"}])
def test_a_state_that_cant_be_kept_is_refused(store: AgentStateStore, fault: dict[str, Any]) -> None:
    store.replace_agent_state(READY, replacing=None)
    with pytest.raises(EngineError, match="the agent's state can't be kept"):
        store.replace_agent_state(fault, replacing=READY)
    assert store.agent_state() == READY


@pytest.mark.parametrize("before", [None, READY])
def test_of_threads_that_replace_one_state_exactly_one_wins(
    store: AgentStateStore, before: dict[str, Any] | None
) -> None:
    if before is not None:
        store.replace_agent_state(before, replacing=None)
    gate, winners = threading.Barrier(8), []

    def attempt(writer: int) -> None:
        gate.wait()
        if store.replace_agent_state({"writer": writer}, replacing=before):
            winners.append(writer)

    threads = [threading.Thread(target=attempt, args=[writer]) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert store.agent_state() == {"writer": winners[0]}


def count_up(store: AgentStateStore, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    done = 0
    while done < 5:
        kept = store.agent_state()
        done += store.replace_agent_state({"n": (kept or {"n": 0})["n"] + 1}, replacing=kept)


def test_processes_that_count_in_it_lose_no_count(store: AgentStateStore) -> None:
    context = multiprocessing.get_context("spawn")
    environment = {name: value for name, value in os.environ.items() if name.startswith("FIRESTORE_")}
    jobs = [context.Process(target=count_up, args=(store, environment)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert store.agent_state() == {"n": 15}
