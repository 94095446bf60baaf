from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.desk import Desk

pytest_plugins = ["tests.servers.fixtures"]

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

_OURS = ("EXEC_", "EXECUTION_", "ALPACA_", "AGENT_", "FIREBASE_", "GOOGLE_", "DATABASE_URL", "MARKETDATA_")
_OTHER_SERVERS = ("FIRESTORE_", "CLOUDSDK_", "PG")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(_OURS + _OTHER_SERVERS)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Leave out what only a power cut would show and what takes most of a small run's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")
