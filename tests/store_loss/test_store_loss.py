"""A sample of the weeks that ``make soak`` plays, in which stores and folders are lost and restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.exactly_once.test_exactly_once import played, with_servers

__all__ = ["with_servers"]

SAMPLE = "7"
WITH_BOTH = "5"
EMBEDDED_WEEKS, SERVER_WEEKS, AT_ONCE = 100, 40, 20


def assert_all_came_back(report: dict[str, Any]) -> None:
    assert report["problems"] == {}
    assert report["orders"] > 5 * report["tried"]


def test_no_loss_loosens_a_limit_or_lifts_a_halt_and_one_command_leads_back() -> None:
    report = played("--weeks", "--store", "embedded", SAMPLE)
    assert_all_came_back(report)
    assert any("rebuild" in said or "adopt" in said for said in report["happened"])


def test_only_the_brokers_have_orders_that_a_restored_folder_and_store_lack_or_that_a_copy_sent() -> None:
    both = ("--loss", "all_restored", "--loss", "copy_trades_beside")
    report = played("--weeks", "--store", "embedded", *both, WITH_BOTH)
    assert_all_came_back(report)
    assert {" ".join(said.split()[-2:]) for said in report["happened"]} >= {"beside it", "copy-1 restored"}
    assert "sync -> 4" in report["happened"]


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, EMBEDDED_WEEKS, AT_ONCE))
def test_weeks_with_the_embedded_store(first: int) -> None:
    assert_all_came_back(played("--weeks", "--store", "embedded", "--seeds", f"{first}:{first + AT_ONCE}"))


@pytest.mark.soak
@pytest.mark.parametrize("first", range(0, SERVER_WEEKS, AT_ONCE))
def test_weeks_with_postgresql_and_firestore(first: int, with_servers: Callable[..., dict[str, Any]]) -> None:
    seeds = f"{first}:{first + AT_ONCE}"
    assert_all_came_back(with_servers("--weeks", "--store", "servers", "--seeds", seeds))
