"""Proving who a node is: a statement, signed, under a seal that only the passphrase gives.

Each side has proved passphrase and identity when its part opens. The signature covers role and
transcript, so it fits no other handshake and not the other side of this one.
"""

from __future__ import annotations

from hashlib import sha256

from ironmesh.crypto import hybrid, prehash
from ironmesh.crypto.identity import Identity, node_id_of
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import HandshakeError
from ironmesh.session.interface import (
    ClaimRefusedError,
    PeerClaim,
    PeerStatement,
    check_expected,
)
from ironmesh.session.native.schedule import HANDSHAKE_LABEL, Role, seal_key
from ironmesh.types import NodeId, Refusal, Secret, WireKind
from ironmesh.wire.native.constants import PROTOCOL_VERSION, SIGNATURE_BYTES
from ironmesh.wire.native.handshake import Statement, decode_statement


def seal_proof(
    chain: Secret, role: Role, transcript: bytes, identity: Identity, statement: Statement
) -> bytes:
    """Return the sealed proof of `identity`.

    Args:
        role: of the one who proves.
        transcript: all that was said before the proof.
    """
    said = statement.encoded
    signature = identity.sign_prehashed(_signed(role, transcript, said))
    key = seal_key(chain, role, transcript)
    return hybrid.seal(key, hybrid.ZERO_NONCE, said + signature, transcript)


def open_proof(chain: Secret, role: Role, transcript: bytes, sealed: bytes) -> PeerClaim:
    """Return who proved to be the `role` of this handshake.

    Raises:
        HandshakeError: AUTH_FAILED: it does not open; BAD_SIGNATURE; PROTOCOL: it opens, and is
            malformed.
    """
    key = seal_key(chain, role, transcript)
    try:
        opened = hybrid.open_sealed(key, hybrid.ZERO_NONCE, sealed, transcript)
    except CryptoError as error:
        raise HandshakeError(
            Refusal.AUTH_FAILED,
            "the peer did not prove the passphrase",
            "start both nodes with the same passphrase and the same mesh name",
        ) from error
    said, signature = opened[:-SIGNATURE_BYTES], opened[-SIGNATURE_BYTES:]
    statement = decode_statement(said)
    if not prehash.verify(statement.identity_public, _signed(role, transcript, said), signature):
        raise HandshakeError(
            Refusal.BAD_SIGNATURE, "the peer's signature is not by the identity that it states"
        )
    return _claim_of(statement)


def check_peer(claim: PeerClaim, own: NodeId, expected: NodeId | None) -> None:
    """Refuse a verified peer that is this node, or is not the one that was dialled.

    Raises:
        ClaimRefusedError: SELF or UNEXPECTED_IDENTITY.
    """
    if claim.node_id == own:
        raise ClaimRefusedError(
            Refusal.SELF,
            "the peer is this node itself",
            "the address leads to this node: remove it",
            claim=claim,
        )
    check_expected(claim, expected)


def _signed(role: Role, transcript: bytes, said: bytes) -> bytes:
    return HANDSHAKE_LABEL + role.label + transcript + sha256(said).digest()


def _claim_of(statement: Statement) -> PeerClaim:
    return PeerClaim(
        node_id=node_id_of(statement.identity_public),
        identity_public=statement.identity_public,
        name=statement.name,
        protocol_version=PROTOCOL_VERSION,
        wire=WireKind.NATIVE,
        statement=PeerStatement(statement.features, statement.record_sequence, statement.clock_ms),
    )
