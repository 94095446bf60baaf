from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.servers.proxy import NONSENSE, Proxy

A_WHILE_S = 0.2


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """The address of a server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve_echoes, args=[listener])
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve_echoes(listener: socket.socket) -> None:
    with contextlib.ExitStack() as served:
        while True:
            try:
                client = served.enter_context(listener.accept()[0])
            except OSError:
                return
            thread = threading.Thread(target=_echo, args=[client])
            thread.start()
            served.callback(thread.join)


def _echo(client: socket.socket) -> None:
    with contextlib.suppress(OSError), client:
        while chunk := client.recv(65536):
            client.sendall(chunk)


@pytest.fixture
def proxy(echo: tuple[str, int], proxy_to: Callable[[str, int], Proxy]) -> Proxy:
    return proxy_to(*echo)


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=5)


def ask(client: socket.socket, question: bytes) -> bytes:
    """Send, and receive as many bytes as were sent, or those that come before an orderly end."""
    client.sendall(question)
    answer = b""
    while len(answer) < len(question) and (chunk := client.recv(len(question) - len(answer))):
        answer += chunk
    return answer


def hears_nothing(client: socket.socket) -> bool:
    client.settimeout(A_WHILE_S)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(5)
    return False


def test_left_alone_it_forwards_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"first") == b"first"
        assert ask(client, b"second") == b"second"


def test_it_counts_connections(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        ask(one, b"x")
        ask(two, b"x")
    assert proxy.connections == 2


def test_more_than_the_buffers_hold_gets_through_both_ways_at_once(proxy: Proxy) -> None:
    megabytes = bytes(range(256)) * 100_000
    with connect(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=[megabytes])
        sender.start()
        time.sleep(A_WHILE_S)
        received = bytearray()
        while len(received) < len(megabytes):
            received += client.recv(1 << 20)
        sender.join()
    assert received == megabytes


def test_the_end_of_a_request_is_forwarded_and_the_answer_still_arrives(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            assert answer.read() == b"last words"


def test_a_server_that_is_not_there_ends_the_connection(proxy_to: Callable[[str, int], Proxy]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with connect(proxy_to(*address)) as client:
        assert client.recv(1) == b""


def test_refused_means_connection_refused(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_refusing_ends_open_connections(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"x")
        proxy.refuse()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_healed_from_refusing_it_listens_on_the_same_port(proxy: Proxy) -> None:
    port = proxy.port
    proxy.refuse()
    proxy.heal()
    assert proxy.port == port
    with connect(proxy) as client:
        assert ask(client, b"back") == b"back"


def test_another_fault_after_refusing_listens_again(proxy: Proxy) -> None:
    proxy.refuse()
    proxy.garble()
    with connect(proxy) as client:
        assert ask(client, bytes(len(NONSENSE))) == NONSENSE


def test_hanging_it_accepts_and_says_nothing(proxy: Proxy) -> None:
    proxy.hang()
    with connect(proxy) as client:
        client.sendall(b"anyone?")
        assert hears_nothing(client)


def test_hanging_it_is_silent_on_open_connections_too(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"x")
        proxy.hang()
        client.sendall(b"anyone?")
        assert hears_nothing(client)


def test_hanging_requests_do_not_reach_the_server(proxy_to: Callable[[str, int], Proxy]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = proxy_to(*listener.getsockname())
        proxy.hang()
        with connect(proxy) as client, listener.accept()[0] as server:
            client.sendall(b"anyone?")
            assert hears_nothing(server)


def test_what_hung_is_delivered_when_healed(proxy: Proxy) -> None:
    proxy.hang()
    with connect(proxy) as client:
        client.sendall(b"late")
        assert hears_nothing(client)
        proxy.heal()
        assert client.recv(4) == b"late"


def test_what_hung_when_the_server_went_down_is_not_delivered(
    proxy_to: Callable[[str, int], Proxy],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = proxy_to(*listener.getsockname())
        proxy.hang()
        with connect(proxy) as client, listener.accept()[0] as server:
            client.sendall(b"lost")
            assert hears_nothing(client)
            proxy.refuse()
            with contextlib.suppress(ConnectionResetError):
                assert server.recv(4) == b""


@pytest.mark.parametrize("n_bytes", [0, 1, 7])
def test_cut_after_n_bytes_that_many_arrive_and_then_a_reset(proxy: Proxy, n_bytes: int) -> None:
    proxy.cut_after(n_bytes)
    with connect(proxy) as client:
        client.sendall(b"0123456789")
        if n_bytes:
            assert client.recv(100) == b"0123456789"[:n_bytes]
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def test_cutting_counts_over_several_answers(proxy: Proxy) -> None:
    proxy.cut_after(6)
    with connect(proxy) as client:
        assert ask(client, b"1234") == b"1234"
        client.sendall(b"5678")
        assert client.recv(2) == b"56"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_cutting_counts_an_open_connection_from_now(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"before") == b"before"
        proxy.cut_after(3)
        client.sendall(b"after")
        assert client.recv(3) == b"aft"
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_cut_after_nothing_the_request_has_still_arrived(proxy_to: Callable[[str, int], Proxy]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = proxy_to(*listener.getsockname())
        proxy.cut_after(0)
        with connect(proxy) as client, listener.accept()[0] as server:
            client.sendall(b"buy")
            assert server.recv(3) == b"buy"
            server.sendall(b"bought")
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_every_connection_is_cut_until_healed(proxy: Proxy) -> None:
    proxy.cut_after(0)
    for _ in range(3):
        with connect(proxy) as client, pytest.raises(ConnectionResetError):
            ask(client, b"x")
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client, b"x") == b"x"


def test_garbled_the_answer_is_nonsense_and_then_the_end(proxy: Proxy) -> None:
    proxy.garble()
    with connect(proxy) as client:
        client.sendall(b"hello")
        with client.makefile("rb") as answer:
            assert answer.read() == NONSENSE


def test_slowed_down_an_answer_is_late_by_both_delays_and_whole(proxy: Proxy) -> None:
    proxy.slow(A_WHILE_S)
    with connect(proxy) as client:
        asked_at = time.monotonic()
        assert ask(client, b"at last") == b"at last"
        assert time.monotonic() - asked_at >= 2 * A_WHILE_S


def test_closing_frees_the_port_and_ends_every_thread(echo: tuple[str, int]) -> None:
    threads_before = set(threading.enumerate())
    with Proxy(*echo) as proxy, connect(proxy) as idle, connect(proxy) as hung:
        ask(idle, b"x")
        proxy.hang()
        hung.sendall(b"anyone?")
        proxy.close()
        left = {thread.name for thread in set(threading.enumerate()) - threads_before}
        assert not [name for name in left if "_run" in name or "_accept" in name]
        with socket.create_server(("127.0.0.1", proxy.port), reuse_port=False):
            pass
