"""Who wrote a frame, and to whom: the checks that stop forged and misdirected messages."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET

from ironmesh.config import parse_protocol_version
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import PeerClaim
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.session.legacy.sources import SealedCopies, SignatureRules
from ironmesh.types import NodeId, Refusal, is_node_id
from ironmesh.wire.legacy.constants import BROADCAST, CONTEXT_SINCE, TUNNEL_TYPE
from ironmesh.wire.legacy.inner import Inner, inflate


class Provenance:
    """Checks source, destination, source signature and sealed copy of opened frames."""

    __slots__ = (
        "_copies",
        "_is_native",
        "_known_keys",
        "_own_id",
        "_peer",
        "_rules",
        "_takes_transit",
    )

    def __init__(self, settings: LegacySettings, claim: PeerClaim) -> None:
        self._own_id = settings.identity.node_id
        self._peer = claim
        self._known_keys: Callable[[NodeId], bytes | None] = settings.known_keys
        self._is_native = settings.is_native
        self._takes_transit = settings.takes_transit
        self._copies = SealedCopies(settings.identity)
        self._rules = SignatureRules(
            is_v1_allowed=parse_protocol_version(settings.min_version) < CONTEXT_SINCE,
            is_v2_likelier=parse_protocol_version(claim.protocol_version) >= CONTEXT_SINCE,
        )

    def is_transit(self, inner: Inner) -> bool:
        """Tell whether a frame is for somebody else, and this node takes such frames."""
        return self._takes_transit and not self._is_for_us(inner)

    def check(self, inner: Inner) -> bytes:
        """Return the payload as its originator meant it.

        Raises:
            RemoteProtocolError: the frame must be dropped; the session goes on.
        """
        if not self._is_for_us(inner):
            raise RemoteProtocolError(Refusal.NOT_FOR_US, f"a frame for {inner.destination!a}")
        source_public = self._source_key(inner)
        if source_public is None and inner.type != TUNNEL_TYPE:
            raise RemoteProtocolError(
                Refusal.SOURCE_UNKNOWN,
                f"a relayed frame from {inner.source!a}, whose key is not known",
                "connect to that node once, or pin its key: `ironmesh trust pin`",
            )
        body = inflate(inner.payload) if inner.routing.compressed else inner.payload
        opened = self._copies.open(inner, body)
        if source_public is not None:
            self._check_signature(inner, source_public, opened)
        return opened

    def check_transit(self, inner: Inner) -> None:
        """Check a frame that is to be passed on, as far as a relay can.

        Raises:
            RemoteProtocolError: the frame must be dropped; the session goes on.
        """
        source_public = self._source_key(inner)
        if source_public is None or (not inner.payload and inner.e2e_payload is not UNSET):
            return  # only the destination can tell
        self._check_signature(inner, source_public, inner.payload)

    def _is_for_us(self, inner: Inner) -> bool:
        return inner.destination in (self._own_id, BROADCAST, "")

    def _source_key(self, inner: Inner) -> bytes | None:
        """Return the key that the source signature must be by; None if nobody knows it."""
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
        if not is_node_id(source):
            raise RemoteProtocolError(Refusal.SOURCE_UNKNOWN, f"{source!a} is no node id")
        if inner.type != TUNNEL_TYPE and self._is_native(NodeId(source)):
            raise RemoteProtocolError(
                Refusal.DOWNGRADED, f"a relayed 0.8 frame from {source!a}, which is native"
            )
        return self._known_keys(NodeId(source))

    def _check_signature(self, inner: Inner, source_public: bytes, opened: bytes) -> None:
        if inner.source_signature is UNSET:
            if inner.hops:
                raise RemoteProtocolError(
                    Refusal.SOURCE_FORGED, "a relayed frame without its source's signature"
                )
            # The source is the peer, and its signature over the ciphertext has been checked.
            return
        self._rules.check(inner, source_public, opened)
