"""What lies beneath the wire in a test: plain TCP, or TLS with certificates that nobody pins."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from ironmesh.transport.tls import client_context


@dataclass
class Outer:
    """Contexts of servers; None = plain."""

    nodes: ssl.SSLContext | None = None
    attackers: ssl.SSLContext | None = None
    """Of whoever poses as a node: he has a certificate of his own."""

    @property
    def scheme(self) -> str:
        """Of the address of a node."""
        return "ws" if self.nodes is None else "wss"

    @property
    def client(self) -> ssl.SSLContext | None:
        """Of an attacker who dials."""
        return None if self.nodes is None else client_context()


OUTER = Outer()
"""Of the test that runs now; plain unless it uses the fixture `outer`."""
