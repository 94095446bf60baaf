"""What recorded replies said: a run that was killed learns from them what it had done."""

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
    """Read a recorded request to place an order: its client id, and what settled it; None for any other.

    Nothing settled it where the outcome stayed open: no reply, half of one, a gateway's page, a 5xx, a reply
    that describes another order, or one that says that the id is taken (by this run, perhaps). A 429 is no
    request at all, neither is what was turned away for its keys, and neither is what the engine kept from
    leaving.
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
        said = refusal(status, body)
        if isinstance(said, RateLimited) or is_about_keys(said):
            return None
        return client_id, None if is_duplicate_id(said) else said
    return client_id, None


def is_about_keys(said: BrokerRejected) -> bool:
    """Tell a refusal of the keys: where an order is what is refused, a 403 has a code and says why."""
    if said.status == HTTPStatus.UNAUTHORIZED or said.code == _KEYS_NOT_VERIFIED:
        return True
    is_bare = said.status == HTTPStatus.FORBIDDEN and said.code is None
    return is_bare and "forbidden" in said.message.lower()
