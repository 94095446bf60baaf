"""Live runs carried out again over their recorded traffic, by the broker, routing and settlement of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from requests import PreparedRequest, Response

import replay
from engine.brokers.access import Access
from engine.errors import RecordError
from engine.record.objects import Content
from engine.record.run_folder import MANIFEST, RESULTS, RunFolder
from engine.safety.trading_states import HALTED, Scope, Scoped
from replay.broker_side import carried_out
from replay.judging import Case
from replay.limits import recorded_config
from replay.replaying import _case as case_of
from replay.simulator.market.assets import Assets
from replay.stand_ins import ReplayedBroker
from tests.desk import off, on, order
from tests.engine.routing.trading import (
    BY_CLIENT_ID,
    GENEROUS,
    Killed,
    Send,
    TradingDesk,
    Watched,
    after_orders,
)
from tests.replay.listening import Listening
from tests.replay.recording import place_of, rewritten


@pytest.fixture
def desk(live_desk: TradingDesk) -> TradingDesk:
    return live_desk


SYMBOLS = [asset.symbol for asset in Assets.load().listing("active") if asset.tradable]


def orders(count: int, **said: Any) -> list[dict[str, Any]]:
    symbols = SYMBOLS[:7] if count < 100 else SYMBOLS
    return [
        order(**{"client_intent_id": f"order-{n}", "symbol": symbols[n % len(symbols)], "qty": n + 1, **said})
        for n in range(count)
    ]


def compared(desk: TradingDesk, run: RunFolder, *args: Any, **more: Any) -> replay.Comparison:
    return replay.replay(place_of(desk, run), *args, **more)


def assert_the_same(found: replay.Comparison) -> None:
    wrong = found.results[found.results["differs"]]
    assert wrong.empty, wrong.T.to_string()
    assert (found.differences, found.first_differing_stage) == (0, None)


def test_a_live_run_replayed_differs_in_nothing_and_every_outcome_is_recorded(desk: TradingDesk) -> None:
    desk.drop("a.json", *orders(20), order(client_intent_id="dear", qty=2e6))
    found = compared(desk, desk.live())
    assert_the_same(found)
    assert found.results["status"].tolist() == ["placed"] * 20 + ["rejected"]
    assert found.results["order_status"].tolist()[:20] == ["filled"] * 20
    assert set(found.results["source"]) == {"recorded"}
    assert found.summary["simulated"].tolist() == [0]


def test_groups_cancels_and_refusals_of_the_venue_are_replayed(desk: TradingDesk) -> None:
    desk.drop(
        "a.json",
        order(client_intent_id="resting", order_type="limit", limit_price=1, time_in_force="gtc"),
        order(client_intent_id="earlier", order_type="limit", limit_price=1, time_in_force="gtc"),
    )
    first = desk.live()
    desk.drop(
        "b.json",
        order(client_intent_id="bracket", symbol="KO", order_class="bracket", take_profit_limit_price=900,
              stop_loss_stop_price=1),
        order(client_intent_id="short", symbol="NOSUCH"),
        order(client_intent_id="opg", symbol="MSFT", time_in_force="opg", order_type="stop", stop_price=3),
        order(client_intent_id="c1", action="cancel", target_intent_id="resting"),
        order(client_intent_id="c2", action="cancel", target_intent_id="nobody"),
        order(client_intent_id="c3", action="cancel", target_intent_id="earlier", strategy_id="another"),
    )  # fmt: skip
    second = desk.live()
    for run in (first, second):
        assert_the_same(compared(desk, run))
    statuses = compared(desk, second).results.set_index("client_intent_id")["status"]
    assert (statuses["bracket"], statuses["c1"]) == ("placed", "canceled")


def lose(desk: TradingDesk, times: int) -> None:
    """Drop the replies to so many orders, after the broker has taken them in."""
    left = [times]

    def between(request: PreparedRequest, send: Send) -> Response:
        reply = send()
        if request.method == "POST" and left[0]:
            left[0] -= 1
            raise requests.exceptions.ConnectionError("closed")
        return reply

    desk.between = between


def test_a_lost_reply_is_lost_again_and_its_order_adopted_again(desk: TradingDesk) -> None:
    lose(desk, 1)
    desk.drop("a.json", order(client_intent_id="one"))
    run = desk.live()
    assert run.table("results.parquet")["adopted"].to_pylist() == [True]
    assert_the_same(compared(desk, run))


def test_orders_halted_by_a_switch_that_went_on_in_between_are_halted_again(desk: TradingDesk) -> None:
    desk.drop("a.json", *orders(6, symbol="SPY"))
    run = desk.live(changes={"kill_switch": lambda: on() if len(desk.posts()) >= 2 else off()})
    found = compared(desk, run)
    assert_the_same(found)
    assert "halted" in found.results["status"].tolist()


def test_what_is_allowed_only_now_after_the_switch_went_on_is_halted_like_the_others(
    desk: TradingDesk,
) -> None:
    desk.drop("a.json", order(client_intent_id="a"), order(client_intent_id="b"),
              order(client_intent_id="large", symbol="MSFT", qty=500))  # fmt: skip
    limits = GENEROUS.changed(max_position_qty=100)
    run = desk.live(limits, changes={"kill_switch": lambda: on() if desk.posts() else off()})
    results = compared(desk, run, {"EXEC_MAX_POSITION_QTY": 1_000}).results.set_index("client_intent_id")
    assert results.loc["b", "recorded_status"] == "halted"
    assert (results.loc["large", "status"], results.loc["large", "reason"]) == (
        "halted",
        "kill_switch_enabled",
    )


def halted_after_the_first_order(desk: TradingDesk, strategy: str) -> RunFolder:
    """Record a run in which an operator halts a strategy once the first order has left."""
    scoped = Scoped(Scope.STRATEGY, strategy)
    desk.between = after_orders(
        lambda _: desk.states().set(scoped, HALTED, why="so") if len(desk.posts()) == 1 else None
    )
    desk.drop("a.json", order(client_intent_id="a", strategy_id="momentum"),
              order(client_intent_id="b", strategy_id="value"),
              order(client_intent_id="c", strategy_id="momentum"),
              order(client_intent_id="large", strategy_id="momentum", qty=500),
              order(client_intent_id="large-too", strategy_id="value", qty=500))  # fmt: skip
    return desk.live(GENEROUS.changed(max_position_qty=100))


def test_orders_of_a_scope_that_was_halted_in_between_are_halted_again(desk: TradingDesk) -> None:
    found = compared(desk, halted_after_the_first_order(desk, "momentum"))
    assert_the_same(found)
    assert found.results["status"].tolist() == ["placed", "placed", "halted", "rejected", "rejected"]


def test_what_is_allowed_only_now_is_halted_where_its_scope_was(desk: TradingDesk) -> None:
    run = halted_after_the_first_order(desk, "momentum")
    found = compared(desk, run, {"EXEC_MAX_POSITION_QTY": 5_000}).results.set_index("client_intent_id")
    assert (found.loc["large", "status"], found.loc["large", "reason"]) == (
        "halted",
        "trading_state_halted:strategy",
    )
    assert found.loc["large-too", "status"] == "placed"


def killed_and_resumed(desk: TradingDesk, times: int) -> RunFolder:
    """Record a run whose job dies so often right after an order has left, and is finished by the next one."""
    desk.drop("a.json", *orders(12))
    for kill in range(times):

        def between(request: PreparedRequest, send: Send, posts: int = 2 * kill + 2) -> Response:
            reply = send()
            if request.method == "POST" and len(desk.posts()) >= posts:
                raise desk.die()
            return reply

        desk.between = between
        with suppress(Killed):
            desk.live()
        desk.disarm()
    desk.live()
    return desk.context().runs.all()[0]


@pytest.mark.parametrize("times", [1, 2, 4])
def test_a_run_that_was_killed_and_resumed_differs_in_nothing(desk: TradingDesk, times: int) -> None:
    run = killed_and_resumed(desk, times)
    assert len(desk.placed_ids()) == len(set(desk.placed_ids())) == 12
    assert_the_same(compared(desk, run))


class DyingOnceSettled(Watched):
    """Dies before what became of the orders is written down."""

    def put(self, key: str, content: Content) -> None:
        if key.endswith(RESULTS):
            raise self._desk.die()
        super().put(key, content)


@pytest.mark.parametrize("symbols", [["SPY"], ["SPY", "NOSUCH"], []], ids=["taken", "refused", "alone"])
@pytest.mark.parametrize("deaths", [1, 3])
def test_what_a_later_job_settled_otherwise_is_the_run_s_outcome(
    desk: TradingDesk, deaths: int, symbols: list[str]
) -> None:
    desk.drop(
        "a.json",
        *(order(client_intent_id=symbol, symbol=symbol) for symbol in symbols),
        order(client_intent_id="resting", symbol="KO", qty=deaths + 1, order_type="limit", limit_price=1),
    )
    for _ in range(deaths):
        with suppress(Killed):
            desk.live(changes={"objects": DyingOnceSettled(desk)})
        desk.fill("resting", 1)
    desk.live()
    found = compared(desk, desk.runs()[0])
    assert_the_same(found)
    assert found.results.set_index("client_intent_id")["filled_qty"]["resting"] == deaths


def test_a_later_job_of_a_replay_knows_what_the_one_before_was_answered(desk: TradingDesk) -> None:
    """Refused once the job before had died, and not asked about by the next: only that reply tells."""

    def dying(request: PreparedRequest, send: Send) -> Response:
        if request.method == "POST":
            raise desk.die()
        return send()

    desk.drop("a.json", order(client_intent_id="refused", symbol="NOSUCH"), *orders(3))
    desk.between = dying
    with suppress(Killed):
        desk.live()
    desk.disarm()
    for _ in range(2):
        with suppress(Killed):
            desk.live(changes={"objects": DyingOnceSettled(desk)})
    desk.live()
    found = compared(desk, desk.runs()[0])
    assert_the_same(found)
    assert found.results["status"].tolist() == ["broker_rejected"] + ["placed"] * 3


@pytest.mark.parametrize("said", [{}, {"symbol": "NOSUCH"}], ids=["taken", "refused in the end"])
def test_a_run_that_was_stopped_by_a_broker_that_went_down_differs_in_nothing(
    desk: TradingDesk, said: dict[str, str]
) -> None:
    def down(request: PreparedRequest, send: Send) -> Response:
        if len(desk.posts()) >= 3:
            raise requests.exceptions.ConnectionError("down")
        return send()

    desk.drop("a.json", *orders(6, **said))
    desk.between = down
    with suppress(Exception):
        desk.live()
    desk.disarm()
    desk.live()
    assert_the_same(compared(desk, desk.context().runs.all()[0]))


@pytest.mark.parametrize("taken_in", [True, False])
def test_a_job_that_died_before_any_reply_came_is_known_by_the_next_one_s_search(
    desk: TradingDesk, taken_in: bool
) -> None:
    def dying(request: PreparedRequest, send: Send) -> Response:
        if request.method != "POST":
            return send()
        if taken_in:
            send()
        raise desk.die()

    desk.between = dying
    desk.drop("a.json", order(client_intent_id="one", symbol="SPY" if taken_in else "NOSUCH"))
    with suppress(Killed):
        desk.live()
    desk.disarm()
    desk.live()
    found = compared(desk, desk.context().runs.all()[0])
    assert_the_same(found)
    assert found.results["status"].tolist() == ["placed" if taken_in else "broker_rejected"]


def test_an_order_whose_outcome_is_unknown_stays_unresolved(desk: TradingDesk) -> None:
    def between(request: PreparedRequest, send: Send) -> Response:
        if request.method == "POST" or BY_CLIENT_ID in str(request.url):
            raise requests.exceptions.ConnectionError("closed")
        return send()

    desk.between = between
    desk.drop("a.json", order(client_intent_id="one"))
    found = compared(desk, desk.live())
    assert_the_same(found)
    assert found.results["status"].tolist() == ["unresolved"]


def test_what_is_allowed_only_now_is_simulated_and_everything_else_recorded(desk: TradingDesk) -> None:
    desk.drop(
        "a.json",
        order(client_intent_id="small", qty=2),
        order(client_intent_id="priced", qty=200, reference_price=50),
        order(client_intent_id="unpriced", qty=300),
        order(client_intent_id="unknown", qty=300, symbol="MSFT"),
        order(
            client_intent_id="cheap",
            qty=300,
            symbol="KO",
            order_type="limit",
            limit_price=1,
            reference_price=60,
        ),
    )
    run = desk.live(GENEROUS.changed(max_position_qty=100))
    price = run.table("results.parquet")["filled_avg_price"][0].as_py()
    found = compared(desk, run, {"EXEC_MAX_POSITION_QTY": 1_000})
    results = found.results.set_index("client_intent_id")
    assert results["source"].tolist() == ["recorded", *["simulated"] * 4]
    assert results["status"].tolist() == ["placed"] * 5
    columns = ["order_status", "filled_qty", "filled_avg_price", "fill_price_source"]
    assert results.loc["priced", columns].tolist() == ["filled", 200, 50, "reference_price"]
    assert results.loc["unpriced", columns].tolist() == ["filled", 300, price, "last price"]
    assert results.loc["unknown", columns[:2]].tolist() == ["new", 0]
    assert results.loc["unknown", "fill_price_source"] == "no price"
    assert results.loc["cheap", columns[:2]].tolist() == ["new", 0]
    assert found.summary["simulated"].tolist() == [4]
    assert not results.loc["small", "differs"]


def test_what_is_refused_now_is_not_sent_and_the_others_are_as_recorded(desk: TradingDesk) -> None:
    desk.drop("a.json", *orders(12))
    found = compared(desk, desk.live(), {"EXEC_MAX_POSITION_QTY": 6})
    results = found.results
    assert results["status"].tolist() == ["placed"] * 6 + ["rejected"] * 6
    assert results["source"].tolist() == ["recorded"] * 6 + ["not sent"] * 6
    assert results["differs"].tolist() == [False] * 6 + [True] * 6
    assert results["filled_qty"].tolist()[:6] == results["recorded_filled_qty"].tolist()[:6]


def test_a_result_that_was_recorded_otherwise_shows_at_its_stage(desk: TradingDesk) -> None:
    """Without this, a replay that compares nothing would pass every test above."""
    desk.drop("a.json", *orders(3))
    run = desk.live()

    def tell_of_more(results: Any) -> Any:
        place = results.schema.get_field_index("filled_qty")
        return results.set_column(place, "filled_qty", [[1.0, 2.0, 2.5]])

    rewritten(place_of(desk, run), "results.parquet", tell_of_more)
    found = compared(desk, run)
    assert (found.differences, found.first_differing_stage) == (1, "results")
    assert found.results["differs"].tolist() == [False, False, True]
    assert compared(desk, run, decisions_only=True).first_differing_stage is None


def test_a_reply_that_was_recorded_otherwise_shows_at_its_stage(desk: TradingDesk) -> None:
    desk.drop("a.json", *orders(3))
    run = desk.live()
    place = place_of(desk, run)

    def refuse_everything(cassette: dict[str, Any]) -> dict[str, Any]:
        for one in cassette["interactions"]:
            if one["request"]["method"] == "POST":
                one["response"] = {"status": {"code": 403, "message": ""}, "headers": {},
                                   "body": {"string": '{"code": 40310000, "message": "no"}'}}  # fmt: skip
        return cassette

    rewritten(place, "cassette.json", refuse_everything)
    found = compared(desk, run)
    assert found.first_differing_stage == "results"
    assert set(found.results["status"]) == {"broker_rejected"}


def test_fills_that_were_recorded_otherwise_show_at_their_stage(desk: TradingDesk) -> None:
    desk.drop("a.json", *orders(2))
    run = desk.live()
    rewritten(place_of(desk, run), "fills.parquet", lambda fills: fills.slice(1))
    assert compared(desk, run).first_differing_stage == "fills"


def test_a_malformed_cassette_is_named(desk: TradingDesk) -> None:
    desk.drop("a.json", order())
    run = desk.live()

    def spoil(cassette: dict[str, Any]) -> dict[str, Any]:
        cassette["interactions"][1]["response"]["status"] = None
        return cassette

    rewritten(place_of(desk, run), "cassette.json", spoil)
    with pytest.raises(
        RecordError, match=r"cassette\.json: interaction 2: its response\.status\.code is missing"
    ):
        compared(desk, run)
    assert compared(desk, run, decisions_only=True).differences == 0


def test_no_key_is_needed_and_none_is_read(desk: TradingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.drop("a.json", *orders(4))
    run = desk.live()
    for name in list(os.environ):
        if any(
            word in name.upper() for word in ("KEY", "SECRET", "TOKEN", "ALPACA", "APCA", "DATABASE", "PROXY")
        ):
            monkeypatch.delenv(name)
    assert_the_same(compared(desk, run))


def test_keys_and_proxies_that_are_in_the_environment_are_not_used(
    desk: TradingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.drop("a.json", *orders(4))
    run = desk.live()
    with Listening() as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALPACA_TRADING_HOST"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("ALPACA_API_KEY", "PKREAL0000000000")
        compared(desk, run, {"EXEC_MAX_POSITION_QTY": 3}, chained=True)
        assert_the_same(compared(desk, run))
        assert proxy.connections == 0


@contextmanager
def recorded_at(server: Listening, desk: TradingDesk, run: RunFolder) -> Iterator[replay.Recording]:
    """Yield a run as if it had been recorded at a server that is alive."""
    place = place_of(desk, run)
    rewritten(
        place,
        "run.json",
        lambda start: json.loads(json.dumps(start).replace(str(start["hosts"][0]), server.url)),
    )
    (recording,) = replay.read(place)
    yield recording


def judged(recording: replay.Recording) -> tuple[Case, pd.DataFrame]:
    case = case_of(recording, recorded_config(recording.start["config"])[0], recording.frames)
    return case, case.judged()


def test_with_as_many_threads_as_there_are_orders_nothing_reaches_the_recorded_host(
    desk: TradingDesk,
) -> None:
    desk.drop("a.json", *orders(128, qty=1), order(client_intent_id="new", qty=2e6, reference_price=9))
    run = desk.live()
    with Listening() as server, recorded_at(server, desk, run) as recording:
        case, decided = judged(recording)
        decided.loc[128, "allowed"] = True
        decided["reason"] = decided["reason"].astype(str).where(~decided["allowed"], "ok")
        found = carried_out(recording, case, decided, orders_at_once=128)
        assert (server.connections, server.seen) == (0, [])
    assert found.frame["status"].tolist() == ["placed"] * 129
    assert found.frame["source"].tolist() == ["recorded"] * 128 + ["simulated"]
    assert found.differs.tolist() == [False] * 128 + [True]


def test_the_broker_of_a_replay_has_one_transport_for_every_address() -> None:
    class BrokerSnapshot(requests.adapters.BaseAdapter):
        def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
            raise requests.exceptions.ConnectionError("asked of the cassette")

        def close(self) -> None:
            """Close nothing."""

    adapter: Any = BrokerSnapshot()
    broker = ReplayedBroker("https://api.alpaca.markets", adapter, {})
    recorder: Any = None
    assert broker.recorded(recorder) is broker
    for address in ("https://api.alpaca.markets/v2/orders", "http://127.0.0.1:9", "https://example.com"):
        assert broker.wire.session.get_adapter(address) is adapter
    assert list(broker.wire.session.adapters) == [""]


def test_two_accounts_are_replayed_each_from_its_own_traffic(tmp_path: Path) -> None:
    desk = TwoAccounts(tmp_path / "data")
    desk.drop("a.json", *orders(5), *orders(5, broker_account_id="second"))
    run = desk.live(GENEROUS.changed(accounts=frozenset({"paper", "second"})))
    found = compared(desk, run)
    assert_the_same(found)
    assert found.results["status"].tolist() == ["placed"] * 10
    assert found.results["broker_order_id"].nunique() == 10


class TwoAccounts(TradingDesk):
    """A desk with two accounts, each at a simulator of its own, both at one address."""

    def accesses(self) -> list[Access]:
        from tests.engine.routing.trading import at_a_rate_that_never_matters

        if not hasattr(self, "other"):
            self.other = TradingDesk(self.data, simulator=at_a_rate_that_never_matters(seed=5))
        return [
            Access(account="paper", broker=self.broker()),
            Access(account="second", broker=self.other.broker()),
        ]


def test_the_whole_of_a_day_is_replayed_run_by_run(desk: TradingDesk) -> None:
    for name in "abc":
        desk.drop(f"{name}.json", *(order(client_intent_id=f"{name}-{n}", qty=n + 1) for n in range(3)))
        desk.live()
    found = replay.replay(desk.data)
    assert found.summary["intents"].tolist() == [3, 3, 3]
    assert all(MANIFEST in run.names() for run in desk.context().runs.all())
    assert_the_same(found)
