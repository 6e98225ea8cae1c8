"""The real network, as a configuration wants it: WebSocket and mDNS."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.discovery.mdns import MdnsDiscovery, NativeIdentity
from ironmesh.discovery.record import SERVICE_TYPE
from ironmesh.node.certificate import listener_context
from ironmesh.node.ports import Discovery, OnRefused
from ironmesh.transport.interface import Connection, ConnectionHandler, Door, Listener
from ironmesh.types import Endpoint


class WebSocketTransport:
    """Listens on wss (or ws, where the operator chose that) and dials both."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls

    @property
    def is_tls(self) -> bool:
        """The listener speaks TLS."""
        return self._tls is not None

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door,
        on_refused: OnRefused,
        *,
        subprotocols: Sequence[str] = (),
    ) -> Listener:
        """Accept WebSocket connections; see `transport.websocket.listener.listen`."""
        from ironmesh.transport.websocket.listener import listen

        return await listen(
            endpoint,
            handler,
            tls=self._tls,
            door=door,
            on_refused=on_refused,
            subprotocols=subprotocols,
        )

    async def dial(
        self, endpoint: Endpoint, *, use_tls: bool, subprotocols: Sequence[str] = ()
    ) -> Connection:
        """Connect to a WebSocket server; see `transport.websocket.dialer.dial`."""
        from ironmesh.transport.websocket.dialer import dial

        return await dial(endpoint, use_tls=use_tls, subprotocols=subprotocols)


def build_transport(config: NodeConfig) -> WebSocketTransport:
    """Return the WebSocket transport of this configuration.

    Raises:
        ConfigError: its certificate cannot be used.
    """
    return WebSocketTransport(listener_context(config))


def build_discovery(config: NodeConfig, label: str) -> Discovery | None:
    """Return mDNS, unless this configuration has it off.

    Args:
        label: what this run of the node is called on the network; its name shows only while the
            0.8 wire is allowed.
    """
    if not config.mdns:
        return None
    service_type = None if config.legacy is LegacyMode.OFF else SERVICE_TYPE
    return MdnsDiscovery(service_type, native=NativeIdentity(label, config.mesh))
