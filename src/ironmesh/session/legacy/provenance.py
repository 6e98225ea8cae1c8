"""Who wrote a frame, and to whom: the checks that stop forged and misdirected messages."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from ironmesh.config import parse_protocol_version
from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import PeerClaim
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import NodeId, Refusal, is_node_id
from ironmesh.wire.legacy.constants import BROADCAST, CONTEXT_SINCE
from ironmesh.wire.legacy.inner import Inner, inflate
from ironmesh.wire.legacy.source import SCHEME_V1, SCHEME_V2, signed_v1, signed_v2


class Provenance:
    """Checks source, destination, source signature and sealed copy of opened frames."""

    __slots__ = (
        "_box_public",
        "_identity",
        "_is_v1_allowed",
        "_known_keys",
        "_own_id",
        "_peer",
        "_tries_v2_first",
    )

    def __init__(self, settings: LegacySettings, claim: PeerClaim) -> None:
        self._identity: Identity = settings.identity
        self._own_id = settings.identity.node_id
        self._peer = claim
        self._known_keys: Callable[[NodeId], bytes | None] = settings.known_keys
        self._box_public = sodium.sign_public_to_box(settings.identity.public)
        floor = parse_protocol_version(settings.min_version)
        self._is_v1_allowed = floor < CONTEXT_SINCE
        self._tries_v2_first = parse_protocol_version(claim.protocol_version) >= CONTEXT_SINCE

    def check(self, inner: Inner) -> bytes:
        """Return the payload as its originator meant it.

        Raises:
            RemoteProtocolError: the frame must be dropped; the session goes on.
        """
        if inner.destination not in (self._own_id, BROADCAST, ""):
            raise RemoteProtocolError(Refusal.NOT_FOR_US, f"a frame for {inner.destination!a}")
        source_public = self._source_key(inner)
        body = inflate(inner.payload) if inner.routing.compressed else inner.payload
        opened = self._open_sealed_copy(inner, body)
        self._check_signature(inner, source_public, opened)
        return opened

    def _source_key(self, inner: Inner) -> bytes:
        """Return the key that the source signature must be by."""
        source = inner.source
        if not inner.hops:
            if source != self._peer.node_id:
                raise RemoteProtocolError(
                    Refusal.SOURCE_FORGED, f"a direct frame that claims to be from {source!a}"
                )
            return self._peer.identity_public
        if source == self._own_id:
            raise RemoteProtocolError(Refusal.REFLECTED, "a frame of ours came back")
        if source == self._peer.node_id:
            return self._peer.identity_public
        known = self._known_keys(NodeId(source)) if is_node_id(source) else None
        if known is None:
            raise RemoteProtocolError(
                Refusal.SOURCE_UNKNOWN,
                f"a relayed frame from {source!a}, whose key is not known",
                "connect to that node once",
            )
        return known

    def _open_sealed_copy(self, inner: Inner, body: bytes) -> bytes:
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

    def _check_signature(self, inner: Inner, source_public: bytes, opened: bytes) -> None:
        signature = inner.source_signature
        if signature is UNSET:
            if inner.hops:
                raise RemoteProtocolError(
                    Refusal.SOURCE_FORGED, "a relayed frame without its source's signature"
                )
            # The source is the peer, and its signature over the ciphertext has been checked.
            return
        schemes = self._schemes(inner)
        # Published nodes sign the payload as it travels, 0.9 what a sealed copy holds.
        is_one = not inner.payload or opened == inner.payload
        payloads = [opened] if is_one else [opened, inner.payload]
        for payload in payloads:
            for scheme in schemes:
                if scheme == SCHEME_V2:
                    signed = signed_v2(inner.source, inner.destination, inner.msg_id, payload)
                else:
                    signed = signed_v1(payload)
                if sodium.verify(source_public, signed, signature):
                    return
        raise RemoteProtocolError(
            Refusal.SOURCE_FORGED, f"the source signature of {inner.source!a} does not check"
        )

    def _schemes(self, inner: Inner) -> tuple[str, ...]:
        """Return the schemes that may have been used, the likeliest first."""
        scheme = inner.source_sig_scheme
        candidates: tuple[str, ...]
        if scheme is UNSET:
            candidates = (SCHEME_V2, SCHEME_V1) if self._tries_v2_first else (SCHEME_V1, SCHEME_V2)
        else:
            candidates = (scheme,)
        allowed = (SCHEME_V1, SCHEME_V2) if self._is_v1_allowed else (SCHEME_V2,)
        return tuple(candidate for candidate in candidates if candidate in allowed)
