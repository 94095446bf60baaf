"""What a live run is about to do, and what was asked and answered: on disk before anybody acts upon it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import requests
import vcr
from requests import PreparedRequest, Response

from engine.brokers.interaction import Interaction
from engine.errors import BrokerError, RecordError, RunStopped
from engine.record.journal import Journal
from engine.record.objects import Content, LocalObjects
from engine.record.run_folder import RunFolder, RunFolders
from tests.desk import order
from tests.engine.routing.trading import (
    Killed,
    Send,
    TradingDesk,
    at_a_rate_that_never_matters,
    is_order,
    path_of,
    reply,
    results,
)

DAY = date(2026, 3, 2)


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path)


@pytest.fixture
def folder(objects: LocalObjects) -> RunFolder:
    return RunFolders(objects).create(DAY, "20260302T170000Z-test", {"mode": "live"})


@pytest.fixture
def desk(tmp_path: Path) -> TradingDesk:
    return TradingDesk(tmp_path / "data")


def interaction(number: int, body: str = "{}") -> Interaction:
    return Interaction(
        number=number,
        started_at="2026-03-02T17:00:00+00:00",
        took_s=0.01,
        request={"method": "GET", "uri": "https://x/v2/clock", "body": None, "headers": {}},
        response={"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": body}},
        error="",
    )


# --- attempts


def test_attempts_of_several_chunks_are_all_known_to_the_next_job(folder: RunFolder) -> None:
    journal = Journal(folder)
    journal.attempt([{"row": 0}, {"row": 4}], at="2026-03-02T17:00:00+00:00")
    journal.attempt([{"row": 7}], at="2026-03-02T17:00:01+00:00")
    Journal(folder).attempt([{"row": 9}], at="2026-03-02T17:05:00+00:00")
    assert Journal(folder).attempted() == {0, 4, 7, 9}


def test_a_run_without_attempts_has_attempted_nothing(folder: RunFolder) -> None:
    assert Journal(folder).attempted() == set()


# --- exchanges


def test_what_is_kept_is_on_disk_by_the_time_keep_returns(folder: RunFolder) -> None:
    journal = Journal(folder)
    for number in range(1, 4):
        journal.keep(interaction(number))
        assert [one.number for one in Journal(folder).interactions()] == list(range(1, number + 1))


def test_exchanges_are_given_as_they_were_in_the_order_in_which_they_began(folder: RunFolder) -> None:
    journal = Journal(folder)
    for number in (3, 1, 2):
        journal.keep(interaction(number, body=f'{{"n": {number}, "é": "\\n"}}'))
    expected = [interaction(number, body=f'{{"n": {number}, "é": "\\n"}}') for number in (1, 2, 3)]
    assert Journal(folder).interactions() == expected


class Slow(LocalObjects):
    """Objects on a slow disk: whoever comes while a chunk is written has to share the next one."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.puts = 0

    def put(self, key: str, content: Content) -> None:
        self.puts += 1
        threading.Event().wait(0.01)
        super().put(key, content)


def at_once(count: int, work: Callable[[int], None]) -> None:
    together = threading.Barrier(count, timeout=30)

    def one(number: int) -> None:
        together.wait()
        work(number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, count + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)


def test_exchanges_of_many_threads_are_kept_once_each_in_few_writes(tmp_path: Path) -> None:
    slow = Slow(tmp_path)
    folder = RunFolders(slow).create(DAY, "20260302T170000Z-test", {"mode": "live"})
    journal = Journal(folder)
    early: list[int] = []

    def keep(number: int) -> None:
        for turn in range(5):
            own = number * 10 + turn
            journal.keep(interaction(own))
            if own not in {one.number for one in Journal(folder).interactions()}:
                early.append(own)

    at_once(16, keep)
    assert early == []
    numbers = [one.number for one in Journal(folder).interactions()]
    assert numbers == sorted(number * 10 + turn for number in range(1, 17) for turn in range(5))
    assert slow.puts < 80 / 2


def gathering(tmp_path: Path, gather_s: float) -> tuple[Journal, Slow]:
    slow = Slow(tmp_path)
    folder = RunFolders(slow).create(DAY, "20260302T170000Z-test", {"mode": "live"})
    slow.puts = 0
    return Journal(folder, gather_s=gather_s), slow


def test_requests_that_are_on_their_way_at_the_same_time_are_kept_in_one_write(tmp_path: Path) -> None:
    journal, slow = gathering(tmp_path, gather_s=60)
    numbers = [journal.next_number() for _ in range(6)]
    at_once(6, lambda place: journal.keep(interaction(numbers[place - 1])))
    assert slow.puts == 1
    assert [one.number for one in Journal(journal.folder).interactions()] == numbers


def test_a_request_that_is_alone_in_flight_does_not_wait(tmp_path: Path) -> None:
    journal, slow = gathering(tmp_path, gather_s=60)
    for _ in range(3):
        at_once(1, lambda _: journal.keep(interaction(journal.next_number())))
    assert slow.puts == 3


def test_a_request_in_flight_is_not_waited_for_longer_than_its_bound(tmp_path: Path) -> None:
    journal, _ = gathering(tmp_path, gather_s=0.01)
    stays, comes = journal.next_number(), journal.next_number()
    journal.keep(interaction(comes))
    assert [one.number for one in Journal(journal.folder).interactions()] == [comes]
    journal.keep(interaction(stays))
    assert [one.number for one in Journal(journal.folder).interactions()] == [stays, comes]


def test_a_job_that_dies_while_it_gathers_tells_nobody_that_it_has_kept_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(threading.Condition):
        def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
            super().wait_for(predicate, timeout)
            raise Killed

    journal, _ = gathering(tmp_path, gather_s=60)
    numbers = [journal.next_number() for _ in range(4)]
    failed: list[type[BaseException]] = []

    def keep(place: int) -> None:
        try:
            journal.keep(interaction(numbers[place - 1]))
        except (Killed, RecordError) as error:
            failed.append(type(error))

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_arrived", Interrupted(journal._lock))
        at_once(4, keep)
    assert sorted(kind.__name__ for kind in failed) == ["Killed"] * 4
    journal.keep(interaction(journal.next_number()))
    assert [one.number for one in Journal(journal.folder).interactions()] == [5]


def test_attempts_that_are_noted_by_several_threads_are_all_kept(folder: RunFolder) -> None:
    journal = Journal(folder)
    at_once(8, lambda row: journal.attempt([{"row": row}], at="2026-03-02T17:00:00+00:00"))
    assert Journal(folder).attempted() == set(range(1, 9))


def test_numbers_are_given_once_each_and_go_on_after_a_kill(folder: RunFolder) -> None:
    journal = Journal(folder)
    given: list[int] = []
    at_once(8, lambda _: given.extend(journal.next_number() for _ in range(50)))
    assert sorted(given) == list(range(1, 401))
    journal.keep(interaction(400))
    assert Journal(folder).next_number() == 401


def test_a_write_that_fails_fails_for_everybody_who_shares_it(tmp_path: Path) -> None:
    class Full(Slow):
        def put(self, key: str, content: Content) -> None:
            if "/traffic/" in key:
                threading.Event().wait(0.01)
                raise OSError(28, "No space left on device")
            super().put(key, content)

    folder = RunFolders(Full(tmp_path)).create(DAY, "20260302T170000Z-test", {"mode": "live"})
    journal = Journal(folder)
    failed: list[int] = []

    def keep(number: int) -> None:
        with pytest.raises(RecordError, match="No space left"):
            journal.keep(interaction(number))
        failed.append(number)

    at_once(12, keep)
    assert len(failed) == 12
    assert Journal(folder).interactions() == []


def test_a_job_that_dies_while_it_writes_tells_nobody_that_it_has(tmp_path: Path) -> None:
    class Dying(Slow):
        def put(self, key: str, content: Content) -> None:
            if "/traffic/" in key:
                threading.Event().wait(0.05)
                raise Killed
            super().put(key, content)

    folder = RunFolders(Dying(tmp_path)).create(DAY, "20260302T170000Z-test", {"mode": "live"})
    journal = Journal(folder)
    kept: list[int] = []

    def keep(number: int) -> None:
        try:
            journal.keep(interaction(number))
        except (Killed, RecordError):
            return
        kept.append(number)

    at_once(6, keep)
    assert kept == []


def test_after_a_failed_write_what_comes_next_is_kept_again(tmp_path: Path) -> None:
    class OnceFull(LocalObjects):
        left = 1

        def put(self, key: str, content: Content) -> None:
            if "/traffic/" in key and self.left:
                self.left -= 1
                raise OSError(28, "No space left on device")
            super().put(key, content)

    folder = RunFolders(OnceFull(tmp_path)).create(DAY, "20260302T170000Z-test", {"mode": "live"})
    journal = Journal(folder)
    with pytest.raises(RecordError):
        journal.keep(interaction(1))
    journal.keep(interaction(2))
    assert [one.number for one in Journal(folder).interactions()] == [2]
    Journal(folder).keep(interaction(3))
    assert [one.number for one in Journal(folder).interactions()] == [2, 3]


def test_damaged_traffic_is_named(folder: RunFolder) -> None:
    folder.objects.put(folder.key + "traffic/000001.jsonl", b'{"number": 1')
    with pytest.raises(RecordError, match="traffic/ is damaged"):
        Journal(folder)


# --- the cassette


def test_to_seal_twice_is_to_seal_once(folder: RunFolder) -> None:
    journal = Journal(folder)
    for number in (2, 1):
        journal.keep(interaction(number))
    journal.seal()
    sealed = folder.json("cassette.json")
    assert [one["number"] for one in sealed["interactions"]] == [1, 2]
    assert not any(name.startswith("traffic/") for name in folder.names())
    Journal(folder).seal()
    assert folder.json("cassette.json") == sealed


def test_a_job_killed_between_cassette_and_the_removal_of_what_went_into_it_leaves_one_cassette(
    folder: RunFolder,
) -> None:
    journal = Journal(folder)
    journal.keep(interaction(1))
    piece = folder.key + "traffic/000001.jsonl"
    content = folder.objects.read(piece)
    journal.seal()
    folder.objects.put(piece, content)
    Journal(folder).seal()
    assert [one["number"] for one in folder.json("cassette.json")["interactions"]] == [1]
    assert not any(name.startswith("traffic/") for name in folder.names())


def busy(desk: TradingDesk) -> RunFolder:
    """Do a run with many orders at once, one of them lost on the way, and a cancel."""
    symbols = ("SPY", "QQQ", "IWM", "DIA")
    rows = [order(client_intent_id=f"order-{n}", symbol=symbols[n % 4]) for n in range(12)]
    rests = order(client_intent_id="rests", symbol="AAPL", order_type="limit", limit_price=50)
    cancel = order(action="cancel", target_intent_id="rests", symbol=None, side=None, qty=None)
    desk.arm("accept_then_drop")
    desk.drop("a.json", *rows, rests, cancel)
    return desk.live()


def test_the_cassette_has_every_request_of_the_run_in_order_and_nothing_else(desk: TradingDesk) -> None:
    run = busy(desk)
    cassette = run.json("cassette.json")
    told = sorted([*cassette["interactions"], *cassette["unanswered"]], key=lambda one: one["number"])
    assert [one["number"] for one in told] == list(range(1, len(told) + 1))
    asked = [
        (one["request"]["method"], one["request"]["uri"].removeprefix(desk.host).partition("?")[0])
        for one in told
    ]
    seen = [(row["method"], row["path"]) for row in desk.requests()][1:]  # the account, before the run began
    assert sorted(asked) == sorted(seen)
    assert asked[:3] == seen[:3]
    assert len(cassette["unanswered"]) == 1


def test_the_cassette_is_complete_after_a_kill_and_the_run_that_goes_on(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        answer = send()
        if is_order(request) and len(desk.posts()) == 3:
            raise desk.die()
        return answer

    desk.between = middle
    desk.drop("a.json", *[order(client_intent_id=f"order-{n}") for n in range(5)])
    with pytest.raises(Killed):
        desk.live()
    desk.disarm()
    desk.live()
    told = desk.runs()[0].json("cassette.json")["interactions"]
    posted = [json.loads(one["request"]["body"])["client_order_id"] for one in told if one["request"]["body"]]
    assert posted == ["order-0", "order-1", "order-3", "order-4"]  # the reply to order-2 died with the job
    assert any('"client_order_id":"order-2"' in one["response"]["body"]["string"] for one in told)


def test_vcr_plays_the_cassette_of_a_run_unchanged(desk: TradingDesk) -> None:
    run = busy(desk)
    path = desk.data / run.key / "cassette.json"
    told = run.json("cassette.json")["interactions"]
    with vcr.use_cassette(
        str(path), record_mode="none", serializer="json", match_on=["method", "uri", "body"]
    ) as tape:
        for one in told:
            request = one["request"]
            answer = requests.request(request["method"], request["uri"], data=request["body"], timeout=5)
            assert answer.status_code == one["response"]["status"]["code"]
        assert tape.all_played


# --- nothing secret in it


KEY, SECRET = "PKPLANTED0123456789A", "s3cr3t/Planted+In/The+Keys0123456789=="
Ending = Callable[[TradingDesk], None]


def plainly(desk: TradingDesk) -> None:
    desk.live()


def chattily(desk: TradingDesk) -> None:
    """A broker that tells of account and keys wherever it can."""
    about = desk.simulator.venue.account()
    told = {
        "code": 40310000,
        "message": f"account {about['account_number']} ({about['id']}) with key {KEY} may not",
        "account_number": about["account_number"],
        "account_id": about["id"],
        "secret": SECRET,
        "echo": json.dumps({"APCA-API-SECRET-KEY": SECRET}),
    }
    desk.between = lambda request, send: (
        reply(request, 403, told, X_Request_ID=KEY, Set_Cookie=f"session={SECRET}", Server=SECRET)
        if is_order(request)
        else send()
    )
    desk.live()


def without_an_answer(desk: TradingDesk) -> None:
    def middle(request: PreparedRequest, send: Send) -> Response:
        if is_order(request) or "client_order_id" in path_of(request):
            raise requests.ConnectionError(f"proxy says {KEY}:{SECRET}", request=request)
        return send()

    desk.between = middle
    desk.live()


def broken_off(desk: TradingDesk) -> None:
    """A broker that is gone from the first order on: the run ends unsealed."""
    gone: list[str] = []

    def middle(request: PreparedRequest, send: Send) -> Response:
        if gone or is_order(request):
            gone.append(path_of(request))
            raise requests.ConnectionError(f"proxy says {KEY}:{SECRET}", request=request)
        return send()

    desk.between = middle
    with pytest.raises(BrokerError) as error:
        desk.live()
    assert SECRET not in str(error.value)
    assert KEY not in str(error.value)


def asked_to_stop(desk: TradingDesk) -> None:
    desk.stopping = lambda: bool(desk.posts())
    with pytest.raises(RunStopped):
        desk.live()


@pytest.mark.parametrize("ending", [plainly, chattily, without_an_answer, broken_off, asked_to_stop])
def test_no_file_and_no_log_of_a_live_run_has_anything_secret_in_it(tmp_path: Path, ending: Ending) -> None:
    desk = TradingDesk(
        tmp_path / "data",
        keys=(KEY, SECRET),
        simulator=at_a_rate_that_never_matters(key=KEY, secret=SECRET),
    )
    about = desk.simulator.venue.account()
    secrets = [KEY, SECRET, str(about["account_number"]), str(about["id"])]
    desk.drop("a.json", order(client_intent_id="one"), order(client_intent_id="two", symbol="QQQ"))
    ending(desk)
    everything = dict(contents(desk.data)) | {"the log": desk.logged.getvalue()}
    assert len(everything) > 5
    for secret in secrets:
        assert [name for name, text in everything.items() if secret in text] == []


def contents(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a data folder as text, what is compressed in them unpacked."""
    for path in data.rglob("*"):
        if not path.is_file():
            continue
        raw = path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            raw += str(pq.read_table(path).to_pylist())
        if path.suffix == ".db":
            with sqlite3.connect(path) as connection:
                raw += "\n".join(connection.iterdump())
            connection.close()
        yield str(path.relative_to(data)), raw


def test_the_search_for_secrets_finds_one_where_there_is_one(desk: TradingDesk) -> None:
    desk.one(client_intent_id="a-planted-word")
    found = {name.rpartition("/")[2] for name, text in contents(desk.data) if "a-planted-word" in text}
    assert {"intents.parquet", "results.parquet", "cassette.json", "engine.db", "000001.json"} <= found


def test_a_record_that_cannot_be_kept_stops_the_run_before_the_next_order(desk: TradingDesk) -> None:
    class Full(LocalObjects):
        def put(self, key: str, content: Content) -> None:
            if "/traffic/" in key and desk.posts():
                raise OSError(28, "No space left on device")
            super().put(key, content)

    desk.drop("a.json", *[order(client_intent_id=f"order-{n}") for n in range(3)])
    with pytest.raises(RecordError, match="No space left"):
        desk.live(changes={"objects": Full(desk.data)})
    assert desk.posts() == ["order-0"]
    desk.live()
    assert [row["status"] for row in results(desk.runs()[0])] == ["placed"] * 3
    assert sorted(desk.placed_ids()) == ["order-0", "order-1", "order-2"]


def the_notes(run: RunFolder) -> list[Any]:
    return [run.json(name) for name in sorted(run.names()) if name.startswith("attempts/")]


def test_the_attempts_stay_in_the_folder_of_a_finished_run(desk: TradingDesk) -> None:
    run = busy(desk)
    (chunk,) = the_notes(run)
    assert len(chunk["orders"]) == 13
    assert "attempts/000001.json" in run.json("manifest.json")["content"]
