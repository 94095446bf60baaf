"""The gRPC channel of a Firestore client, which the library gives no public way to close."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.cloud.firestore import Client


def close_channel(client: Client) -> None:
    """Close the channel of a client; it can't be used afterwards.

    The client's own ``close`` leaves the channel open, and gRPC gives its connection to the next client.
    """
    client._firestore_api.transport.close()
