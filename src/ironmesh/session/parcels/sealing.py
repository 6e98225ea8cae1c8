"""Seals parcels to a node that was perhaps never met, and opens those that are for us."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

from ironmesh.crypto import hybrid, prehash
from ironmesh.crypto.identity import Identity, node_id_of
from ironmesh.crypto.sodium import CryptoError
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.parcels.prekeys import Prekey, Prekeys
from ironmesh.types import NodeId, Random, Refusal
from ironmesh.wire.native.parcels import (
    PUBLIC_BYTES,
    SIGNATURE_BYTES,
    SplitParcel,
    context,
    encode_head,
    signed_text,
    split_parcel,
)

_KEY_INFO = b"parcel"


class DestinationKeys(NamedTuple):
    """What a parcel is sealed to: from the node record of its destination."""

    identity_public: bytes
    """Ed25519 key, 32 bytes."""
    number: int
    """Of the prekeys."""
    x25519: bytes
    """32 bytes."""
    kem: bytes | None = None
    """ML-KEM-768 key, 1,184 bytes; None = kind 1: the record lists none, or the way is radio."""


class OpenedParcel(NamedTuple):
    """What a parcel held, and who sealed it: that it is trusted is for others to say."""

    source_public: bytes
    """Ed25519 key, 32 bytes; its holder signed the content for us."""
    content: bytes
    is_fresh: bool
    """It was sealed to a prekey of this run, so it was not seen by a run before."""
    is_hybrid: bool

    @property
    def source(self) -> NodeId:
        """The node id of the source."""
        return node_id_of(self.source_public)


def seal_parcel(source: Identity, to: DestinationKeys, content: bytes, random: Random) -> bytes:
    """Return a parcel that only its destination can open.

    Args:
        content: at most `MAX_CONTENT_BYTES`.

    Raises:
        CryptoError: the destination published keys that cannot be used.

    Source: docs/protocol-mesh.md, "Parcels".
    """
    ephemeral = hybrid.X25519Pair.generate(random)
    secrets = [ephemeral.agree(to.x25519)]
    ciphertext = kem_hash = b""
    if to.kem is not None:
        ciphertext, secret = hybrid.encapsulate(to.kem)
        secrets.append(secret)
        kem_hash = sha256(to.kem).digest()
    head = encode_head(to.number, ephemeral.public, ciphertext)
    bound = context(to.identity_public, to.x25519, kem_hash, head)
    signature = source.sign_prehashed(signed_text(to.identity_public, head, source.public, content))
    key = _key(bound, secrets)
    opened = b"".join((source.public, content, signature))
    return head + hybrid.seal(key, hybrid.ZERO_NONCE, opened, bound)


def open_parcel(parcel: bytes, prekeys: Prekeys, own: Identity) -> OpenedParcel:
    """Open a parcel that is for us, and check who signed it.

    Raises:
        RemoteProtocolError: TOO_LARGE, TRUNCATED, PROTOCOL: not a parcel; PREKEY_UNKNOWN: its key
            is not ours, or was destroyed; UNDECRYPTABLE: altered, or for another node;
            BAD_SIGNATURE: not by the source that it names; SELF: it says that we sealed it.
    """
    split = split_parcel(parcel)
    prekey = prekeys.find(split.number)
    if prekey is None:
        raise RemoteProtocolError(
            Refusal.PREKEY_UNKNOWN, "a parcel for a key that is not ours, or was destroyed"
        )
    kem_hash = prekey.kem_hash if split.ciphertext else b""
    bound = context(own.public, prekey.x25519, kem_hash, split.head)
    try:
        key = _key(bound, _agree(split, prekey))
        opened = hybrid.open_sealed(key, hybrid.ZERO_NONCE, split.sealed, bound)
    except CryptoError as error:
        raise RemoteProtocolError(Refusal.UNDECRYPTABLE, "a parcel that does not open") from error
    source = opened[:PUBLIC_BYTES]
    content = opened[PUBLIC_BYTES:-SIGNATURE_BYTES]
    text = signed_text(own.public, split.head, source, content)
    if not prehash.verify(source, text, opened[-SIGNATURE_BYTES:]):
        raise RemoteProtocolError(
            Refusal.BAD_SIGNATURE, "a parcel that the source it names did not sign"
        )
    if source == own.public:
        raise RemoteProtocolError(Refusal.SELF, "a parcel of our own identity")
    return OpenedParcel(
        source, content, prekeys.is_of_this_run(split.number), bool(split.ciphertext)
    )


def _agree(split: SplitParcel, prekey: Prekey) -> list[bytes]:
    secrets = [prekey.agree(split.ephemeral)]
    if split.ciphertext:
        secrets.append(prekey.decapsulate(split.ciphertext))
    return secrets


def _key(bound: bytes, secrets: list[bytes]) -> bytes:
    return hybrid.expand(hybrid.extract(bound, *secrets), _KEY_INFO)
