"""No secret is shown, however it is encoded, cut or spelled, and nothing else is blotted out."""

from __future__ import annotations

import json
import sys
from base64 import b16encode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.text.masking import BLOT, Echoes, is_key, looks_secret, shown_text, shown_word

API_KEY, SECRET = "PKTEST0123456789ABCD", "s3cr3t/NeverShown+Anywhere=Q8zLk0vTq-x_Y"
ECHOES = Echoes([API_KEY, SECRET])
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "lower case": bytes.lower,
    "upper case": bytes.upper,
    "swapped case": bytes.swapcase,
    "reversed": lambda key: key[::-1],
    "base64": b64encode,
    "base64 for URLs": urlsafe_b64encode,
    "base64 without padding": lambda key: b64encode(key).rstrip(b"="),
    "base64 one byte later": lambda key: b64encode(b"x" + key),
    "base64 two bytes later": lambda key: b64encode(b"xy" + key + b"z"),
    "base64 in JSON": lambda key: b64encode(key).replace(b"/", b"\\/"),
    "base64 in a URL": lambda key: b64encode(key).replace(b"+", b"%2B").replace(b"/", b"%2F"),
    "hexadecimal": lambda key: key.hex().encode(),
    "hexadecimal in capitals": b16encode,
    "hexadecimal with colons": lambda key: key.hex(":").encode(),
    "hexadecimal with blanks": lambda key: key.hex(" ").encode(),
    "in a URL": lambda key: key.replace(b"/", b"%2F").replace(b"+", b"%2B").replace(b"=", b"%3D"),
    "in JSON": lambda key: key.replace(b"/", b"\\/"),
}


def longest_common(text: str, secret: str) -> int:
    return max(
        (
            end - start
            for start in range(len(secret))
            for end in range(start, len(secret) + 1)
            if secret[start:end] in text
        ),
        default=0,
    )


@pytest.mark.parametrize("key", [API_KEY, SECRET])
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_hidden_in_every_form_and_so_are_its_halves(key: str, form: str) -> None:
    half = len(key) // 2
    for part in (key, key[:half], key[half:], key[half // 2 : -(half // 2)]):
        written = FORMS[form](part.encode())
        text = b"<< " + written + b" >>"
        assert ECHOES.may_be_in(text)
        hidden = ECHOES.hidden_in_bytes(text)
        assert BLOT.encode() in hidden
        assert longest_common(hidden.decode().lower(), written.decode().lower()) <= 5
        assert ECHOES.hidden_in(text.decode()) == hidden.decode()


def test_basic_authorization_is_hidden() -> None:
    sent = b64encode(f"{API_KEY}:{SECRET}".encode()).decode()
    hidden = ECHOES.hidden_in(json.dumps({"Authorization": f"Basic {sent}"}))
    assert longest_common(hidden, sent) <= 5


@given(st.integers(0, 30), st.integers(12, 40), st.text(max_size=20), st.text(max_size=20))
def test_every_part_of_twelve_characters_is_hidden(start: int, length: int, before: str, after: str) -> None:
    part = SECRET[start : start + length]
    if len(part) >= 12:
        assert part not in ECHOES.hidden_in(before + part + after)


def test_what_stands_around_a_key_stays() -> None:
    assert (
        ECHOES.hidden_in(f"é {API_KEY}{SECRET}, \ud800 {SECRET[:15]}.") == f"é {BLOT}{BLOT}, \ud800 {BLOT}."
    )


@given(st.binary(max_size=300))
def test_other_texts_stay_as_they_are(text: bytes) -> None:
    assert ECHOES.hidden_in_bytes(text) == text
    assert not ECHOES.may_be_in(text)


def test_ids_are_not_taken_for_keys() -> None:
    text = "".join(f"{uuid4()} {uuid4().hex}\n" for _ in range(2_000))
    assert ECHOES.hidden_in(text) == text


@pytest.mark.parametrize("key", ["k", "test-key", "aaaaaaaaaaaaaaaaaaaa", "test-secret"])
def test_odd_keys_are_hidden_too(key: str) -> None:
    assert Echoes([key]).hidden_in(f"<< {key} >>") == f"<< {BLOT} >>"
    assert Echoes([key]).hidden_in("") == ""


def test_no_secret_hides_nothing() -> None:
    assert Echoes(["", ""]).hidden_in("anything") == "anything"


def test_a_long_text_of_beginnings_takes_steps_that_are_linear_in_it() -> None:
    steps = [steps_of(partial(ECHOES.hidden_in_bytes, SECRET[:11].encode() * times)) for times in (100, 200)]
    assert 100 < steps[0] < steps[1] <= 2.1 * steps[0]


def steps_of(work: Callable[[], object]) -> int:
    """Return how many lines of Python the work runs."""
    lines = [0]

    def trace(frame: FrameType, event: str, said: object) -> Any:
        lines[0] += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines[0]


@pytest.mark.parametrize(
    "secret",
    [
        API_KEY,
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "abcdefghijABCDEFGHIJ01234567890123456789",
        "0123456789abcdef0123456789abcdef",
        "https://user:password@host",
        "postgresql://:secret@host/db",
        "https://PKABC@host",
    ],
)
def test_what_looks_like_a_secret_is_not_shown_in_an_error(secret: str) -> None:
    assert looks_secret(f" {secret}\n")
    assert secret[:8] not in shown_text(secret)
    assert secret[:8] not in shown_word(secret)


@pytest.mark.parametrize(
    "text",
    [
        "paper-main",
        "/srv/Engine2026/Data/production/runs",
        "./Data1/ABCDEFGHIJKLMNOPQRSTUVW",
        "my-project-123456",
        "https://paper-api.alpaca.markets",
        "tenants/acme/ops/market_ingest",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_what_does_not_is_shown(text: str) -> None:
    assert not looks_secret(text)
    assert shown_text(text) == repr(text)


@pytest.mark.parametrize("text", ["embeded", "flase", "1e400", "0.1234567890123456789", "worst case", ""])
def test_words_and_numbers_are_shown(text: str) -> None:
    assert shown_word(text) == repr(text)


def test_a_long_word_is_not_shown() -> None:
    assert shown_word("only-small-letters") == "a text of 18 characters, which is not shown"


def test_keys_are_distinguished_from_ids() -> None:
    assert is_key(API_KEY)
    assert is_key("abcdefghijABCDEFGHIJ01234567890123456789")
    assert is_key("abcdefghijABCDEFGHIJ/0123456789+012345==")
    assert not is_key("PA3ABCDEFGHI")
    assert not is_key("/srv/Trading2026/engine/live/data")
    assert not is_key("Trading2026/execution-engine/live/data")
    assert not is_key(uuid4().hex)
