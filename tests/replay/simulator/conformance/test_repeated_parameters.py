"""A list-valued parameter that is given several times is the list of all its values."""

from __future__ import annotations

from typing import Any

import pytest

from replay.simulator.intake.queries import LISTS, parsed
from tests.replay.simulator.conformance.desk import HOST, Desk
from tests.replay.simulator.conformance.documents import trading_api


def lists_of_the_document() -> set[str]:
    operations = [
        operation
        for path, methods in trading_api()["paths"].items()
        if "/wallets/" not in path
        for method, operation in methods.items()
        if method in {"get", "delete"}
    ]
    parameters = [each for operation in operations for each in operation.get("parameters", [])]
    return {each["name"] for each in parameters if "name" in each and is_list(each)}


def is_list(parameter: dict[str, Any]) -> bool:
    return parameter["schema"].get("type") == "array" or "comma" in parameter.get("description", "").lower()


def test_every_list_of_the_document_is_known() -> None:
    assert lists_of_the_document() <= LISTS
    assert {"symbols", "asset_class", "activity_types", "attributes"} <= lists_of_the_document()


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        (b"", {}),
        (b"symbols=A&symbols=B,C", {"symbols": "A,B,C"}),
        (b"symbols=&symbols=A&symbols=", {"symbols": "A,"}),
        (b"limit=1&limit=2", {"limit": "2"}),
    ],
)
def test_repeated_parameters(query: bytes, parameters: dict[str, str]) -> None:
    assert parsed(query) == parameters


@pytest.mark.parametrize(
    ("path", "name", "values", "least"),
    [
        ("/v2/orders?status=all", "asset_class", ["us_equity", "crypto"], 2),
        ("/v2/orders?status=all", "asset_class", ["crypto", "us_option"], 0),
        ("/v2/orders?status=all", "symbols", ["AAPL", "KO"], 2),
        ("/v2/account/activities?direction=asc", "activity_types", ["FILL", "DIV"], 2),
        ("/v2/assets?exchange=ARCA", "asset_class", ["crypto", "us_equity"], 10),
        ("/v2/assets?exchange=ARCA", "attributes", ["has_options", "ipo"], 10),
        ("/v3/clock?time=2026-10-08T12:00:00Z", "markets", ["NYSE", "NASDAQ"], 2),
    ],
)
def test_a_parameter_given_twice_is_answered_as_a_list(
    desk: Desk, path: str, name: str, values: list[str], least: int
) -> None:
    desk.hold()
    desk.hold(symbol="KO")
    repeated = desk.session.get(HOST + path + "".join(f"&{name}={value}" for value in values)).json()
    assert repeated == desk.session.get(f"{HOST}{path}&{name}={','.join(values)}").json()
    rows = repeated["clocks"] if isinstance(repeated, dict) else repeated
    assert len(rows) == least if least < 10 else len(rows) >= least
