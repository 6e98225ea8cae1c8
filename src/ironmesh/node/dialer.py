"""Keeps dialling the peers that this node wants, until each is online and whenever one is lost."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from ironmesh.discovery.policy import WAIT_FOR_CALL_S, Decision, DialPolicy
from ironmesh.discovery.record import FoundPeer
from ironmesh.errors import ConnectError, ConnectFailure, HandshakeError
from ironmesh.node.backoff import CONNECT_BASE_S, REFUSED_BASE_S, pause_s
from ironmesh.node.entrance import AlreadyConnectedError
from ironmesh.node.events import EventBus, Notice, PeerDiscovered
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.ports import Transport
from ironmesh.node.sessions import Dialled, Sessions
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.types import Endpoint, NodeId, Random, Refusal

_log = logging.getLogger("ironmesh.node")

MAX_FOUND_TARGETS: Final = 256
"""Names that discovery may make us dial; more are not followed."""
MAX_ADDRESSES: Final = 16
MAX_ANNOUNCED_ADDRESSES: Final = 8
"""Of one announcement: it cannot push out what other announcements of the name said."""

_MAY_BE_PLAIN: Final = frozenset(
    {ConnectFailure.NOT_TLS, ConnectFailure.NOT_WEBSOCKET, ConnectFailure.TIMED_OUT}
)
"""Somebody is there, who may speak the other of wss and ws."""
_SOMEBODY_ELSE: Final = frozenset({Refusal.IDENTITY_CHANGED, Refusal.UNEXPECTED_IDENTITY})
"""Whom we wanted may be at another address: announcements are not authenticated."""


@dataclass(slots=True, eq=False)
class Target:
    """A peer to keep a session with."""

    label: str
    endpoints: tuple[Endpoint, ...]
    name: str = ""
    """Its name, where discovery told it."""
    waits_for_call: bool = False
    node_id: NodeId | None = None
    """Who answered last; the name of a static address is not known before."""
    uses_tls: bool = True
    """What worked last."""
    failures: int = 0
    first: int = 0
    """Which address is tried first: after a refusal the next one, it may be another machine."""
    answered_at: Endpoint | None = None
    """Where the last session was."""
    is_announced: bool = True
    poked: asyncio.Event = field(default_factory=asyncio.Event)
    """Something changed: try now."""

    def learn(self, announced: tuple[Endpoint, ...]) -> bool:
        """Add announced addresses, which are tried first; tell whether that changed anything.

        Anybody can announce this name, so earlier addresses are kept, before all where the peer
        answered last.
        """
        is_news = not self.is_announced or not set(announced) <= set(self.endpoints)
        self.is_announced = True
        if is_news:
            kept = [endpoint for endpoint in self.endpoints if endpoint not in announced]
            kept.sort(key=lambda endpoint: endpoint != self.answered_at)
            self.endpoints = (*announced[:MAX_ANNOUNCED_ADDRESSES], *kept)[:MAX_ADDRESSES]
            self.first = 0
        return is_news

    def in_turn(self) -> tuple[Endpoint, ...]:
        """Return its addresses in the order in which they are tried."""
        start = self.first % len(self.endpoints) if self.endpoints else 0
        return (*self.endpoints[start:], *self.endpoints[:start])


class Dialer:
    """Owns the targets of a node.

    Args:
        allow_plaintext: where TLS fails, dial without it, and remember what worked.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        sessions: Sessions,
        links: LinkTable,
        policy: DialPolicy,
        events: EventBus,
        tasks: TaskSupervisor,
        random: Random,
        allow_plaintext: bool,
    ) -> None:
        self._transport = transport
        self._sessions = sessions
        self._links = links
        self._policy = policy
        self._events = events
        self._tasks = tasks
        self._random = random
        self._allow_plaintext = allow_plaintext
        self._by_name: dict[str, Target] = {}
        self._by_endpoint: dict[Endpoint, Target] = {}
        self._told_denied: set[str] = set()
        self._pursuits: set[asyncio.Task[None]] = set()

    # --- Whom to dial ------------------------------------------------------------------------

    def add_address(self, endpoint: Endpoint) -> None:
        """Keep a session with whoever answers at an address that the operator gave."""
        if endpoint not in self._by_endpoint:
            target = Target(str(endpoint), (endpoint,))
            self._by_endpoint[endpoint] = target
            self._start(target)

    async def connect(self, endpoint: Endpoint) -> Link:
        """Dial an address now, and keep the session from then on.

        Returns:
            The link, once the peer has accepted us.

        Raises:
            ConnectError: nobody answers.
            HandshakeError: the handshake failed, or the peer hung up after it.
        """
        target = Target(str(endpoint), (endpoint,))
        link = await self._dial_once(target)
        if endpoint not in self._by_endpoint:
            self._by_endpoint[endpoint] = target
            self._start(target, link)
        return link

    async def _dial_once(self, target: Target) -> Link:
        try:
            link = await self._dial(target)
        except AlreadyConnectedError as error:
            other = self._links.get(error.node_id)
            if other is None:
                raise
            return other
        is_accepted = await link.wait_confirmed()
        # Another session with this peer may stay instead of this one.
        other = self._links.get(link.peer)
        if other is not None:
            return other
        if is_accepted:
            return link
        raise HandshakeError(
            Refusal.NOT_ALLOWED,
            f"{link.info.peer_name} closed the session at once",
            "see its log: it may not list our name, or pin another key for it",
        )

    def found(self, peer: FoundPeer) -> None:
        """Discovery found a node."""
        # A peer that is online is followed as well: it may be lost without being announced anew.
        decision = self._policy.decide(peer.name, is_online=False)
        if decision is Decision.IGNORE_DEFAULT_DENY:
            self._tell_denied(peer.name)
        if decision not in (Decision.DIAL_NOW, Decision.DIAL_AFTER_WAIT):
            return
        target = self._by_name.get(peer.name)
        if target is None:
            if len(self._by_name) >= MAX_FOUND_TARGETS:
                return
            target = Target(
                peer.name,
                peer.endpoints,
                name=peer.name,
                waits_for_call=decision is Decision.DIAL_AFTER_WAIT,
            )
            self._by_name[peer.name] = target
            self._start(target)
        elif target.learn(peer.endpoints):
            target.failures = 0
            target.poked.set()
        else:
            return
        self._events.publish(PeerDiscovered(peer.name, str(peer.endpoints[0])))

    def lost(self, name: str) -> None:
        """Discovery no longer sees a node; a session with it goes on."""
        _log.debug("%s is no longer announced", name)
        if name in self._by_name:
            self._by_name[name].is_announced = False

    def _tell_denied(self, name: str) -> None:
        if name not in self._told_denied and len(self._told_denied) < MAX_FOUND_TARGETS:
            self._told_denied.add(name)
            self._events.publish(
                Notice(
                    f"found {name}, not dialled: add --allowed-peers {name}, or --open-discovery"
                )
            )

    def stop(self) -> None:
        """Dial nobody any more; what was dialled goes on."""
        for task in self._pursuits:
            task.cancel()

    # --- Dialling ----------------------------------------------------------------------------

    def _start(self, target: Target, link: Link | None = None) -> None:
        task = self._tasks.spawn(self._pursue(target, link), name=f"dial-{target.label}")
        self._pursuits.add(task)
        task.add_done_callback(self._pursuits.discard)

    async def _pursue(self, target: Target, link: Link | None = None) -> None:
        if link is not None:
            await self._keep(target, link)
        if target.waits_for_call:
            await self._pause(target, WAIT_FOR_CALL_S)
        while True:
            other = self._online_link(target)
            if other is not None:
                await self._keep(target, other)
                continue
            try:
                link = await self._dial(target)
            except ConnectError as error:
                _log.debug("%s: %s", target.label, error)
                await self._pause_after_failure(target, CONNECT_BASE_S)
            except AlreadyConnectedError as error:
                target.node_id = error.node_id
            except HandshakeError:
                target.first += 1
                await self._pause_after_failure(target, REFUSED_BASE_S)
            else:
                await self._keep(target, link)

    async def _keep(self, target: Target, link: Link) -> None:
        """Wait while the session lasts, then a little, so that two ends do not chase each other."""
        target.node_id = link.peer
        await link.wait_ended()
        if not link.was_confirmed:
            await self._pause_after_failure(target, REFUSED_BASE_S)
            return
        target.failures = 0
        rest = WAIT_FOR_CALL_S if target.waits_for_call else 0.2
        await self._pause(target, rest * (1.0 + self._jitter()))

    async def _pause_after_failure(self, target: Target, base_s: float) -> None:
        target.failures += 1
        pause = pause_s(target.failures, base_s, self._jitter())
        _log.info("dialling %s again in %.1f s", target.label, pause)
        await self._pause(target, pause)

    async def _pause(self, target: Target, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await target.poked.wait()
        except TimeoutError:
            return
        target.poked.clear()

    def _online_link(self, target: Target) -> Link | None:
        if target.node_id is not None:
            return self._links.get(target.node_id)
        return self._links.by_name(target.name) if target.name else None

    async def _dial(self, target: Target) -> Link:
        error: ConnectError | HandshakeError | None = None
        for endpoint in target.in_turn():
            try:
                link = await self._dial_endpoint(target, endpoint)
            except ConnectError as failure:
                error = error or failure
            except HandshakeError as refusal:
                if refusal.reason not in _SOMEBODY_ELSE:
                    raise
                error = refusal
            else:
                target.answered_at = endpoint
                return link
        raise error or ConnectError(f"no address of {target.label} is known")

    async def _dial_endpoint(self, target: Target, endpoint: Endpoint) -> Link:
        error: ConnectError | None = None
        for use_tls in self._schemes(target):
            try:
                connection = await self._transport.dial(endpoint, use_tls=use_tls)
            except ConnectError as failure:
                error = error or failure
                if failure.failure not in _MAY_BE_PLAIN:
                    break
                continue
            link = await self._sessions.open(
                connection, Dialled(known=target.node_id, is_given=not target.name)
            )
            target.uses_tls = use_tls
            return link
        raise error or ConnectError(f"{target.label} cannot be dialled")

    def _schemes(self, target: Target) -> tuple[bool, ...]:
        if not self._allow_plaintext:
            return (True,)
        return (target.uses_tls, not target.uses_tls)

    def _jitter(self) -> float:
        return int.from_bytes(self._random(4), "big") / 2.0**32
