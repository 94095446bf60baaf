"""What the tests of this folder begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.replay.simulator.conformance.desk import Desk, opened


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A desk on a random walk at noon, with the market data of every feed."""
    with opened(data_plan="algo_trader_plus") as opened_desk:
        yield opened_desk
