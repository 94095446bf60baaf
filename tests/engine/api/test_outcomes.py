from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import engine
from engine import outcomes
from engine.api.outcomes import OUTCOME_COLUMNS
from engine.errors import UsageError
from engine.record.run_folder import BATCH
from engine.safety.lock import exclusive
from tests.desk import SESSION, Desk, on, order
from tests.engine.routing.trading import TradingDesk

RESTING: dict[str, Any] = {"order_type": "limit", "limit_price": 50}


def told(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns as tuples, None for missing."""
    return [
        tuple(None if pd.isna(cell) else cell for cell in row)
        for row in frame[list(columns)].itertuples(index=False, name=None)
    ]


def of(desk: Desk, *args: Any, **kwargs: Any) -> pd.DataFrame:
    return outcomes(*args, data_dir=desk.data, trading_date=SESSION, **kwargs)


def test_an_intent_has_one_row_with_what_was_asked_and_what_became_of_it(desk: Desk) -> None:
    desk.drop("a.jsonl", order(client_intent_id="good"), order(client_intent_id="large", qty=500))
    run = desk.run()
    frame = of(desk)
    assert told(frame, "client_intent_id", "symbol", "side", "qty", "status", "reason", "source_row") == [
        ("good", "SPY", "buy", 1.0, "dry_run", "ok", 1),
        ("large", "SPY", "buy", 500.0, "rejected", "max_position_size_exceeded", 2),
    ]
    assert (
        told(frame, "run_id", "mode", "trading_date", "source_file", "filled_qty", "filled_avg_price")
        == [(run.run_id, "dry", SESSION, "a.jsonl", 0.0, None)] * 2
    )


def test_the_columns_have_the_dtypes_of_the_contract_also_where_there_is_nothing(desk: Desk) -> None:
    desk.drop("a.json", order())
    desk.run()
    types = {name: pd.Series(dtype=dtype).dtype for name, dtype in OUTCOME_COLUMNS.items()}
    for frame in (of(desk), of(desk, "nobody"), outcomes(data_dir=desk.data, trading_date="2026-03-09")):
        assert dict(frame.dtypes) == types
        assert list(frame.columns) == list(OUTCOME_COLUMNS)
        assert list(frame.index) == list(range(len(frame)))


def test_every_column_is_documented() -> None:
    assert all(f"``{name}``" in (outcomes.__doc__ or "") for name in OUTCOME_COLUMNS)


def test_it_is_a_public_name() -> None:
    assert engine.outcomes is outcomes
    assert "outcomes" in engine.__all__


def test_a_quarantined_row_has_what_of_it_can_be_read(desk: Desk) -> None:
    desk.drop("a.csv", order(qty=2, client_intent_id="good"), order(qty="1,5", side="up"))
    desk.run()
    (_, bad) = of(desk).to_dict("records")
    assert (bad["status"], bad["reason"], bad["source_row"]) == ("quarantined", "side", 3)
    assert (bad["strategy_id"], bad["symbol"], bad["side"]) == ("momentum", "SPY", "up")
    assert pd.isna(bad["qty"])
    assert pd.isna(bad["client_intent_id"])
    assert "a.csv:3: side is 'up'" in bad["message"]


def test_a_file_that_could_not_be_read_is_one_row(desk: Desk) -> None:
    desk.drop("torn.json", content=b"[{")
    desk.run()
    assert told(of(desk), "status", "source_file", "source_row") == [("quarantined", "torn.json", 0)]


def test_a_duplicate_has_the_id_and_the_terms_of_the_order_that_it_repeats(desk: Desk) -> None:
    desk.drop("a.json", order(client_intent_id="one", symbol="QQQ"))
    desk.run()
    desk.drop("b.json", order(client_intent_id="one", symbol="QQQ"))
    desk.run()
    assert told(of(desk), "client_intent_id", "status", "symbol", "strategy_id", "source_file") == [
        ("one", "dry_run", "QQQ", "momentum", "a.json"),
        ("one", "duplicate", "QQQ", "momentum", "b.json"),
    ]


def test_an_intent_that_was_refused_and_dropped_again_has_its_newest_outcome(desk: Desk) -> None:
    for changes in ({"kill_switch": on}, {}):
        desk.drop("a.json", order(client_intent_id="again"))
        run = desk.run(context=desk.context(**changes))
    assert told(of(desk), "client_intent_id", "status", "run_id") == [("again", "dry_run", run.run_id)]


def test_an_intent_of_a_run_that_is_not_over_is_pending(desk: Desk) -> None:
    from engine.run.stages import finish

    desk.drop("a.jsonl", order(client_intent_id="good"), order(client_intent_id="large", qty=500))
    run = desk.begin()
    finish(run, desk.context(), until=BATCH)
    assert told(of(desk), "client_intent_id", "status", "message") == [
        ("good", "pending", "not decided yet"),
        ("large", "pending", "not decided yet"),
    ]
    finish(run, desk.context(), until="decisions.parquet")
    assert told(of(desk), "client_intent_id", "status", "reason") == [
        ("good", "pending", "ok"),
        ("large", "rejected", "max_position_size_exceeded"),
    ]


def test_outcomes_can_be_of_one_strategy(desk: Desk) -> None:
    rows = [order(client_intent_id="a"), order(client_intent_id="b", strategy_id="value")]
    desk.drop("a.jsonl", *rows, order(strategy_id="value", qty=0))
    desk.run()
    assert told(of(desk, "value"), "client_intent_id", "status") == [("b", "dry_run"), (None, "quarantined")]


def test_ids_are_looked_for_in_all_sessions_newest_first(desk: Desk) -> None:
    for intent_id in ("one", "two", "three"):
        desk.drop("a.json", order(client_intent_id=intent_id))
        desk.run()
        desk.later(days=1)
    frame = outcomes(ids=["three", "one", "nowhere"], data_dir=desk.data)
    assert told(frame, "client_intent_id", "trading_date") == [("one", SESSION), ("three", "2026-03-04")]
    assert told(outcomes(ids="two", data_dir=desk.data), "client_intent_id") == [("two",)]


def test_an_id_is_found_by_a_beginning_that_no_other_has(desk: Desk) -> None:
    for intent_id in ("alpha-1", "alpha-2", "beta-1-of-a-long-name", "beta-1-of-a-longer-name", "bet"):
        desk.drop("a.json", order(client_intent_id=intent_id))
        desk.run()
        desk.later(days=intent_id == "alpha-2")

    def found(*ids: str) -> list[str]:
        return [str(one) for one in outcomes(ids=ids, data_dir=desk.data)["client_intent_id"]]

    assert found("alpha-1") == ["alpha-1"]
    assert found("beta-1-of-a-longe", "alpha-2") == ["alpha-2", "beta-1-of-a-longer-name"]
    assert found("bet") == ["bet"]
    assert found("al") == found("gamma") == []
    with pytest.raises(UsageError, match="is the beginning of 2 ids: alpha-1, alpha-2"):
        found("alpha")


def test_the_beginning_of_an_id_is_no_beginning_where_it_is_a_whole_id_of_another_session(desk: Desk) -> None:
    for intent_id in ("wave", "wave-2", "wave-3"):
        desk.drop("a.json", order(client_intent_id=intent_id))
        desk.run()
        desk.later(days=1)
    assert outcomes(ids="wave", data_dir=desk.data)["client_intent_id"].tolist() == ["wave"]


def test_without_a_session_the_newest_that_has_a_run_is_meant(desk: Desk) -> None:
    for intent_id in ("one", "two"):
        desk.drop("a.json", order(client_intent_id=intent_id))
        desk.run()
        desk.later(days=1)
    assert told(outcomes(data_dir=desk.data), "client_intent_id", "trading_date") == [("two", "2026-03-03")]
    older = outcomes(data_dir=desk.data, trading_date=date(2026, 3, 2))
    assert told(older, "client_intent_id") == [("one",)]
    assert told(
        outcomes(data_dir=desk.data, trading_date=pd.Timestamp("2026-03-02")), "client_intent_id"
    ) == [("one",)]


def test_a_session_that_is_no_date_is_a_usage_error(desk: Desk) -> None:
    desk.data.mkdir()
    with pytest.raises(UsageError, match="trading_date is 'today'; expected a session"):
        outcomes(data_dir=desk.data, trading_date="today")


def test_the_data_folder_is_that_of_exec_data_dir(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a.json", order(client_intent_id="one"))
    desk.run()
    monkeypatch.setenv("EXEC_DATA_DIR", str(desk.data))
    assert told(outcomes(), "client_intent_id") == [("one",)]


def test_a_data_folder_that_is_not_there_is_a_usage_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no data folder"):
        outcomes(data_dir=tmp_path / "dta")
    assert not (tmp_path / "dta").exists()


def test_outcomes_are_read_while_a_run_is_at_work_and_change_nothing(desk: Desk) -> None:
    desk.drop("a.json", order())
    desk.run()
    with exclusive(desk.data, since="a test"):
        before = sorted(desk.data.rglob("*"))
        assert len(of(desk)) == 1
        assert sorted(desk.data.rglob("*")) == before


# --- live


@pytest.fixture
def live(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def only(desk: Desk) -> dict[str, Any]:
    (row,) = of(desk).to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_filled_order_has_its_quantity_and_price(live: TradingDesk) -> None:
    live.one(qty=3)
    row = only(live)
    at_broker = live.at_broker("one")
    assert (row["status"], row["order_status"], row["is_open"], row["mode"]) == (
        "placed",
        "filled",
        False,
        "live",
    )
    assert (row["filled_qty"], row["filled_avg_price"]) == (3.0, float(at_broker["filled_avg_price"]))
    assert row["broker_order_id"] == at_broker["id"]


def test_an_order_that_rests_is_open(live: TradingDesk) -> None:
    live.one(qty=3, **RESTING)
    row = only(live)
    assert (row["status"], row["is_open"], row["filled_qty"]) == ("placed", True, 0.0)
    assert pd.isna(row["filled_avg_price"])


def test_executions_after_the_run_are_counted_in(live: TradingDesk) -> None:
    live.one(qty=3, **RESTING)
    live.fill("one", 1)
    live.live()
    row = only(live)
    assert (row["is_open"], row["order_status"], row["filled_qty"]) == (True, "partially_filled", 1.0)
    live.fill("one", 2)
    live.live()
    row = only(live)
    assert (row["is_open"], row["order_status"], row["filled_qty"]) == (False, "filled", 3.0)
    assert row["filled_avg_price"] == 50


def test_executions_of_the_run_itself_and_later_ones_are_summed_once(live: TradingDesk) -> None:
    def partly(*_: object) -> None:
        live.fill("one", 1)

    live.drop("one.json", order(client_intent_id="one", qty=0.3, **RESTING))
    live.live()
    for part in (0.1, 0.2):
        live.fill("one", part)
        live.live()
    assert only(live)["filled_qty"] == 0.3


def test_an_unresolved_order_that_was_found_later_is_placed(live: TradingDesk) -> None:
    live.arm("accept_then_drop")
    live.arm("lookup_lag", lookups=1000)
    live.one(qty=3)
    row = only(live)
    assert (row["status"], row["is_open"]) == ("unresolved", True)
    live.disarm()
    live.live()
    row = only(live)
    assert (row["status"], row["reason"], row["is_open"], row["filled_qty"]) == ("placed", "ok", False, 3.0)
    assert row["broker_order_id"] == live.at_broker("one")["id"]


def test_an_order_that_another_intent_withdrew_is_canceled(live: TradingDesk) -> None:
    live.one(qty=3, **RESTING)
    live.drop("cancel.json", order(client_intent_id="two", action="cancel", target_intent_id="one"))
    live.live()
    assert told(of(live), "client_intent_id", "status", "order_status") == [
        ("one", "placed", "canceled"),
        ("two", "canceled", "canceled"),
    ]
    live.live()
    assert told(of(live), "order_status", "is_open")[0] == ("canceled", False)


def test_exit_legs_are_not_what_an_entry_filled(live: TradingDesk) -> None:
    exits: dict[str, Any] = {
        "order_class": "bracket",
        "take_profit_limit_price": 150,
        "stop_loss_stop_price": 40,
    }
    live.one(qty=3, **RESTING, **exits)
    live.fill("one")
    live.live()
    assert (only(live)["is_open"], only(live)["filled_qty"]) == (True, 3.0)
    (leg, *_) = [order for order in live.orders() if order["side"] == "sell" and order["status"] == "new"]
    live.control("POST", "fill", {"order_id": leg["id"]})
    live.live()
    row = only(live)
    assert (row["is_open"], row["side"], row["filled_qty"], row["filled_avg_price"]) == (
        False,
        "buy",
        3.0,
        50,
    )


def test_a_dry_run_hides_no_live_outcome(live: TradingDesk) -> None:
    live.one(qty=3)
    live.drop("again.json", order(client_intent_id="one", qty=3))
    live.run()
    assert told(of(live), "client_intent_id", "mode", "status") == [
        ("one", "live", "placed"),
        ("one", "dry", "dry_run"),
    ]


def test_the_frame_can_be_written_as_json(desk: Desk) -> None:
    desk.drop("a.json", order())
    desk.run()
    assert len(json.loads(of(desk).to_json(orient="records"))) == 1
