"""What a source does to its message, and what whoever gets it checks: seal it, sign it, open it."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import UNSET

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Message, NodeId, Refusal, message_id_text
from ironmesh.wire.legacy import source
from ironmesh.wire.legacy.bridged import Bridged
from ironmesh.wire.legacy.inner import Inner, inflate, message_id_of, priority_of
from ironmesh.wire.legacy.transit import WRITTEN_LATER


@dataclass(frozen=True, slots=True)
class SignatureRules:
    """Which schemes of source signatures count, and which is tried first where none is named."""

    is_v1_allowed: bool = True
    is_v2_likelier: bool = False

    def check(self, inner: Inner, source_public: bytes, opened: bytes) -> None:
        """Check the source's signature over a message.

        Raises:
            RemoteProtocolError: SOURCE_FORGED.
        """
        signature = b"" if inner.source_signature is UNSET else inner.source_signature
        # Published nodes sign the payload as it travels, 0.9 what a sealed copy holds.
        is_one = not inner.payload or opened == inner.payload
        payloads = [opened] if is_one else [opened, inner.payload]
        for payload in payloads:
            for scheme in self._schemes(inner):
                if scheme == source.SCHEME_V2:
                    signed = source.signed_v2(
                        inner.source, inner.destination, inner.msg_id, payload
                    )
                else:
                    signed = source.signed_v1(payload)
                if sodium.verify(source_public, signed, signature):
                    return
        raise RemoteProtocolError(
            Refusal.SOURCE_FORGED, f"the source signature of {inner.source!a} does not check"
        )

    def _schemes(self, inner: Inner) -> tuple[str, ...]:
        """Return the schemes that may have been used, the likeliest first."""
        scheme = inner.source_sig_scheme
        both = (source.SCHEME_V1, source.SCHEME_V2)
        candidates: tuple[str, ...] = both[::-1] if self.is_v2_likelier else both
        if scheme is not UNSET:
            candidates = (scheme,)
        allowed = both if self.is_v1_allowed else (source.SCHEME_V2,)
        return tuple(candidate for candidate in candidates if candidate in allowed)


class SealedCopies:
    """Opens what was sealed to this node's identity key (wire specification, section 9.2)."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._box_public = sodium.sign_public_to_box(identity.public)

    def open(self, inner: Inner, body: bytes) -> bytes:
        """Return what the sealed copy holds; without one, `body`, the payload in the clear.

        Raises:
            RemoteProtocolError: UNDECRYPTABLE; BAD_BODY: the two are not the same.
        """
        sealed = inner.e2e_payload
        if sealed is UNSET:
            return body
        try:
            opened = sodium.seal_open(self._box_public, self._identity.box_secret(), sealed)
        except sodium.CryptoError as error:
            raise RemoteProtocolError(
                Refusal.UNDECRYPTABLE, "the sealed copy is not for this node's key"
            ) from error
        if body and not sodium.same(opened, body):
            raise RemoteProtocolError(
                Refusal.BAD_BODY, "the sealed copy says something else than the payload"
            )
        return opened


def originate(
    identity: Identity, message: Message, *, seal_to: bytes | None, max_hops: int
) -> Inner:
    """Return what a frame says that goes over relays to a node of the 0.8 wire.

    Args:
        seal_to: the destination's identity key (Ed25519, 32 bytes): then no relay can read the
            message, and the payload beside the sealed copy is empty. None: every relay can.
        max_hops: how many relays may pass it on.

    Raises:
        CryptoError: `seal_to` is not a key.
    """
    text, payload = message_id_text(message.id), message.payload
    sealed = None
    if seal_to is not None:
        sealed = sodium.seal(sodium.sign_public_to_box(seal_to), payload)
    return Inner(
        type=message.type,
        payload=payload if sealed is None else b"",
        msg_id=text,
        source=identity.node_id,
        source_display=identity.node_id,
        destination=message.destination,
        timestamp=WRITTEN_LATER,
        priority=message.priority.value,
        ttl=max_hops,
        source_signature=identity.sign(
            source.signed_v2(identity.node_id, message.destination, text, payload)
        ),
        source_sig_scheme=source.SCHEME_V2,
        e2e_payload=UNSET if sealed is None else sealed,
    )


def open_bridged(bridged: Bridged, copies: SealedCopies, timestamp_ms: int) -> Message:
    """Return the message that a bridge handed over for us.

    Args:
        timestamp_ms: when the bridge took it: what the source wrote is not signed.

    Raises:
        RemoteProtocolError: it is not signed by its source, or does not open.
    """
    said = bridged.said
    body = inflate(said.payload) if said.routing.compressed else said.payload
    opened = copies.open(said, body)
    SignatureRules().check(said, bridged.source_public, opened)
    return Message(
        id=message_id_of(said.msg_id),
        type=said.type,
        payload=opened,
        source=NodeId(said.source),
        destination=NodeId(said.destination),
        priority=priority_of(said),
        timestamp_ms=timestamp_ms,
    )
