"""PostgreSQL that is down, slow for ever, cut off or talks nonsense: bounded, and never a wrong book."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import psycopg
import pytest

from engine.errors import DataUnavailable, EngineError
from engine.stores.postgres import schema as postgres_schema
from engine.stores.postgres import server as postgres_server
from engine.stores.postgres import store as postgres_store
from engine.stores.postgres import writing as postgres_writing
from engine.stores.postgres.schema import init_db
from engine.stores.postgres.store import PostgresStore
from engine.stores.protocols import SyncMark
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

NOON = pd.Timestamp("2026-03-02T17:00:00.123456", tz="UTC")
ROWS = 5000
TLS = pytest.mark.parametrize("tls", ["disable", "require"])


def book(symbols: int, qty: float = 1.0) -> pd.DataFrame:
    names = [f"S{n}" for n in range(symbols)]
    return pd.DataFrame({"broker_account_id": "a", "symbol": names, "qty": qty})


@pytest.fixture
def direct(database_url: str) -> PostgresStore:
    """A filled store, asked without a proxy."""
    store = PostgresStore(database_url)
    init_db(store.server)
    store.load_positions(book(ROWS), updated_at=NOON)
    return store


@pytest.fixture
def proxy(postgres_server: PostgresServer, proxy_to: Callable[[str, int], Proxy]) -> Proxy:
    return proxy_to(postgres_server.host, postgres_server.port)


def through(proxy: Proxy, direct: PostgresStore, *, tls: str = "prefer") -> PostgresStore:
    """Return the same store behind the proxy, with a second's patience."""
    url = direct.url.replace(f":{urlsplit(direct.url).port}/", f":{proxy.port}/")
    return PostgresStore(f"{url}?sslmode={tls}", timeout_s=1)


@contextmanager
def a_few_seconds() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 5


def check_unavailable(store: PostgresStore, why: str = "can't be read") -> None:
    """Check that all of a store's reads fail as they should, in time, and tell no password."""
    password = urlsplit(store.url).password
    assert password
    reads = (lambda: store.positions(["a"], as_of=NOON), store.all_positions, store.check)
    for read in reads:
        with a_few_seconds(), pytest.raises(DataUnavailable, match=why) as caught:
            read()
        assert str(caught.value).startswith(store.place)
        assert str(caught.value).endswith(".")
        assert password not in str(caught.value)


def quantities(store: PostgresStore) -> dict[float, int]:
    counts: dict[float, int] = store.positions(["a"], as_of=NOON)["qty"].value_counts().to_dict()
    return counts


@TLS
def test_without_a_fault_the_proxy_changes_nothing(proxy: Proxy, direct: PostgresStore, tls: str) -> None:
    assert quantities(through(proxy, direct, tls=tls)) == {1.0: ROWS}


def test_a_server_that_is_down_is_unavailable(proxy: Proxy, direct: PostgresStore) -> None:
    store = through(proxy, direct)
    proxy.refuse()
    check_unavailable(store, r"can't be read \(.*refused.*\)\. See that the server is up")
    with pytest.raises(EngineError, match=r"can't be written .*Nothing of this write was kept; see that"):
        store.load_positions(book(1), updated_at=NOON)
    proxy.heal()
    assert quantities(store) == {1.0: ROWS}


@TLS
def test_a_server_that_accepts_and_says_nothing_is_unavailable_in_time(
    proxy: Proxy, direct: PostgresStore, tls: str
) -> None:
    proxy.hang()
    check_unavailable(through(proxy, direct, tls=tls), "no answer within 1 s")


def test_a_connect_timeout_of_the_address_doesnt_lengthen_the_wait(
    proxy: Proxy, direct: PostgresStore
) -> None:
    proxy.hang()
    store = through(proxy, direct)
    check_unavailable(PostgresStore(f"{store.url}&connect_timeout=60", timeout_s=1), "no answer within 1 s")


@TLS
def test_a_server_that_stops_in_mid_reply_is_unavailable_in_time(
    proxy: Proxy, direct: PostgresStore, tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = postgres_schema.usable_tables

    def look_up_and_hang(cursor: Any) -> Any:
        tables = look_up(cursor)
        proxy.hang()
        return tables

    monkeypatch.setattr(postgres_store, "usable_tables", look_up_and_hang)
    store = through(proxy, direct, tls=tls)
    with a_few_seconds(), pytest.raises(DataUnavailable, match="no answer within 1 s"):
        store.positions(["a"], as_of=NOON)


@TLS
@pytest.mark.parametrize("sent", [0, 1, 100, 1000, 4000, 20_000, 60_000])
def test_a_connection_that_is_reset_gives_no_part_of_a_book(
    proxy: Proxy, direct: PostgresStore, sent: int, tls: str
) -> None:
    proxy.cut_after(sent)
    store = through(proxy, direct, tls=tls)
    with a_few_seconds(), pytest.raises(DataUnavailable, match=r"can't be read \(.+\)\. See that"):
        store.positions(["a"], as_of=NOON)


@TLS
def test_a_server_that_talks_nonsense_is_unavailable(proxy: Proxy, direct: PostgresStore, tls: str) -> None:
    proxy.garble()
    check_unavailable(through(proxy, direct, tls=tls))


def test_nonsense_in_mid_conversation_is_unavailable(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = postgres_schema.usable_tables

    def look_up_and_garble(cursor: Any) -> Any:
        tables = look_up(cursor)
        proxy.garble()
        return tables

    monkeypatch.setattr(postgres_store, "usable_tables", look_up_and_garble)
    store = through(proxy, direct, tls="disable")
    with a_few_seconds(), pytest.raises(DataUnavailable):
        store.positions(["a"], as_of=NOON)


def test_a_slow_server_is_read_while_it_is_in_time(proxy: Proxy, direct: PostgresStore) -> None:
    store = through(proxy, direct)
    proxy.slow(0.001)
    assert quantities(PostgresStore(store.url, timeout_s=20)) == {1.0: ROWS}
    proxy.slow(0.5)
    check_unavailable(store, "no answer within 1 s")


def test_another_protocol_on_the_port_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        check_unavailable(
            PostgresStore(f"postgresql://u:hunter2@127.0.0.1:{listener.getsockname()[1]}/t", timeout_s=1)
        )
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def sessions(url: str) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'execution-engine'"
    with psycopg.connect(url) as connection:
        return int(connection.execute(f"{query} AND datname = current_database()").fetchall()[0][0])


def wait_until_the_sessions_end(url: str) -> None:
    ends_at = time.monotonic() + 20
    while sessions(url):
        assert time.monotonic() < ends_at
        time.sleep(0.05)


def test_a_query_that_takes_for_ever_is_ended_on_the_server_too(direct: PostgresStore) -> None:
    with psycopg.connect(direct.url) as connection:
        connection.execute("DROP TABLE broker_positions")
        connection.execute(
            "CREATE VIEW broker_positions AS SELECT 'a'::text AS broker_account_id, 'SPY'::text AS symbol,"
            " 1::numeric AS qty FROM (SELECT pg_sleep(60) OFFSET 0) AS slept"
        )
    store = PostgresStore(direct.url, timeout_s=1)
    with (
        a_few_seconds(),
        pytest.raises(DataUnavailable, match=r"statement timeout\)\. See what keeps the server"),
    ):
        store.all_positions()
    wait_until_the_sessions_end(direct.url)


def test_a_lock_that_is_held_for_ever_is_not_waited_for(direct: PostgresStore) -> None:
    store = PostgresStore(direct.url, timeout_s=1)
    with psycopg.connect(direct.url) as connection:
        connection.execute("LOCK TABLE broker_positions")
        check_unavailable(store, r"lock timeout\)\. End the session that holds a lock")
        with pytest.raises(
            EngineError, match=r"lock timeout\)\. Nothing of this write was kept; end the session"
        ):
            store.load_positions(book(1, 2.0), updated_at=NOON)
    assert quantities(direct) == {1.0: ROWS}


def test_a_session_that_is_ended_is_unavailable(
    direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = postgres_schema.usable_tables

    def look_up_and_die(cursor: Any) -> Any:
        tables = look_up(cursor)
        with psycopg.connect(direct.url) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [cursor.connection.info.backend_pid])
        return tables

    monkeypatch.setattr(postgres_store, "usable_tables", look_up_and_die)
    check_unavailable(direct, r"terminating connection|closed the connection")


# --- writes


def on_commit(monkeypatch: pytest.MonkeyPatch, fault: Callable[[], None]) -> None:
    """Let ``fault`` happen after all of a write has reached the server, and before its commit has."""
    begin = postgres_server._Commit.begin

    def begin_with_a_fault(self: postgres_server._Commit) -> None:
        begin(self)
        fault()

    monkeypatch.setattr(postgres_server._Commit, "begin", begin_with_a_fault)


def test_a_lost_answer_to_a_commit_is_not_taken_for_a_write_that_failed(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_commit(monkeypatch, lambda: proxy.cut_after(0))
    with pytest.raises(
        EngineError, match=r"Whether this write was kept isn't known.*repeat it, which is safe"
    ):
        through(proxy, direct).load_positions(book(3, 2.0), updated_at=NOON)
    wait_until_the_sessions_end(direct.url)
    assert quantities(direct) == {2.0: 3}


def test_a_commit_that_gets_no_answer_is_not_taken_for_a_write_that_failed(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_commit(monkeypatch, proxy.hang)
    with a_few_seconds(), pytest.raises(EngineError, match=r"no answer within 1 s.* kept isn't known"):
        through(proxy, direct).load_positions(book(3, 2.0), updated_at=NOON)


def test_a_commit_that_the_server_refuses_keeps_nothing(direct: PostgresStore) -> None:
    with psycopg.connect(direct.url) as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'not today'; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER refused AFTER INSERT OR UPDATE ON broker_positions"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    with pytest.raises(EngineError, match=r"not today.*Nothing of this write was kept"):
        direct.load_positions(book(3, 2.0), updated_at=NOON)
    assert quantities(direct) == {1.0: ROWS}


def test_a_write_that_was_given_up_before_its_commit_is_never_kept(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = postgres_writing._check_kept

    def hang_and_check(cursor: Any) -> None:
        proxy.hang()
        check(cursor)

    monkeypatch.setattr(postgres_writing, "_check_kept", hang_and_check)
    with (
        a_few_seconds(),
        pytest.raises(EngineError, match=r"no answer within 1 s.*Nothing of this write was kept"),
    ):
        through(proxy, direct).load_positions(book(3, 2.0), updated_at=NOON)
    proxy.heal()
    wait_until_the_sessions_end(direct.url)
    assert quantities(direct) == {1.0: ROWS}


@pytest.mark.parametrize("sent", [0, 100, 500, 1000, 1400])
def test_a_write_that_is_cut_off_leaves_the_book_before_it_or_after_it(
    proxy: Proxy, direct: PostgresStore, sent: int
) -> None:
    proxy.cut_after(sent)
    with a_few_seconds(), pytest.raises(EngineError, match=r"Nothing of this write was kept|isn't known"):
        through(proxy, direct, tls="disable").load_positions(book(3, 2.0), updated_at=NOON)
    wait_until_the_sessions_end(direct.url)
    assert quantities(direct) in ({1.0: ROWS}, {2.0: 3})


def test_a_standby_says_to_name_the_primary(direct: PostgresStore) -> None:
    store = PostgresStore(f"{direct.url}?options=-cdefault_transaction_read_only%3Don")
    with pytest.raises(EngineError, match=r"read-only transaction\)\. Nothing .* kept; name the primary"):
        store.load_positions(book(1), updated_at=NOON)
    assert quantities(store) == {1.0: ROWS}


# --- a whole book and its mark


def mark(turn: int) -> SyncMark:
    timestamp = (NOON + timedelta(seconds=turn)).to_pydatetime()
    return SyncMark(synced_at=timestamp, trading_date=date(2026, 3, 2), reconciled_on=None, open_breaks=turn)


def keep(store: PostgresStore, turn: int) -> int:
    """Sync 2,000 positions of that many shares each, and say so in the mark; each turn has a new symbol."""
    symbols = [*(f"S{n}" for n in range(1999)), f"T{turn}"]
    frame = pd.DataFrame({"symbol": symbols, "qty": float(turn), "avg_price": 1.0, "market_value": 1.0})
    return store.keep_book("synced", frame, mark=mark(turn))


def kept_turn(store: PostgresStore) -> int:
    """Return the turn of the book that is kept: of every row of it, and of its mark."""
    frame = store.positions(["synced"], as_of=NOON)
    mark_kept = store.sync_mark("synced")
    assert mark_kept is not None
    turn = mark_kept.open_breaks
    assert mark_kept == mark(turn)
    held = dict(zip(frame["symbol"], frame["qty"], strict=True))
    assert {symbol for symbol, qty in held.items() if qty} == {*(f"S{n}" for n in range(1999)), f"T{turn}"}
    assert {qty for qty in held.values() if qty} == {float(turn)}
    return turn


BEFORE = {
    "the mark": "INSERT INTO public.broker_position_syncs",
    "the temporary table": "CREATE TEMPORARY TABLE",
    "what is there": "UPDATE public.broker_positions AS held SET\n    qty = new.qty",
    "what is new": "INSERT INTO public.broker_positions\n",
    "what vanished": "SET qty = 0",
    "reading back": "SELECT new.broker_account_id::text",
}


def before(step: str, monkeypatch: pytest.MonkeyPatch, fault: Callable[[], None]) -> list[str]:
    """Let ``fault`` happen right before a statement; gives that statement once it was met."""
    execute = psycopg.Cursor.execute
    met: list[str] = []

    def execute_with_a_fault(self: Any, query: Any, *values: Any) -> Any:
        if BEFORE[step] in str(query) and not met:
            met.append(str(query))
            fault()
        return execute(self, query, *values)

    monkeypatch.setattr(psycopg.Cursor, "execute", execute_with_a_fault)
    return met


@pytest.mark.parametrize("step", BEFORE)
def test_a_sync_that_is_cut_off_half_way_changes_nothing(
    proxy: Proxy, direct: PostgresStore, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(direct, 1)
    with monkeypatch.context() as patch:
        met = before(step, patch, lambda: proxy.cut_after(0))
        with a_few_seconds(), pytest.raises(EngineError, match="Nothing of this write was kept"):
            keep(through(proxy, direct), 2)
        assert met
    wait_until_the_sessions_end(direct.url)
    assert kept_turn(direct) == 1
    proxy.heal()
    assert keep(through(proxy, direct), 2) == 2001
    assert kept_turn(direct) == 2


@TLS
@pytest.mark.parametrize("sent", [0, 100, 500, 1000, 1400, 2000])
def test_a_sync_whose_connection_is_reset_leaves_the_book_before_it_or_after_it(
    proxy: Proxy, direct: PostgresStore, sent: int, tls: str
) -> None:
    keep(direct, 1)
    proxy.cut_after(sent)
    with a_few_seconds(), pytest.raises(EngineError, match=r"Nothing of this write was kept|isn't known"):
        keep(through(proxy, direct, tls=tls), 2)
    wait_until_the_sessions_end(direct.url)
    assert kept_turn(direct) in {1, 2}


def test_a_sync_whose_commit_got_no_answer_may_be_repeated(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(direct, 1)
    with monkeypatch.context() as patch:
        on_commit(patch, lambda: proxy.cut_after(0))
        with pytest.raises(EngineError, match=r"Whether this write was kept isn't known.*repeat it"):
            keep(through(proxy, direct), 2)
    wait_until_the_sessions_end(direct.url)
    assert kept_turn(direct) == 2
    proxy.heal()
    assert keep(through(proxy, direct), 2) == 2001
    assert kept_turn(direct) == 2


def test_a_sync_that_was_given_up_before_its_commit_is_never_kept(
    proxy: Proxy, direct: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(direct, 1)
    with monkeypatch.context() as patch:
        before("reading back", patch, proxy.hang)
        with (
            a_few_seconds(),
            pytest.raises(EngineError, match=r"no answer within 1 s.*Nothing of this write"),
        ):
            keep(through(proxy, direct), 2)
    proxy.heal()
    wait_until_the_sessions_end(direct.url)
    assert kept_turn(direct) == 1


def test_a_sync_waits_for_another_of_its_account_no_longer_than_it_may(direct: PostgresStore) -> None:
    keep(direct, 1)
    with psycopg.connect(direct.url) as connection:
        connection.execute("UPDATE broker_position_syncs SET open_breaks = 1")
        with (
            a_few_seconds(),
            pytest.raises(EngineError, match=r"lock timeout\)\. Nothing .* kept; end the session that holds"),
        ):
            keep(PostgresStore(direct.url, timeout_s=1), 2)
    assert kept_turn(direct) == 1


def test_a_server_that_is_down_says_nothing_of_syncs(proxy: Proxy, direct: PostgresStore) -> None:
    keep(direct, 1)
    store = through(proxy, direct)
    proxy.refuse()
    with pytest.raises(DataUnavailable, match="can't be read"):
        store.sync_mark("synced")
    with pytest.raises(EngineError, match="Nothing of this write was kept"):
        keep(store, 2)
    proxy.heal()
    assert kept_turn(direct) == 1


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('FATAL:  too many connections for role "desk"', "CONNECTION LIMIT"),
        ('FATAL:  too many connections for database "book"', "CONNECTION LIMIT"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", "max_connections"),
        ("FATAL:  no more connections allowed (max_client_conn)", "max_client_conn"),
        ("FATAL:  unsupported startup parameter in options: statement_timeout", "`options=`"),
        ("FATAL:  unsupported startup parameter: extra_float_digits", "pgbouncer.ini"),
        ('FATAL:  role "desk" does not exist', "name a role"),
        ('FATAL:  database "book" does not exist', "name a database"),
    ],
)
def test_what_keeps_a_connection_away_has_a_remedy_of_its_own(said: str, remedy: str) -> None:
    server = postgres_server.Server("postgresql://desk@127.0.0.1:1/book", 1)
    assert remedy in server._remedy(psycopg.OperationalError(f"connection to server failed: {said}"))


def test_a_role_without_a_connection_left_is_reported_so(direct: PostgresStore) -> None:
    with psycopg.connect(direct.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS crowded")
        connection.execute("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 0")
    parts = urlsplit(direct.url)
    url = parts._replace(netloc=f"crowded:crowded@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(DataUnavailable, match="too many connections for role") as told:
        PostgresStore(url).check()
    assert "CONNECTION LIMIT" in str(told.value)
    assert "name a role" not in str(told.value)
