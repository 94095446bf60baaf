"""What an operator of a week does on reading a refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.store_loss.judgement import AtBroker, while_finishing
from tests.store_loss.week import Loss, Week

HALTED = "agent_state_not_ready:HALTED: `execution-engine recover` ends that."


@dataclass
class Ended:
    """A command that has ended with a code, and what it said."""

    code: int
    words: str = ""

    def text(self) -> str:
        return self.words


Led = Callable[..., tuple[list[tuple[str, ...]], list[str]]]


@pytest.fixture
def led_back(monkeypatch: pytest.MonkeyPatch) -> Led:
    """Lead a week back from a loss whose commands end one after the other as given."""

    def lead(*ends: Ended, copied_a_halt: bool) -> tuple[list[tuple[str, ...]], list[str]]:
        week, left, did = object.__new__(Week), list(ends), []

        def do(_: Week, *said: str, **how: Any) -> Ended:
            did.append(said)
            return left.pop(0)

        monkeypatch.setattr(Week, "do", do)
        week.halted, week.copied_a_halt, week.wrong = False, copied_a_halt, []
        week.lead_back(Loss("a copy restored"), Random(0))
        return did, week.wrong

    return lead


RUN, RECOVER = ("run", "--json"), ("recover", "--why", "a test")


def test_a_halt_that_a_restored_copy_brings_back_is_ended_by_the_command_that_it_names(led_back: Led) -> None:
    did, wrong = led_back(Ended(3, HALTED), Ended(0), Ended(0), copied_a_halt=True)
    assert (did, wrong) == ([RUN, RECOVER, RUN], [])


def test_a_halt_that_stays_after_it_was_ended_is_wrong(led_back: Led) -> None:
    did, wrong = led_back(Ended(3, HALTED), Ended(0), Ended(3, HALTED), copied_a_halt=True)
    assert did == [RUN, RECOVER, RUN]
    assert wrong == [f"way back: a copy restored: 3 without a remedy: {HALTED}"]


def test_a_halt_that_no_copy_can_have_brought_back_is_wrong(led_back: Led) -> None:
    did, wrong = led_back(Ended(3, HALTED), copied_a_halt=False)
    assert did == [RUN]
    assert wrong == [f"way back: a copy restored: 3 without a remedy: {HALTED}"]


def test_what_an_earlier_run_sends_before_a_command_decides_moves_its_symbols_and_no_others() -> None:
    had = {name: AtBroker(frozenset(), {}, frozenset({"IWM"})) for name in ("a", "b")}
    during = while_finishing(had, [["a", "SPY"]])
    assert {name: one.moving for name, one in during.items()} == {"a": {"SPY", "IWM"}, "b": {"IWM"}}


def test_an_unfinished_run_of_a_week_is_looked_at_before_a_command_and_a_finished_one_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    week = object.__new__(Week)
    week.place = tmp_path
    had = {"a": AtBroker(frozenset(), {}, frozenset())}
    monkeypatch.setattr(Week, "at_brokers", lambda _: had)
    for name, symbol, is_over in (
        ("20260302T170000Z-adhoc", "SPY", False),
        ("20260302T170001Z-adhoc", "QQQ", True),
    ):
        folder = tmp_path / "runs/2026-03-02" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        pq.write_table(pa.table({"broker_account_id": ["a"], "symbol": [symbol]}), folder / "intents.parquet")
        if is_over:
            (folder / "results.parquet").touch()
    assert week._before_a_command()["a"].moving == {"SPY"}
