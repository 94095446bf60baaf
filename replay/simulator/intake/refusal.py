"""What Alpaca says when it says no: a status, a code, a message and, for some, more fields."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request that is answered with an error; it has changed nothing.

    ``status``: HTTP's. ``body``: the JSON object, ``{"code": …, "message": …}`` and what Alpaca adds to it.
    """

    def __init__(self, status: int, code: int | None, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, **more}
        if code is not None:
            self.body = {"code": code, **self.body}


def malformed(message: str, **more: Any) -> Refusal:
    """Say that a request is not well-formed: 422, code 40010001."""
    return Refusal(422, 40010001, message, **more)


def unprocessable(message: str, **more: Any) -> Refusal:
    """Say that a well-formed request can't be done: 422, code 42210000."""
    return Refusal(422, 42210000, message, **more)


def forbidden(message: str, **more: Any) -> Refusal:
    """Say that the account may not: 403, code 40310000."""
    return Refusal(403, 40310000, message, **more)


def not_found(message: str) -> Refusal:
    """Say that there is no such thing: 404, code 40410000."""
    return Refusal(404, 40410000, message)
