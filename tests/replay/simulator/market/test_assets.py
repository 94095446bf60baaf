from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from replay.simulator.market.assets import Asset, Assets
from replay.simulator.market.surroundings import Asset as WantedAsset
from replay.simulator.market.surroundings import Assets as WantedAssets
from tests.replay.simulator.conformance.documents import trading_api

EXCHANGES = {"AMEX", "ARCA", "BATS", "NYSE", "NASDAQ", "OTC"}

ASSETS = Assets.load()


def asset(symbol: str) -> Asset:
    found = ASSETS.get(symbol)
    assert found is not None
    return found


def test_it_is_what_the_venue_wants() -> None:
    wanted: WantedAssets = ASSETS
    one: WantedAsset | None = wanted.get("AAPL")
    assert one is not None


def test_there_are_a_few_hundred_with_real_exchanges_and_names() -> None:
    listed = ASSETS.listing()
    assert len(listed) > 300
    assert {one.exchange for one in listed} == EXCHANGES
    assert all(one.name for one in listed)
    assert max(Counter(one.symbol for one in listed).values()) == 1


def test_ids_are_uuids_the_same_in_every_simulator() -> None:
    ids = [UUID(one.id) for one in ASSETS.listing()]
    assert len(set(ids)) == len(ids)
    assert {one.id for one in Assets.load(["NEW"]).listing()} > {str(one) for one in ids}
    assert asset("AAPL").id == "46b7fc0b-b7bd-5186-b32b-f387243027a8"


def test_it_is_found_by_symbol_and_by_id_in_any_case() -> None:
    apple = asset("AAPL")
    assert ASSETS.get(apple.id) is apple
    assert ASSETS.get(apple.id.upper()) is apple
    assert ASSETS.get("aapl") is None
    assert ASSETS.get("FFFFF") is None
    assert ASSETS.get("") is None


def test_some_are_there_for_what_they_refuse() -> None:
    assert (asset("OCGN").tradable, asset("OCGN").fractionable) == (True, False)
    assert (asset("AMC").tradable, asset("AMC").shortable) == (True, False)
    assert (asset("LCID").shortable, asset("LCID").easy_to_borrow) == (True, False)
    assert not asset("HIHO").marginable
    assert (asset("TCEHY").status, asset("TCEHY").tradable) == ("active", False)
    assert (asset("TWTR").status, asset("TWTR").tradable) == ("inactive", False)


def test_flags_do_not_contradict_each_other() -> None:
    for one in ASSETS.listing():
        assert one.status in ("active", "inactive")
        assert one.tradable <= (one.status == "active")
        assert one.easy_to_borrow <= one.shortable
        assert one.shortable <= one.marginable


def test_a_symbol_that_a_price_file_names_is_added_and_allows_everything() -> None:
    assets = Assets.load(["ZZTOP", "AAPL", "OCGN"])
    added = assets.get("ZZTOP")
    assert added == Asset("ZZTOP", "ZZTOP", "NASDAQ")
    assert added is not None
    assert added.tradable
    assert added.fractionable
    assert added.shortable
    assert assets.get("AAPL") == asset("AAPL")
    assert assets.get("OCGN") == asset("OCGN")


def test_the_listing_is_by_exchange_and_symbol_and_can_be_narrowed() -> None:
    listed = ASSETS.listing()
    assert listed == sorted(listed, key=lambda one: (one.exchange, one.symbol))
    inactive = ASSETS.listing("inactive")
    assert asset("TWTR") in inactive
    assert {one.status for one in inactive} == {"inactive"}
    assert len(ASSETS.listing("active")) + len(inactive) == len(listed)
    assert asset("SPY") in ASSETS.listing("active", "ARCA")
    assert {one.exchange for one in ASSETS.listing(None, "ARCA")} == {"ARCA"}
    assert ASSETS.listing(exchange="XETRA") == []
    with_options = ASSETS.listing(attributes=["ipo", "has_options"])
    assert asset("AAPL") in with_options
    assert asset("OCGN") not in with_options


def test_the_body_is_alpacas() -> None:
    assert asset("OCGN").body() == {
        "id": asset("OCGN").id,
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": "OCGN",
        "name": "Ocugen, Inc. Common Stock",
        "status": "active",
        "tradable": True,
        "marginable": True,
        "maintenance_margin_requirement": 30,
        "margin_requirement_long": "30",
        "margin_requirement_short": "30",
        "shortable": True,
        "easy_to_borrow": True,
        "borrow_status": "easy_to_borrow",
        "fractionable": False,
        "attributes": [],
    }


@pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")
def test_alpacas_own_client_reads_every_body() -> None:
    from alpaca.trading.models import Asset as AlpacasAsset

    for one in ASSETS.listing():
        read = AlpacasAsset(**one.body())
        assert (read.symbol, str(read.id), read.tradable) == (one.symbol, one.id, one.tradable)


def test_every_body_is_valid_by_the_openapi_document() -> None:
    validator = Draft202012Validator(trading_api() | {"$ref": "#/components/schemas/Assets"})
    for one in ASSETS.listing():
        validator.validate(one.body())


# Every asset of the recordings of 2019 and 2020; name came between them.
RECORDED = {
    **dict.fromkeys(("id", "class", "exchange", "symbol", "name", "status"), str),
    **dict.fromkeys(("tradable", "marginable", "shortable", "easy_to_borrow"), bool),
}


def test_a_body_has_every_key_that_was_recorded_with_a_value_of_its_type() -> None:
    ours = asset("AAPL").body()
    assert {key: type(ours[key]) for key in RECORDED} == RECORDED
