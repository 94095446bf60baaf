"""Errors in Alpaca's form: a status, a code, a message and, for some, more fields."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A request was refused; it has changed nothing.

    ``status``: HTTP. ``body``: the JSON object ``{"code": …, "message": …}`` with Alpaca's further fields.
    """

    def __init__(self, status: int, code: int | None, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, **more}
        if code is not None:
            self.body = {"code": code, **self.body}


def malformed(message: str, **more: Any) -> Refusal:
    """Return the refusal of a malformed request: 422, code 40010001."""
    return Refusal(422, 40010001, message, **more)


def unprocessable(message: str, **more: Any) -> Refusal:
    """Return the refusal of a well-formed request that isn't possible: 422, code 42210000."""
    return Refusal(422, 42210000, message, **more)


def forbidden(message: str, **more: Any) -> Refusal:
    """Return the refusal of a request that the account isn't permitted: 403, code 40310000."""
    return Refusal(403, 40310000, message, **more)


def not_found(message: str) -> Refusal:
    """Return the refusal of a request for an unknown object: 404, code 40410000."""
    return Refusal(404, 40410000, message)
