from __future__ import annotations

from typing import Any

import pytest

from tests.replay.simulator.venue.desk import Desk, refused


def symbols(watchlist: dict[str, Any]) -> list[str]:
    return [asset["symbol"] for asset in watchlist["assets"]]


def test_assets_are_added_at_the_end_removed_and_replaced() -> None:
    desk = Desk()
    lists = desk.venue.watchlists
    made = lists.create({"name": "mine", "symbols": ["AAPL", "KO"]})
    assert made["account_id"] == desk.venue.account()["id"]
    desk.tick(60)
    added = lists.add(made["id"], {"symbol": "TSLA"})
    assert symbols(added) == ["AAPL", "KO", "TSLA"]
    assert added["updated_at"] > added["created_at"] == made["created_at"]
    assert symbols(lists.remove(made["id"].upper(), "AAPL")) == ["KO", "TSLA"]
    updated = lists.update(made["id"], {"symbols": ["AAPL"]})
    assert (updated["name"], symbols(updated)) == ("mine", ["AAPL"])
    assert symbols(lists.update(made["id"], {"name": "yours"})) == ["AAPL"]
    assert [each["name"] for each in lists.all()] == ["yours"]
    assert "assets" not in lists.all()[0]
    assert lists.get(lists.id_of({"name": "yours"}))["id"] == made["id"]
    lists.delete(made["id"])
    assert lists.all() == []


@pytest.mark.parametrize(
    ("method", "args", "status", "words"),
    [
        ("create", [{}], 422, "name is required"),
        ("create", [{"name": ""}], 422, "name is required"),
        ("create", [{"name": 7}], 400, "format is invalid"),
        ("create", [{"name": "x" * 65}], 422, "at most 64 characters"),
        ("create", [{"name": "mine"}], 422, "must be unique"),
        ("create", [{"name": "other", "symbols": "AAPL"}], 400, "format is invalid"),
        ("create", [{"name": "other", "symbols": ["NONE"]}], 422, 'could not find asset "NONE"'),
        ("create", [{"name": "other", "symbols": ["KO", "KO"]}], 422, "KO is already in the watchlist"),
        ("add", ["ID", {"symbol": "AAPL"}], 422, "AAPL is already in the watchlist"),
        ("add", ["ID", {}], 422, "symbol is required"),
        ("add", ["nowhere", {"symbol": "KO"}], 404, "watchlist not found for nowhere"),
        ("update", ["ID", {}], 422, "name is required"),
        ("update", ["ID", {"name": "second"}], 422, "must be unique"),
        ("remove", ["ID", "KO"], 404, "symbol not found: KO"),
        ("delete", ["nowhere"], 404, "watchlist not found for nowhere"),
        ("get", ["nowhere"], 404, "watchlist not found for nowhere"),
        ("id_of", [{"name": "nobody's"}], 404, "watchlist not found for nobody's"),
        ("id_of", [{}], 422, "name is required"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    method: str, args: list[Any], status: int, words: str
) -> None:
    lists = Desk().venue.watchlists
    made = lists.create({"name": "mine", "symbols": ["AAPL"]})
    lists.create({"name": "second"})
    before = [lists.get(each["id"]) for each in lists.all()]
    args = [made["id"] if each == "ID" else each for each in args]
    code, body = refused(getattr(lists, method), *args)
    assert code == status
    assert words in body["message"]
    assert [lists.get(each["id"]) for each in lists.all()] == before


def test_a_list_may_be_given_its_own_name_again() -> None:
    lists = Desk().venue.watchlists
    made = lists.create({"name": "mine"})
    assert lists.update(made["id"], {"name": "mine"})["name"] == "mine"
