"""Cassettes: HTTP traffic in vcrpy's form, as written by ``engine``, by vcrpy or by hand.

JSON and YAML are read without running code: YAML by the safe loader, without merge keys, and with aliases
only while their expansion stays within bounds. Errors name the field, its place and its value.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from engine.errors import RecordError
from engine.text.printable import shown
from replay.yaml_bounds import why_unbounded

LARGEST_JSON = 1 << 30
LARGEST_YAML = 1 << 26
LARGEST_EXPANDED = 1 << 27
"""Characters and values of YAML with its aliases expanded; many aliases may name the same list."""
LARGEST_BODY = 1 << 25
_ZLIB_ANY = 32 + zlib.MAX_WBITS  # zlib or gzip, detected by the header
_MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A request with its reply, or with the error where there was none.

    ``target``: path and query. ``account``: "" where not recorded. ``started_at``: ISO 8601, "" where not
    recorded. ``job``: the number of the job that made it, from 1; a resumed run has several. Without a
    reply ``status`` is 0 and ``error`` has the reason.
    """

    number: int
    method: str
    target: str
    body: bytes
    account: str = ""
    started_at: str = ""
    job: int = 1
    status: int = 0
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    error: str = ""


def read_cassette(name: str, content: bytes) -> list[Interaction]:
    """Return a cassette's interactions in their order, including those without a reply.

    ``name`` appears in messages; its suffix decides between YAML and JSON. Raises ``RecordError``.
    """
    parsed = _parsed(name, content)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("interactions"), list):
        raise _wrong(name, f"it is {_kind(parsed)}", "a mapping with a list of interactions")
    unanswered = parsed.get("unanswered") or []
    if not isinstance(unanswered, list):
        raise _wrong(name, f"its unanswered is {_kind(unanswered)}", "a list")
    answered = list(_interactions(name, "interaction", parsed["interactions"]))
    lost = list(_interactions(name, "unanswered request", unanswered))
    return sorted([*answered, *lost], key=lambda one: one.number)


def _parsed(name: str, content: bytes) -> object:
    is_yaml = name.lower().endswith((".yaml", ".yml"))
    if not is_yaml and not name.lower().endswith(".json"):
        is_yaml = content.lstrip()[:1] != b"{"
    largest = LARGEST_YAML if is_yaml else LARGEST_JSON
    if len(content) > largest:
        raise _wrong(name, f"it has {len(content)} bytes", f"at most {largest}")
    return _yaml(name, content) if is_yaml else _json(name, content)


def _json(name: str, content: bytes) -> object:
    import orjson

    try:
        parsed: object = orjson.loads(content)
    except ValueError:
        try:
            parsed = json.loads(content)  # lone surrogates and NaN, which json writes and orjson refuses
        except (ValueError, RecursionError) as error:
            raise _wrong(name, f"it is not JSON ({error})", "a whole cassette") from None
    return parsed


def _yaml(name: str, content: bytes) -> object:
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise RecordError(
            f"{name} is YAML, and PyYAML is not installed. Run make notebooks in the clone of this "
            f"project, which installs it, or convert the cassette to JSON."
        ) from None

    def flatten_mapping(_: Any, node: Any) -> None:
        for key, _value in node.value:
            if key.tag == _MERGE_TAG:
                raise yaml.constructor.ConstructorError(
                    None, None, "merge keys (<<) are not accepted", key.start_mark
                )

    safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("PlainLoader", (safe,), {"flatten_mapping": flatten_mapping})
    try:
        why = why_unbounded(yaml.parse(content, safe), largest=LARGEST_EXPANDED)
        if why:
            raise _wrong(
                name, f"it has {why}" if why.startswith("more") else why, "a cassette as written out"
            )
        parsed: object = yaml.load(content, loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _wrong(name, f"it is not plain YAML ({_one_line(error)})", "a whole cassette") from None
    return parsed


def _interactions(name: str, kind: str, rows: list[Any]) -> Iterator[Interaction]:
    for place, row in enumerate(rows, start=1):
        try:
            yield _interaction(row, place, lost=kind != "interaction")
        except _Malformed as error:
            raise _wrong(
                f"{name}: {kind} {place}", f"its {error.field} is {error.found}", error.rule
            ) from None


class _Malformed(Exception):
    """A field of an interaction breaks its rule."""

    def __init__(self, field: str, value: object, rule: str) -> None:
        super().__init__(field)
        self.field, self.found, self.rule = field, _shown(value), rule


def _interaction(row: object, place: int, *, lost: bool) -> Interaction:
    if not isinstance(row, dict):
        raise _Malformed("form", row, "a mapping with request and response")
    request = row.get("request")
    if not isinstance(request, dict):
        raise _Malformed("request", request, "a mapping with method and uri")
    method, uri = request.get("method"), request.get("uri", request.get("url"))
    if not isinstance(method, str) or not method.isalpha():
        raise _Malformed("request.method", method, "a word such as GET")
    if not isinstance(uri, str) or not uri:
        raise _Malformed("request.uri", uri, "an address")
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _Malformed("request.uri", uri, "an address") from None
    values: dict[str, Any] = {
        "number": _whole("number", row.get("number", place)),
        "method": method.upper(),
        "target": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        "body": _body("request.body", request.get("body")),
        "account": _text("account", row.get("account")),
        "started_at": _text("started_at", row.get("started_at")),
        "job": _whole("job", row.get("job", 1)),
    }
    if lost:
        return Interaction(**values, error=_text("error", row.get("error")) or "no reply was recorded")
    return Interaction(**values, **_answered(row.get("response")))


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Malformed(name, value, "a whole number")
    return value


def _answered(response: object) -> dict[str, Any]:
    if not isinstance(response, dict):
        raise _Malformed("response", response, "a mapping with status, headers and body")
    status = response.get("status")
    code = status.get("code") if isinstance(status, dict) else status
    if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 599:
        raise _Malformed("response.status.code", code, "a whole number from 100 to 599")
    message = status.get("message") if isinstance(status, dict) else None
    headers = _headers(response.get("headers"))
    content = _body("response.body", response.get("body"))
    return {
        "status": code,
        "reason": message if isinstance(message, str) else _phrase(code),
        "content": _decoded(content, headers),
        "headers": headers,
    }


def _headers(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Malformed("response.headers", value, "a mapping of names to lists of text")
    headers = {}
    for name, values in value.items():
        texts = values if isinstance(values, list) else [values]
        if not isinstance(name, str) or not all(isinstance(text, str | int) for text in texts):
            raise _Malformed(f"response.headers.{name}", values, "text, or a list of it")
        headers[name] = ", ".join(str(text) for text in texts)
    return headers


def _decoded(content: bytes, headers: dict[str, str]) -> bytes:
    """Return a decompressed body; vcrpy may keep it compressed."""
    name = next((name for name in headers if name.lower() == "content-encoding"), None)
    if name is None or not content or headers[name].lower() == "identity":
        return content
    if headers[name].lower() not in {"gzip", "deflate"}:
        raise _Malformed("Content-Encoding", headers[name], "gzip or deflate")
    del headers[name]
    if content[:1] in {b"{", b"["}:
        return content  # decompressed when it was recorded
    try:
        unpacked = zlib.decompressobj(_ZLIB_ANY)
        plain = unpacked.decompress(content, LARGEST_BODY)
    except zlib.error:
        raise _Malformed("response.body", content, "compressed as its headers say") from None
    if unpacked.unconsumed_tail:
        raise _Malformed("response.body", "longer than it may be", f"at most {LARGEST_BODY} bytes")
    return plain


def _body(place: str, value: object) -> bytes:
    if isinstance(value, dict) and value.keys() & {"string", "base64_string"}:
        if "base64_string" in value:
            try:
                return base64.b64decode(value["base64_string"], validate=True)
            except (TypeError, ValueError):
                raise _Malformed(f"{place}.base64_string", value["base64_string"], "base64") from None
        value = value["string"]
    if value is None:
        return b""
    if isinstance(value, dict | list):
        try:
            return json.dumps(value).encode()
        except (TypeError, ValueError, RecursionError):
            raise _Malformed(place, value, "text, or a JSON value") from None
    if not isinstance(value, str | bytes):
        raise _Malformed(place, value, "text")
    content = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
    if len(content) > LARGEST_BODY:
        raise _Malformed(place, f"{len(content)} bytes long", f"at most {LARGEST_BODY} bytes")
    return content


def _text(place: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Malformed(place, value, "text")
    return value


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return ""


def _wrong(place: str, found: str, rule: str) -> RecordError:
    return RecordError(
        f"{place}: {found}; expected {rule}. Record the cassette again, or correct it at that place."
    )


def _kind(value: object) -> str:
    return {dict: "a mapping without interactions", list: "a list", type(None): "empty"}.get(
        type(value), f"a {type(value).__name__}"
    )


def _shown(value: object) -> str:
    return "missing" if value is None else shown(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
