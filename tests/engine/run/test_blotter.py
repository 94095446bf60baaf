"""A day's end, of runs that traded against the simulator."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from engine.model.schema import fills_schema
from engine.record.formats import table_bytes
from engine.record.late_fills import keep, late_fills
from engine.record.objects import LocalObjects
from engine.record.run_folder import RunFolder
from engine.risk.config import RiskConfig
from engine.run.blotter import BLOTTER, ROWS_ADD_UP, day_of
from tests.desk import NOON, order
from tests.live_desk import LiveDesk


@pytest.fixture
def desk(tmp_path: Path) -> LiveDesk:
    return LiveDesk(tmp_path / "data")


def only(frame: pd.DataFrame) -> dict[str, object]:
    (row,) = frame.to_dict(orient="records")
    return {str(name): value for name, value in row.items()}


def test_a_day_counts_intents_orders_and_fills_by_account_and_strategy(desk: LiveDesk) -> None:
    desk.drop("a.json", order(qty=3), order(qty=2, symbol="KO", side="sell"), order(qty=500))
    day = day_of([desk.live()])
    row = only(day.summary)
    assert (row["strategy_id"], row["intents"], row["allowed"], row["orders"], row["fills"]) == (
        "momentum",
        3,
        2,
        2,
        2,
    )
    assert only(day.refused)["reason"] == "max_position_size_exceeded"
    assert day.adds_up


def test_turnover_is_what_was_bought_and_sold(desk: LiveDesk) -> None:
    desk.drop("a.json", order(qty=3), order(qty=2, symbol="KO", side="sell"))
    day = day_of([desk.live()])
    row, traded = only(day.summary), day.blotter
    by_side = (traded["qty"] * traded["price"]).groupby(traded["side"]).sum()
    assert (row["bought_usd"], row["sold_usd"]) == (by_side["buy"], by_side["sell"])
    assert row["turnover_usd"] == pytest.approx(by_side.sum())


@pytest.mark.parametrize(("side", "factor"), [("buy", 1.01), ("sell", 0.99)])
def test_slippage_is_positive_where_the_price_was_worse_than_the_reference(
    desk: LiveDesk, side: str, factor: float
) -> None:
    desk.drop("a.json", order(client_intent_id="one", side=side, reference_price=100))
    run = desk.live()
    fills = run.table("fills.parquet")
    worse = fills.set_column(fills.schema.get_field_index("price"), "price", pa.array([100 * factor]))
    folder = tampered(desk, run.key + "fills.parquet", worse)
    assert only(day_of([folder]).blotter)["slippage_bps"] == pytest.approx(100)


def tampered(desk: LiveDesk, key: str, table: pa.Table) -> RunFolder:
    """Return the desk's first run with other content in one of its tables."""
    (desk.data / key).write_bytes(table_bytes(table))
    return desk.context().runs.all()[0]


def test_an_execution_without_a_reference_price_has_no_slippage(desk: LiveDesk) -> None:
    desk.drop("a.json", order())
    day = day_of([desk.live()])
    assert day.blotter["slippage_bps"].isna().all()
    assert day.summary["slippage_bps"].isna().all()


def test_the_blotter_has_a_row_for_each_execution_with_its_intent(desk: LiveDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    row = only(day_of([run]).blotter)
    assert tuple(row) == BLOTTER
    assert (row["client_intent_id"], row["strategy_id"], row["qty"], row["run_id"]) == (
        "one",
        "momentum",
        3.0,
        run.run_id,
    )


def test_an_execution_that_is_reported_twice_counts_once(desk: LiveDesk) -> None:
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    late = run.table("fills.parquet")
    assert len(day_of([run], [late, late]).blotter) == 1


def test_late_executions_are_kept_once_and_found_by_their_session(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    fill = {"fill_id": "f1", "client_intent_id": "one", "qty": 1.0, "price": 2.0, "filled_at": NOON}
    table = pa.Table.from_pylist([fill], schema=fills_schema())
    for _ in range(2):
        keep(objects, NOON.date(), "run-1", table)
    keep(objects, NOON.date(), "run-2", table.slice(0, 0))
    (found,) = late_fills(objects, NOON.date())
    assert found["fill_id"].to_pylist() == ["f1"]


def test_dry_and_unfinished_runs_are_left_out(desk: LiveDesk) -> None:
    desk.drop("a.json", order())
    dry = desk.run()
    assert day_of([dry]).runs == ()
    assert day_of([]).summary.empty


def test_cancels_are_counted_apart_from_orders(desk: LiveDesk) -> None:
    resting = order(client_intent_id="rests", order_type="limit", limit_price=1)
    desk.drop("a.json", resting, order(qty=2))
    first = desk.live()
    desk.drop("b.json", order(client_intent_id="c", action="cancel", target_intent_id="rests"))
    second = desk.live()
    manifests = [run.json("manifest.json") for run in (first, second)]
    assert [(one["orders"]["sent"], one["cancels"]) for one in manifests] == [(2, 0), (0, 1)]
    row = only(day_of([first, second]).summary)
    assert (row["intents"], row["orders"], row["cancels"]) == (3, 2, 1)


def test_cancels_use_up_no_trade_of_the_day(desk: LiveDesk) -> None:
    config = RiskConfig(accounts=frozenset({"paper"}), max_daily_trades=2)
    desk.drop("a.json", order(client_intent_id="rests", order_type="limit", limit_price=1))
    desk.live(config)
    cancels = [order(client_intent_id=f"c{n}", action="cancel", target_intent_id="rests") for n in range(3)]
    desk.drop("b.json", *cancels, order(client_intent_id="after", qty=2))
    run = desk.live(config)
    assert run.json("manifest.json")["decisions"]["allowed"] == 4


def test_the_rows_that_were_dropped_are_the_sum_of_what_became_of_them(desk: LiveDesk) -> None:
    desk.drop(
        "a.json", order(qty=3), order(qty=3), order(qty=500), order(qty=0), order(client_intent_id="x y")
    )
    desk.drop("torn.json.csv", order())
    (desk.inbox / "no.parquet").write_bytes(b"nothing")
    run = desk.live()
    told = day_of([run])
    rows = dict(told.rows.itertuples(index=False))
    assert rows == {"quarantined": 3, "duplicate": 1, "placed": 2, "rejected": 1}
    own = told.identities[told.identities["run_id"] == "session"].iloc[0]
    assert (own["name"], own["left"], own["right"], own["holds"]) == (ROWS_ADD_UP, 7, 7, True)


def test_rows_that_became_nothing_do_not_add_up(desk: LiveDesk) -> None:
    desk.drop("a.json", order(qty=3), order(qty=2))
    run = desk.live()
    short = tampered(desk, run.key + "results.parquet", run.table("results.parquet").slice(0, 1))
    told = day_of([short])
    assert not told.adds_up
    assert list(told.identities.loc[~told.identities["holds"], "name"]) == [ROWS_ADD_UP]


def test_a_session_without_a_run_adds_up() -> None:
    told = day_of([])
    assert told.adds_up
    assert told.rows.empty
