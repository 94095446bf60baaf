"""What a session's fills cost, by strategy and symbol: exact, and unknown where a price is."""

from __future__ import annotations

import math
from datetime import date, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import pytest

from engine.errors import AccountsInDoubt
from engine.stores.protocols import LedgerStore
from engine.stores.strategy_trades import Filled, notional_frame
from tests.engine.stores.contract.ledgers import EmbeddedBook, FirestoreBook
from tests.engine.stores.contract.test_strategies import balanced, of
from tests.engine.stores.trades import SESSION


@pytest.fixture(params=["embedded", "firestore"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerStore:
    if request.param == "embedded":
        return EmbeddedBook(tmp_path / "engine.db").store
    return FirestoreBook(request.getfixturevalue("firestore_project")).store


def costs(store: LedgerStore, *accounts: str, day: date = SESSION) -> dict[tuple[str, str, str], float]:
    frame = store.traded_notional(accounts, day)
    assert list(frame.columns) == ["strategy_id", "broker_account_id", "symbol", "notional"]
    assert frame["notional"].dtype == "float64"
    keys = zip(frame["strategy_id"], frame["broker_account_id"], frame["symbol"], strict=True)
    return dict(zip(keys, frame["notional"], strict=True))


def test_both_sides_are_added_by_strategy_account_and_symbol(store: LedgerStore) -> None:
    store.write_ledger(
        [
            of("momentum", "o-1", "SPY", 3, filled_avg_price=0.1),
            of("momentum", "o-2", "SPY", -1, filled_avg_price=0.2),
            of("carry", "o-3", "BRK/B", 0.5, filled_avg_price=500.25),
            of("momentum", "o-4", "SPY", 1, filled_avg_price=7, counts_as_trade=False),
            of("momentum", "o-5", "SPY", 1, filled_avg_price=7, broker_account_id="other"),
            of("momentum", "o-6", "SPY", 9, filled_avg_price=9, trading_date="2026-02-27"),
            balanced("SPY", 100),
        ]
    )
    assert costs(store, "paper") == {("carry", "paper", "BRK.B"): 250.125, ("momentum", "paper", "SPY"): 7.5}
    assert costs(store, "other", "nobody") == {("momentum", "other", "SPY"): 7.0}
    assert costs(store) == costs(store, "paper", day=SESSION + timedelta(days=1)) == {}


def test_a_fill_without_a_price_makes_its_key_unknown_and_no_other(store: LedgerStore) -> None:
    store.write_ledger(
        [
            of("momentum", "o-1", "SPY", 3, filled_avg_price=1),
            of("momentum", "o-2", "SPY", 1),
            of("momentum", "o-3", "KO", 1, filled_avg_price=60),
        ]
    )
    found = costs(store, "paper")
    assert math.isnan(found["momentum", "paper", "SPY"])
    assert found["momentum", "paper", "KO"] == 60


def test_a_document_without_a_symbol_puts_its_account_in_doubt(store: LedgerStore) -> None:
    document = of("momentum", "o-1", "SPY", 3, filled_avg_price=1)
    del document["symbol"]
    store.write_ledger([document, of("momentum", "o-2", "SPY", 1, broker_account_id="other")])
    with pytest.raises(AccountsInDoubt) as error:
        store.traded_notional(["paper", "other"], SESSION)
    assert error.value.accounts == ("paper",)


@pytest.mark.parametrize(
    ("qty", "price"), [(0.1, 0.2), (1e-9, 0.01), (999_999.999, 1234.5678), (3, 33.333333333)]
)
def test_a_product_is_exact_and_rounded_up_to_a_millionth(qty: float, price: float) -> None:
    (found,) = notional_frame([Filled("a", "o", "s", "SPY", qty, price)], "2026-03-02", "here")["notional"]
    exact = Decimal(str(qty)) * Decimal(str(price))
    assert Decimal(repr(found)) == exact.quantize(Decimal("0.000001"), ROUND_CEILING).normalize()


@pytest.mark.parametrize("value", [None, True, "5", math.nan, math.inf, -1])
def test_what_is_no_number_is_unknown(value: object) -> None:
    for qty, price in ((value, 1.0), (1.0, value)):
        frame = notional_frame([Filled("a", "o", "s", "SPY", qty, price)], "2026-03-02", "here")
        assert frame["notional"].isna().all()
