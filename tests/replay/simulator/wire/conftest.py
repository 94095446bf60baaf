"""A simulator to ask: both ways where the way may matter, without a socket where it can't."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.replay.simulator.wire.reach import Reach, reach


@pytest.fixture(params=["socket", "adapter"])
def alpaca(request: pytest.FixtureRequest) -> Iterator[Reach]:
    with reach(request.param) as reached:
        yield reached


@pytest.fixture
def quick() -> Iterator[Reach]:
    with reach("adapter") as reached:
        yield reached
