from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.routing.trading import TradingDesk


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")
