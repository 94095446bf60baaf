"""Alpaca's own documents, from the folder beside the repository; they are not part of the project."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[4].parent / "shared" / "alpaca"


def read(name: str) -> str:
    """Give a document's text; without the folder the test fails in CI, and is skipped elsewhere."""
    if not FOLDER.is_dir():
        message = f"{FOLDER} is missing: Alpaca's documents are read from there. Put the folder back."
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return (FOLDER / name).read_text()


def errors() -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = json.loads(read("errors.json"))
    return bodies


def recordings() -> list[dict[str, Any]]:
    return [json.loads(line) for line in read("recordings.jsonl").splitlines()]


def trading_api() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read("trading-api.json"))
    return document
