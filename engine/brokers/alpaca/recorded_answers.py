"""Recorded replies: a resumed run reads from them what the killed job had done."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import urlsplit

from engine.brokers.alpaca.orders import parse_order
from engine.brokers.alpaca.replies import is_duplicate_id, is_refusal, refusal
from engine.brokers.interaction import NEVER_LEFT, Interaction
from engine.errors import BrokerRejected, RateLimited
from engine.model.orders import BrokerOrder

_ORDERS = "/v2/orders"
_KEYS_NOT_VERIFIED = 40110000


def recorded_answer(interaction: Interaction) -> tuple[str, BrokerOrder | BrokerRejected | None] | None:
    """Return client id and decisive reply of a recorded request to place an order; None for any other.

    The reply is None where it leaves the outcome unknown: no reply, a partial one, a gateway's page, a 5xx, a
    reply that describes another order, or one that reports the id as taken (perhaps by this run). Requests
    that were refused with a 429 or for their keys, or that the engine did not send, don't count as requests.
    """
    request, response = interaction.request, interaction.response
    if request["method"] != "POST" or urlsplit(request["uri"]).path != _ORDERS:
        return None
    if interaction.error.startswith(NEVER_LEFT):
        return None
    try:
        client_id = str(json.loads(request["body"])["client_order_id"])
    except (ValueError, TypeError, KeyError):
        return None
    if response is None:
        return client_id, None
    status, body = int(response["status"]["code"]), response["body"]["string"].encode()
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        try:
            order = parse_order(body)
        except ValueError:
            return client_id, None
        return client_id, order if order.client_order_id == client_id else None
    if status >= HTTPStatus.BAD_REQUEST and is_refusal("POST", status, body):
        refused = refusal(status, body)
        if isinstance(refused, RateLimited) or is_about_keys(refused):
            return None
        return client_id, None if is_duplicate_id(refused) else refused
    return client_id, None


def is_about_keys(refused: BrokerRejected) -> bool:
    """Return whether the keys were refused; a 403 that refuses an order has a code and a reason."""
    if refused.status == HTTPStatus.UNAUTHORIZED or refused.code == _KEYS_NOT_VERIFIED:
        return True
    is_bare = refused.status == HTTPStatus.FORBIDDEN and refused.code is None
    return is_bare and "forbidden" in refused.message.lower()
