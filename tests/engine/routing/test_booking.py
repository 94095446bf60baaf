"""What was sent is booked, whatever the ledger can't keep of it, and no data folder is ever stuck."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from requests import PreparedRequest, Response

from engine.errors import DocumentRefused, EngineError
from engine.record.run_folder import BATCH, RESULTS, RunFolder
from engine.risk.config import RiskConfig
from engine.run.stages import finish
from engine.run.starting import start
from engine.stores.embedded.store import EmbeddedStore
from engine.stores.firestore.store import FirestoreStore
from engine.stores.protocols import LedgerStore
from jobs.report import print_run
from jobs.run import summary
from tests.desk import order, outcomes, reasons
from tests.engine.hostile import KEEPABLE, UNKEEPABLE
from tests.engine.intents.files import written
from tests.engine.routing.trading import Send, TradingDesk, exit_code, is_order, results, standing_still

SESSION = date(2026, 3, 2)
_NOTHING_THEN = {"infinity", "infinity below", "NaN below"}
_WITHIN_A_DOCUMENT = {"64 KiB", "many values", "many maps"}
SEALED_ONCE = {n: said for n, said in UNKEEPABLE.items() if n not in _NOTHING_THEN | _WITHIN_A_DOCUMENT}
"""What an earlier version sealed and no ledger keeps; of infinity and NaN it made nothing."""
RESTS: dict[str, Any] = {"order_type": "limit", "limit_price": 50}
DOWN = "the ledger is down"

Careless = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["embedded", "firestore"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> TradingDesk:
    """A desk whose ledger is the one or the other store."""
    made = WithLedger(tmp_path / "data")
    if request.param == "firestore":
        made.ledger = FirestoreStore(request.getfixturevalue("firestore_project"), timeout_s=60)
    return made


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Careless:
    """A version of the engine that takes whatever comes in, and lets it pass."""

    @contextmanager
    def version() -> Iterator[None]:
        with monkeypatch.context() as patch:
            for name in ("_unkeepable_columns", "_unkeepable_objects", "_too_large"):
                patch.setattr(f"engine.intents.metadata.{name}", lambda *_, **__: {})
            patch.setattr(
                "engine.model.columns.unkeepable_rows", lambda column: np.zeros(len(column), dtype=bool)
            )
            yield

    return version


class WithLedger(TradingDesk):
    """A desk with a ledger of its own."""

    ledger: LedgerStore | None = None

    def live(self, config: RiskConfig | None = None, *, changes: Any = None, **env: Any) -> RunFolder:
        own = {} if self.ledger is None else {"ledger": self.ledger}
        return super().live(config, changes={**own, **(changes or {})}, **env)


def ledger_of(desk: TradingDesk) -> LedgerStore:
    return getattr(desk, "ledger", None) or desk.store


def documents(desk: TradingDesk) -> list[dict[str, Any]]:
    return ledger_of(desk).account_documents("paper", since=date.min)


def trades(desk: TradingDesk) -> int:
    counts = ledger_of(desk).trade_counts(["paper"], SESSION)
    return int(counts["trades"].sum())


def unkept(desk: TradingDesk) -> dict[str, dict[str, Any]]:
    """Return what is kept beside the runs, by run."""
    files = sorted((desk.data / "unkept").rglob("*.json"))
    return {path.parent.name: json.loads(path.read_bytes()) for path in files}


class Down(EmbeddedStore):
    """A ledger that can be read and not be written."""

    def write_ledger(self, documents: Any) -> int:
        raise EngineError(DOWN)


def stuck(desk: TradingDesk, careless: Careless, *rows: dict[str, Any]) -> RunFolder:
    """Return a run that an earlier version has left: its orders filled, its documents unkeepable."""
    desk.drop("a.jsonl", *rows)
    with careless(), pytest.raises(EngineError, match=DOWN):
        desk.live(changes={"ledger": Down(desk.data / "engine.db")})
    (run,) = desk.runs()
    assert BATCH in run.names()
    assert RESULTS not in run.names()
    return run


# --- a folder that an earlier version has left stuck


@pytest.mark.parametrize("metadata", SEALED_ONCE.values(), ids=SEALED_ONCE)
def test_a_folder_that_was_stuck_gets_free_by_the_next_run(
    desk: TradingDesk, careless: Careless, metadata: dict[str, Any]
) -> None:
    run = stuck(desk, careless, order(client_intent_id="one", qty=3, metadata=metadata))
    desk.drop("b.jsonl", order(client_intent_id="two", symbol="QQQ"))
    own = desk.live()
    assert (exit_code(run), exit_code(own)) == (4, 0)
    assert desk.placed_ids() == ["one", "two"]
    assert trades(desk) == 2
    assert ledger_of(desk).net_positions("paper") == {"SPY": 3_000_000_000, "QQQ": 1_000_000_000}
    (record,) = unkept(desk).values()
    assert record["is_counted"] is True
    assert "in the ledger in part: " in record["message"]
    assert record["missing"]
    assert exit_code(desk.live()) == 0


def test_of_a_document_only_the_part_that_can_not_be_kept_is_left_out(
    desk: TradingDesk, careless: Careless
) -> None:
    metadata = {"signal": "breakout", "hash": 2**64 - 1, "inner": {"__v__": 1, "z": 2}}
    run = stuck(desk, careless, order(client_intent_id="one", metadata=metadata))
    desk.live()
    (document,) = documents(desk)
    assert document["metadata"] == {"signal": "breakout", "inner": {"z": 2}}
    assert {"raw_broker_order", "raw_fill", "filled_avg_price"} <= document.keys()
    record = unkept(desk)[run.run_id]
    assert [part["path"] for part in record["missing"]] == ["metadata.hash", "metadata.inner.'__v__'"]
    assert record["document"]["metadata"] == metadata
    assert run.json("manifest.json")["unkept"] == [
        path.relative_to(desk.data).as_posix() for path in (desk.data / "unkept").rglob("*.json")
    ]
    (event,) = desk.events("ledger_kept_in_part")
    assert (event["intent_id"], event["severity"]) == ("one", "ERROR")
    assert "metadata.hash is 18446744073709551615; expected a whole number of 64 bits" in event["message"]


def test_the_printed_summary_the_json_and_status_say_what_is_not_in_the_ledger(
    desk: TradingDesk, careless: Careless, capsys: pytest.CaptureFixture[str]
) -> None:
    run = stuck(desk, careless, order(client_intent_id="one", metadata=UNKEEPABLE["uint64"]))
    desk.live()
    print_run(run)
    printed = " ".join(capsys.readouterr().out.split())
    (key,) = summary(run)["unkept"]
    assert (desk.data / key).is_file()
    assert "NOT WHOLLY IN THE LEDGER: order " in printed
    assert "metadata.signal_hash is 18446744073709551615; expected a whole number of 64 bits" in printed
    assert f"What is missing is in {key}." in printed
    assert summary(desk.live())["unkept"] == []


def test_orders_beside_an_unkeepable_one_are_booked_whole(desk: TradingDesk, careless: Careless) -> None:
    rows = [order(client_intent_id=f"i{n}", symbol="QQQ", metadata={"n": n}) for n in range(3)]
    stuck(desk, careless, *rows, order(client_intent_id="bad", metadata=UNKEEPABLE["uint64"]))
    desk.live()
    assert sorted(one.get("metadata", {}).get("n", -1) for one in documents(desk)) == [-1, 0, 1, 2]
    assert len(unkept(desk)) == 1


def test_a_job_that_dies_after_writing_what_is_missing_says_so_when_it_is_resumed(
    desk: TradingDesk, careless: Careless
) -> None:
    run = stuck(desk, careless, order(client_intent_id="one", metadata=UNKEEPABLE["uint64"]))
    with pytest.raises(EngineError, match=DOWN):
        desk.live(changes={"ledger": AfterRefusals(ledger_of(desk))})
    assert RESULTS not in run.names()
    desk.live()
    assert exit_code(run) == 4
    assert (len(unkept(desk)), trades(desk)) == (1, 1)


class AfterRefusals:
    """A ledger that goes down once it has kept a document in part."""

    def __init__(self, inner: LedgerStore) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write_ledger(self, documents: Any) -> int:
        self.inner.write_ledger(documents)
        raise EngineError(DOWN)


def test_a_batch_that_an_earlier_version_sealed_and_did_not_decide_is_refused(
    desk: TradingDesk, careless: Careless
) -> None:
    desk.drop("a.jsonl", order(client_intent_id="bad", metadata={"__v__": 1}), order(client_intent_id="good"))
    desk.data.mkdir(exist_ok=True)
    with careless(), desk.connections() as connections:
        context = desk.context(connections=connections, ledger=ledger_of(desk))
        settings = desk.settings(EXEC_DRY_RUN="0", EXEC_STORE="embedded", EXEC_BROKER_ACCOUNT_ID="paper")
        folder = start(settings, RiskConfig(accounts=frozenset({"paper"})), context, slot="old")
        finish(folder, context, until=BATCH)
    desk.live()
    assert outcomes(folder) == [("rejected", "invalid_intent"), ("placed", "ok")]
    assert reasons(folder)[0] == "invalid_intent"
    assert desk.placed_ids() == ["good"]


# --- fills that come late


def test_a_late_fill_that_can_not_be_kept_is_booked_in_part_and_said_by_the_run_that_found_it(
    tmp_path: Path, careless: Careless
) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still())
    with careless():
        desk.one(qty=3, metadata=UNKEEPABLE["uint64"], **RESTS)
    assert desk.left_open()
    desk.fill("one")
    later = desk.live()
    assert exit_code(later) == 4
    assert (desk.trades(), desk.left_open()) == (1, [])
    assert desk.store.net_positions("paper") == {"SPY": 3_000_000_000}
    assert len(later.json("manifest.json")["unkept"]) == 1
    assert exit_code(desk.live()) == 0


# --- a broker's reply, or a store with rules of its own


_SERIAL = b'"serial": 1' + b"0" * 30


def big_numbers(request: PreparedRequest, send: Send) -> Response:
    """Answer as the broker does, with a number in each order that no ledger keeps."""
    answer = send()
    if "/v2/orders" in str(request.url) and answer.ok and answer.content.startswith((b"{", b"[")):
        answer._content = answer.content.replace(b'"extended_hours"', _SERIAL + b', "extended_hours"')
    return answer


def test_a_reply_of_the_broker_that_can_not_be_kept_stops_nothing(desk: TradingDesk) -> None:
    desk.between = big_numbers
    desk.drop("a.json", order(client_intent_id="one", qty=3, metadata={"a": 1}))
    run = desk.live()
    assert exit_code(run) == 4
    (document,) = documents(desk)
    assert document["metadata"] == {"a": 1}
    assert "serial" not in document["raw_broker_order"]
    assert (trades(desk), document["filled_qty"]) == (1, 3.0)
    assert exit_code(desk.live()) == 0


def half_characters(request: PreparedRequest, send: Send) -> Response:
    """Answer as the broker does, with half a character in each status of an order."""
    answer = send()
    if "/v2/orders" in str(request.url):
        answer._content = re.sub(rb'("status": ?")', rb"\1\\ud800", answer.content)
    return answer


def test_half_characters_in_replies_leave_no_run_unfinished(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.between = half_characters
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live()
    (result,) = results(run)
    assert (result["status"], result["order_status"]) == ("placed", "\ufffdfilled")
    desk.disarm()
    assert exit_code(desk.live()) == 0
    assert (desk.trades(), desk.left_open()) == (1, [])


class Picky(EmbeddedStore):
    """A store with a rule that nobody knew of."""

    refused = frozenset({"raw_fill"})

    def write_ledger(self, documents: Any) -> int:
        if any(self.refused & new.keys() for new in documents):
            raise DocumentRefused("it says no")
        return super().write_ledger(documents)


class RefusesAll(Picky):
    refused = frozenset({"broker_order_id"})


def test_a_store_that_refuses_a_document_for_good_gets_what_is_counted_and_summed(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.drop("a.json", order(client_intent_id="one", qty=3, metadata={"a": 1}))
    run = desk.live(changes={"ledger": Picky(desk.data / "engine.db")})
    assert exit_code(run) == 4
    (document,) = documents(desk)
    assert (document["symbol"], document["side"], document["filled_qty"]) == ("SPY", "buy", 3.0)
    assert "metadata" not in document
    record = unkept(desk)[run.run_id]
    assert {"metadata", "raw_fill", "raw_broker_order"} <= {part["path"] for part in record["missing"]}
    assert record["why"] == "it says no"


def test_an_order_that_the_ledger_refuses_whole_ends_the_run_and_is_written_by_a_later_one(
    tmp_path: Path,
) -> None:
    desk = TradingDesk(tmp_path / "data")
    desk.drop("a.json", order(client_intent_id="one", qty=3))
    run = desk.live(changes={"ledger": RefusesAll(desk.data / "engine.db")})
    assert exit_code(run) == 4
    assert unkept(desk)[run.run_id]["is_counted"] is False
    assert (desk.trades(), len(desk.left_open())) == (0, 1)
    assert exit_code(desk.live(changes={"ledger": RefusesAll(desk.data / "engine.db")})) == 4
    assert exit_code(desk.live()) == 0
    assert (desk.trades(), desk.left_open()) == (1, [])
    assert desk.placed_ids() == ["one"]


def test_an_exit_leg_of_which_the_broker_says_no_side_is_summed_all_the_same(tmp_path: Path) -> None:
    desk = TradingDesk(tmp_path / "data", simulator=standing_still())

    def without_sides(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if "/v2/orders" in str(request.url) and not is_order(request):
            answer._content = answer.content.replace(b'"side":"sell"', b'"side":null').replace(
                b'"side": "sell"', b'"side": null'
            )
        return answer

    desk.between = without_sides
    desk.one(qty=3, order_class="oto", take_profit_limit_price=150)
    (leg,) = [one for one in desk.orders() if one["side"] == "sell"]
    desk.fill("one")
    desk.fill(leg["client_order_id"])
    desk.live()
    assert desk.store.net_positions("paper") == {}


# --- everything hostile at once, by files


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".csv", ".parquet"])
def test_hostile_rows_are_quarantined_and_the_good_row_beside_each_of_them_trades(
    desk: TradingDesk, ending: str
) -> None:
    for place, metadata in enumerate(UNKEEPABLE.values()):
        given = metadata if "json" in ending else json.dumps(metadata)
        rows = [order(metadata=given), order(client_intent_id=f"good-{place}")]
        desk.drop(f"{place}{ending}", content=written(ending, rows))
    run = desk.live()
    assert exit_code(run) == 0
    assert sorted(desk.placed_ids()) == sorted(f"good-{place}" for place in range(len(UNKEEPABLE)))
    assert trades(desk) == len(UNKEEPABLE)
    rows = run.json("manifest.json")["rows"]
    assert (rows["quarantined"], rows["batched"]) == (len(UNKEEPABLE), len(UNKEEPABLE))
    assert exit_code(desk.live()) == 0


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_all_that_can_be_kept_trades_and_is_in_the_ledger_as_it_was_given(
    desk: TradingDesk, ending: str
) -> None:
    rows = [
        order(client_intent_id=f"i{n}", metadata=said if ending == ".jsonl" else json.dumps(said))
        for n, said in enumerate(KEEPABLE.values())
    ]
    desk.drop(f"a{ending}", content=written(ending, rows))
    assert exit_code(desk.live()) == 0
    kept = {one["client_intent_id"]: one.get("metadata", {}) for one in documents(desk)}
    assert kept == {f"i{n}": said for n, said in enumerate(KEEPABLE.values())}
    assert not unkept(desk)
