from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings.variables import StoreSettings
from engine.stores.chosen import check_stores_are_named, choose_stores
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.postgres.store import PostgresStore

URL = "postgresql://u:s3cret@db.example/book"
NO, YES = "", "embedded"


def settings(**env: str) -> StoreSettings:
    return StoreSettings.from_env({"EXEC_DATA_DIR": "/somewhere", **env})


@pytest.mark.parametrize(
    ("env", "positions", "others", "reads_documents"),
    [
        ({}, EmbeddedStore, EmbeddedStore, False),
        ({"DATABASE_URL": URL}, PostgresStore, EmbeddedStore, False),
        ({"FIREBASE_PROJECT_ID": "own"}, EmbeddedStore, FirestoreStore, True),
        ({"GOOGLE_CLOUD_PROJECT": "platform"}, EmbeddedStore, FirestoreStore, True),
        ({"DATABASE_URL": URL, "FIREBASE_PROJECT_ID": "own"}, PostgresStore, FirestoreStore, True),
        ({"DATABASE_URL": "", "FIREBASE_PROJECT_ID": ""}, EmbeddedStore, EmbeddedStore, False),
        ({"EXEC_STORE": "embedded", "DATABASE_URL": URL}, PostgresStore, EmbeddedStore, False),
        ({"EXEC_STORE": "embedded", "FIREBASE_PROJECT_ID": "own"}, EmbeddedStore, FirestoreStore, True),
    ],
)
def test_each_store_is_chosen_for_itself(
    env: dict[str, str], positions: type, others: type, reads_documents: bool
) -> None:
    stores = choose_stores(settings(**env))
    kinds = (type(stores.positions), type(stores.ledger), type(stores.agent))
    assert kinds == (positions, others, others)
    assert (stores.documents is not None) == reads_documents


def test_embedded_stores_share_engine_db_of_the_data_folder() -> None:
    stores = choose_stores(settings())
    places = {stores.positions.place, stores.ledger.place, stores.agent.place}
    assert places == {"/somewhere/engine.db"}


@pytest.mark.parametrize(
    ("own", "platform", "project"), [("own", "platform", "own"), ("own", "", "own"), ("", "pl", "pl")]
)
def test_firebase_project_id_comes_before_google_cloud_project(own: str, platform: str, project: str) -> None:
    stores = choose_stores(settings(FIREBASE_PROJECT_ID=own, GOOGLE_CLOUD_PROJECT=platform))
    assert isinstance(stores.ledger, FirestoreStore)
    assert stores.ledger.project == project


def test_tenant_and_timeout_reach_the_stores() -> None:
    env = {"DATABASE_URL": URL, "FIREBASE_PROJECT_ID": "own"}
    stores = choose_stores(settings(EXEC_TENANT_ID="acme", EXEC_RISK_DATA_TIMEOUT_S="3", **env))
    assert stores.ledger == FirestoreStore("own", tenant_id="acme", timeout_s=3.0)
    assert isinstance(stores.positions, PostgresStore)
    assert stores.positions.server.timeout_s == 3.0


def test_choosing_touches_nothing(tmp_path: Path) -> None:
    choose_stores(settings(EXEC_DATA_DIR=str(tmp_path / "data")))
    assert list(tmp_path.iterdir()) == []


def test_choosing_loads_neither_library_nor_connects() -> None:
    code = (
        "import sys; from engine.settings.variables import StoreSettings;"
        "from engine.stores.chosen import choose_stores;"
        f"choose_stores(StoreSettings.from_env({{'DATABASE_URL': {URL!r}, 'FIREBASE_PROJECT_ID': 'own'}}));"
        "print([name for name in ('psycopg', 'google.cloud', 'grpc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("url", "own", "platform", "store"), list(product(["", URL], ["", "own"], ["", "platform"], [NO, YES]))
)
def test_a_live_run_needs_both_stores_named_or_embedded_meant(
    url: str, own: str, platform: str, store: str
) -> None:
    chosen = settings(
        DATABASE_URL=url, FIREBASE_PROJECT_ID=own, GOOGLE_CLOUD_PROJECT=platform, EXEC_STORE=store
    )
    missing = [*([] if url else ["DATABASE_URL"]), *([] if own or platform else ["FIREBASE_PROJECT_ID"])]
    if not missing or store:
        check_stores_are_named(chosen)
        return
    with pytest.raises(ConfigurationError) as error:
        check_stores_are_named(chosen)
    said = str(error.value)
    assert [name for name in ("DATABASE_URL", "FIREBASE_PROJECT_ID") if name in said] == missing
    assert "EXEC_STORE=embedded" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "DATABASE_URL (positions in PostgreSQL) and FIREBASE_PROJECT_ID (ledger in Firestore) are not"),
        ({"DATABASE_URL": URL}, "EXEC_DRY_RUN is 0, and FIREBASE_PROJECT_ID (ledger in Firestore) is not"),
        (
            {"GOOGLE_CLOUD_PROJECT": "p"},
            "EXEC_DRY_RUN is 0, and DATABASE_URL (positions in PostgreSQL) is not",
        ),
    ],
)
def test_what_is_not_named_is_reported_in_one_sentence(env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_stores_are_named(settings(**env))
    assert f"{said} set: a live run would begin with an empty book." in str(error.value)
