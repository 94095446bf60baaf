"""Every endpoint of the trading and the market data API, and the app made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from replay.simulator.intake.data_messages import ENDPOINT_NOT_FOUND
from replay.simulator.intake.queries import parsed
from replay.simulator.intake.refusal import Refusal, not_found
from replay.simulator.wire.armed import Armed
from replay.simulator.wire.control import control_app
from replay.simulator.wire.delivery import Reply
from replay.simulator.wire.distortions import Distortions
from replay.simulator.wire.gate import DATA, TRADING, Gate
from replay.simulator.wire.simulation import Simulation
from replay.simulator.wire.stream import Stream

if TYPE_CHECKING:
    from replay.simulator.data.market_data import MarketData
    from replay.simulator.venue.venue import Venue


class Request:
    """A request as an endpoint receives it."""

    __slots__ = ("_body", "_parts", "_query")

    def __init__(self, parts: Mapping[str, str], query: bytes, body: bytes) -> None:
        self._parts = parts
        self._query = query
        self._body = body

    def __getitem__(self, name: str) -> str:
        """Return a parameter of the path."""
        return self._parts[name]

    @property
    def query(self) -> dict[str, str]:
        """The query parameters."""
        return parsed(self._query)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body, whatever the content type; raises Refusal if there is none."""
        try:
            body = orjson.loads(self._body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, 40010000, "request body format is invalid")
        return body


Action = Callable[["Venue", Request], object]

ENDPOINTS: tuple[tuple[str, str, int, Action], ...] = (
    ("POST", "/v2/orders", 200, lambda venue, request: venue.place_order(request.body)),
    ("GET", "/v2/orders/{order_id}", 200,
     lambda venue, request: venue.get_order(request["order_id"], request.query)),
    ("GET", "/v2/orders:by_client_order_id", 200,
     lambda venue, request: venue.get_order_by_client_order_id(request.query)),
    ("GET", "/v2/orders", 200, lambda venue, request: venue.list_orders(request.query)),
    ("DELETE", "/v2/orders/{order_id}", 204, lambda venue, request: venue.cancel_order(request["order_id"])),
    ("PATCH", "/v2/orders/{order_id}", 200,
     lambda venue, request: venue.replace_order(request["order_id"], request.body)),
    ("DELETE", "/v2/orders", 207, lambda venue, _: venue.cancel_all_orders()),
    ("GET", "/v2/positions", 200, lambda venue, _: venue.list_positions()),
    ("DELETE", "/v2/positions", 207, lambda venue, request: venue.close_all_positions(request.query)),
    ("GET", "/v2/positions/{key:path}", 200, lambda venue, request: venue.get_position(request["key"])),
    ("DELETE", "/v2/positions/{key:path}", 200,
     lambda venue, request: venue.close_position(request["key"], request.query)),
    ("GET", "/v2/account", 200, lambda venue, _: venue.account()),
    ("GET", "/v2/account/configurations", 200, lambda venue, _: venue.configurations()),
    ("PATCH", "/v2/account/configurations", 200, lambda venue, request: venue.configure(request.body)),
    ("GET", "/v2/account/activities", 200, lambda venue, request: venue.activities(None, request.query)),
    ("GET", "/v2/account/activities/{kind}", 200,
     lambda venue, request: venue.activities(request["kind"], request.query)),
    ("GET", "/v2/account/portfolio/history", 200,
     lambda venue, request: venue.portfolio_history(request.query)),
    ("GET", "/v2/watchlists", 200, lambda venue, _: venue.watchlists.all()),
    ("POST", "/v2/watchlists", 200, lambda venue, request: venue.watchlists.create(request.body)),
    ("GET", "/v2/watchlists:by_name", 200,
     lambda venue, request: venue.watchlists.get(venue.watchlists.id_of(request.query))),
    ("PUT", "/v2/watchlists:by_name", 200,
     lambda venue, request: venue.watchlists.update(venue.watchlists.id_of(request.query), request.body)),
    ("POST", "/v2/watchlists:by_name", 200,
     lambda venue, request: venue.watchlists.add(venue.watchlists.id_of(request.query), request.body)),
    ("DELETE", "/v2/watchlists:by_name", 204,
     lambda venue, request: venue.watchlists.delete(venue.watchlists.id_of(request.query))),
    ("GET", "/v2/watchlists/{list_id}", 200, lambda venue, request: venue.watchlists.get(request["list_id"])),
    ("PUT", "/v2/watchlists/{list_id}", 200,
     lambda venue, request: venue.watchlists.update(request["list_id"], request.body)),
    ("POST", "/v2/watchlists/{list_id}", 200,
     lambda venue, request: venue.watchlists.add(request["list_id"], request.body)),
    ("DELETE", "/v2/watchlists/{list_id}", 204,
     lambda venue, request: venue.watchlists.delete(request["list_id"])),
    ("DELETE", "/v2/watchlists/{list_id}/{symbol:path}", 200,
     lambda venue, request: venue.watchlists.remove(request["list_id"], request["symbol"])),
    ("GET", "/v2/corporate_actions/announcements", 200,
     lambda venue, request: venue.announcements(request.query)),
    ("GET", "/v2/corporate_actions/announcements/{id}", 200,
     lambda venue, request: venue.announcement(request["id"])),
    ("GET", "/v3/clock", 200, lambda venue, request: venue.clocks(request.query)),
    ("GET", "/v3/calendar/{market}", 200,
     lambda venue, request: venue.market_calendar(request["market"], request.query)),
    ("GET", "/v2/clock", 200, lambda venue, _: venue.clock_body()),
    ("GET", "/v2/calendar", 200, lambda venue, request: venue.calendar(request.query)),
    ("GET", "/v2/assets", 200, lambda venue, request: venue.list_assets(request.query)),
    ("GET", "/v2/assets/{key:path}", 200, lambda venue, request: venue.get_asset(request["key"])),
)  # fmt: skip


DATA_ENDPOINTS: tuple[tuple[str, str, int, Callable[[MarketData, Request], object]], ...] = (
    ("GET", "/v2/stocks/snapshots", 200, lambda data, asked: data.snapshots(asked.query)),
    ("GET", "/v2/stocks/quotes/latest", 200, lambda data, asked: data.latest("quote", asked.query)),
    ("GET", "/v2/stocks/trades/latest", 200, lambda data, asked: data.latest("trade", asked.query)),
    ("GET", "/v2/stocks/bars/latest", 200, lambda data, asked: data.latest("bar", asked.query)),
    ("GET", "/v2/stocks/bars", 200, lambda data, asked: data.bars(asked.query)),
    ("GET", "/v2/stocks/{symbol}/bars", 200, lambda data, asked: data.bars(asked.query, asked["symbol"])),
    ("GET", "/v2/stocks/{symbol}/snapshot", 200,
     lambda data, asked: data.snapshot(asked["symbol"], asked.query)),
    ("GET", "/v2/stocks/{symbol}/quotes/latest", 200,
     lambda data, asked: data.latest_of("quote", asked["symbol"], asked.query)),
    ("GET", "/v2/stocks/{symbol}/trades/latest", 200,
     lambda data, asked: data.latest_of("trade", asked["symbol"], asked.query)),
    ("GET", "/v2/stocks/{symbol}/bars/latest", 200,
     lambda data, asked: data.latest_of("bar", asked["symbol"], asked.query)),
)  # fmt: skip

Side = TypeVar("Side")
"""What endpoints ask: the venue, or its market data."""

Act = Callable[[Side, Request], object]


class Endpoints(Generic[Side]):
    """All endpoints of a table as one function: a request in, the reply out.

    ``side`` returns what they ask, given the faults in its data. ``unknown`` returns the refusal of a path
    that is not in the table.
    """

    def __init__(
        self,
        table: Iterable[tuple[str, str, int, Act[Side]]],
        side: Callable[[Distortions], Side],
        unknown: Callable[[], Refusal],
    ) -> None:
        self._side = side
        self._unknown = unknown
        paths: dict[str, dict[str, tuple[int, Act[Side]]]] = {}
        for method, path, status, action in table:
            paths.setdefault(path, {})[method] = (status, action)
        self._fixed = {path: actions for path, actions in paths.items() if "{" not in path}
        self._patterns = [(compile_path(path)[0], actions) for path, actions in paths.items()]

    def __call__(self, scope: Scope, body: bytes, drawn: Sequence[Armed] = ()) -> Reply:
        """Return the reply to a request; faults that are drawn may change market data."""
        distortions = Distortions(drawn)
        try:
            actions, parts = self._found(scope["path"])
            if (known := actions.get(scope["method"])) is None:
                return _wrong_method(actions)
            status, action = known
            answer = action(self._side(distortions), Request(parts, scope["query_string"], body))
        except Refusal as refusal:
            return Reply.of(refusal.status, refusal.body)
        finally:
            distortions.settle()
        return Reply(status) if status == 204 else Reply.of(status, answer)

    def _found(self, path: str) -> tuple[dict[str, tuple[int, Act[Side]]], Mapping[str, str]]:
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        for pattern, actions in self._patterns:
            if (match := pattern.match(path)) is not None:
                return actions, match.groupdict()
        raise self._unknown()


def build_app(simulation: Simulation) -> ASGIApp:
    """Return the whole app: Alpaca's endpoints behind the gate, its stream, and the control endpoints."""

    def data_of(faults: Distortions) -> MarketData:
        return simulation.data.distorted(faults)  # of the current venue, which a reset replaces

    # Without a framework's router and middleware, which cost every order some microseconds.
    trading = Endpoints(ENDPOINTS, lambda _: simulation.venue, lambda: not_found("endpoint not found."))
    data = Endpoints(DATA_ENDPOINTS, data_of, ENDPOINT_NOT_FOUND)
    gate, control = Gate(trading, simulation, TRADING), control_app(simulation)
    data_gate = Gate(data, simulation, DATA)
    stream = Stream(simulation)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await stream(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith("/simulator/") or path == "/simulator":
            await control(scope, receive, send)
        elif path.startswith("/v2/stocks/"):
            await data_gate(scope, receive, send)
        else:
            await gate(scope, receive, send)

    return app


def _wrong_method(actions: Mapping[str, object]) -> Reply:
    # Unproven: no recording has Alpaca's reply to a wrong method. Allow is required by RFC 9110, 15.5.6.
    reply = Reply.of(405, {"code": 40510000, "message": "method not allowed."})
    reply.headers.append((b"allow", ", ".join(actions).encode()))
    return reply
