"""Secrets of an environment are known wherever they stand in it, and nothing else is taken for one."""

from __future__ import annotations

import io

import pytest

from engine.log import EventLog
from engine.settings.secrets import hider, secrets_in

API_KEY, SECRET = "PKTEST0123456789ABCD", "abcdefghijABCDEFGHIJ01234567890123456789"


@pytest.mark.parametrize(
    ("env", "secrets"),
    [
        ({"ALPACA_API_KEY": f" {API_KEY}\n", "ALPACA_SECRET_KEY": "only-small"}, [API_KEY]),
        ({"ALPACA_SECRET_KEY": "only-small-letters"}, ["only-small-letters"]),
        ({"ALPACA_SECRET_KEY": 'with"quote-and-more'}, ['with"quote-and-more', 'with\\"quote-and-more']),
        ({"APCA_API_KEY_ID": "some-other-key-01"}, ["some-other-key-01"]),
        ({"ALPACA_API_SECRET": "some-secret-01"}, ["some-secret-01"]),
        ({"EXEC_STORE": SECRET, "EXEC_DATA_DIR": "/srv/data", "EXEC_CALENDAR": API_KEY}, [SECRET, API_KEY]),
        ({"EXEC_ALPACA_KEY": "any-word-at-all"}, ["any-word-at-all"]),
        ({"PAPER_SECRET": SECRET, "MY_TOKEN": "t0ken-of-mine"}, [SECRET, "t0ken-of-mine"]),
        ({"DATABASE_URL": "postgresql://me:pass%20word1@host/db"}, ["pass%20word1", "pass word1"]),
        ({"DATABASE_URL": "host=h user=u password='quoted word'"}, ["quoted word"]),
        ({"DATABASE_URL": "host=h user=u password=plainword"}, ["plainword"]),
    ],
)  # fmt: skip
def test_secrets_are_known(env: dict[str, str], secrets: list[str]) -> None:
    assert list(secrets_in(env)) == secrets


@pytest.mark.parametrize(
    "env",
    [
        {"HOME": "/root", "PATH": "/bin:/usr/bin", "LANG": "C.UTF-8"},
        {"EXEC_BROKER_ACCOUNT_ID": "550e8400-e29b-41d4-a716-446655440000", "EXEC_MAX_POSITION_QTY": "100"},
        {"ALPACA_API_KEY": "test-key", "ALPACA_SECRET_KEY": "test-secret"},
        {"ALPACA_TRADING_HOST": "https://paper-api.alpaca.markets"},
        {"GOOGLE_APPLICATION_CREDENTIALS": "/run/secrets/google.json", "SSH_KEY": "~/.ssh/id_ed25519"},
        {"DATABASE_URL": "postgresql://postgres:postgres@postgres/postgres"},
        {"DATABASE_URL": "postgresql://me:short@host/db"},
        {"DATABASE_URL": "postgresql://[broken"},
        {"EXEC_DATA_DIR": "/home/ann/Trading2026/execution/data"},
        {"KEYBOARD": "us", "SECRET_SERVICE": "not a word of it"},
    ],
)
def test_what_is_no_secret_is_left(env: dict[str, str]) -> None:
    assert list(secrets_in(env)) == []
    assert hider(env) is str


def test_a_log_hides_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_SECRET_KEY", SECRET)
    stream = io.StringIO()
    log = EventLog(stream).with_fields(about=SECRET)
    log.event("run_started", f"began with {SECRET}", settings={"store": SECRET.lower()})
    assert stream.getvalue().count("[key]") == 3
    assert SECRET[:12].lower() not in stream.getvalue().lower()
