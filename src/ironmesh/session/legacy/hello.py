"""Making and checking the HELLO of both roles (wire specification, sections 4.2 to 4.4)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from ironmesh.config import parse_protocol_version
from ironmesh.crypto import sodium
from ironmesh.crypto.identity import node_id_of
from ironmesh.errors import HandshakeError
from ironmesh.session.interface import PeerClaim
from ironmesh.session.legacy.keys import Ephemeral
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import NodeId, Refusal, Secret
from ironmesh.wire.legacy.constants import CONTEXT_SINCE, IMPLIED_VERSION, both_since
from ironmesh.wire.legacy.handshake import (
    BOX_KEY_CONTEXT,
    HELLO_CONTEXT,
    Hello,
    canonical_hello,
    from_base64,
    to_base64,
)


@dataclass(frozen=True, slots=True)
class VerifiedHello:
    """A HELLO that checked: who sent it, and the key that we now share."""

    claim: PeerClaim
    session_key: Secret


def make_hello(
    settings: LegacySettings, ephemeral_public: bytes, channel_binding: str, peer_version: str
) -> Hello:
    """Return our signed HELLO, in the scheme that both versions call for."""
    identity = settings.identity
    hello = Hello(
        from_id=identity.node_id,
        name=settings.name,
        ephemeral_public=to_base64(ephemeral_public),
        identity_public=to_base64(identity.public),
        protocol_version=settings.protocol_version,
        channel_binding=channel_binding,
    )
    canonical = canonical_hello(hello, channel_binding)
    if both_since(CONTEXT_SINCE, settings.protocol_version, peer_version):
        signature = identity.sign(HELLO_CONTEXT + canonical)
    else:
        signature = identity.sign(canonical) + canonical
    return msgspec.structs.replace(hello, signature=to_base64(signature))


def verify_hello(
    hello: Hello, channel_binding: str, own_ephemeral: Ephemeral, settings: LegacySettings
) -> VerifiedHello:
    """Check a peer's HELLO and agree on the session key.

    Args:
        channel_binding: the nonce of this connection's challenge, hex.

    Raises:
        HandshakeError: UNSIGNED, BAD_SIGNATURE, REFLECTED, SELF, VERSION_TOO_OLD or PROTOCOL.
    """
    if not hello.identity_public or not hello.signature:
        raise HandshakeError(Refusal.UNSIGNED, "the peer's HELLO has no identity or no signature")
    identity_public = _key(hello.identity_public, "identity_public")
    ephemeral_public = _key(hello.ephemeral_public, "ephemeral_public")
    _check_signature(hello, identity_public, channel_binding, settings)
    _check_box_key(hello, identity_public)
    node_id = node_id_of(identity_public)
    _check_not_own(node_id, ephemeral_public, own_ephemeral, settings)
    _check_version(hello, settings)
    try:
        session_key = own_ephemeral.agree(ephemeral_public)
    except sodium.CryptoError as error:
        raise HandshakeError(Refusal.PROTOCOL, error.what) from error
    claim = PeerClaim(
        node_id=node_id,
        identity_public=identity_public,
        name=hello.name,
        protocol_version=hello.protocol_version,
    )
    return VerifiedHello(claim, session_key)


def _key(text: str, member: str) -> bytes:
    key = from_base64(text)
    if key is None or len(key) != sodium.PUBLIC_BYTES:
        raise HandshakeError(
            Refusal.PROTOCOL, f"{member} of the HELLO is not 32 bytes in canonical base64"
        )
    return key


def _check_signature(
    hello: Hello, identity_public: bytes, channel_binding: str, settings: LegacySettings
) -> None:
    signature = from_base64(hello.signature) or b""
    canonical = canonical_hello(hello, channel_binding)
    if both_since(CONTEXT_SINCE, settings.protocol_version, hello.protocol_version):
        signed, attached, expected = HELLO_CONTEXT + canonical, b"", b""
    else:
        signed, attached, expected = canonical, signature[sodium.SIGNATURE_BYTES :], canonical
        signature = signature[: sodium.SIGNATURE_BYTES]
    if not sodium.same(attached, expected) or not sodium.verify(identity_public, signed, signature):
        raise HandshakeError(
            Refusal.BAD_SIGNATURE,
            "the signature of the peer's HELLO does not check",
            "somebody may sit between the two nodes",
        )


def _check_box_key(hello: Hello, identity_public: bytes) -> None:
    """Refuse an advertised sealing key that the identity did not sign (section 9.3)."""
    if hello.x25519_public_b64 is UNSET and hello.x25519_binding_signature_b64 is UNSET:
        return
    public = _bytes_of(hello.x25519_public_b64)
    signature = _bytes_of(hello.x25519_binding_signature_b64)
    if len(public) != sodium.PUBLIC_BYTES or not sodium.verify(
        identity_public, BOX_KEY_CONTEXT + public, signature
    ):
        raise HandshakeError(
            Refusal.BAD_SIGNATURE, "the peer's sealing key is not signed by its identity"
        )


def _bytes_of(text: str | UnsetType) -> bytes:
    return (from_base64(text) if isinstance(text, str) else None) or b""


def _check_not_own(
    node_id: NodeId, ephemeral_public: bytes, own_ephemeral: Ephemeral, settings: LegacySettings
) -> None:
    if sodium.same(ephemeral_public, own_ephemeral.public):
        raise HandshakeError(Refusal.REFLECTED, "the peer sent our own HELLO back")
    if node_id == settings.identity.node_id:
        raise HandshakeError(
            Refusal.SELF, "the peer has this node's own identity", "remove the own address"
        )


def _check_version(hello: Hello, settings: LegacySettings) -> None:
    stated = parse_protocol_version(hello.protocol_version or IMPLIED_VERSION)
    if stated < parse_protocol_version(settings.min_version):
        raise HandshakeError(
            Refusal.VERSION_TOO_OLD,
            f"the peer speaks {hello.protocol_version!r}, the minimum is {settings.min_version}",
            "upgrade the peer, or lower --min-protocol-version",
        )
