"""A node as its operator sees it, without a node; and one served in a thread."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

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
    PeerView,
    PingView,
    PinView,
    SentView,
)
from ironmesh.control.mesh_views import (
    CapabilityView,
    HopView,
    MapEdge,
    MapNode,
    MapView,
    NextHopView,
    RouteView,
    TraceView,
)
from ironmesh.control.paths import socket_path
from ironmesh.control.server import ControlServer
from ironmesh.control.subscription import Subscription
from ironmesh.errors import (
    MessageEndedError,
    NoPathError,
    TrustError,
    UnknownMessageError,
    UnknownPeerError,
)
from ironmesh.trust.fingerprint import read_fingerprint
from ironmesh.types import MessagePriority, NodeId

ALICE = NodeId("a" * 32)
BOB = NodeId("8f3c2a1b" + "0" * 24)


CAROL = NodeId("c0ffee00" + "0" * 24)


def route(node_id: NodeId, name: str, hops: int) -> RouteView:
    """Return a route over bob, without backups."""
    by_bob = NextHopView(node_id=BOB, name="bob", metric=64 * hops, hops=hops, is_radio=False)
    return RouteView(
        node_id=node_id,
        name=name,
        hops=hops,
        metric=64 * hops,
        is_radio=False,
        next_hop=by_bob,
        backups=(),
        trust="trusted",
    )


class FakeOperator:
    """Knows one online peer, `bob`; records what it was asked."""

    def __init__(self, name: str = "alice") -> None:
        self.name = name
        self.sent: list[tuple[str, bytes, str, MessagePriority]] = []
        self.send_options: list[dict[str, Any]] = []
        self.send_ends = ("sent", "")
        self.outbox: dict[str, OutboxDetail] = {}
        self.retried: list[str] = []
        self.past: list[HistoryView] = []
        self.history_asked: list[tuple[str | None, Direction | None, float, int]] = []
        self.sent_signal = threading.Event()
        self.pins = {"bob": self._pin("bob", BOB)}
        self.subscriptions: set[Subscription] = set()
        self.is_stopped = False
        self.rtts: list[float | None] = []
        """What the next pings take; None = no answer."""
        self.known_routes = [route(BOB, "bob", 1), route(CAROL, "carol", 2)]
        self.answers_traces = True
        self.connected_to: tuple[str, int] | None = None

    def state(self) -> NodeState:
        return NodeState(
            name=self.name,
            node_id=ALICE,
            version="1.0",
            pid=1,
            started_at=1_700_000_000.0,
            uptime_s=12.5,
            listening=("127.0.0.1:8765",),
            is_tls=True,
            legacy="off",
            is_mdns_on=False,
            peers_online=1,
            counters={"replay": 2},
        )

    def peers(self) -> list[PeerView]:
        return [
            PeerView(
                node_id=BOB,
                name="bob",
                is_online=True,
                transport="websocket",
                address="127.0.0.1:8766",
                direction="out",
                is_encrypted=True,
                wire="native",
                is_ours=True,
                protocol_version="ironmesh/0.6.5",
                rtt_ms=1.25,
                connected_at=1_700_000_001.0,
                messages_sent=3,
                messages_received=4,
                trust="trusted",
                is_verified=False,
            )
        ]

    async def send(
        self,
        target: str,
        payload: bytes,
        msg_type: str,
        priority: MessagePriority,
        **options: Any,
    ) -> SentView:
        if target not in {"bob", BOB}:
            raise UnknownPeerError(f"no peer is named {target!r}", "known: bob")
        self.sent.append((target, payload, msg_type, priority))
        self.send_options.append(options)
        self.sent_signal.set()
        state, reason = self.send_ends
        number = str(uuid.UUID(int=len(self.sent)))
        return SentView(id=number, node_id=BOB, state=state, reason=reason)

    async def outbox_list(self, peer: str | None = None, limit: int = MAX_LIST) -> list[OutboxView]:
        if peer not in {None, "bob", BOB}:
            raise UnknownPeerError(f"no peer is named {peer!r}", "known: bob")
        found: list[OutboxView] = [*self.outbox.values()]
        return found[:limit]

    async def outbox_show(self, message: str) -> OutboxDetail:
        found = [one for one in self.outbox.values() if one.id.startswith(message)]
        if len(found) != 1:
            raise UnknownMessageError(f"no message of ours has the id {message!r}", "see history")
        return found[0]

    async def outbox_retry(self, message: str) -> OutboxView:
        found = await self._going(message)
        self.retried.append(found.id)
        return found

    async def outbox_cancel(self, message: str) -> OutboxView:
        found = await self._going(message)
        self.outbox[found.id] = msgspec.structs.replace(found, state="cancelled", ended_at=1.0)
        return self.outbox[found.id]

    async def _going(self, message: str) -> OutboxDetail:
        found = await self.outbox_show(message)
        if found.ended_at is not None:
            raise MessageEndedError(f"the message has ended: {found.state}", "send a new one")
        return found

    async def history(
        self,
        peer: str | None = None,
        direction: Direction | None = None,
        since: float = 0.0,
        limit: int = 100,
    ) -> list[HistoryView]:
        self.history_asked.append((peer, direction, since, limit))
        return self.past[:limit]

    @contextlib.contextmanager
    def subscribe(self) -> Iterator[AsyncIterator[OperatorEvent]]:
        subscription = Subscription(max_events=8)
        self.subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self.subscriptions.discard(subscription)

    def publish(self, *events: OperatorEvent) -> None:
        for subscription in tuple(self.subscriptions):
            for event in events:
                subscription.offer(event)

    def trust_list(self) -> list[PinView]:
        return list(self.pins.values())

    def trust_show(self, who: str) -> PinView:
        for pin in self.pins.values():
            if who in {pin.name, pin.node_id}:
                return pin
        raise UnknownPeerError(f"nobody is pinned as {who!r}", "see: ironmesh trust list")

    async def trust_pin(self, public_key_b64: str, name: str, *, is_verified: bool) -> PinView:
        if len(base64.b64decode(public_key_b64)) != 32:
            raise TrustError("the key is not 32 bytes long", "copy it from: ironmesh keys info")
        self.pins[name] = self._pin(name, NodeId("c" * 32), is_verified=is_verified)
        return self.pins[name]

    async def trust_revoke(self, who: str, reason: str) -> PinView:
        pin = self.trust_show(who)
        self.pins[pin.name] = self._pin(pin.name, pin.node_id, state="revoked", reason=reason)
        return self.pins[pin.name]

    async def trust_forget(self, who: str) -> PinView:
        return self.pins.pop(self.trust_show(who).name)

    async def trust_verify(self, who: str, fingerprint: str) -> PinView:
        pin = self.trust_show(who)
        if read_fingerprint(fingerprint) != pin.node_id:
            raise TrustError("that is the fingerprint of another key", "compare it again")
        self.pins[pin.name] = self._pin(pin.name, pin.node_id, is_verified=True)
        return self.pins[pin.name]

    async def ping(self, target: str, timeout_s: float) -> PingView:
        if target not in {"bob", BOB}:
            raise UnknownPeerError(f"no peer called {target!r} is online", "online now: bob")
        rtt_ms = self.rtts.pop(0) if self.rtts else 1.25
        return PingView(node_id=BOB, name="bob", address="127.0.0.1:8766", rtt_ms=rtt_ms)

    def routes(self) -> list[RouteView]:
        return self.known_routes

    async def trace(self, target: str, timeout_s: float) -> TraceView:
        if target not in {"carol", CAROL}:
            raise NoPathError(f"no route leads to {target!r}", "see: ironmesh routes")
        return TraceView(
            node_id=CAROL, name="carol", has_arrived=self.answers_traces, hops=self._hops()
        )

    def _hops(self) -> tuple[HopView, ...]:
        first = HopView(hop=1, node_id=BOB, name="bob", rtt_ms=0.84, outcome="passed_on")
        last = HopView(hop=2, node_id=CAROL, name="carol", rtt_ms=1.91, outcome="arrived")
        return (first, last) if self.answers_traces else (first,)

    def capabilities(self, pattern: str) -> list[CapabilityView]:
        known = [
            CapabilityView(capability="llm:llama3", node_id=CAROL, name="carol", hops=2),
            CapabilityView(capability="role:ops", node_id=ALICE, name=self.name, hops=0),
        ]
        return [view for view in known if fnmatchcase(view.capability, pattern)]

    async def map(self) -> MapView:
        return MapView(
            nodes=(
                MapNode(node_id=ALICE, name=self.name, hops=0),
                MapNode(node_id=BOB, name="bob", hops=1),
                MapNode(node_id=CAROL, name="carol", hops=2),
            ),
            edges=(
                MapEdge(near=ALICE, far=BOB, is_known=True),
                MapEdge(near=BOB, far=CAROL, is_known=True),
            ),
        )

    def config(self) -> dict[str, object]:
        return {"name": self.name, "port": 8765}

    async def connect(self, host: str, port: int) -> NodeId:
        self.connected_to = (host, port)
        return BOB

    def stop(self) -> None:
        self.is_stopped = True

    @staticmethod
    def _pin(
        name: str,
        node_id: NodeId,
        *,
        state: str = "trusted",
        reason: str = "",
        is_verified: bool = False,
    ) -> PinView:
        return PinView(
            node_id=node_id,
            name=name,
            state=state,
            public_key_b64=base64.b64encode(bytes(32)).decode(),
            first_seen=1_700_000_000.0,
            last_seen=1_700_000_100.0,
            is_verified=is_verified,
            wire="" if state == "revoked" else "native",
            reason=reason,
        )


def message(payload: bytes = b"hi", *, source_name: str = "bob", number: int = 1) -> MessageEvent:
    """A message that came from bob."""
    return MessageEvent(
        id=str(uuid.UUID(int=number)),
        type="MSG",
        source=BOB,
        source_name=source_name,
        via=BOB,
        payload=payload,
    )


def queued(payload: bytes = b"hi", *, name: str = "bob", number: int = 1) -> OutboxDetail:
    """A message that waits for bob."""
    return OutboxDetail(
        id=str(uuid.UUID(bytes=b"epoch-of" + number.to_bytes(8, "big"))),
        node_id=BOB,
        name=name,
        type="MSG",
        priority=MessagePriority.NORMAL,
        size_bytes=len(payload),
        state="queued",
        accepted_at=time.time() - 90.0,
        expires_at=time.time() + 3 * 3600.0 + 60.0,
        attempts=2,
        payload=payload,
    )


class ServedOperator:
    """A `FakeOperator` behind a real control socket, on a loop in a thread of its own."""

    def __init__(self, home: Path, name: str = "alice") -> None:
        self.operator = FakeOperator(name)
        self.path = socket_path(home / "nodes" / name)
        self._loop = asyncio.new_event_loop()
        self._server = ControlServer(lambda: self.operator, self.path)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def publish(self, *events: OperatorEvent) -> None:
        """Publish `events` once somebody has subscribed."""

        async def wait_and_publish() -> None:
            while not self.operator.subscriptions:
                await asyncio.sleep(0.005)
            self.operator.publish(*events)

        asyncio.run_coroutine_threadsafe(wait_and_publish(), self._loop).result(10)

    def end_events(self) -> None:
        """End every subscription, as a node does that stops."""

        def end() -> None:
            for subscription in tuple(self.operator.subscriptions):
                subscription.close()

        self._loop.call_soon_threadsafe(end)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        return self

    def close_server(self) -> None:
        """Stop serving, as a node does that stops."""
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(10)

    def __exit__(self, *_: object) -> None:
        self.close_server()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
