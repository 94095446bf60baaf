"""Alpaca's OpenAPI documents, from the wheel of Alpaca's that ships them; it is installed, never imported."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest

WHEEL = "alpaca-mcp-server"


def trading_api() -> dict[str, Any]:
    """Return the document of the Trading API; without the wheel the test fails and names the remedy."""
    return _read("trading-api.json")


def market_data_api() -> dict[str, Any]:
    """Return the document of the Market Data API."""
    return _read("market-data-api.json")


def _read(name: str) -> dict[str, Any]:
    try:
        files = distribution(WHEEL).files or []
    except PackageNotFoundError:
        pytest.fail(f"{WHEEL} is not installed, which has {name}. Run make test.", pytrace=False)
    (path,) = [path for path in files if path.match(f"specs/{name}")]
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
