"""The content of a reply of ``requests``, which has no public way to set it."""

from __future__ import annotations

from requests import Response


def with_content(response: Response, content: bytes) -> Response:
    """Return the reply with ``content`` as its whole body, as if it had just been read."""
    response._content = content
    return response
