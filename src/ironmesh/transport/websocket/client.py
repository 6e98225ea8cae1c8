"""The dialling end of a WebSocket connection, over a socket that somebody else has connected."""

from __future__ import annotations

from collections.abc import Sequence

from websockets.client import ClientProtocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from ironmesh.transport.addresses import bare_host
from ironmesh.transport.websocket.connection import SILENT, WebSocketConnection
from ironmesh.transport.websocket.limits import Timing
from ironmesh.types import Endpoint


def client_connection(
    endpoint: Endpoint,
    remote: Endpoint,
    max_unit_bytes: int,
    subprotocols: Sequence[str],
    timing: Timing | None,
) -> WebSocketConnection:
    """Return a connection that asks for the upgrade as soon as it has its transport.

    Args:
        endpoint: what was dialled, which the request names.
        remote: the address that it led to.
        max_unit_bytes: a larger message of the peer ends the connection.
        subprotocols: what to offer, best first.
        timing: pings and timeouts.
    """
    engine = ClientProtocol(
        WebSocketURI(
            secure=False, host=bare_host(endpoint.host), port=endpoint.port, path="/", query=""
        ),
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        max_size=max_unit_bytes,
        logger=SILENT,
    )
    engine.send_request(engine.connect())
    return WebSocketConnection(engine, remote, timing, lambda: subprotocols)
