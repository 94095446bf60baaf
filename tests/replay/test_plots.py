from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.figure import Figure

import replay
from engine.errors import ConfigurationError
from engine.risk.config import RiskConfig
from replay import frames, plots
from replay.simulated.days import Simulation, simulate
from tests.desk import Desk, order
from tests.engine.risk.limits_file.files import of_book


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[replay.Day]:
    out = tmp_path_factory.mktemp("plots") / "data"
    simulate(Simulation(sessions=2, seed=7), out)
    return replay.days(out)


def said(figure: Figure) -> list[str]:
    """Return every text of a figure."""
    figure.canvas.draw()
    texts = [text for axes in figure.axes for text in axes.texts]
    legends = [text for axes in figure.axes if (legend := axes.get_legend()) for text in legend.get_texts()]
    titles = [label for axes in figure.axes for label in (axes.get_title(loc="left"), axes.get_xlabel())]
    return [*(text.get_text() for text in (*texts, *legends)), *titles]


def test_positions_start_from_the_snapshot_and_follow_the_fills(days: list[replay.Day]) -> None:
    path = frames.positions(days[1])
    fills = frames.fills(days[1])
    for (account, symbol), own in path.groupby(["broker_account_id", "symbol"]):
        executed = fills[(fills["symbol"] == symbol) & (fills["broker_account_id"] == account)]
        change = executed["qty"].where(executed["side"] == "buy", -executed["qty"]).sum()
        late = own["qty"].iloc[-1] - own["qty"].iloc[0] - change
        assert late == pytest.approx(round(late))  # what filled after a run shows in the next snapshot
    assert (path["limit_qty"] == 100).all()
    assert path["moment"].is_monotonic_increasing


def test_slippage_is_positive_where_it_cost() -> None:
    bought = {"side": "buy", "qty": 10.0, "price": 101.0, "reference_price": 100.0}
    frame = pd.DataFrame([bought, {**bought, "side": "sell"}])
    assert frames.slippage_bps(frame).tolist() == pytest.approx([100.0, -100.0])


def test_traffic_is_every_request_with_its_status(days: list[replay.Day]) -> None:
    told = frames.traffic(days[0])
    assert {"GET", "POST"} <= set(told["method"])
    assert (told["status"] == 200).mean() > 0.5
    assert (told.loc[told["method"] == "POST", "client_order_id"] != "").all()
    assert set(told["account"]) == {"simulated"}


def test_each_symbol_has_its_path_and_its_limits(days: list[replay.Day]) -> None:
    path = frames.positions(days[0])
    figure = plots.position_paths(path)
    assert set(said(figure)) >= set(path["symbol"])


def test_decisions_are_counted_by_rule(days: list[replay.Day]) -> None:
    found = replay.replay(days, {"EXEC_MAX_POSITION_QTY": 10}, decisions_only=True)
    allowed = int(found.decisions["allowed"].sum())
    texts = said(plots.decisions_by_rule(found.decisions))
    assert f"allowed: {allowed}" in texts
    assert any(text.startswith("max_position_size_exceeded: ") for text in texts)


def test_flips_are_counted_by_direction_and_none_is_shown(days: list[replay.Day]) -> None:
    found = replay.replay(days, {"EXEC_MAX_POSITION_QTY": 10}, decisions_only=True)
    assert f"refused now: {len(found.flips)}" in said(plots.flips_by_symbol_and_time(found.flips))
    same = replay.replay(days, decisions_only=True)
    assert "none" in said(plots.flips_by_symbol_and_time(same.flips))


def test_slippage_names_every_strategy_with_its_executions(days: list[replay.Day]) -> None:
    fills = frames.fills(days[0])
    figure = plots.slippage(fills)
    figure.canvas.draw()
    labels = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert labels == {f"{name} ({len(own)})" for name, own in fills.groupby("strategy_id", observed=True)}


def many_days(count: int) -> pd.DataFrame:
    """Return a row for each of so many sessions, with what the figures ask for."""
    days = pd.bdate_range("2026-01-05", periods=count)
    return pd.DataFrame(
        {
            "trading_date": days,
            "moment": days.tz_localize("America/New_York").tz_convert("UTC") + pd.Timedelta(hours=15),
            "reason": "max_position_size_exceeded",
            "direction": "newly_refused",
            "symbol": "SPY",
            "broker_account_id": "paper",
            "qty": 1.0,
            "limit_qty": 100.0,
        }
    )


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Return the neighbours among the labels of sessions that lie on each other, along the slanted line."""
    figure.canvas.draw()
    found = []
    for axes in figure.axes:
        labels = [label for label in axes.get_xticklabels() if label.get_text()]
        for left, right in pairwise(labels):
            one, other = left.get_window_extent(), right.get_window_extent()
            if left.get_rotation():  # lines of text at 45 degrees: their distance is what counts
                height = 1.2 * float(left.get_fontsize()) * figure.dpi / 72
                apart = (other.x1 - one.x1) / 2**0.5 >= height
            else:
                apart = one.x1 < other.x0
            if not apart:
                found.append((left.get_text(), right.get_text()))
    return found


@pytest.mark.parametrize("count", [1, 6, 7, 20, 64, 252])
@pytest.mark.parametrize(
    "draw", [plots.position_paths, plots.decisions_by_rule, plots.flips_by_symbol_and_time]
)
def test_labels_of_sessions_never_lie_on_each_other(
    count: int, draw: Callable[[pd.DataFrame], Figure]
) -> None:
    frame = many_days(count)
    panels = pd.concat([frame.assign(symbol=name) for name in ("SPY", "QQQ", "KO")], ignore_index=True)
    assert overlaps(draw(panels)) == []


def test_every_account_has_its_path_however_many_there_are() -> None:
    frame = many_days(2)
    accounts = pd.concat([frame.assign(broker_account_id=f"a{n}") for n in range(12)], ignore_index=True)
    (axes,) = plots.position_paths(accounts).axes
    assert len([line for line in axes.lines if line.get_drawstyle() == "steps-post"]) == 12


def test_where_nothing_was_held_and_nothing_filled_the_figures_say_so(dry_desk: Desk) -> None:
    dry_desk.run()
    (day,) = replay.days(dry_desk.data)
    assert (len(frames.positions(day)), len(frames.fills(day)), len(frames.traffic(day))) == (0, 0, 0)
    assert frames.fills(day)["slippage_bps"].dtype == "float64"
    found = replay.replay(day)
    for figure in (
        plots.position_paths(frames.positions(day)),
        plots.slippage(frames.fills(day)),
        plots.decisions_by_rule(found.decisions),
        plots.flips_by_symbol_and_time(found.flips),
    ):
        assert "none" in said(figure)


def test_without_matplotlib_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ConfigurationError, match=r"need matplotlib, .*Run make notebooks in the clone"):
        plots.position_paths(many_days(2))


def test_the_limit_of_a_path_is_the_tightest_of_its_account_and_symbol(dry_desk: Desk) -> None:
    sections = {"limits": 100, "account.paper": 90, "symbol.SPY": 80, "symbol.KO": 95, "strategy.momentum": 5}
    body = "".join(f"[{name}]\nmax_position_qty = {qty}\n" for name, qty in sections.items())
    dry_desk.hold(SPY=1, KO=1)
    dry_desk.drop("a.json", *(order(symbol=symbol, qty=1) for symbol in ("SPY", "KO")))
    dry_desk.run(RiskConfig(limits_file=of_book(body)))
    path = frames.positions(str(dry_desk.data))
    assert dict(zip(path["symbol"], path["limit_qty"], strict=True)) == {"SPY": 80.0, "KO": 90.0}
