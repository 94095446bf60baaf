"""Cassettes of ours, of vcrpy's and of anybody's, and what is wrong with those that are none."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import time
import tracemalloc
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import requests
import vcr
from hypothesis import given
from hypothesis import strategies as st

from engine.brokers.cassette import cassette_bytes
from engine.brokers.interaction import Interaction
from engine.errors import RecordError
from replay import cassettes
from replay.cassettes import read_cassette
from tests.replay.listening import Listening

yaml: Any = import_module("yaml")  # which ships no types
HOST = "https://paper-api.alpaca.markets"


def row(**changes: Any) -> dict[str, Any]:
    return {
        "request": {"method": "GET", "uri": HOST + "/v2/clock?a=1", "body": None, "headers": {}},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {"Content-Type": ["application/json"], "X-Two": ["a", "b"]},
            "body": {"string": '{"is_open": true}'},
        },
        **changes,
    }


def written(*rows: object, **more: Any) -> bytes:
    return json.dumps({"version": 1, "interactions": list(rows), **more}).encode()


def test_an_interaction_is_what_was_asked_and_answered() -> None:
    (one,) = read_cassette("c.json", written(row()))
    assert (one.method, one.target, one.body) == ("GET", "/v2/clock?a=1", b"")
    assert (one.status, one.reason, one.content) == (200, "OK", b'{"is_open": true}')
    assert dict(one.headers) == {"Content-Type": "application/json", "X-Two": "a, b"}


def test_a_cassette_of_ours_is_read_with_what_had_no_answer_in_its_place() -> None:
    request = {"method": "POST", "uri": HOST + "/v2/orders", "body": '{"client_order_id":"a"}', "headers": {}}
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": "ü"}}
    content = cassette_bytes(
        Interaction(
            number=number,
            started_at=f"2026-11-02T17:00:0{number}+00:00",
            took_s=0.1,
            request=request,
            response=None if error else response,
            error=error,
            account="paper",
        )
        for number, error in ((1, ""), (2, "ReadTimeout: it took long"), (3, ""))
    )
    found = read_cassette("cassette.json", content)
    assert [(one.number, one.error) for one in found] == [(1, ""), (2, "ReadTimeout: it took long"), (3, "")]
    assert {(one.account, one.body) for one in found} == {("paper", b'{"client_order_id":"a"}')}
    assert found[0].content == "ü".encode()
    assert found[2].started_at == "2026-11-02T17:00:03+00:00"


@pytest.mark.parametrize("serializer", ["json", "yaml"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_cassette_that_vcrpy_made_is_read(tmp_path: Path, serializer: str, packed: bool) -> None:
    path = tmp_path / f"made.{serializer}"
    said = {"id": "1", "text": "größer", "rows": [1] * 50}
    body = json.dumps(said).encode()
    headers = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if packed else {})}
    answer = gzip.compress(body) if packed else body
    with Listening(answer, headers) as server, vcr.use_cassette(str(path), serializer=serializer):
        requests.post(server.url + "/v2/orders", data=b'{"client_order_id": "a"}', timeout=5)
    (one,) = read_cassette(str(path), path.read_bytes())
    assert (one.method, one.target, one.status) == ("POST", "/v2/orders", 200)
    assert json.loads(one.body) == {"client_order_id": "a"}
    assert json.loads(one.content) == said


def test_a_cassette_typed_by_hand_may_leave_out_what_it_does_not_need() -> None:
    content = b"""
interactions:
  - request: {method: get, uri: /v2/positions}
    response: {status: 200, body: '[]'}
  - request:
      method: POST
      uri: https://paper-api.alpaca.markets/v2/orders
      body: {client_order_id: a, qty: "1"}
    response:
      status: {code: 422}
      body: {message: too dear}
"""
    first, second = read_cassette("typed.yaml", content)
    assert (first.method, first.target, first.status, first.content) == ("GET", "/v2/positions", 200, b"[]")
    assert json.loads(second.body) == {"client_order_id": "a", "qty": "1"}
    assert (second.status, second.reason, json.loads(second.content)) == (
        422, "Unprocessable Entity", {"message": "too dear"},
    )  # fmt: skip


def test_yaml_may_say_the_same_thing_in_several_places_once() -> None:
    one = row()
    content = yaml.safe_dump({"version": 1, "interactions": [one, one]})
    assert "&id001" in content
    assert len(read_cassette("c.yml", content.encode())) == 2


def test_bytes_in_base64_are_read_in_either_form() -> None:
    answer = {**row()["response"], "body": {"base64_string": base64.b64encode(b"\xff\x00").decode()}}
    (one,) = read_cassette("c.json", written(row(response=answer)))
    assert one.content == b"\xff\x00"
    content = yaml.safe_dump({"interactions": [row(response={**answer, "body": {"string": b"\xff\x00"}})]})
    (one,) = read_cassette("c.yaml", content.encode())
    assert one.content == b"\xff\x00"


def test_without_an_ending_that_says_so_the_first_character_tells_json_from_yaml() -> None:
    assert len(read_cassette("cassette", b" \n" + written(row()))) == 1
    assert len(read_cassette("cassette", yaml.safe_dump({"interactions": [row()]}).encode())) == 1


def changed(place: str, value: object) -> dict[str, Any]:
    changed_row = json.loads(json.dumps(row()))
    inner = changed_row
    *way, last = place.split(".")
    for name in way:
        inner = inner[name]
    inner[last] = value
    return dict(changed_row)


@pytest.mark.parametrize(
    ("place", "value", "error"),
    [
        ("request", None, "its request is missing; expected a mapping with method and uri"),
        ("request", [], r"its request is \[\]"),
        ("request.method", 5, "its request.method is 5; expected a word such as GET"),
        ("request.uri", None, "its request.uri is missing; expected an address"),
        ("request.uri", "http://[", "its request.uri is 'http://\\['; expected an address"),
        ("request.body", 5, "its request.body is 5; expected text"),
        ("response", None, "its response is missing; expected a mapping with status, headers and body"),
        ("response.status", "fine", "its response.status.code is 'fine'; expected a whole number"),
        ("response.status.code", "200", "its response.status.code is '200'"),
        ("response.status.code", 99, "its response.status.code is 99"),
        ("response.status.code", True, "its response.status.code is True"),
        ("response.headers", [], r"its response.headers is \[\]"),
        ("response.headers.Date", {"a": 1}, "its response.headers.Date is {'a': 1}"),
        ("response.body.string", 5, "its response.body is 5; expected text"),
        ("response.body", {"base64_string": "%"}, "its response.body.base64_string is '%'; expected base64"),
        ("response.headers", {"Content-Encoding": ["br"]}, "its Content-Encoding is 'br'; expected gzip"),
        ("number", "one", "its number is 'one'; expected a whole number"),
        ("started_at", 5, "its started_at is 5; expected text"),
        ("account", ["a"], r"its account is \['a'\]; expected text"),
    ],
)
def test_a_malformed_interaction_is_named_with_what_is_wrong(place: str, value: object, error: str) -> None:
    with pytest.raises(RecordError, match=f"tape.json: interaction 2: {error}"):
        read_cassette("tape.json", written(row(), changed(place, value)))


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("c.json", b"", "it is not JSON"),
        ("c.json", written(row())[:-20], "it is not JSON"),
        ("c.json", b"[" * 100_000, "it is not JSON"),
        ("c.json", b"[]", "it is a list; expected a mapping with a list of interactions"),
        ("c.json", b"{}", "it is a mapping without interactions"),
        ("c.json", b'{"interactions": {}}', "it is a mapping without interactions"),
        ("c.json", written("x"), "interaction 1: its form is 'x'; expected a mapping"),
        ("c.json", written(unanswered=5), "its unanswered is a int; expected a list"),
        ("c.json", written(unanswered=[{}]), "unanswered request 1: its request is missing"),
        ("c.yaml", b"", "it is empty"),
        ("c.yaml", b"a: [", "it is not plain YAML"),
        ("c.yaml", b"\xff\xfe\x00", "it is not plain YAML"),
    ],
)
def test_what_is_no_cassette_is_named(name: str, content: bytes, error: str) -> None:
    with pytest.raises(RecordError, match=f"{name}: {error}"):
        read_cassette(name, content)


@pytest.mark.parametrize(
    "evil",
    [
        b"!!python/object/apply:os.system ['touch ran']",
        b"interactions: !!python/object/new:os.system ['touch ran']",
        b"!!python/name:os.system ''",
        b"interactions: [!!python/module:this '']",
    ],
)
def test_yaml_that_would_run_code_is_refused(
    evil: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecordError, match=r"it is not plain YAML \(could not determine a constructor"):
        read_cassette("c.yaml", evil)
    assert not (tmp_path / "ran").exists()


def test_yaml_that_has_merge_keys_is_refused() -> None:
    lines = ["a0: &a0 {x0: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], x{n}: 1}}" for n in range(1, 5)]
    with pytest.raises(RecordError, match=r"merge keys \(<<\) are not accepted"):
        read_cassette("c.yaml", "\n".join(lines).encode())


def test_a_body_that_was_unpacked_before_it_was_kept_is_taken_as_it_is() -> None:
    answer = {"status": 200, "headers": {"Content-Encoding": "gzip"}, "body": "[1]"}
    (one,) = read_cassette("c.json", written(row(response=answer)))
    assert (one.content, dict(one.headers)) == (b"[1]", {})


def test_a_body_that_is_not_packed_as_it_says_is_named() -> None:
    answer = {"status": 200, "headers": {"content-encoding": ["gzip"]}, "body": {"string": "rubbish"}}
    with pytest.raises(
        RecordError, match=r"its response\.body is b'rubbish'; expected compressed as its headers"
    ):
        read_cassette("c.json", written(row(response=answer)))


def test_a_cassette_may_not_be_larger_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassettes, "LARGEST_YAML", 100)
    monkeypatch.setattr(cassettes, "LARGEST_JSON", 100)
    for name in ("c.yaml", "c.json"):
        with pytest.raises(RecordError, match=f"{name}: it has .* bytes; expected at most 100"):
            read_cassette(name, written(row()))


def test_a_body_may_not_unpack_to_more_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cassettes, "LARGEST_BODY", 10_000)
    packed = base64.b64encode(gzip.compress(b"x" * 100_000)).decode()
    answer = {"status": 200, "headers": {"Content-Encoding": "gzip"}, "body": {"base64_string": packed}}
    with pytest.raises(RecordError, match="longer than it may be"):
        read_cassette("c.json", written(row(response=answer)))


def alias_bomb(first: str) -> bytes:
    lines = [f"a0: &a0 {first}", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40))]
    return "\n".join([*lines, "interactions: [{request: {method: GET, uri: /, body: *a39}}]"]).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (alias_bomb("x"), "characters with its aliases expanded"),
        (alias_bomb("[]"), "characters with its aliases expanded"),
        (b"interactions: &a [*a]", "the alias *a refers to a node that contains it"),
        (b"interactions: &a {b: [{c: *a}]}", "the alias *a refers to a node that contains it"),
        (b"[" * 300_000, "more than 100 lists and mappings within each other"),
        (b"- " * 300_000, "more than 100 lists and mappings within each other"),
        (b"&a x: &b " + b"y" * 1_000_000 + b"\nz: [" + b"*b, " * 200 + b"]", "aliases expanded"),
    ],
)
def test_yaml_that_lays_out_without_bound_is_refused_in_little_time_and_memory(
    content: bytes, said: str
) -> None:
    tracemalloc.start()
    began = time.monotonic()
    with pytest.raises(RecordError) as error:
        read_cassette("bomb.yaml", content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(error.value).startswith("bomb.yaml: ")
    assert said in str(error.value)
    assert time.monotonic() - began < 5
    assert peak < 100_000_000


def test_yaml_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(RecordError, match=r"PyYAML is not installed\. Run make notebooks"):
        read_cassette("c.yaml", b"interactions: []")


@given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
                    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
                        st.sampled_from(["interactions", "request", "response", "method", "uri", "status",
                                         "body", "headers", "string", "code", "unanswered"]), inner)),
                    max_leaves=20))  # fmt: skip
def test_whatever_json_says_it_is_read_or_named(said: object) -> None:
    with suppress(RecordError):
        read_cassette("c.json", json.dumps(said).encode())
