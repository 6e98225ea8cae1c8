"""The node's own TLS certificate: made at the first start, kept beside its keys."""

from __future__ import annotations

import ssl

from ironmesh.config import NodeConfig
from ironmesh.files import write_private
from ironmesh.transport.tls import make_self_signed, server_context

CERTIFICATE_FILE = "tls-cert.pem"
KEY_FILE = "tls-key.pem"


def listener_context(config: NodeConfig) -> ssl.SSLContext | None:
    """Return the TLS context of the listener; None where the operator chose plain ws.

    Raises:
        ConfigError: a certificate that was given cannot be used.
    """
    if config.tls_cert is not None and config.tls_key is not None:
        return server_context(config.tls_cert, config.tls_key)
    if config.allow_plaintext:
        return None
    certificate = config.node_dir / CERTIFICATE_FILE
    key = config.node_dir / KEY_FILE
    if not (certificate.exists() and key.exists()):
        certificate_pem, key_pem = make_self_signed()
        write_private(key, key_pem)
        write_private(certificate, certificate_pem)
    return server_context(certificate, key)
