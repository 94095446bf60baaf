from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from tests.desk import Desk
from tests.disks import folder_on_another_disk
from tests.servers import temporary_root

pytest_plugins = ["pytester", "tests.servers.fixtures", "tests.exactly_once.summary"]

settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("exploring", deadline=None, print_blob=True)
settings.load_profile("exploring" if os.environ.get("TESTS_EXPLORE") else "fixed")
_MORE_EXAMPLES, _FEWER_EXAMPLES, _EXAMPLES_AT_LEAST = 10, 3, 25

_OURS = ("EXEC_", "EXECUTION_", "ALPACA_", "AGENT_", "FIREBASE_", "GOOGLE_", "DATABASE_URL", "MARKETDATA_")
_OTHER_SERVERS = ("FIRESTORE_", "CLOUDSDK_", "PG")


def pytest_configure() -> None:
    """Keep the folders of tests where ``temporary_root`` says; pytest reads this when it makes the first."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(temporary_root()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the number of examples of each property: a third of its own, ten times as many where exploring."""
    properties = [
        item for item in items if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
    ]
    for test in {item.obj for item in properties if item.cls is None}:
        test._hypothesis_internal_use_settings = _for_this_run(test._hypothesis_internal_use_settings)
    for machine in {item.cls for item in properties if item.cls is not None}:
        machine.settings = _for_this_run(machine.settings)


def _for_this_run(own: settings) -> settings:
    examples = own.max_examples
    if os.environ.get("TESTS_EXPLORE"):
        return settings(own, max_examples=examples * _MORE_EXAMPLES)
    return settings(own, max_examples=max(min(examples, _EXAMPLES_AT_LEAST), examples // _FEWER_EXAMPLES))


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


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on another file system than ``tmp_path``."""
    with folder_on_another_disk(tmp_path) as folder:
        yield folder
