"""Protection against DNS rebinding: a server answers known host names only.

A web page of evil.example, once that name resolves to 127.0.0.1, is same-origin with a server there and can
read its replies. Its requests have ``Host: evil.example``; ours have an address or a configured name. For a
websocket a page needs no such name: browsers let every page connect, and say in ``Origin`` whose it is.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection

from starlette.types import ASGIApp, Receive, Scope, Send

_EVERY_ADDRESS = ("", "0.0.0.0", "::")
_GUARDED = {"http": "http.response", "websocket": "websocket.http.response"}
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:]+)(:[0-9]{1,5})?")


def only_known_hosts(app: ASGIApp, host: str, others: Collection[str] = ()) -> ASGIApp:
    """Return an app that answers 421 to requests for any host but loopback, ``host`` and ``others``.

    So it does to websockets of web pages of other hosts.

    Where ``host`` stands for every address of this machine, any address is accepted, and only the names in
    ``others``. Requests without a ``Host`` are accepted: no browser sends them.
    """
    names = {name.lower().rstrip(".") for name in (host, *others) if name}
    on_every_address = host in _EVERY_ADDRESS

    def is_known(value: bytes) -> bool:
        match = _HOST.fullmatch(value)
        if match is None:
            return False
        name = match[1].decode("latin-1").strip("[]").lower().rstrip(".")
        if name in names or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or on_every_address

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "websocket":
            hosts += [_host_of(value) for name, value in scope["headers"] if name == b"origin"]
        if scope["type"] not in _GUARDED or all(map(is_known, hosts)):
            await app(scope, receive, send)
            return
        message = (
            "The simulator doesn't answer to this host name. Use the address that it printed, or start it "
            "with --host-name NAME."
        )
        body = json.dumps({"message": message}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        kind = _GUARDED[scope["type"]]
        await send({"type": f"{kind}.start", "status": 421, "headers": headers})
        await send({"type": f"{kind}.body", "body": body})

    return guarded


def _host_of(origin: bytes) -> bytes:
    return origin.partition(b"://")[2]
