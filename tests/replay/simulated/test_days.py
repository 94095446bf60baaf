from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.record.run_folder import CASSETTE, RunFolder
from engine.risk.config import RiskConfig
from engine.stores.embedded.store import EmbeddedStore
from replay.simulated.days import Simulation, simulate
from replay.simulated.strategies import strategies


def content(folder: Path) -> dict[str, bytes]:
    """Return every file but the book, which names the data folder by a hash of its path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "engine.db")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunFolder]]:
    out = tmp_path_factory.mktemp("simulated") / "data"
    return out, simulate(Simulation(sessions=2, seed=7), out)


def statuses(runs: list[RunFolder]) -> Counter[str]:
    found: Counter[str] = Counter()
    for run in runs:
        found.update(run.json("manifest.json")["results"]["by_status"])
    return found


def test_the_same_seed_leaves_the_same_files_byte_for_byte(
    two_days: tuple[Path, list[RunFolder]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.simulator.wire.simulation._wall_seconds", lambda: 0.0)  # at any time of day
    simulate(Simulation(sessions=2, seed=7), tmp_path / "again")
    assert content(tmp_path / "again") == content(two_days[0])
    books = [EmbeddedStore(folder / "engine.db") for folder in (tmp_path / "again", two_days[0])]
    positions, again = (book.all_positions() for book in books)
    assert positions.equals(again)
    assert books[0].net_positions("simulated") == books[1].net_positions("simulated")


def test_another_seed_leaves_other_days(two_days: tuple[Path, list[RunFolder]], tmp_path: Path) -> None:
    runs = simulate(Simulation(sessions=1, seed=8), tmp_path / "other")

    def traded(of: list[RunFolder]) -> list[str]:
        return [symbol for run in of for symbol in run.table("intents.parquet")["symbol"].to_pylist()]

    assert traded(runs) != traded(two_days[1][:5])


def test_a_session_is_five_runs_of_that_session_with_trades_and_refusals(
    two_days: tuple[Path, list[RunFolder]],
) -> None:
    _, runs = two_days
    days = Counter(run.trading_date for run in runs)
    assert days == {date(2026, 3, 2): 5, date(2026, 3, 3): 5}
    found = statuses(runs)
    assert found["placed"] > 10
    assert found["rejected"] + found["broker_rejected"] > 0
    assert sum(run.json("manifest.json")["rows"]["quarantined"] for run in runs) > 0


def test_every_identity_holds_and_every_run_has_its_traffic(two_days: tuple[Path, list[RunFolder]]) -> None:
    for run in two_days[1]:
        manifest = run.json("manifest.json")
        assert all(one["holds"] for one in manifest["identities"])
        assert manifest["exit_code"] == 0
        assert run.json(CASSETTE)["interactions"]


def test_positions_follow_from_fills(two_days: tuple[Path, list[RunFolder]]) -> None:
    out, runs = two_days
    documents = EmbeddedStore(out / "engine.db").net_positions("simulated")
    filled: Counter[str] = Counter()
    for run in runs:
        for fill in run.table("fills.parquet").to_pylist():
            filled[fill["symbol"]] += int(fill["qty"] * 1e9) * (1 if fill["side"] == "buy" else -1)
    assert len(filled) > 3
    in_runs = {symbol: units for symbol, units in filled.items() if documents.get(symbol) == units}
    assert in_runs  # what filled after its run is in the ledger alone


def test_with_trouble_at_the_broker_every_allowed_order_is_placed_once(tmp_path: Path) -> None:
    runs = simulate(Simulation(sessions=1, seed=3, faults=True), tmp_path / "data")
    assert statuses(runs)["unresolved"] == 0
    ids = [one for run in runs for one in run.table("results.parquet")["broker_order_id"].to_pylist() if one]
    assert len(ids) == len(set(ids)) or statuses(runs)["canceled"] + statuses(runs)["too_late"] > 0


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        simulate(Simulation(sessions=1), tmp_path)


def test_limits_are_those_that_are_given(tmp_path: Path) -> None:
    runs = simulate(Simulation(sessions=1, limits=RiskConfig(max_daily_trades=0)), tmp_path / "data")
    assert statuses(runs)["placed"] == 0


def test_strategies_share_no_symbol() -> None:
    symbols = [symbol for strategy in strategies() for symbol in strategy.symbols]
    assert len(symbols) == len(set(symbols))
