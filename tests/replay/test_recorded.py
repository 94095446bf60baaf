"""Finding recorded days, and holding every file of them to its hash."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import replay
from engine.errors import RecordError, UsageError
from tests.desk import Desk, order
from tests.engine.routing.trading import TradingDesk
from tests.replay.recording import place_of, resealed


def test_days_come_oldest_first_with_their_runs_in_order(dry_desk: Desk) -> None:
    names = [dry_desk.run().run_id for _ in range(2)]
    dry_desk.later(days=1)
    later = dry_desk.run()
    first, second = replay.days(dry_desk.data)
    assert (first.trading_date, [run.run_id for run in first.runs]) == (date(2026, 3, 2), names)
    assert [run.run_id for run in second.runs] == [later.run_id]


def test_of_runs_of_one_second_the_tenth_comes_after_the_second(dry_desk: Desk, tmp_path: Path) -> None:
    run = place_of(dry_desk, dry_desk.run())
    for suffix in ("-10", "-2"):
        shutil.copytree(run, run.with_name(run.name + suffix))
    (day,) = replay.days(dry_desk.data)
    assert [found.run_id for found in day.runs] == [run.name, run.name + "-2", run.name + "-10"]


@pytest.mark.parametrize("below", ["", "runs", "runs/2026-03-02", "runs/2026-03-02/RUN"])
def test_a_day_is_found_from_the_data_folder_down_to_the_run(dry_desk: Desk, below: str) -> None:
    run = dry_desk.run()
    (day,) = replay.days(dry_desk.data / below.replace("RUN", run.run_id))
    assert [found.run_id for found in day.runs] == [run.run_id]


def test_a_run_that_was_put_elsewhere_says_itself_which_session_it_is_of(
    dry_desk: Desk, tmp_path: Path
) -> None:
    shutil.copytree(place_of(dry_desk, dry_desk.run()), tmp_path / "kept" / "that one")
    (day,) = replay.days(tmp_path / "kept")
    assert (day.trading_date, day.runs[0].run_id) == (date(2026, 3, 2), "that one")


def test_an_unfinished_run_is_no_part_of_its_day_and_is_named(dry_desk: Desk) -> None:
    dry_desk.run()
    begun = dry_desk.begin()
    (day,) = replay.days(dry_desk.data)
    assert len(day.runs) == 1
    assert [path.name for path in day.unfinished] == [begun.run_id]


def test_a_place_without_a_recorded_run_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path} holds no recorded run"):
        replay.days(tmp_path)


def test_a_run_is_read_with_everything_that_it_recorded(live_desk: TradingDesk) -> None:
    live_desk.drop("a.json", order(qty=3), order(qty=500))
    run = live_desk.live()
    (recording,) = replay.read(place_of(live_desk, run))
    assert recording.is_live
    assert recording.batch.num_rows == recording.decisions.num_rows == recording.results.num_rows == 2
    assert set(recording.frames) >= {"positions", "daily_trades", "working_orders"}
    assert recording.fills is not None
    assert b'"interactions"' in recording.cassette
    assert any(name.startswith("attempts/") for name in recording.others)


def test_traffic_is_not_kept_where_it_is_not_wanted(live_desk: TradingDesk) -> None:
    live_desk.drop("a.json", order())
    (recording,) = replay.read(place_of(live_desk, live_desk.live()), traffic=False)
    assert recording.cassette == b""


def files_of(place: Path) -> list[str]:
    found = [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]
    return sorted(set(found) - {"manifest.json"})


def test_whatever_file_is_changed_is_named(live_desk: TradingDesk) -> None:
    live_desk.drop("a.json", order(qty=3), order(qty=500))
    place = place_of(live_desk, live_desk.live())
    assert len(files_of(place)) >= 11
    for name in files_of(place):
        kept = (place / name).read_bytes()
        if name.endswith(".parquet"):
            table = pq.read_table(place / name)
            pq.write_table(table.append_column("more", [[None] * table.num_rows]), place / name)
        else:
            (place / name).write_bytes(kept + b"\n")
        with pytest.raises(RecordError, match=f"{name} has changed since it was recorded"):
            replay.read(place)
        (place / name).write_bytes(kept)
    assert replay.read(place)


def test_whatever_file_is_missing_is_named(live_desk: TradingDesk) -> None:
    live_desk.drop("a.json", order())
    place = place_of(live_desk, live_desk.live())
    for name in files_of(place):
        kept = (place / name).read_bytes()
        (place / name).unlink()
        if name != "run.json":
            with pytest.raises(RecordError, match=f"{name} is missing, and is part of the run's record"):
                replay.read(place)
        (place / name).write_bytes(kept)
    assert replay.read(place)


def test_a_file_rewritten_with_the_same_content_is_no_change(dry_desk: Desk) -> None:
    dry_desk.drop("a.json", order())
    place = place_of(dry_desk, dry_desk.run())
    table = pq.read_table(place / "decisions.parquet")
    pq.write_table(table, place / "decisions.parquet", compression="gzip", version="1.0")
    assert replay.replay(place).differences == 0


def test_half_a_file_is_named(dry_desk: Desk) -> None:
    place = place_of(dry_desk, dry_desk.run())
    content = (place / "intents.parquet").read_bytes()
    (place / "intents.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordError, match=r"intents\.parquet is damaged .* leave this run out"):
        replay.read(place)


def test_a_manifest_without_the_hash_of_a_needed_file_is_no_record(dry_desk: Desk) -> None:
    place = place_of(dry_desk, dry_desk.run())
    resealed(place, lambda manifest: manifest["content"].pop("decisions.parquet"))
    with pytest.raises(RecordError, match=r"has no content hash of decisions\.parquet"):
        replay.read(place)


def test_a_manifest_that_names_a_file_outside_its_folder_is_no_record(dry_desk: Desk) -> None:
    place = place_of(dry_desk, dry_desk.run())
    resealed(place, lambda manifest: manifest["content"].update({"../../secret": "00"}))
    with pytest.raises(RecordError, match=r"names \.\./\.\./secret, which is not in the run's folder"):
        replay.read(place)
