"""The node's own TLS certificate, made by itself.

While the 0.8 wire is allowed it is kept, and peers pin it. Without, it is another one after each
start: it would only let whoever dials us know that it is the same node again.
"""

from __future__ import annotations

import ssl
from typing import Final

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.transport.tls import server_context

CERTIFICATE_FILE: Final = "tls-cert.pem"
KEY_FILE: Final = "tls-key.pem"


def needs_certificate(config: NodeConfig) -> bool:
    """Tell whether this node has to make itself a certificate."""
    if config.tls_cert is not None or config.allow_plaintext:
        return False
    if config.legacy is LegacyMode.OFF:
        return True
    node_dir = config.node_dir
    return not ((node_dir / CERTIFICATE_FILE).exists() and (node_dir / KEY_FILE).exists())


def listener_context(config: NodeConfig) -> ssl.SSLContext | None:
    """Return the TLS context of the listener; None where the operator chose plain ws.

    Raises:
        ConfigError: the certificate cannot be used.
    """
    if config.tls_cert is not None and config.tls_key is not None:
        return server_context(config.tls_cert, config.tls_key)
    if config.allow_plaintext:
        return None
    return server_context(config.node_dir / CERTIFICATE_FILE, config.node_dir / KEY_FILE)
