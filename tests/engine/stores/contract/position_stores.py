"""The stores of positions that the contract is asked of, each empty and each knowing ``ACCOUNTS``."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from engine.stores.embedded.store import EmbeddedStore
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from engine.stores.protocols import PositionStore

STORES = ["embedded", "postgres, accounts as text", "postgres, accounts as uuid"]
QUOTED = "a' OR '1'='1"
ODD = 'ü "quoted", \\N; {b} %s, tab'
ACCOUNTS = ("a", "A", "b", "c", "paper", QUOTED, ODD, "NULL")


def empty_store(request: pytest.FixtureRequest, folder: Path) -> PositionStore:
    """Make the store that a fixture's parameter names."""
    if request.param == "embedded":
        return EmbeddedStore(folder / "engine.db")
    url = request.getfixturevalue("database_url")
    if request.param.endswith("uuid"):
        make_tables_with_uuid(url)
    store = PostgresStore(url)
    init_db(store.server)
    return store


def make_tables_with_uuid(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "CREATE TABLE broker_accounts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), broker text,"
            " external_account_id text, label text)"
        )
        connection.execute(
            "CREATE TABLE broker_positions (broker_account_id uuid NOT NULL REFERENCES broker_accounts (id),"
            " symbol text NOT NULL, qty numeric NOT NULL)"
        )
        connection.execute("INSERT INTO broker_accounts (label) SELECT unnest(%s::text[])", [list(ACCOUNTS)])
