"""``positions pull``: the broker's book, brought into the store and shown."""

from __future__ import annotations

import json

import pytest

from engine.errors import EngineError
from engine.safety.lock import exclusive
from engine.stores.embedded.store import EmbeddedStore
from jobs import positions
from tests.jobs.live_machine import Live
from tests.jobs.test_sync import past_the_engine


@pytest.fixture
def named(live: Live, monkeypatch: pytest.MonkeyPatch) -> Live:
    for name, value in (live.env | {"EXEC_BROKER_ACCOUNT_ID": "paper"}).items():
        monkeypatch.setenv(name, value)
    return live


def test_what_the_broker_holds_is_kept_and_shown(named: Live, capsys: pytest.CaptureFixture[str]) -> None:
    past_the_engine(named)
    assert positions.pull(None, as_json=False) == 0
    frame = EmbeddedStore(named.data / "engine.db").all_positions()
    assert frame[["broker_account_id", "symbol", "qty"]].values.tolist() == [["paper", "SPY", 2.0]]
    said = " ".join(capsys.readouterr().out.split())
    assert "paper: 1 position read from the broker" in said
    assert "SPY" in said


def test_where_the_broker_holds_nothing_that_is_reported_and_nothing_else_asked_for(
    named: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    assert positions.pull(None, as_json=False) == 0
    said = capsys.readouterr().out
    assert f"No positions in {named.data / 'engine.db'}.\n" in said
    assert "positions load" not in said


def test_a_machine_reads_one_object_with_the_book_of_the_account(
    named: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    past_the_engine(named)
    assert positions.pull("paper", as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["exit_code"], said["synced"]) == (0, True)
    assert [(one["symbol"], one["qty"]) for one in said["positions"]] == [("SPY", 2.0)]
    assert positions.pull("another", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["positions"] == []


def test_what_differs_from_the_ledger_is_reported_and_ends_with_4(
    named: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    positions.pull(None, as_json=True)
    past_the_engine(named)
    capsys.readouterr()
    assert positions.pull(None, as_json=True) == 4
    said = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in said["breaks"]] == ["manual_trade"]
    assert [one["qty"] for one in said["positions"]] == [2.0]


def test_beside_a_run_it_shows_the_book_as_the_run_has_brought_it(
    named: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    past_the_engine(named)
    positions.pull(None, as_json=True)
    capsys.readouterr()
    with exclusive(named.data, since="now"):
        assert positions.pull(None, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["synced"], [one["qty"] for one in said["positions"]]) == (False, [2.0])


def test_a_broker_that_cannot_be_asked_is_an_error_and_the_book_stays(named: Live) -> None:
    past_the_engine(named)
    positions.pull(None, as_json=True)
    named.alpaca.status = 401
    with pytest.raises(EngineError):
        positions.pull(None, as_json=False)
    assert EmbeddedStore(named.data / "engine.db").all_positions()["qty"].tolist() == [2.0]
