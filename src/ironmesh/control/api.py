"""What an operator may ask of a node, and the plain values that answer.

The same structs travel over the control socket and are shown by `--json`: a field is added, never
renamed or given another meaning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Final, Literal, Protocol

import msgspec

from ironmesh.control.mesh_views import CapabilityView, MapView, RouteView, TraceView
from ironmesh.delivery.records import DEFAULT_LIFETIME_S
from ironmesh.types import MessagePriority, NodeId

MAX_LIST: Final = 10_000
"""The most messages that one call returns."""


Direction = Literal["sent", "received"]
"""Which way a message went."""


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """One running node."""

    name: str
    node_id: NodeId
    version: str
    pid: int
    started_at: float
    """Seconds since 1970."""
    uptime_s: float
    listening: tuple[str, ...]
    """`host:port` of every listener."""
    is_tls: bool
    legacy: str
    """Who may speak the 0.8 wire: `off`, `named` or `all`."""
    is_mdns_on: bool
    peers_online: int
    """Those with a session."""
    mesh_routing: str = "off"
    """`off`, `passive` or `relay`."""
    nodes_reachable: int = 0
    """Over other nodes, besides those with a session."""
    counters: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    """What weakens or endangers this node, as its log said."""


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One peer that the node has, or had, a session with, or reaches over others."""

    node_id: NodeId
    name: str
    is_online: bool
    transport: str
    """`websocket` or `memory`; `mesh` where other nodes are between."""
    address: str
    """`host:port` of the live session, or the last one; empty if unknown."""
    direction: str
    """`out` = we dialled, `in` = it did; empty when offline, or where other nodes are between."""
    hops: int = 1
    """How far away it is; more than 1 = it can be reached over other nodes."""
    via: NodeId | None = None
    """The direct peer that leads to it, where other nodes are between."""
    is_encrypted: bool
    """The transport itself is encrypted (TLS); messages always are."""
    wire: str
    """`legacy` or `native`."""
    is_ours: bool
    """The peer runs this implementation."""
    protocol_version: str
    rtt_ms: float | None = None
    connected_at: float | None = None
    """Seconds since 1970; None when offline."""
    messages_sent: int = 0
    messages_received: int = 0
    trust: str
    """State of its pin: `trusted`, `pending`, ...; `revoked` or `unknown` where it has none."""
    is_verified: bool
    """A person compared its fingerprint."""


class PingView(msgspec.Struct, frozen=True, kw_only=True):
    """How a peer with a session answered a ping."""

    node_id: NodeId
    name: str
    address: str
    """`host:port` of the session."""
    rtt_ms: float | None
    """The round trip; None = no answer in time."""


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was accepted for sending."""

    id: str
    """UUID text."""
    node_id: NodeId
    """Who it is for."""
    state: str
    """A value of `ironmesh.delivery.records.OutboxState`; of a message that is not kept `sent`."""
    reason: str = ""
    """Why it was refused, for people."""


class OutboxView(msgspec.Struct, frozen=True, kw_only=True):
    """A message of this node, but for its payload."""

    id: str
    """UUID text."""
    node_id: NodeId
    """Who it is for."""
    name: str
    """Its last known name; empty if unknown."""
    type: str
    priority: MessagePriority
    size_bytes: int
    state: str
    """A value of `ironmesh.delivery.records.OutboxState`."""
    accepted_at: float
    """Seconds since 1970."""
    expires_at: float
    """When it is given up, seconds since 1970."""
    attempts: int
    ended_at: float | None = None
    """None while it goes on."""
    reason: str = ""
    """Why it was refused, for people."""


class OutboxDetail(OutboxView, frozen=True, kw_only=True):
    """A message of this node, whole."""

    payload: bytes = msgspec.field(name="payload_b64")

    @property
    def text(self) -> str | None:
        """The payload as text, where it is UTF-8."""
        return _text(self.payload)


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was sent, or that arrived, without its payload."""

    direction: Direction
    id: str
    """UUID text."""
    node_id: NodeId
    """Its destination, or its source."""
    name: str
    """Its last known name; empty if unknown."""
    type: str
    priority: MessagePriority
    size_bytes: int
    at: float
    """When it was accepted, or arrived: seconds since 1970."""
    state: str
    """Of a sent one a value of `OutboxState`; of a received one `handled` or `waiting`."""
    ended_at: float | None = None
    reason: str = ""


class PinView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the trust store."""

    node_id: NodeId
    name: str
    state: str
    """`trusted`, `pending`, `blocked`, `pending-cap-change` or `revoked`."""
    public_key_b64: str
    """Ed25519 public key, base64; empty where the store has none."""
    first_seen: float
    """Seconds since 1970."""
    last_seen: float
    is_verified: bool = False
    """The operator compared the fingerprint."""
    wire: str = ""
    """`native` once the peer spoke that, which it then has to; else `legacy`; empty if revoked."""
    is_online: bool = False
    capabilities: tuple[str, ...] = ()
    """As accepted."""
    capabilities_pending: tuple[str, ...] = ()
    """As announced since, where that waits for a decision."""
    revoked_at: float | None = None
    reason: str = ""
    """Why it was revoked, for people."""


# --- Events --------------------------------------------------------------------------------------


class MessageEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="message"):
    """A message arrived for this node."""

    id: str
    type: str
    source: NodeId
    source_name: str
    """Empty if unknown."""
    via: NodeId
    """The direct peer that handed it over: the source, unless it was relayed."""
    payload: bytes = msgspec.field(name="payload_b64")
    is_redelivered: bool = False
    """A handler may have seen it before: the node ended while one was at it."""
    is_legacy: bool = False
    """It was written for the 0.8 wire."""

    @property
    def text(self) -> str | None:
        """The payload as text, where it is UTF-8."""
        return _text(self.payload)


class SettledEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="settled"):
    """Messages of this node reached a new state; but for `held` it is their last one."""

    ids: tuple[str, ...]
    """UUID texts."""
    peer: NodeId
    """Who they are for."""
    state: str
    """A value of `ironmesh.delivery.records.OutboxState`."""
    reason: str = ""


class PeerEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="peer"):
    """A session with a peer came up, or the last one ended."""

    node_id: NodeId
    name: str
    is_online: bool
    address: str = ""
    reason: str = ""
    """Why it ended."""


class RefusalEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="refusal"):
    """A peer, or a connection, was turned away."""

    reason: str
    """A value of `ironmesh.types.Refusal`."""
    remote: str
    name: str = ""
    """As claimed."""
    node_id: str = ""
    detail: str = ""


class MissedEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="missed"):
    """The subscriber was too slow: at this point events were dropped."""

    count: int


OperatorEvent = MessageEvent | SettledEvent | PeerEvent | RefusalEvent | MissedEvent


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return None


# --- The operator's calls ------------------------------------------------------------------------


class Operator(Protocol):
    """A running node, as its operator sees it. All calls are made on the node's loop."""

    def state(self) -> NodeState:
        """Return how the node is."""
        ...

    def peers(self) -> list[PeerView]:
        """Return the peers with a session, those reached over others, and those that were."""
        ...

    async def send(
        self,
        target: str,
        payload: bytes,
        msg_type: str,
        priority: MessagePriority,
        *,
        ttl_s: float = DEFAULT_LIFETIME_S,
        is_durable: bool = True,
        wait_s: float | None = None,
    ) -> SentView:
        """Send one message.

        Args:
            target: a peer's name or node id.
            ttl_s: how long it may take; then it ends as expired.
            is_durable: keep it until it ends; otherwise it goes over the session that is up now.
            wait_s: wait so long at most for its end; None = answer once it is accepted.

        Returns:
            How it ended, or how it stands.

        Raises:
            DeliveryError: it was not accepted.
            StoreError: it could not be brought to disk, and was not accepted.
        """
        ...

    async def outbox_list(self, peer: str | None = None, limit: int = MAX_LIST) -> list[OutboxView]:
        """Return the messages of this node that have not ended, the oldest first.

        Args:
            peer: only those to this name or node id.
            limit: at most so many, and at most 10,000.

        Raises:
            UnknownPeerError: nobody of this name is known.
        """
        ...

    async def outbox_show(self, message: str) -> OutboxDetail:
        """Return a message of this node, ended or not, with its payload.

        Args:
            message: its id, or how no other id begins.

        Raises:
            UnknownMessageError: there is none, or there are several.
        """
        ...

    async def outbox_retry(self, message: str) -> OutboxView:
        """Let a message go again now, whatever it waits for; see `outbox_show`.

        Raises:
            MessageEndedError: it has ended.
        """
        ...

    async def outbox_cancel(self, message: str) -> OutboxView:
        """Take a message back; what is on the wire may arrive. See `outbox_show`.

        Raises:
            MessageEndedError: it has ended.
        """
        ...

    async def history(
        self,
        peer: str | None = None,
        direction: Direction | None = None,
        since: float = 0.0,
        limit: int = 100,
    ) -> list[HistoryView]:
        """Return messages of both directions, the newest first.

        Args:
            peer: only those to or from this name or node id.
            direction: only those that went this way.
            since: only those accepted or arrived since, seconds since 1970.
            limit: at most so many, and at most 10,000.

        Raises:
            UnknownPeerError: nobody of this name is known.
        """
        ...

    def subscribe(self) -> AbstractContextManager[AsyncIterator[OperatorEvent]]:
        """Return a context that yields the events from its entry on (see `Subscription`)."""
        ...

    def trust_list(self) -> list[PinView]:
        """Return every pin, the revoked ones too."""
        ...

    def trust_show(self, who: str) -> PinView:
        """Return the pin of a name or node id.

        Raises:
            UnknownPeerError: there is none.
        """
        ...

    async def trust_pin(self, public_key_b64: str, name: str, *, is_verified: bool) -> PinView:
        """Pin an Ed25519 key (32 bytes, base64) under a name.

        Raises:
            TrustError: the key is malformed, or the name or key is pinned otherwise.
        """
        ...

    async def trust_revoke(self, who: str, reason: str) -> PinView:
        """Bar a key for good and end its session.

        Raises:
            UnknownPeerError: neither a pin nor a node id.
        """
        ...

    async def trust_forget(self, who: str) -> PinView:
        """Remove a pin, so that the next contact is a first one; return what it was.

        Raises:
            UnknownPeerError: there is none.
        """
        ...

    async def trust_verify(self, who: str, fingerprint: str) -> PinView:
        """Note that a person got this fingerprint from the peer's own by another way.

        Args:
            who: a name or node id.
            fingerprint: 12 words, or 32 hex digits.

        Raises:
            UnknownPeerError: nobody is pinned as `who`.
            TrustError: it is no fingerprint, or that of another key.
        """
        ...

    async def ping(self, target: str, timeout_s: float) -> PingView:
        """Ask a peer that has a session for a sign of life.

        Args:
            target: its name or node id.
            timeout_s: how long it has to answer.

        Raises:
            UnknownPeerError: nobody of this name or id has a session.
        """
        ...

    def routes(self) -> list[RouteView]:
        """Return how every node of the mesh is reached, the nearest first."""
        ...

    async def trace(self, target: str, timeout_s: float) -> TraceView:
        """Ask every node on the way to a node to say that it is on it.

        Args:
            target: its name or node id.
            timeout_s: how long the answers may take; those that came are returned.

        Raises:
            UnknownPeerError: nobody of this name is known.
            NoPathError: no route leads there.
        """
        ...

    def capabilities(self, pattern: str) -> list[CapabilityView]:
        """Return what this node and others of the mesh can do, by a shell-style pattern."""
        ...

    async def map(self) -> MapView:
        """Return every node of the mesh, and one way to each; may take some seconds."""
        ...

    def config(self) -> dict[str, object]:
        """Return what the node was told at its start, by the fields of `NodeConfig`, in JSON types.

        Secrets are left out.
        """
        ...

    async def connect(self, host: str, port: int) -> NodeId:
        """Dial an address; return the node id of the peer once its session is up.

        Raises:
            IronMeshError: it could not be reached, or one side refused.
        """
        ...

    def stop(self) -> None:
        """Ask the node to stop; returns at once."""
        ...
