"""No key is shown, however a reply spells it and wherever it is cut off."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
import requests
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from engine.brokers.alpaca.keys import HIDDEN, Keys
from engine.brokers.alpaca.text import SNIPPET_LENGTH
from engine.errors import BrokerError
from tests.engine.brokers.loopback import API_KEY, ORDER, ORDER_ID, SECRET_KEY, Loopback, broker_at, says

KEYS = Keys(API_KEY, SECRET_KEY)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda letter: letter,
    "backslash": lambda letter: "\\" + letter,
    "JSON": lambda letter: f"\\u{ord(letter):04x}",
    "JSON in capitals": lambda letter: f"\\u{ord(letter):04X}",
    "JSON in JSON": lambda letter: f"\\\\u{ord(letter):04x}",
    "URL": lambda letter: f"%{ord(letter):02x}",
    "URL in capitals": lambda letter: f"%{ord(letter):02X}",
    "URL in a URL": lambda letter: f"%25{ord(letter):02x}",
    "HTML": html.escape,
    "HTML by number": lambda letter: f"&#{ord(letter)};",
    "HTML by hexadecimal number": lambda letter: f"&#x{ord(letter):X};",
    "HTML in HTML": lambda letter: f"&amp;#{ord(letter):03};",
    "Python": lambda letter: f"\\x{ord(letter):02x}",
}
each_key = pytest.mark.parametrize("key", [API_KEY, SECRET_KEY])
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60)


@st.composite
def spelled_keys(draw: st.DrawFn) -> tuple[str, str]:
    """Return a key, and a mixture of spellings of it."""
    key = draw(keys)
    ways = draw(st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=len(key), max_size=len(key)))
    return key, "".join(SPELLINGS[way](letter) for way, letter in zip(ways, key, strict=True))


def decoded(text: str) -> set[str]:
    """Return what readers may make of a text: as it is, and with each kind of escape undone, also twice."""
    found = {text}
    for _ in range(2):
        for each in list(found):
            unescaped = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), each)
            found |= {unquote(each), html.unescape(each), unescaped, each.replace("\\", "")}
    return found


@each_key
@pytest.mark.parametrize("way", SPELLINGS)
def test_a_key_is_hidden_in_every_spelling(key: str, way: str) -> None:
    spelled = "".join(map(SPELLINGS[way], key))
    assert KEYS.hidden_in(f"before {spelled} after") == f"before {HIDDEN} after"
    assert KEYS.hidden_in_body(f"before {spelled} after".encode()) == f"before {HIDDEN} after".encode()


@given(spelled_keys())
@example(("a&lt;b<c/d\\", "a&amp;lt;b&lt;c\\/d\\\\"))
def test_any_key_is_hidden_in_any_mixture_of_spellings(spelled: tuple[str, str]) -> None:
    key, text = spelled
    shown = Keys("unlikely-api-key", key).hidden_in(f"<< {text} >>")
    assert shown.startswith("<< [key]")
    assert all(key not in each for each in decoded(shown))


@settings(max_examples=300)
@given(spelled_keys(), st.data())
def test_the_beginning_of_a_key_at_the_end_of_a_text_is_hidden(
    spelled: tuple[str, str], data: st.DataObject
) -> None:
    key, text = spelled
    assume(not re.search("[uUxX][0-9a-fA-F]", key))  # half an escape of it may be read as another's end
    cut = data.draw(st.integers(1, len(text) - 1))
    shown = Keys("unlikely-api-key", key).hidden_in(f"<< {text[:cut]}")
    assert all(f"<< {key[:6]}" not in each for each in decoded(shown))


@pytest.mark.parametrize("end", ["\\u", "\\\\u0030", "\\\\u00", "\\\\\\\\0"])
def test_a_backslash_of_an_escape_is_not_taken_for_one_of_the_key(end: str) -> None:
    assert Keys("unlikely-api-key", '0000"\\000').hidden_in(f"<< 0000&quot;{end}") == f"<< {HIDDEN}"


@each_key
def test_a_beginning_too_short_to_tell_is_left(key: str) -> None:
    assert KEYS.hidden_in(f"ends in {key[:3]}") == f"ends in {key[:3]}"
    assert KEYS.hidden_in(f"ends in {key[:4]}") == f"ends in {HIDDEN}"


@settings(max_examples=300)
@given(
    st.lists(st.one_of(spelled_keys(), st.tuples(st.just(""), st.text(max_size=40))), max_size=4), st.data()
)
def test_texts_in_which_no_key_can_be_stay_as_they_are_one_by_one(
    spelled: list[tuple[str, str]], data: st.DataObject
) -> None:
    keys = Keys("unlikely-api-key", next((key for key, _ in spelled if key), "unlikely-secret"))
    texts = [text[: data.draw(st.integers(0, len(text)))].encode("utf-8", "replace") for _, text in spelled]
    if keys.cannot_be_in(b"\n".join(texts)):
        assert [keys.hidden_in_body(text) for text in texts] == texts


def test_of_plain_texts_it_is_reported_at_once_that_no_key_is_in_them() -> None:
    assert KEYS.cannot_be_in(b"\n".join([b"application/json", json.dumps(ORDER).encode()]))
    assert not KEYS.cannot_be_in(f"ends in {API_KEY[:4]}\nand goes on".encode())


@given(st.binary(max_size=400))
@example(json.dumps(ORDER).encode())
@example(b"100 % \\ & \0 \xff")
def test_a_body_without_a_key_stays_as_it_is_where_it_is_utf_8(body: bytes) -> None:
    if json.detect_encoding(body) == "utf-8" and not body.endswith((b"P", b"s")):
        assert KEYS.hidden_in_body(body) == body


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
def test_a_key_is_hidden_in_every_encoding_of_json(encoding: str) -> None:
    body = json.dumps({"message": f"no such key: {SECRET_KEY}"}).encode(encoding)
    assert json.loads(KEYS.hidden_in_body(body)) == {"message": f"no such key: {HIDDEN}"}


def test_long_texts_of_backslashes_take_no_time() -> None:
    assert KEYS.hidden_in("\\" * 200_000 + "&" * 200_000).startswith("\\")


def test_a_request_gets_the_keys_and_a_repr_does_not() -> None:
    request = requests.Request("GET", "https://paper-api.alpaca.markets", auth=KEYS).prepare()
    assert request.headers["APCA-API-KEY-ID"] == API_KEY
    assert SECRET_KEY not in repr(KEYS)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "small letters": str.lower,
    "capitals": str.upper,
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64 of both": lambda _: base64.b64encode(f"{API_KEY}:{SECRET_KEY}".encode()).decode(),
    "base64 in JSON": lambda key: base64.b64encode(key.encode()).decode().replace("/", "\\/"),
    "hexadecimal": lambda key: key.encode().hex(),
    "the first half": lambda key: key[: len(key) // 2],
    "the second half": lambda key: key[len(key) // 2 :],
}
each_encoding = pytest.mark.parametrize("way", ENCODINGS)


@each_key
@each_encoding
def test_a_key_is_hidden_in_every_encoding(key: str, way: str) -> None:
    text = f"before {ENCODINGS[way](key)} after"
    assert not KEYS.cannot_be_in(text.encode())
    for shown in (KEYS.hidden_in(text), KEYS.hidden_in_body(text.encode()).decode()):
        assert HIDDEN in shown
        assert ENCODINGS[way](key)[4:12] not in shown


@each_encoding
@pytest.mark.parametrize("status", [200, 403, 503])
def test_no_message_shows_a_key_that_a_reply_repeats_in_an_encoding(
    server: Loopback, status: int, way: str
) -> None:
    encoded = ENCODINGS[way](SECRET_KEY)
    for body in (f"<pre>{encoded}</pre>", json.dumps({"message": f"no {encoded}", "field": encoded})):
        assert encoded[4:12] not in message_of(server, status, body.encode())


# --- in messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("way", SPELLINGS)
@pytest.mark.parametrize("form", ["{}", "<pre>{}</pre>", '{{"message": "no {}", "field": "{}"}}'])
def test_no_message_shows_a_key_that_a_reply_repeats(
    server: Loopback, status: int, way: str, form: str
) -> None:
    spelled = "".join(map(SPELLINGS[way], SECRET_KEY))
    shown = message_of(server, status, form.format(spelled, spelled).encode())
    assert all(SECRET_KEY[:8] not in each for each in decoded(shown))


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("before", range(SNIPPET_LENGTH - 60, SNIPPET_LENGTH, 7))
def test_no_message_is_shortened_in_the_middle_of_a_key(server: Loopback, status: int, before: int) -> None:
    shown = message_of(server, status, b"." * before + quote(SECRET_KEY, safe="").encode() + b"." * 9000)
    assert SECRET_KEY[:4] not in shown


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("before", [7_960, 7_980, 7_995])
def test_no_message_is_read_to_the_middle_of_a_key(server: Loopback, status: int, before: int) -> None:
    shown = message_of(server, status, b" " * before + SECRET_KEY.encode())
    assert SECRET_KEY[:4] not in shown


@pytest.mark.parametrize("status", [200, 403, 503])
def test_no_message_shows_a_key_that_a_reply_breaks_off_in(server: Loopback, status: int) -> None:
    body = f'{{"message": "no {SECRET_KEY[:-5]}'.encode()
    assert SECRET_KEY[:4] not in message_of(server, status, body)


def test_no_message_shows_a_key_that_is_a_request_s_name_or_a_detail(server: Loopback) -> None:
    server.answers = [
        says(
            403, {"message": "no", API_KEY: SECRET_KEY, "list": [SECRET_KEY]}, **{"X-Request-ID": SECRET_KEY}
        )
    ]
    with pytest.raises(BrokerError) as caught:
        broker_at(server.url).get_account()
    shown = str(caught.value) + repr(vars(caught.value))
    assert SECRET_KEY[:4] not in shown
    assert API_KEY[:4] not in shown


def test_no_order_holds_a_key_that_a_reply_repeats(server: Loopback) -> None:
    server.answers = [says(200, ORDER | {"symbol": SECRET_KEY, "subtag": {"said": API_KEY}})]
    order = broker_at(server.url).get_order_status(broker_order_id=ORDER_ID)
    assert (order.symbol, order.raw["subtag"]) == (HIDDEN.upper(), {"said": HIDDEN})


def message_of(server: Loopback, status: int, body: bytes) -> str:
    server.answers = [says(status, body)]
    with pytest.raises(BrokerError) as caught:
        broker_at(server.url).get_order_status(broker_order_id=ORDER_ID)
    return str(caught.value) + repr(vars(caught.value))
