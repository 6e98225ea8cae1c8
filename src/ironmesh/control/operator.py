"""What the operator may do with a running node: the calls of `control.api`, in process."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import msgspec

from ironmesh.control.api import (
    MAX_LIST,
    Direction,
    HistoryView,
    MessageEvent,
    NodeState,
    OperatorEvent,
    OutboxDetail,
    OutboxView,
    PeerEvent,
    PeerView,
    PingView,
    PinView,
    RefusalEvent,
    SentView,
    SettledEvent,
)
from ironmesh.control.configured import config_view
from ironmesh.control.mesh import MeshOffice
from ironmesh.control.mesh_views import CapabilityView, MapView, RouteView, TraceView
from ironmesh.control.messages import Messages
from ironmesh.control.operator_entry import MAX_WARNINGS
from ironmesh.control.subscription import Subscription
from ironmesh.control.views import decode_key, find_revoked, pin_view, revoked_view
from ironmesh.delivery.records import DEFAULT_LIFETIME_S, OutboxState
from ironmesh.errors import UnknownPeerError
from ironmesh.node.clock import SystemClock
from ironmesh.node.events import (
    MessageReceived,
    MessageSettled,
    MessagesReceived,
    NodeEvent,
    Notice,
    PeerOffline,
    PeerOnline,
    PeerRefused,
)
from ironmesh.node.link import Link
from ironmesh.node.node import Node
from ironmesh.node.outgoing import Ending
from ironmesh.trust.fingerprint import read_fingerprint
from ironmesh.trust.pins import Pin
from ironmesh.types import MessagePriority, NodeId, message_id_text
from ironmesh.version import __version__

MAX_PAST_PEERS: Final = 256


class NodeOperator:
    """The operator API of one node.

    Args:
        node: the node; it need not run yet.
        stop: asks whoever runs the node to stop it.
        before: what happened before this was made.
    """

    def __init__(
        self, node: Node, stop: Callable[[], None], *, before: Iterable[NodeEvent] = ()
    ) -> None:
        self._node = node
        self._stop = stop
        self._messages = Messages(node)
        self._mesh = MeshOffice(node)
        self._clock = SystemClock()
        self._past: OrderedDict[NodeId, PeerView] = OrderedDict()
        self._warnings: list[str] = []
        self._subscriptions: set[Subscription] = set()
        for event in before:
            self._take(event)
        node.subscribe(self._take)

    # --- How it is ---------------------------------------------------------------------------

    def state(self) -> NodeState:
        """Return how the node is."""
        node, now = self._node, self._clock.now()
        started = node.started or now
        return NodeState(
            name=node.config.name,
            node_id=node.node_id,
            version=__version__,
            pid=os.getpid(),
            started_at=started.wall,
            uptime_s=now.mono - started.mono,
            listening=tuple(str(endpoint) for endpoint in node.endpoints),
            is_tls=node.is_tls,
            legacy=node.config.legacy.value,
            is_mdns_on=node.config.mdns,
            peers_online=sum(1 for _ in node.links.online()),
            mesh_routing=node.config.mesh_routing.value,
            nodes_reachable=len(self._mesh.peers()),
            counters=node.counters.snapshot(),
            warnings=tuple(self._warnings),
        )

    def peers(self) -> list[PeerView]:
        """Return the peers with a session, those reached over others, and those that were."""
        online = {link.peer: _view(link) for link in self._node.links.online()}
        far = {view.node_id: view for view in self._mesh.peers() if view.node_id not in online}
        known = online | far
        past = [view for view in self._past.values() if view.node_id not in known]
        return [self._with_trust(view) for view in (*known.values(), *past)]

    def subscribe(self) -> AbstractContextManager[AsyncIterator[OperatorEvent]]:
        """Return a context that yields the events from its entry on."""
        return self._subscribed()

    def close(self) -> None:
        """End every subscription once what waits there has been read."""
        for subscription in self._subscriptions:
            subscription.close()

    @contextmanager
    def _subscribed(self) -> Iterator[AsyncIterator[OperatorEvent]]:
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            subscription.close()

    # --- What it does ------------------------------------------------------------------------

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
        """Send one message, and wait for its end if asked to."""
        node_id, message_id = await self._node.send(
            target, payload, msg_type, priority, lifetime_s=ttl_s, is_durable=is_durable
        )
        if not is_durable:
            ending = Ending(OutboxState.SENT)
        else:
            ending = await self._messages.ending(message_id, wait_s or 0.0)
        return SentView(
            id=message_id_text(message_id),
            node_id=node_id,
            state=ending.state.value,
            reason=ending.reason,
        )

    async def outbox_list(self, peer: str | None = None, limit: int = MAX_LIST) -> list[OutboxView]:
        """Return the messages of this node that have not ended, the oldest first."""
        return await self._messages.outbox_list(peer, limit)

    async def outbox_show(self, message: str) -> OutboxDetail:
        """Return a message of this node, ended or not, with its payload."""
        return await self._messages.outbox_show(message)

    async def outbox_retry(self, message: str) -> OutboxView:
        """Let a message go again now, whatever it waits for."""
        return await self._messages.outbox_retry(message)

    async def outbox_cancel(self, message: str) -> OutboxView:
        """Take a message back; what is on the wire may arrive."""
        return await self._messages.outbox_cancel(message)

    async def history(
        self,
        peer: str | None = None,
        direction: Direction | None = None,
        since: float = 0.0,
        limit: int = 100,
    ) -> list[HistoryView]:
        """Return messages of both directions, the newest first."""
        return await self._messages.history(peer, direction, since, limit)

    async def ping(self, target: str, timeout_s: float) -> PingView:
        """Ask a peer that has a session for a sign of life."""
        link = self._online(target)
        rtt_s = await link.measure(timeout_s)
        return PingView(
            node_id=link.peer,
            name=link.info.peer_name,
            address=link.connection_info.remote_text,
            rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 3),
        )

    def routes(self) -> list[RouteView]:
        """Return how every node of the mesh is reached, the nearest first."""
        return self._mesh.routes()

    async def trace(self, target: str, timeout_s: float) -> TraceView:
        """Ask every node on the way to a node to say that it is on it."""
        return await self._mesh.trace(target, timeout_s)

    def capabilities(self, pattern: str) -> list[CapabilityView]:
        """Return what this node and others of the mesh can do, by a shell-style pattern."""
        return self._mesh.capabilities(pattern)

    async def map(self) -> MapView:
        """Return every node of the mesh, and one way to each."""
        return await self._mesh.map()

    def _online(self, target: str) -> Link:
        links = self._node.links
        link = links.get(NodeId(target)) or links.by_name(target)
        if link is None:
            online = ", ".join(sorted(link.info.peer_name for link in links.online()))
            raise UnknownPeerError(
                f"no peer called {target!r} is online", f"online now: {online or 'nobody'}"
            )
        return link

    def config(self) -> dict[str, object]:
        """Return what the node was told at its start, in JSON types; secrets are left out."""
        return config_view(self._node.config)

    async def connect(self, host: str, port: int) -> NodeId:
        """Dial an address; return the peer's node id once its session is up."""
        return (await self._node.connect(host, port)).peer

    def stop(self) -> None:
        """Ask the node to stop; returns at once."""
        self._stop()

    # --- Whom it trusts ----------------------------------------------------------------------

    def trust_list(self) -> list[PinView]:
        """Return every pin, the revoked ones too."""
        trust = self._node.trust
        pins = [self._pin_view(pin) for pin in trust.list_pins()]
        return [*pins, *(revoked_view(record) for record in trust.list_revoked())]

    def trust_show(self, who: str) -> PinView:
        """Return the pin of a name or node id."""
        revoked = find_revoked(self._node.trust, who)
        return (
            self._pin_view(self._node.trust.get(who)) if revoked is None else revoked_view(revoked)
        )

    async def trust_pin(self, public_key_b64: str, name: str, *, is_verified: bool) -> PinView:
        """Pin an Ed25519 key under a name."""
        pin = self._node.decisions.pin(decode_key(public_key_b64), name, is_verified=is_verified)
        return self._pin_view(pin)

    async def trust_revoke(self, who: str, reason: str) -> PinView:
        """Bar a key for good and end its session."""
        node_id = self._node.decisions.revoke(who, reason)
        return self.trust_show(node_id)

    async def trust_forget(self, who: str) -> PinView:
        """Remove a pin; return what it was."""
        return self._pin_view(self._node.decisions.forget(who))

    async def trust_verify(self, who: str, fingerprint: str) -> PinView:
        """Note that a person got this fingerprint from the peer's own by another way."""
        return self._pin_view(self._node.decisions.verify(who, read_fingerprint(fingerprint)))

    # --- What happens ------------------------------------------------------------------------

    def _take(self, event: NodeEvent) -> None:
        if isinstance(event, PeerOffline):
            self._remember(event)
        if isinstance(event, Notice) and event.is_warning and len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(event.text)
        for shown in _shown(event) if self._subscriptions else ():
            for subscription in self._subscriptions:
                subscription.offer(shown)

    def _remember(self, event: PeerOffline) -> None:
        self._past[event.node_id] = msgspec.structs.replace(
            _view(event.link), is_online=False, direction="", connected_at=None
        )
        self._past.move_to_end(event.node_id)
        while len(self._past) > MAX_PAST_PEERS:
            self._past.popitem(last=False)

    def _with_trust(self, view: PeerView) -> PeerView:
        trust = self._node.trust
        try:
            pin = trust.get(view.node_id)
        except UnknownPeerError:
            state = "revoked" if trust.is_revoked(view.node_id) else "unknown"
            return msgspec.structs.replace(view, trust=state)
        return msgspec.structs.replace(view, trust=pin.state.value, is_verified=pin.verified)

    def _pin_view(self, pin: Pin) -> PinView:
        return pin_view(pin, is_online=self._node.links.is_online(pin.node_id))


def _view(link: Link) -> PeerView:
    """Return the peer of a link as it is now; what the pin says is left to `_with_trust`."""
    info, connection = link.info, link.connection_info
    return PeerView(
        node_id=link.peer,
        name=info.peer_name,
        is_online=True,
        transport=connection.transport,
        address=connection.remote_text,
        direction="out" if link.is_outgoing else "in",
        is_encrypted=connection.is_encrypted,
        wire=info.wire.value,
        is_ours=info.is_ours,
        protocol_version=info.protocol_version,
        rtt_ms=None if link.rtt_s is None else round(link.rtt_s * 1000, 3),
        connected_at=link.established.wall,
        messages_sent=link.traffic.messages_sent,
        messages_received=link.traffic.messages_received,
        trust="unknown",
        is_verified=False,
    )


def _shown(event: NodeEvent) -> Iterator[OperatorEvent]:
    """Return an event of the node as its operator sees it; nothing where it does not."""
    match event:
        case MessagesReceived(messages):
            yield from map(_received, messages)
        case MessageSettled(ids, peer, state, reason):
            texts = tuple(message_id_text(message_id) for message_id in ids)
            yield SettledEvent(ids=texts, peer=peer, state=state, reason=reason)
        case PeerOnline():
            yield PeerEvent(
                node_id=event.node_id, name=event.name, is_online=True, address=event.address
            )
        case PeerOffline():
            yield PeerEvent(
                node_id=event.node_id, name=event.name, is_online=False, reason=event.reason
            )
        case PeerRefused():
            yield RefusalEvent(
                reason=event.reason.value,
                remote=event.remote,
                name=event.name,
                node_id=event.node_id or "",
                detail=event.detail,
            )
        case _:
            pass


def _received(event: MessageReceived) -> MessageEvent:
    message = event.message
    return MessageEvent(
        id=message_id_text(message.id),
        type=message.type,
        source=message.source,
        source_name=event.source_name,
        via=event.via,
        payload=message.payload,
        is_redelivered=event.is_redelivered,
        is_legacy=event.is_legacy,
    )
