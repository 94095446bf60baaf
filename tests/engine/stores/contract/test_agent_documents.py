"""What every store of the agent's own documents must do, asked of each of them."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from engine.stores.protocols import AgentDocuments
from tests.processes import exit_codes

READY = {"state": "READY", "why": "the preflight holds", "log": [{"state": "INIT", "n": 1}]}
HALTED = {"state": "HALTED", "who": "ü.b`c", "at": {"a.b": "2026-03-02T15:00:00+00:00"}}


@pytest.fixture(params=["embedded", "firestore", "postgres", "postgres without its table"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> AgentDocuments:
    if request.param == "embedded":
        return EmbeddedStore(tmp_path / "engine.db")
    if request.param.startswith("postgres"):
        store = PostgresStore(request.getfixturevalue("database_url"), timeout_s=60)
        if request.param == "postgres":
            init_db(store.server)
        return store
    return FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)


def test_nothing_is_kept_at_first(store: AgentDocuments) -> None:
    assert store.agent_document("state") is None


def test_the_first_document_replaces_nothing(store: AgentDocuments) -> None:
    assert store.replace_agent_document("state", READY, replacing=None)
    assert store.agent_document("state") == READY


def test_a_document_is_replaced_whole(store: AgentDocuments) -> None:
    store.replace_agent_document("state", READY, replacing=None)
    assert store.replace_agent_document("state", HALTED, replacing=READY)
    assert store.agent_document("state") == HALTED


@pytest.mark.parametrize("other", [None, HALTED, READY | {"why": "x"}, {}])
def test_a_document_that_is_no_longer_the_expected_one_stays(
    store: AgentDocuments, other: dict[str, Any] | None
) -> None:
    store.replace_agent_document("state", READY, replacing=None)
    assert not store.replace_agent_document("state", {"state": "INIT"}, replacing=other)
    assert store.agent_document("state") == READY


def test_where_nothing_is_kept_nothing_can_be_replaced(store: AgentDocuments) -> None:
    assert not store.replace_agent_document("state", HALTED, replacing=READY)
    assert store.agent_document("state") is None


def test_an_empty_document_is_a_document(store: AgentDocuments) -> None:
    assert store.replace_agent_document("state", {}, replacing=None)
    assert store.agent_document("state") == {}
    assert store.replace_agent_document("state", {}, replacing={})
    assert store.replace_agent_document("state", READY, replacing={})
    assert store.replace_agent_document("state", {}, replacing=READY)
    assert store.agent_document("state") == {}


def test_documents_of_different_names_are_kept_apart(store: AgentDocuments) -> None:
    names = ["state", "lease-a", "lease-b", "0", "-", "a" * 64]
    for name in names:
        assert store.replace_agent_document(name, {"of": name}, replacing=None)
    assert not store.replace_agent_document("lease-a", {}, replacing={"of": "lease-b"})
    assert store.replace_agent_document("lease-b", READY, replacing={"of": "lease-b"})
    kept = {name: store.agent_document(name) for name in names}
    assert kept == {name: {"of": name} for name in names} | {"lease-b": READY}


@pytest.mark.parametrize("name", ["", "A", "a_b", "a/b", "..", "a" * 65, "state\n", "ü", "٣", "a b"])
def test_a_name_that_a_document_cant_have_is_refused(store: AgentDocuments, name: str) -> None:
    with pytest.raises(ValueError, match="is no name of an agent's document"):
        store.agent_document(name)
    with pytest.raises(ValueError, match="is no name of an agent's document"):
        store.replace_agent_document(name, {}, replacing=None)


def test_a_field_of_a_document_may_be_nothing(store: AgentDocuments) -> None:
    assert store.replace_agent_document("lease-a", {"expires_at": None}, replacing=None)
    assert store.agent_document("lease-a") == {"expires_at": None}
    assert store.replace_agent_document("lease-a", READY, replacing={"expires_at": None})


@pytest.mark.parametrize("fault", [{"a": math.nan}, {"a": object()}, {1: "a"}, {"": "a"}])
def test_a_document_that_cant_be_kept_is_refused(store: AgentDocuments, fault: dict[str, Any]) -> None:
    store.replace_agent_document("state", READY, replacing=None)
    with pytest.raises(EngineError, match="the agent's document 'state' can't be kept"):
        store.replace_agent_document("state", fault, replacing=READY)
    assert store.agent_document("state") == READY


@pytest.mark.parametrize("before", [None, READY])
def test_of_threads_that_replace_one_document_exactly_one_wins(
    store: AgentDocuments, before: dict[str, Any] | None
) -> None:
    if before is not None:
        store.replace_agent_document("state", before, replacing=None)
    gate, winners = threading.Barrier(8), []

    def attempt(writer: int) -> None:
        gate.wait()
        if store.replace_agent_document("state", {"writer": writer}, replacing=before):
            winners.append(writer)

    threads = [threading.Thread(target=attempt, args=[writer]) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    assert store.agent_document("state") == {"writer": winners[0]}


def count_up(store: AgentDocuments) -> None:
    done = 0
    while done < 5:
        kept = store.agent_document("state")
        done += store.replace_agent_document("state", {"n": (kept or {"n": 0})["n"] + 1}, replacing=kept)


def test_processes_that_count_in_it_lose_no_count(store: AgentDocuments) -> None:
    assert exit_codes(count_up, [store], [store], [store]) == [0, 0, 0]
    assert store.agent_document("state") == {"n": 15}
