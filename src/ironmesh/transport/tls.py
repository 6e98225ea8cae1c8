"""TLS under the WebSocket: contexts, and a certificate of our own where the operator gives none.

TLS here hides traffic from bystanders. Who the peer is, the session's handshake proves; so a client
takes any certificate, and remembers its fingerprint together with the identity proved inside.
"""

from __future__ import annotations

import functools
import ssl
from pathlib import Path
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.errors import ConfigError

CERTIFICATE_COMMON_NAME: Final = "self-signed"
"""The same for everybody: a certificate must not name the node to whoever dials it."""
_FIRST_YEAR: Final = 2020
_LAST_YEAR: Final = 2120


def server_context(cert_path: Path, key_path: Path) -> ssl.SSLContext:
    """Return the context of a listener: TLS 1.2 or later, no compression, no renegotiation.

    Args:
        cert_path: PEM file with the certificate, and its chain if it has one.
        key_path: PEM file with its unencrypted private key.

    Raises:
        ConfigError: a file is missing, unreadable or malformed, or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.num_tickets = 0
    for path in (cert_path, key_path):
        _check_readable(path)
    try:
        # Without a password callback, OpenSSL asks for one on the terminal.
        context.load_cert_chain(cert_path, key_path, password=lambda: b"")
    except ssl.SSLError as error:
        raise ConfigError(
            f"the TLS certificate {cert_path} and key {key_path} cannot be used"
            f" ({error.reason or 'not PEM'})",
            "give a PEM certificate and its own unencrypted PEM key",
        ) from error
    return context


@functools.cache
def client_context() -> ssl.SSLContext:
    """Return the context of all dialling: TLS 1.2 or later, any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def fingerprint(cert_der: bytes) -> bytes:
    """Return SHA-256 (32 bytes) of a certificate in DER."""
    return sodium.sha256(cert_der)


def make_self_signed() -> tuple[bytes, bytes]:
    """Make an EC P-256 key and a certificate for it that names nobody.

    Returns:
        Certificate and private key, both PEM.
    """
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, CERTIFICATE_COMMON_NAME)])
    # Fixed dates: a node whose clock is wrong must not make a certificate that is not valid yet.
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(_FIRST_YEAR, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(_LAST_YEAR, 1, 1, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError(
            f"the TLS file {path} cannot be read ({error.strerror})",
            "check the path and its permissions",
        ) from error
