from __future__ import annotations

import pytest

from engine.brokers.alpaca_replies import SNIPPET_LENGTH, readable, refusal, without_account_numbers
from tests.engine.brokers.loopback import HTML_ERROR


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            b'{"message": "unauthorized."}',
            "unauthorized. Check that ALPACA_API_KEY and ALPACA_SECRET_KEY",
        ),
        (
            401,
            b'{"code": 40110000, "message": "access key verification failed : verification failure"}',
            "access key verification failed : verification failure. Check that ALPACA_API_KEY",
        ),
        (
            401,
            b"<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<hr>nginx/1.13.0</html>",
            "HTTP 401: 401 Authorization Required nginx/1.13.0. Check that ALPACA_API_KEY",
        ),
        (403, b'{"message": "forbidden."}', "forbidden. Check that ALPACA_API_KEY"),
        (
            403,
            b'{"code": "40310000", "message": "insufficient buying power"}',
            "insufficient buying power (code",
        ),
        (429, b'{"code": 42910000, "message": "rate limit exceeded"}', "nothing came of it"),
        (400, b"", "HTTP 400: an empty reply"),
        (400, b'{"code": 40010000, "mess', 'HTTP 400: {"code": 40010000, "mess'),
        (400, b'["no", "object"]', 'HTTP 400: ["no", "object"]'),
        (400, b'{"message": {"qty": "too many"}}', 'HTTP 400: {"message": {"qty": "too many"}}'),
        (400, b'{"message": "  ", "code": true}', 'HTTP 400: {"message": " ", "code": true}'),
        (422, b'{"message": "must be <= 1 and\\n>= 0"}', "must be <= 1 and >= 0"),
        (400, b"\xff\xfe\x00\x1b[31mred", "HTTP 400: \ufffd\ufffd [31mred"),
        (400, b"[" * 100_000, "HTTP 400: [[[["),
    ],
)
def test_a_refusal_of_any_shape_says_what_it_can(status: int, body: bytes, said: str) -> None:
    refused = refusal(status, body)
    assert refused.status == status
    assert str(refused).startswith(said) or said == "nothing came of it"
    assert said in str(refused)


def test_a_business_refusal_does_not_blame_the_keys() -> None:
    assert "ALPACA_API_KEY" not in str(refusal(403, b'{"code": 40310000, "message": "no"}'))


def test_a_page_is_shortened_to_a_line_of_its_text() -> None:
    assert readable(HTML_ERROR.encode()) == "502 Bad Gateway 502 Bad Gateway nginx/1.19.10 & friends"
    assert len(readable(b"word " * 5000)) == SNIPPET_LENGTH


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"account_number": "PA2ABCDEFGHI", "cash": "1"}', '{"account_number": "…FGHI", "cash": "1"}'),
        ('{"ACCOUNT_NUMBER":"PALPACA_123"}', '{"ACCOUNT_NUMBER":"…_123"}'),
        ('{"account_number": 123456789}', '{"account_number": …6789}'),
        ('{"account_number": "PA2AB', '{"account_number": "…B'),
        ('{"account_number": ["PA2ABCDEFGHI"]}', '{"account_number": ["…FGHI"]}'),
        ('{"account_number": null}', '{"account_number": null}'),
        ('{"account_number": ""}', '{"account_number": ""}'),
        (r'"{\"account_number\": \"PA2ABCDEFGHI\"}"', r'"{\"account_number\": \"…FGHI\"}"'),
        ("account_number=PA2ABCDEFGHI", "account_number=…FGHI"),
        ("account_number&#34;: &#34;PA2ABCDEFGHI&#34;", "account_number&#34;: &#34;…FGHI&#34;"),
        ("no account_number", "no account_number"),
        ("no such thing: PA2ABCDEFGHI", "no such thing: PA2ABCDEFGHI"),
    ],
)
def test_an_account_number_is_shortened_wherever_it_is_named(body: str, shown: str) -> None:
    assert without_account_numbers(body.encode()).decode() == shown
