"""What ``whole_reply`` takes from requests beside its documented names: a release that changes it fails."""

from __future__ import annotations

import io

from requests import Response

from engine.brokers.whole_reply import with_content


def test_a_reply_has_the_content_that_it_is_given_and_reads_nothing_more() -> None:
    response = Response()
    response.status_code, response.encoding = 200, "utf-8"
    response.raw = io.BytesIO(b"what the connection has")
    whole = with_content(response, b'{"a": 1}')
    assert (whole.content, whole.text, whole.json()) == (b'{"a": 1}', '{"a": 1}', {"a": 1})
    assert response.raw.read() == b"what the connection has"
