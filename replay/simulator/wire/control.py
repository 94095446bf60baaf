"""The simulator's control endpoints, under ``/simulator/``: state, clock, faults, fill, split, asset, ….

They need no keys. A request from this machine is accepted unless a browser made it for a web page; any other
needs the token that is printed at the start, in the header ``X-Simulator-Token``. Files are written only
below the folder that was given at the start.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from hmac import compare_digest
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.errors import ConfigurationError
from engine.text.printable import shown
from replay.simulator import decimals
from replay.simulator.intake.refusal import Refusal
from replay.simulator.wire import faults
from replay.simulator.wire.faults import StuckPendingCancel
from replay.simulator.wire.saving import Outside, write_below
from replay.simulator.wire.simulation import Simulation

_TOKEN = "X-Simulator-Token"
_ASSET_FLAGS = ("tradable", "shortable", "fractionable")
_Act = Callable[[Simulation, Request, dict[str, Any]], object]


def control_app(simulation: Simulation) -> ASGIApp:
    """Return the app of the control endpoints, which admits requests from this machine or with the token."""
    routes = [
        Route(f"/simulator/{path}", _endpoint(simulation, act), methods=[method])
        for method, path, act in _ENDPOINTS
    ]
    handlers = {HTTPException: _refused}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if not (_has_token(scope, simulation.control_token) or _from_here(scope)):
            message = (
                f"/simulator/ accepts requests from this machine only, and not from web pages. Use curl on "
                f"this machine, or send the token that was printed at the start: -H '{_TOKEN}: ...'."
            )
            await _json(403, {"message": message})(scope, receive, send)
            return
        await app(scope, receive, send)

    return guarded


def _state(simulation: Simulation, _: Request, __: dict[str, Any]) -> object:
    return simulation.state()


def _reset(simulation: Simulation, _: Request, __: dict[str, Any]) -> object:
    simulation.reset()
    return {"reset": True}


def _save(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    example = '"path": "state.json"'
    path = _text(body, "path", "the name of a JSON file to write", example)
    if simulation.save_dir is None:
        raise ConfigurationError("There is no folder to save to. Start the simulator with --save-dir FOLDER.")
    if not path.endswith(".json"):
        raise _wrong("path", path, "a path that ends in .json", example)
    try:
        size = write_below(simulation.save_dir, path, orjson.dumps(simulation.state()))
    except Outside as error:
        raise _wrong("path", path, str(error), example) from error
    except (OSError, ValueError) as error:
        rule = f"a file that can be written ({getattr(error, 'strerror', error)})"
        raise _wrong("path", path, rule, example) from error
    return {"path": str(simulation.save_dir.resolve() / path), "bytes": size}


def _clock(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    if len(body) != 1 or not body.keys() <= {"advance_s", "set", "speed"}:
        raise _wrong("body", body, "one of advance_s, set and speed", '{"advance_s": 60}')
    clock = simulation.clock
    if "set" in body:
        clock.set(_timestamp_ns(body))
    elif "advance_s" in body:
        clock.advance(_seconds(body, "advance_s"))
    else:
        clock.run(_speed(body))
    simulation.venue.advance()
    return simulation.venue.clock_body()


def _list_faults(simulation: Simulation, _: Request, __: dict[str, Any]) -> object:
    return simulation.faults.as_json()


def _add_fault(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    return simulation.faults.add(faults.from_json(body)).as_json()


def _clear_faults(simulation: Simulation, _: Request, __: dict[str, Any]) -> object:
    simulation.disarm()
    return []


def _remove_fault(simulation: Simulation, request: Request, _: dict[str, Any]) -> object:
    number = request.path_params["number"]
    if not re.fullmatch("[0-9]{1,9}", number) or not simulation.faults.remove(int(number)):
        raise Refusal(404, None, f"there is no fault {number}. GET /simulator/faults lists them.")
    if not simulation.faults.holds(StuckPendingCancel):
        simulation.venue.release_cancels()
    return simulation.faults.as_json()


def _fill(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    order_id = _text(body, "order_id", "the id of an open order", '"order_id": "…"')
    qty = None if body.get("qty") is None else _decimal(body, "qty")
    simulation.venue.advance()
    simulation.venue.fill_now(order_id, qty, beyond=body.get("beyond") is True)
    return simulation.venue.get_order(order_id, {})


def _split(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    symbol = _text(body, "symbol", "a symbol", '"symbol": "AAPL"')
    simulation.venue.advance()
    simulation.venue.split(symbol, _decimal(body, "ratio"))
    return simulation.venue.list_positions()


def _asset(simulation: Simulation, _: Request, body: dict[str, Any]) -> object:
    symbol = _text(body, "symbol", "a symbol", '"symbol": "AAPL"')
    changes = {name: value for name, value in body.items() if name != "symbol"}
    if not changes or not changes.keys() <= {*_ASSET_FLAGS, "status"}:
        raise _wrong("body", body, f"symbol and {', '.join(_ASSET_FLAGS)} or status", '"tradable": false')
    for name in changes.keys() & set(_ASSET_FLAGS):
        if not isinstance(changes[name], bool):
            raise _wrong(name, changes[name], "true or false", f'"{name}": false')
    if changes.get("status", "active") not in ("active", "inactive"):
        raise _wrong("status", changes["status"], "active or inactive", '"status": "inactive"')
    return simulation.venue.change_asset(symbol, **changes)


_ENDPOINTS: tuple[tuple[str, str, _Act], ...] = (
    ("GET", "state", _state),
    ("POST", "reset", _reset),
    ("POST", "save", _save),
    ("POST", "clock", _clock),
    ("GET", "faults", _list_faults),
    ("POST", "faults", _add_fault),
    ("DELETE", "faults", _clear_faults),
    ("DELETE", "faults/{number}", _remove_fault),
    ("POST", "fill", _fill),
    ("POST", "split", _split),
    ("POST", "asset", _asset),
)


def _endpoint(simulation: Simulation, act: _Act) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            raw = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        try:
            body = _object(orjson.loads(raw or b"{}"))
            with simulation.lock:
                return _json(200, act(simulation, request, body))
        except orjson.JSONDecodeError as error:
            return _json(400, {"message": f"the body is not JSON: {error}. Send a JSON object."})
        except ConfigurationError as error:
            return _json(422, {"message": str(error)})
        except Refusal as refusal:
            return _json(refusal.status, refusal.body)
        except Exception as error:
            simulation.failed(f"{request.method} {request.url.path}", error)
            return _json(500, {"message": f"the simulator failed: {error}"})

    return answer


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    known = ", ".join(f"{method} /simulator/{path}" for method, path, _ in _ENDPOINTS)
    headers = {"Allow": ", ".join(_methods(request.url.path))} if status == 405 else {}
    return _json(status, {"message": f"There is no such control endpoint. There are {known}."}, headers)


def _methods(path: str) -> list[str]:
    """Return the methods of an endpoint; a GET implies a HEAD."""
    found = [
        method for method, known, _ in _ENDPOINTS if compile_path(f"/simulator/{known}")[0].fullmatch(path)
    ]
    return ["HEAD", *found] if "GET" in found else found


def _json(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def _has_token(scope: Scope, token: str) -> bool:
    sent = dict(scope["headers"]).get(_TOKEN.lower().encode(), b"")
    return bool(token) and compare_digest(sent, token.encode())


def _from_here(scope: Scope) -> bool:
    # A web page in a browser on this machine could otherwise make the simulator write files.
    if any(name in (b"origin", b"sec-fetch-site") for name, _ in scope["headers"]):
        return False
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def _wrong(key: str, value: object, rule: str, example: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {shown(value)}; expected {rule}. Write {example}.")


def _object(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise _wrong("body", body, "a JSON object", "{…}")
    return body


def _text(body: dict[str, Any], key: str, rule: str, example: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise _wrong(key, value, rule, example)
    return value


def _decimal(body: dict[str, Any], key: str) -> Decimal:
    value = body.get(key)
    number = decimals.number(value)
    if number is None or number <= 0 or decimals.places(number) > 9:
        raise _wrong(key, value, "a positive decimal number", f'"{key}": "2"')
    return number


def _seconds(body: dict[str, Any], key: str) -> float:
    value = body[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise _wrong(key, value, "a positive number", f'"{key}": 60')
    return float(value)


def _speed(body: dict[str, Any]) -> float:
    value = body["speed"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise _wrong("speed", value, "a positive number, or 0 to stop the clock", '"speed": 60')
    return float(value)


def _timestamp_ns(body: dict[str, Any]) -> int:
    example = '"set": "2026-03-02T15:30:00-05:00"'
    try:
        timestamp = datetime.fromisoformat(_text(body, "set", "a time with its offset", example))
    except ValueError:
        timestamp = None
    if timestamp is None or timestamp.tzinfo is None:
        raise _wrong("set", body["set"], "a time with its offset", example)
    return round(timestamp.timestamp()) * 1_000_000_000
