"""Asset records of live runs: read once a session at each host, recorded, and unknown where they fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import replay
from engine.api.rehearsal import rehearse_collecting, rehearse_deciding
from engine.brokers.assets import Asset
from engine.record.kept_assets import KeptAssets, hosts_kept
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run import input_sources
from engine.run.asset_records import ONE_BY_ONE
from engine.run.risk_inputs import inputs_of
from replay.simulator.wire.faults import from_json
from tests.desk import content_of, order, reasons
from tests.live_desk import HOST, LiveDesk, simulated

KEPT = "assets/2026-03-02"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveDesk:
    monkeypatch.setattr(input_sources, "frames_needed", lambda _: frozenset({"assets"}))
    return LiveDesk(tmp_path / "data", simulator=simulated(clock="manual"), settle_s=0.0)


def live(desk: LiveDesk, *symbols: str, timeout_s: float = 3.0) -> RunFolder:
    """Do a live run with an order of each symbol, which the gate refuses, so that nothing is sent."""
    rows = [order(symbol=symbol, client_intent_id=f"{desk.now:%H%M}-{symbol}") for symbol in symbols]
    desk.drop(f"{desk.now:%H%M}.jsonl", *rows)
    config = RiskConfig(max_position_qty=0, accounts=frozenset({"paper"}))
    return desk.live(config, changes={"risk_data_timeout_s": timeout_s})


def flags(folder: RunFolder) -> dict[str, tuple[Any, ...]]:
    """Return the recorded flags by symbol."""
    frame = inputs_of(folder).assets
    assert frame is not None
    found = frame.astype("object").where(frame.notna(), None).itertuples(index=False)
    return {row.symbol: (row.tradable, row.fractionable, row.shortable) for row in found}


def asked(desk: LiveDesk) -> list[str]:
    """Return the requests for assets so far."""
    paths = [request["path"] for request in desk.simulator.simulation.state()["requests"]]
    return [path for path in paths if path.startswith("/v2/assets")]


def fault(desk: LiveDesk, name: str, **more: Any) -> None:
    desk.simulator.faults.add(from_json({"fault": name, "path": "/v2/assets*", "times": None, **more}))


def test_records_are_read_for_the_batchs_symbols_and_recorded_with_the_run(desk: LiveDesk) -> None:
    folder = live(desk, "SPY", "OCGN", "AMC", "TCEHY", "NOSUCH")
    assert flags(folder) == {
        "SPY": (True, True, True),
        "OCGN": (True, False, True),
        "AMC": (True, True, False),
        "TCEHY": (False, False, False),
        "NOSUCH": (False, False, False),
    }
    hashed = folder.json("manifest.json")["content"]
    assert "assets.parquet" in hashed
    assert {one["request"]["uri"] for one in traffic(folder)} >= {
        f"{HOST}/v2/assets/SPY",
        f"{HOST}/v2/assets/NOSUCH",
    }
    assert replay.replay(desk.data).differences == 0


def traffic(folder: RunFolder) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = json.loads(folder.objects.read(folder.key + "cassette.json"))["interactions"]
    return kept


def test_a_record_is_read_once_a_session(desk: LiveDesk) -> None:
    live(desk, "SPY", "KO")
    desk.simulator.venue.change_asset("SPY", tradable=False)
    second = live(desk, "SPY", "KO", "AAPL", "NOSUCH")
    third = live(desk, "SPY", "NOSUCH")
    assert sorted(asked(desk)) == [f"/v2/assets/{symbol}" for symbol in ("AAPL", "KO", "NOSUCH", "SPY")]
    assert flags(second)["SPY"] == flags(third)["SPY"] == (True, True, True)


def test_records_of_another_session_are_not_used_and_are_removed(desk: LiveDesk) -> None:
    live(desk, "SPY")
    assert (desk.data / KEPT).is_dir()
    desk.simulator.venue.change_asset("SPY", tradable=False)
    desk.later(days=1)
    desk.simulator.simulation.clock.advance(86_400)
    assert flags(live(desk, "SPY"))["SPY"] == (False, True, True)
    assert [path.name for path in (desk.data / KEPT).glob("*.json")] == []
    assert len(list((desk.data / "assets/2026-03-03").iterdir())) == 1


def test_a_file_copied_from_another_session_is_not_used(desk: LiveDesk) -> None:
    stale = Asset(symbol="SPY", tradable=False, fractionable=False, shortable=False)
    objects = LocalObjects(desk.data)
    KeptAssets(objects, date(2026, 2, 27), HOST).keep([stale], is_listed=True)
    (old,) = objects.list("assets/")
    objects.put(old.replace("2026-02-27", "2026-03-02"), objects.read(old))
    assert hosts_kept(objects, date(2026, 3, 2)) == []
    assert flags(live(desk, "SPY"))["SPY"] == (True, True, True)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"session": "2026-03-02"}', b'{"assets": {"SPY": [1]}}'])
def test_a_damaged_file_is_left_out(desk: LiveDesk, content: bytes) -> None:
    live(desk, "SPY")
    (kept,) = (desk.data / KEPT).iterdir()
    kept.write_bytes(content)
    assert flags(live(desk, "SPY"))["SPY"] == (True, True, True)
    assert asked(desk) == ["/v2/assets/SPY"] * 2


def test_records_of_another_host_are_not_used(desk: LiveDesk) -> None:
    stale = Asset(symbol="SPY", tradable=False, fractionable=False, shortable=False)
    KeptAssets(LocalObjects(desk.data), date(2026, 3, 2), "https://api.alpaca.markets").keep(
        [stale], is_listed=False
    )
    assert flags(live(desk, "SPY"))["SPY"] == (True, True, True)


def test_many_symbols_are_read_from_the_list_and_what_it_lacks_one_by_one(desk: LiveDesk) -> None:
    listed = [asset["symbol"] for asset in desk.simulator.venue.list_assets({"status": "active"})]
    symbols = sorted({*listed[:ONE_BY_ONE], "NOSUCH", "TWTR"})
    folder = live(desk, *symbols)
    assert set(flags(folder)) == set(symbols)
    assert (flags(folder)["NOSUCH"], flags(folder)["TWTR"][0]) == ((False, False, False), False)
    assert sorted(asked(desk)) == ["/v2/assets", "/v2/assets/NOSUCH", "/v2/assets/TWTR"]
    (of_list,) = [one for one in traffic(folder) if "/v2/assets?" in one["request"]["uri"]]
    assert len(json.loads(of_list["response"]["body"]["string"])) == ONE_BY_ONE
    again = live(desk, *listed[ONE_BY_ONE : 3 * ONE_BY_ONE])
    assert len(flags(again)) == 2 * ONE_BY_ONE
    assert len(asked(desk)) == 3


def test_a_run_asks_for_so_many_unknown_symbols_and_the_next_one_for_the_rest(desk: LiveDesk) -> None:
    unknown = [f"ZZ{chr(65 + nth)}" for nth in range(ONE_BY_ONE + 5)]
    first = live(desk, *unknown)
    assert len(flags(first)) == ONE_BY_ONE
    (event,) = desk.events("risk_data_unavailable")
    assert event["message"].startswith("The asset records of 5 symbols are unavailable (ZZK, ZZL, ")
    assert "The next run asks for the next ones" in event["message"]
    assert len(flags(live(desk, *unknown))) == ONE_BY_ONE + 5
    assert asked(desk).count("/v2/assets") == 1


DOWN: dict[str, Callable[[LiveDesk], None]] = {
    "an error": lambda desk: fault(desk, "error_before", status=500),
    "a page": lambda desk: fault(desk, "html_error", status=404),
    "forbidden": lambda desk: fault(desk, "html_error", status=403),
    "no reply": lambda desk: fault(desk, "accept_then_drop", method="GET"),
    "a torn reply": lambda desk: fault(desk, "truncated_body"),
    "a rate limit": lambda desk: fault(desk, "rate_limited", seconds=600),
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("size", [1, ONE_BY_ONE + 1])
def test_without_an_answer_the_frame_is_unavailable_and_the_run_ends(
    desk: LiveDesk, how: str, size: int
) -> None:
    symbols = [asset["symbol"] for asset in desk.simulator.venue.list_assets({"status": "active"})][:size]
    DOWN[how](desk)
    begun_at = time.monotonic()
    folder = live(desk, *symbols, timeout_s=1.0)
    assert time.monotonic() - begun_at < 20
    why = folder.json("inputs.json")["unavailable"]
    assert why.keys() == {"assets"}
    assert HOST in why["assets"] or "rate limit" in why["assets"] or "Check that" in why["assets"]
    assert inputs_of(folder).assets is None
    assert not (desk.data / KEPT).exists()
    assert replay.replay(desk.data).differences == 0
    desk.simulator.faults.clear()


def test_an_endpoint_that_is_slow_is_given_up_at_the_deadline(desk: LiveDesk) -> None:
    fault(desk, "latency", seconds=0.4)
    begun_at = time.monotonic()
    folder = live(desk, *[f"NO{chr(65 + nth)}" for nth in range(ONE_BY_ONE)], timeout_s=0.3)
    assert time.monotonic() - begun_at < 15
    found = inputs_of(folder).assets
    assert found is None or len(found) < ONE_BY_ONE


def test_one_symbol_that_fails_is_unknown_and_the_others_are_known(desk: LiveDesk) -> None:
    fault(desk, "html_error", status=502, path="/v2/assets/KO")
    folder = live(desk, "SPY", "KO", "AAPL", timeout_s=0.5)
    assert sorted(flags(folder)) == ["AAPL", "SPY"]
    (event,) = desk.events("risk_data_unavailable")
    assert event["message"].startswith("The asset records of 1 symbols are unavailable (KO): ")
    desk.simulator.faults.clear()
    assert sorted(flags(live(desk, "SPY", "KO", "AAPL"))) == ["AAPL", "KO", "SPY"]


def test_a_place_that_keeps_nothing_costs_only_another_request(desk: LiveDesk) -> None:
    desk.data.mkdir(parents=True)
    (desk.data / "assets").write_text("in the way")
    assert flags(live(desk, "SPY"))["SPY"] == flags(live(desk, "SPY"))["SPY"] == (True, True, True)
    assert asked(desk) == ["/v2/assets/SPY"] * 2


def test_a_dry_run_has_no_asset_records_even_where_a_live_run_kept_them(desk: LiveDesk) -> None:
    live(desk, "SPY")
    desk.drop("dry.jsonl", order(client_intent_id="dry"))
    folder = desk.run()
    assert folder.json("inputs.json")["unavailable"] == {
        "assets": "asset records are the broker's, and a dry run has no connection to one"
    }
    assert reasons(folder) == ["ok"]


def test_a_rehearsal_of_a_live_run_uses_what_the_sessions_runs_have_read(desk: LiveDesk) -> None:
    settings = desk.settings(EXEC_DRY_RUN="0", EXEC_STORE="embedded", EXEC_BROKER_ACCOUNT_ID="paper")
    files = [("a.jsonl", content_of("a.jsonl", [order(), order(symbol="KO")]))]

    def rehearsed() -> RunFolder:
        folder, _ = rehearse_collecting(files, settings, RiskConfig(), desk.context())
        rehearse_deciding(folder, desk.context())
        return folder

    assert "no run of this session has read any" in rehearsed().json("inputs.json")["unavailable"]["assets"]
    live(desk, "SPY")
    before = len(asked(desk))
    assert flags(rehearsed()) == {"SPY": (True, True, True)}
    assert len(asked(desk)) == before


def test_an_asset_is_what_all_hosts_allow() -> None:
    from engine.run.asset_records import _frame

    def one(symbol: str, *flags: bool | None) -> dict[str, Asset]:
        tradable, fractionable, shortable = flags
        return {
            symbol: Asset(symbol=symbol, tradable=tradable, fractionable=fractionable, shortable=shortable)
        }

    here = {**one("A", True, True, None), **one("B", True, True, True)}
    there = one("A", True, False, True)
    frame = _frame([here, there], ["A", "B"])
    expected = pd.DataFrame(
        [("A", True, False, None)],
        columns=["symbol", "tradable", "fractionable", "shortable"],
        dtype="object",
    )
    pd.testing.assert_frame_equal(frame, expected)
