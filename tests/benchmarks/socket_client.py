"""A client that takes next to no time: four connections, one request at a time on each.

Called as a process of its own, ``socket_client.py ADDRESS KIND COUNT``; prints the seconds that each thousand
answers took, as JSON. Any answer but 200 ends it.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from itertools import count
from urllib.parse import urlsplit

EACH = 1_000
_CONNECTIONS = 4
# Of the list that is shipped; many, so that no symbol's book is all there is.
_SYMBOLS = (
    "AAPL",
    "MSFT",
    "AMZN",
    "GOOG",
    "META",
    "NVDA",
    "TSLA",
    "JPM",
    "V",
    "UNH",
    "HD",
    "PG",
    "MA",
    "XOM",
)


def requests_of(kind: str) -> Iterator[bytes]:
    """Yield one request after the other."""
    if kind == "hello":
        request = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
        while True:
            yield request
    for number in count():
        body = (
            f'{{"symbol":"{_SYMBOLS[number % len(_SYMBOLS)]}","qty":"1","side":"buy","type":"market",'
            f'"time_in_force":"day","client_order_id":"order-{number}"}}'
        )
        yield (
            "POST /v2/orders HTTP/1.1\r\nHost: localhost\r\nAPCA-API-KEY-ID: test-key\r\n"
            "APCA-API-SECRET-KEY: test-secret\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def answered(connection: socket.socket) -> None:
    """Read one answer; exits if it isn't 200."""
    got = connection.recv(65536)
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += connection.recv(65536)
    head = got[:end].lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(got) < end + 4 + length:
        got += connection.recv(65536)
    if not head.startswith(b"http/1.1 200"):
        sys.exit(got.decode("utf-8", "replace"))


def main(address: str, kind: str, total: int) -> list[float]:
    """Send so many requests; gives the seconds of each thousand."""
    url = urlsplit(address)
    asked, spans, done = requests_of(kind), [], 0
    with selectors.DefaultSelector() as selector:
        connections = [
            socket.create_connection((url.hostname or "", url.port or 0)) for _ in range(_CONNECTIONS)
        ]
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(next(asked))
        begin = time.perf_counter()
        while done < total:
            for key, _ in selector.select():
                ready: socket.socket = key.data
                answered(ready)
                ready.sendall(next(asked))
                done += 1
                if done % EACH == 0:
                    spans.append(time.perf_counter() - begin)
                    begin = time.perf_counter()
        for connection in connections:
            connection.close()
    return spans


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
