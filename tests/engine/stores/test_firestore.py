from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google.api_core.exceptions
import google.auth.exceptions
import grpc
import pytest
from google.cloud.firestore import Client, DocumentSnapshot, GeoPoint, Query
from google.cloud.firestore_v1.batch import WriteBatch
from google.cloud.firestore_v1.types import RunAggregationQueryResponse

from engine.errors import ConfigurationError, DataUnavailable, EngineError
from engine.stores.firestore import client as firestore_client
from engine.stores.firestore import sums as firestore_sums
from engine.stores.firestore.channel import close_channel
from engine.stores.firestore.store import FirestoreStore
from tests.engine.stores.trades import SESSION, bought, counted, trade
from tests.servers.firestore import FirestoreEmulator
from tests.servers.proxy import Proxy

AT_MOST_S = 6.0
PATIENT_S = 60.0  # where something is to work, also on a machine that is busy


@pytest.fixture
def store(firestore_project: str) -> FirestoreStore:
    return FirestoreStore(firestore_project, timeout_s=PATIENT_S)


@pytest.fixture
def client(firestore_project: str) -> Iterator[Any]:
    """Another one who uses the same project."""
    client: Any = Client(project=firestore_project)
    yield client
    client.close()


@pytest.fixture
def proxy(
    firestore_emulator: str,
    firestore_project: str,
    proxy_to: Callable[[str, int], Proxy],
    monkeypatch: pytest.MonkeyPatch,
) -> Proxy:
    """Stands between the store and the emulator."""
    host, port = firestore_emulator.rsplit(":", 1)
    proxy = proxy_to(host, int(port))
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"{proxy.host}:{proxy.port}")
    return proxy


@pytest.fixture
def hasty_store(proxy: Proxy, firestore_project: str) -> FirestoreStore:
    """Waits for a second, behind the proxy."""
    return FirestoreStore(firestore_project, timeout_s=1)


READS: dict[str, Callable[[FirestoreStore], object]] = {
    "one count": lambda store: store.trade_counts(["a"], SESSION),
    "many counts": lambda store: store.trade_counts([f"a{n}" for n in range(40)], SESSION),
    "trades by strategy": lambda store: store.strategy_trade_counts(["a", "b"], SESSION),
    "net positions": lambda store: store.net_positions("a"),
    "positions by strategy": lambda store: store.strategy_book("a"),
    "documents of an account": lambda store: store.account_documents("a", since=SESSION),
    "documents of orders": lambda store: store.ledger_documents(["o-1", "o-2"]),
    "adjustments": lambda store: store.adjustments("a", since=SESSION),
    "whether there are documents": lambda store: store.has_documents("a"),
    "ledger document": lambda store: store.ledger_document("o-1"),
    "agent document": lambda store: store.agent_document("state"),
    "document": lambda store: store.document("ops/kill_switch"),
    "check": lambda store: store.check(),
}
WRITES: dict[str, Callable[[FirestoreStore], object]] = {
    "ledger": lambda store: store.write_ledger([trade("o-1", filled=time.time())]),
    "large ledger": lambda store: store.write_ledger([trade(f"o-{n}") for n in range(600)]),
    "agent document": lambda store: store.replace_agent_document(
        "state", {"at": time.time()}, replacing=None
    ),
}


# --- where things are


def test_the_ledger_is_where_others_expect_it(store: FirestoreStore, client: Any) -> None:
    store.write_ledger([trade("o-1")])
    assert client.document("ledger_trades/o-1").get().to_dict() == trade("o-1")


def test_a_tenant_has_a_ledger_and_a_state_of_its_own(firestore_project: str, client: Any) -> None:
    acme, other = (FirestoreStore(firestore_project, tenant_id=name) for name in ("acme", "other"))
    acme.write_ledger([trade("o-1")])
    acme.replace_agent_document("state", {"state": "INIT"}, replacing=None)
    assert client.document("tenants/acme/ledger_trades/o-1").get().exists
    assert client.document("tenants/acme/execution_agent/state").get().to_dict() == {"state": "INIT"}
    assert counted(acme, "paper") == {"paper": 1}
    for empty in (other, FirestoreStore(firestore_project)):
        assert counted(empty, "paper") == {}
        assert empty.ledger_document("o-1") is None
        assert empty.agent_document("state") is None


@pytest.mark.parametrize("tenant", ["", " ", "a/b", ".", "..", "__a__"])
def test_a_tenant_that_is_no_part_of_a_path_is_refused(tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="EXEC_TENANT_ID is "):
        FirestoreStore("project", tenant_id=tenant)


def test_its_place_names_project_tenant_and_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIRESTORE_EMULATOR_HOST", raising=False)
    assert FirestoreStore("my-project").place == "Firestore project my-project"
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:8080")
    assert FirestoreStore("my-project", tenant_id="acme").place == (
        "Firestore project my-project (tenant acme) on the emulator at 127.0.0.1:8080"
    )


def test_a_check_says_what_it_reads(firestore_project: str) -> None:
    assert FirestoreStore(firestore_project).check() == "reads the ledger"
    assert FirestoreStore(firestore_project, tenant_id="acme").check() == "reads the ledger of tenant acme"


def test_a_tenants_ledger_is_summed_for_itself(firestore_project: str) -> None:
    acme, other = (FirestoreStore(firestore_project, tenant_id=name) for name in ("acme", "other"))
    acme.write_ledger([bought("o-1", "SPY", 1)])
    assert acme.net_positions("paper") == {"SPY": 1_000_000_000}
    assert len(acme.account_documents("paper", since=SESSION)) == 1
    assert other.net_positions("paper") == {}
    assert other.account_documents("paper", since=SESSION) == []


@pytest.mark.parametrize("filled", ["10", True, -1.0, None, {"units": 1}, [10]])
def test_a_quantity_that_others_wrote_and_that_is_none_is_unavailable(
    store: FirestoreStore, client: Any, filled: object
) -> None:
    store.write_ledger([bought("o-1", "SPY", 1)])
    client.document("ledger_trades/o-2").set(bought("o-2", "SPY", 1) | {"filled_qty": filled})
    with pytest.raises(DataUnavailable, match="ledger document o-2 can't be summed"):
        store.net_positions("paper")


def test_no_more_is_read_of_a_document_than_what_is_summed(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"raw_broker_order": {"note": "x" * 100_000}}
    store.write_ledger([bought(f"o-{n}", "SPY", 1) | large for n in range(3)])
    read: list[frozenset[str]] = []
    to_dict = DocumentSnapshot.to_dict

    def noting(self: Any) -> Any:
        fields = to_dict(self)
        read.append(frozenset(fields or ()))
        return fields

    monkeypatch.setattr(DocumentSnapshot, "to_dict", noting)
    assert store.net_positions("paper") == {"SPY": 3_000_000_000}
    summed = frozenset({"symbol", "side", "filled_qty", "broker_account_id", "trading_date"})
    assert set(read) == {summed, frozenset({"checkpoint", "writes"})}


def test_sums_ask_for_no_index_but_those_that_firestore_makes_by_itself(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter for one field, or several filters for equality: anything else needs an index of its own."""
    asked: list[Any] = []
    stream = Query.stream

    def noting(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(self._to_protobuf())
        return stream(self, *args, **kwargs)

    store.write_ledger([bought("o-1", "SPY", 1), bought("o-2", "SPY", 1, trading_date="2026-03-03")])
    monkeypatch.setattr(Query, "stream", noting)
    store.net_positions("paper", today=SESSION)
    store.account_documents("paper", since=SESSION)
    assert len(asked) > 4
    for query in asked:
        where = str(query.where)
        assert where.count("op: EQUAL") == where.count("field_path") or where.count("field_path") == 1
        assert {one.field.field_path for one in query.order_by} <= {"__name__"}


# --- documents of others


def test_a_document_is_read_from_the_root_whatever_the_tenant(firestore_project: str, client: Any) -> None:
    client.document("ops/kill_switch").set({"enabled": True})
    client.document("a/b/c/d").set({"deep": 1})
    store = FirestoreStore(firestore_project, tenant_id="acme")
    assert store.document("ops/kill_switch") == {"enabled": True}
    assert store.document("a/b/c/d") == {"deep": 1}
    assert store.document("ops/none") is None


def test_timestamps_in_a_document_have_a_zone(store: FirestoreStore, client: Any) -> None:
    timestamp = datetime(2026, 3, 2, 15, 30, 1, 123456, tzinfo=UTC)
    client.document("ops/heartbeat").set({"at": timestamp, "where": GeoPoint(1, 2), "bytes": b"1"})
    document = store.document("ops/heartbeat") or {}
    assert document["at"] == timestamp
    assert document["at"].utcoffset() is not None


@pytest.mark.parametrize(
    "path", ["", "ops", "ops/", "/ops/x", "ops//x/y", "a/b/c", "ops/..", "ops/__x__", " / "]
)
def test_a_path_that_names_no_document_is_unavailable_with_an_example(path: str) -> None:
    with pytest.raises(DataUnavailable, match="is no path of a document; expected collection/document"):
        FirestoreStore("project").document(path)


def test_fields_that_others_wrote_stay(store: FirestoreStore, client: Any) -> None:
    timestamp = datetime(2026, 3, 2, tzinfo=UTC)
    theirs = {
        "noted_at": timestamp,
        "raw_fill": {"seen": timestamp},
        "odd": [{"[]": 5}],
        "trading_date": "2026-02-27",
    }
    client.document("ledger_trades/o-1").set(theirs)
    assert store.write_ledger([trade("o-1")]) == 1
    assert store.ledger_document("o-1") == trade("o-1") | theirs | {
        "trading_date": "2026-02-27",
        "raw_fill": {"seen": timestamp, "price": "500.10"},
    }


# --- requests


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return documents and bytes of each batch that is sent."""
    sent: list[tuple[int, int]] = []
    commit = WriteBatch.commit

    def noting(self: WriteBatch, *args: Any, **kwargs: Any) -> Any:
        sent.append((len(self), sum(write._pb.ByteSize() for write in self._write_pbs)))
        return commit(self, *args, **kwargs)

    monkeypatch.setattr(WriteBatch, "commit", noting)
    return sent


def test_no_request_has_more_documents_than_firestore_takes(
    store: FirestoreStore, commits: list[tuple[int, int]]
) -> None:
    assert store.write_ledger([trade(f"o-{n}") for n in range(1001)]) == 1001
    assert [writes for writes, _ in commits] == [500, 500, 4]  # the account's checkpoint in each
    assert counted(store, "paper") == {"paper": 1001}


def test_no_request_is_longer_than_firestore_takes(
    store: FirestoreStore, commits: list[tuple[int, int]]
) -> None:
    large = {"raw_broker_order": {"note": "x" * 900_000}}
    wide = {"raw_broker_order": {"many": [{"a": ""}] * 4_900}}
    store.write_ledger(
        [trade(f"o-{n}") | large for n in range(12)] + [trade(f"p-{n}") | wide for n in range(12)]
    )
    assert sum(writes - 1 for writes, _ in commits) == 24  # and the account's checkpoint
    assert max(size for _, size in commits) < 10 * 2**20


def test_a_document_longer_than_firestore_keeps_is_refused_and_none_of_its_batch_is_kept(
    store: FirestoreStore,
) -> None:
    with pytest.raises(EngineError, match=r"ledger document o-2 can't be kept: it has \d+ bytes"):
        store.write_ledger([trade("o-1"), trade("o-2") | {"raw_fill": {"note": "x" * 2**20}}])
    assert store.ledger_document("o-1") is None


def test_what_has_not_changed_is_not_written(store: FirestoreStore, commits: list[tuple[int, int]]) -> None:
    store.write_ledger([trade("o-1"), trade("o-2")])
    commits.clear()
    assert store.write_ledger([trade("o-1"), trade("o-2", filled=2)]) == 1
    assert [writes for writes, _ in commits] == [2]  # the document and the account's checkpoint
    commits.clear()
    assert store.write_ledger([trade("o-1")]) == 0
    assert commits == []


def test_one_client_is_made_for_all_threads(firestore_project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    make = firestore_client._new_client

    def noting(*args: Any) -> Client:
        made.append(args)
        time.sleep(0.05)
        return make(*args)

    monkeypatch.setattr(firestore_client, "_new_client", noting)
    stores = [FirestoreStore(firestore_project, tenant_id=f"t{n}") for n in range(8)]
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda store: store.check(), stores))
    assert len(made) == 1


def test_a_channel_that_is_closed_is_closed_for_good(firestore_project: str) -> None:
    """The library's private names that ``channel`` uses: a release that changes them fails here."""
    client = Client(project=firestore_project)
    assert not client.document("a/b").get(timeout=60).exists
    close_channel(client)
    with pytest.raises(ValueError, match="Channel closed"):
        client.document("a/b").get(timeout=60)


# --- faults


def failures(store: FirestoreStore, calls: dict[str, Callable[[FirestoreStore], object]]) -> dict[str, str]:
    """Make all calls at the same time; give what each raised, which must be soon and in words."""

    def failure(call: Callable[[FirestoreStore], object]) -> str:
        with pytest.raises(EngineError) as raised:
            call(store)
        is_reading = calls is READS
        assert isinstance(raised.value, DataUnavailable) == is_reading
        return str(raised.value)

    begun_at = time.monotonic()
    with futures.ThreadPoolExecutor(len(calls)) as pool:
        said = dict(zip(calls, pool.map(failure, calls.values()), strict=True))
    assert time.monotonic() - begun_at < AT_MOST_S
    for dump in ("grpc", "StatusCode", "Errno", "ipv4:", "Traceback"):
        assert dump not in str(said)
    return said


BROKEN = r": can't be \w+ \(the connection was (reset|closed)\)\."
FAULTS: dict[str, tuple[Callable[[Proxy], None], str]] = {
    "refused": (Proxy.refuse, r": can't be \w+ \(connection refused\)\."),
    "hanging": (Proxy.hang, r": no answer within 1 s\."),
    "reset at once": (lambda proxy: proxy.cut_after(0), BROKEN),
    "reset in the middle": (lambda proxy: proxy.cut_after(40), BROKEN),
    "garbled": (Proxy.garble, r": can't be \w+ \(the answer is no HTTP/2\)\."),
    "too slow": (lambda proxy: proxy.slow(5), r": no answer within 1 s\."),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_connected", [False, True])
def test_no_read_outlives_a_fault_on_the_way(
    hasty_store: FirestoreStore, proxy: Proxy, fault: str, is_connected: bool
) -> None:
    if is_connected:
        replace(hasty_store, timeout_s=PATIENT_S).check()
    make, words = FAULTS[fault]
    make(proxy)
    for call, said in failures(hasty_store, READS).items():
        assert re.fullmatch(rf"Firestore project .*{words} See .*\.", said), (call, said)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("is_connected", [False, True])
def test_no_write_outlives_a_fault_on_the_way(
    hasty_store: FirestoreStore, proxy: Proxy, fault: str, is_connected: bool
) -> None:
    if is_connected:
        replace(hasty_store, timeout_s=PATIENT_S).check()
    make, words = FAULTS[fault]
    make(proxy)
    for call, said in failures(hasty_store, WRITES).items():
        pattern = rf"Firestore project .*{words} See .* repeating it is safe\."
        assert re.fullmatch(pattern, said), (call, said)


def test_a_slow_firestore_is_read(store: FirestoreStore, proxy: Proxy) -> None:
    store.write_ledger([trade("o-1")])
    proxy.slow(0.02)
    assert counted(store, "paper") == {"paper": 1}


def test_a_fault_that_passes_is_waited_for(proxy: Proxy, firestore_project: str) -> None:
    store = FirestoreStore(firestore_project, timeout_s=PATIENT_S)
    proxy.refuse()
    healing = threading.Timer(0.3, proxy.heal)
    healing.start()
    assert store.check() == "reads the ledger"
    healing.join()


@pytest.mark.parametrize("n_bytes", [0, 100, 200, 300])
def test_a_write_whose_answer_is_lost_is_made_and_counted_once(
    proxy: Proxy, firestore_project: str, n_bytes: int
) -> None:
    store = FirestoreStore(firestore_project, timeout_s=PATIENT_S)
    store.check()
    proxy.cut_after(n_bytes)
    healing = threading.Timer(0.3, proxy.heal)
    healing.start()
    assert store.write_ledger([trade("o-1")]) == 1
    assert store.replace_agent_document("state", {"state": "INIT"}, replacing=None)
    healing.join()
    assert store.ledger_document("o-1") == trade("o-1")
    assert counted(store, "paper") == {"paper": 1}


def test_a_connection_that_hung_is_not_waited_for_again(hasty_store: FirestoreStore, proxy: Proxy) -> None:
    proxy.refuse()
    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hole.bind((proxy.host, proxy.port))
        hole.listen()
        with pytest.raises(DataUnavailable, match="no answer within 1 s"):
            hasty_store.check()
        connection, _ = hole.accept()
    with connection:
        proxy.heal()
        # gRPC itself would wait for the old connection until 20 seconds are over.
        replace(hasty_store, timeout_s=10).check()


def test_an_emulator_that_was_killed_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, firestore_emulator: str
) -> None:
    with FirestoreEmulator.running() as emulator:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator.address)
        store = FirestoreStore("killed", timeout_s=5)
        replace(store, timeout_s=PATIENT_S).write_ledger([trade("o-1")])
    with pytest.raises(DataUnavailable, match=r"connection (refused|was reset|was closed)"):
        counted(store, "paper")
    with pytest.raises(EngineError, match=r"connection (refused|was reset|was closed)"):
        store.write_ledger([trade("o-2")])


@pytest.mark.parametrize(
    "address", ["no.such.host.invalid:80", "http://127.0.0.1:9", "127.0.0.1:9", "127.0.0.1:notaport", "a b"]
)
def test_an_address_that_is_none_is_unavailable(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
    with pytest.raises(DataUnavailable, match="can't be read"):
        FirestoreStore("project", timeout_s=1).check()


@contextmanager
def server_that_answers(*answers: dict[str, Any]) -> Iterator[str]:
    """Speaks the protocol, and gives these answers to any question for a count."""
    server = grpc.server(futures.ThreadPoolExecutor(2))

    def answer(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for fields in answers:
            yield RunAggregationQueryResponse.serialize(
                RunAggregationQueryResponse({"result": {"aggregate_fields": fields}})
            )

    handler = grpc.unary_stream_rpc_method_handler(answer)
    service = "google.firestore.v1.Firestore"
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {"RunAggregationQuery": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [{}],
        [{"other": {"integer_value": 1}}],
        [{"trades": {"integer_value": -1}}],
        [{"trades": {"double_value": 1.5}}],
        [{"trades": {"double_value": float("nan")}}],
        [{"trades": {"double_value": float("inf")}}],
        [{"trades": {"integer_value": 1}}, {"trades": {"integer_value": 2}}],
    ],
)
def test_a_count_that_is_no_whole_number_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr("engine.stores.firestore.counts.SessionCounts._in_range", lambda *_: [])
    with server_that_answers(*answers) as address:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
        store = FirestoreStore("nonsense", timeout_s=PATIENT_S)
        with pytest.raises(DataUnavailable, match="expected one whole number from 0 on"):
            store.trade_counts(["a"], SESSION)
        with pytest.raises(DataUnavailable, match=r"the documents with .*trading_date.* are "):
            store.trade_counts(["a", "b", "c"], SESSION)


COUNTED = "engine.stores.firestore.counts.counted"
OF_DOCUMENTS = {"broker_account_id": "a33", "trading_date": "2026-03-02"}


@pytest.mark.parametrize("counted", [OF_DOCUMENTS, {**OF_DOCUMENTS, "counts_as_trade": False}])
def test_one_count_that_fails_fails_the_call(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch, counted: dict[str, Any]
) -> None:
    count = firestore_sums.counted

    def failing(ledger: Any, fields: dict[str, Any], *others: Any) -> int:
        if fields == counted:
            raise DataUnavailable("one count failed")
        return count(ledger, fields, *others)

    monkeypatch.setattr(COUNTED, failing)
    with pytest.raises(DataUnavailable, match="one count failed"):
        store.trade_counts([f"a{n}" for n in range(40)], SESSION)


def test_more_documents_that_are_no_trades_than_there_are_is_unavailable(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(COUNTED, lambda _, fields, *__: len(fields))
    with pytest.raises(DataUnavailable, match="of 2 documents of account a, 3 are no trades of their own"):
        store.trade_counts(["a"], SESSION)


def test_all_counts_are_asked_for_at_the_same_time(
    store: FirestoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(5, timeout=PATIENT_S)
    monkeypatch.setattr(COUNTED, lambda *_: together.wait() * 0)
    monkeypatch.setattr("engine.stores.firestore.counts.SessionCounts._in_range", lambda *_: [])
    assert counted(store, "a", "b") == {}


def test_a_service_that_is_no_firestore_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with server_that_answers() as address:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", address)
        with pytest.raises(
            DataUnavailable, match=r"can't be read .* See that it is a Firestore in native mode"
        ):
            FirestoreStore("nonsense", timeout_s=PATIENT_S).document("ops/kill_switch")


def test_a_body_that_never_ends_is_given_up(store: FirestoreStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr("engine.stores.firestore.counts.SessionCounts.trades", lambda *_: ended.wait(30))
    hasty = FirestoreStore(store.project, timeout_s=0.5)
    with pytest.raises(DataUnavailable, match=r"^Firestore project .*: no answer within 0\.5 s\. See that"):
        hasty.trade_counts(["a"], SESSION)
    monkeypatch.setattr("engine.stores.firestore.writing.LedgerWriting.merge", lambda *_: ended.wait(30))
    with pytest.raises(EngineError, match=r"no answer within 0\.5 s\. .* repeating it is safe"):
        hasty.write_ledger([trade("o-1")])
    ended.set()


# --- a process of its own


def run(program: str, **environment: str) -> tuple[str, float]:
    """Run a program in a fresh process; give what it printed, errors included, and the seconds it took."""
    names = ("PATH", "HOME", "LANG", "no_grpc_proxy")
    plain = {name: os.environ[name] for name in names if name in os.environ}
    begun_at = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=plain | {"PYTHONPATH": str(Path.cwd())} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip(), time.monotonic() - begun_at


GIVEN_UP = """
from engine.errors import EngineError
from engine.stores.firestore.store import FirestoreStore
store = FirestoreStore("project", timeout_s=1)
for call in (store.check, lambda: store.write_ledger([{trade}])):
    try:
        call()
    except EngineError:
        print("given up")
"""


@pytest.mark.parametrize("fault", [Proxy.hang, Proxy.refuse, Proxy.garble])
def test_a_process_ends_soon_and_silently_after_calls_were_given_up(
    proxy: Proxy, fault: Callable[[Proxy], None]
) -> None:
    fault(proxy)
    address = os.environ["FIRESTORE_EMULATOR_HOST"]
    program = GIVEN_UP.replace("{trade}", repr(trade("o-1")))
    said, took_s = run(program, FIRESTORE_EMULATOR_HOST=address)
    assert said == "given up\ngiven up"
    assert took_s < 15


def test_a_process_ends_soon_and_silently_while_a_request_still_hangs(proxy: Proxy) -> None:
    proxy.hang()
    program = """
from engine.errors import DataUnavailable
from engine.waiting.bounded import within
from engine.waiting.deadline import Deadline
from engine.stores.firestore.client import connected, load_library, never
load_library()
def hang():
    with connected("project", Deadline.after(5)) as client:
        client.document("a/b").get(retry=never(), timeout=600)
try:
    within(1, hang, whose="it")
except DataUnavailable:
    print("given up")
"""
    said, took_s = run(program, FIRESTORE_EMULATOR_HOST=os.environ["FIRESTORE_EMULATOR_HOST"])
    assert said == "given up"
    assert took_s < 15


NO_CREDENTIALS = """
import time
from engine.errors import DataUnavailable
from engine.stores.firestore.store import FirestoreStore
begun_at = time.monotonic()
try:
    FirestoreStore("project", timeout_s=1).check()
except DataUnavailable as error:
    print(error)
assert time.monotonic() - begun_at < 6
"""
REMEDY = (
    "Set GOOGLE_APPLICATION_CREDENTIALS to a key file, run `gcloud auth application-default login`, or give "
    "the job a service account (workload identity)."
)


@pytest.mark.parametrize(
    ("environment", "cause"),
    [
        ({"NO_GCE_CHECK": "true"}, "no credentials were found"),
        ({"NO_GCE_CHECK": "true", "FIRESTORE_EMULATOR_HOST": ""}, "no credentials were found"),
        (
            {"GOOGLE_APPLICATION_CREDENTIALS": '{"private_key": "pasted"}'},
            "GOOGLE_APPLICATION_CREDENTIALS names no key file that can be read",
        ),
    ],
)
def test_missing_credentials_are_reported_with_the_remedy(
    tmp_path: Path, environment: dict[str, str], cause: str
) -> None:
    said, _ = run(NO_CREDENTIALS, **{"HOME": str(tmp_path)} | environment)
    assert said == f"Firestore project project: can't be read ({cause}). {REMEDY}"


def test_an_empty_emulator_address_means_the_real_firestore(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    words = {"client_id": "x", "client_secret": "x", "refresh_token": "x", "quota_project_id": "x"}
    key.write_text(json.dumps({"type": "authorized_user"} | words))
    said, _ = run(
        "from engine.stores.firestore.client import connected, load_library; load_library();"
        "from engine.waiting.deadline import Deadline;"
        "print(connected('project', Deadline.after(60)).__enter__()._target)",
        GOOGLE_APPLICATION_CREDENTIALS=str(key),
        FIRESTORE_EMULATOR_HOST="",
    )
    assert said == "firestore.googleapis.com"


def test_a_search_for_credentials_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        metadata = f"127.0.0.1:{hole.getsockname()[1]}"
        environment = {"HOME": str(tmp_path), "GCE_METADATA_HOST": metadata, "GCE_METADATA_IP": metadata}
        said, took_s = run(NO_CREDENTIALS, **environment)
    assert re.fullmatch(
        r"Firestore project project: can't be read \(no credentials were found within 0\.\d+ s\)\. "
        + re.escape(REMEDY),
        said,
    )
    assert took_s < 15


def test_the_library_is_loaded_only_once_it_is_needed() -> None:
    said, _ = run(
        "import sys; from engine.stores.firestore.store import FirestoreStore;"
        "FirestoreStore('project').place;"
        "print([name for name in sys.modules if name.startswith(('google', 'grpc'))])"
    )
    assert json.loads(said) == []


def test_credentials_that_cant_be_renewed_are_a_matter_of_credentials() -> None:
    api: Any = google.api_core.exceptions
    auth: Any = google.auth.exceptions
    for error in (
        api.ServiceUnavailable("Getting metadata from plugin failed with error: invalid_grant"),
        api.Unauthenticated("Request had invalid authentication credentials."),
        auth.RefreshError("invalid_grant: Bad Request"),
    ):
        assert firestore_client.in_words(error, "read", 1).endswith(REMEDY)
