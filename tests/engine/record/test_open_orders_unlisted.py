"""Own orders whose markers can't be listed: the run stops, and none of them passes for a manual trade."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import RecordError
from tests.engine.reconciliation.test_account_books import found
from tests.engine.routing.trading import TradingDesk
from tests.servers import Account


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Act as a user whom permissions stop, as they don't stop root; what it needs is imported by then."""
    before = os.geteuid(), os.getegid()
    os.setegid(account.gid)
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])


@pytest.mark.parametrize("place", ["open", "open/2026-03-02"])
def test_own_orders_that_cannot_be_listed_stop_the_run_and_are_no_manual_trades(place: str) -> None:
    account = Account.unprivileged()
    with account.folder("tests-open-") as folder:
        desk = TradingDesk(folder / "data")
        desk.one(client_intent_id="one", order_type="limit", limit_price=50, qty=3)
        assert len(desk.left_open()) == 1
        desk.fill("one")
        closed: Path = desk.data / place
        closed.chmod(0o000)
        for path in (desk.data, *desk.data.rglob("*")):
            os.chown(path, account.uid, account.gid)
        for _ in range(2):
            with acting_as(account), pytest.raises(RecordError, match="can't be listed"):
                desk.live()
        closed.chmod(0o700)
        assert found(desk) == []
        assert desk.trades() == 1
        assert desk.posts() == ["one"]
