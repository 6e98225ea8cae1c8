"""Between the two wires: what published nodes write for nodes of ours, and the reverse.

Nothing is written anew under another name: a message crosses as its source wrote and signed it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import msgspec
from msgspec import UNSET

from ironmesh.crypto.identity import Identity
from ironmesh.delivery.actions import Draft
from ironmesh.errors import DeliveryError, RemoteProtocolError, StoreError
from ironmesh.mesh.legacy import behind
from ironmesh.mesh.legacy.behind import Behind
from ironmesh.node.events import MessageReceived
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.bridge_ways import BridgeWay
from ironmesh.node.mesh.legacy import LegacyMesh
from ironmesh.node.mesh.legacy_keys import LegacyKeys
from ironmesh.node.mesh.published_route import PublishedRoute
from ironmesh.node.mesh.reach import NativeReach
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Ways
from ironmesh.observe.counters import Counters
from ironmesh.session.legacy.sources import SealedCopies, SignatureRules, open_bridged
from ironmesh.types import BRIDGED, MeshMode, NodeId, Refusal, WireKind
from ironmesh.wire.legacy import bridged, inner
from ironmesh.wire.legacy.bridged import Bridged
from ironmesh.wire.legacy.constants import TUNNEL_TYPE
from ironmesh.wire.legacy.inner import Inner

_log = logging.getLogger("ironmesh.node")

LOOK_S: Final = 2.0
"""How often we look who stands behind which bridge."""
LINGER_S: Final = 30.0
"""How long a neighbour that went offline is still said to stand behind us: it may come back."""
MAX_FOR_ONE: Final = 1000
"""Messages of others that wait for one destination; further ones are dropped."""
MAX_IN_ALL: Final = 10_000
"""The same, for all destinations together."""
MAX_RETURNS: Final = 1024
"""Sources whose bridge is remembered, so that they can be answered."""
RETRY_S: Final = 1.0
"""Pause before a store that did not take something is asked again."""
MAX_HANDED: Final = 4096
"""Messages that are known again when a source hands them over twice."""


class Tokens(Protocol):
    """The capabilities of this node and of others."""

    def advertise(self, capability: str) -> None:
        """Add one of this node."""
        ...

    def withdraw(self, capability: str) -> None:
        """Withdraw one of this node."""
        ...

    def find(self, pattern: str) -> list[tuple[NodeId, str]]:
        """Return who has which, for all that match a pattern."""
        ...


class Bridge:
    """Hands messages from one wire to the other, and finds bridges for those of this node.

    Args:
        finish: told of the number of a received message that needs no handler and is done with.
    """

    def __init__(
        self,
        identity: Identity,
        mode: MeshMode,
        mesh: LegacyMesh,
        *,
        links: LinkTable,
        reach: NativeReach,
        keys: LegacyKeys,
        ways: Ways,
        outgoing: Outgoing,
        tokens: Tokens,
        refusals: RefusalDesk,
        counters: Counters,
        tasks: TaskSupervisor,
        finish: Callable[[int], None],
        max_hops: int,
    ) -> None:
        self._identity = identity
        self._own_id = identity.node_id
        self._mode = mode
        self._mesh = mesh
        self._links = links
        self._reach = reach
        self._keys = keys
        self._find_way = ways
        self._outgoing = outgoing
        self._tokens = tokens
        self._refusals = refusals
        self._counters = counters
        self._tasks = tasks
        self._finish = finish
        self._max_hops = max_hops
        self._copies = SealedCopies(identity)
        self._behind: dict[NodeId, Behind] = {}
        self._returns: OrderedDict[NodeId, Behind] = OrderedDict()
        self._ways: dict[NodeId, BridgeWay] = {}
        self._said: dict[NodeId, str] = {}
        """What we say of direct neighbours."""
        self._gone: dict[NodeId, int] = {}
        """Those of them that are offline, and for how many looks it is said of them still."""
        self._handed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._targets: set[NodeId] = set()
        """For whom messages of others may wait."""
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Look who stands behind whom, until the node stops."""
        while True:
            self._unsay_gone()
            self._look()
            await asyncio.sleep(LOOK_S)

    # --- Who stands behind whom --------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """A session is up: say so if it leads to a published node."""
        public = self._keys.public(link.peer)
        is_ours_to_tell = link.info.wire is WireKind.LEGACY and self._mode is MeshMode.RELAY
        if not is_ours_to_tell or public is None or len(self._said) >= behind.MAX_BEHIND_ONE:
            return
        capability = behind.token(public, link.info.peer_name)
        if self._said.get(link.peer) != capability:
            self._unsay(link.peer)
            self._said[link.peer] = capability
            self._tokens.advertise(capability)

    def link_down(self, peer: NodeId) -> None:
        """The last session with a peer ended."""
        if peer in self._said:
            self._gone[peer] = round(LINGER_S / LOOK_S)

    def _unsay_gone(self) -> None:
        for peer, looks in list(self._gone.items()):
            if self._links.is_online(peer):
                del self._gone[peer]
            elif looks:
                self._gone[peer] = looks - 1
            else:
                self._unsay(peer)

    def _unsay(self, peer: NodeId) -> None:
        self._gone.pop(peer, None)
        token = self._said.pop(peer, None)
        if token is not None:
            self._tokens.withdraw(token)

    def _look(self) -> None:
        tokens = [one for one in self._tokens.find(behind.PATTERN) if one[0] != self._own_id]
        found = behind.read(tokens, self._reach.hops()) if tokens else {}
        found.pop(self._own_id, None)
        changed = {one for one in found.keys() | self._behind.keys() if self._is_other(one, found)}
        self._behind = found
        for destination in changed | self._ways.keys() | self._returns.keys():
            self._outgoing.way_changed(destination)
        if changed:
            self._mesh.routes_changed()

    def _is_other(self, destination: NodeId, found: dict[NodeId, Behind]) -> bool:
        return found.get(destination) != self._behind.get(destination)

    def named(self, name: str) -> list[NodeId]:
        """Return the nodes behind bridges that are said to have this name."""
        return [node_id for node_id, one in self._behind.items() if one.name == name]

    def routes(self) -> list[PublishedRoute]:
        """Return who stands behind bridges that are reached."""
        return [
            PublishedRoute(node_id, one.bridge, self._reach.distance(one.bridge) + 1, one.name)
            for node_id, one in self._behind.items()
            if self._where(node_id) is not None and self._is_reached(one.bridge)
        ]

    def _where(self, destination: NodeId) -> Behind | None:
        """Return behind which bridge a node stands, if it has business on the 0.8 wire."""
        if self._keys.is_native(destination) or self._keys.is_barred(destination):
            return None
        if self._links.is_online(destination) or self._reach.is_reached(destination):
            return None
        return self._behind.get(destination) or self._returns.get(destination)

    # --- Messages of this node ---------------------------------------------------------------

    def find(self, destination: NodeId) -> BridgeWay | None:
        """Return the way to a node behind a bridge, the same one as long as nothing changes."""
        where = self._where(destination)
        if where is None or not self._is_reached(where.bridge):
            self._ways.pop(destination, None)
            return None
        way = self._ways.get(destination)
        if way is None or way.behind[:2] != where[:2]:
            way = BridgeWay(
                self._identity,
                where,
                outgoing=self._outgoing,
                tasks=self._tasks,
                is_reached=self._is_reached,
                on_failure=lambda: self._failed(destination),
                max_hops=self._max_hops,
            )
            self._ways[destination] = way
        return way

    def _is_reached(self, bridge: NodeId) -> bool:
        way = self._find_way.get(bridge)
        return way is not None and way.can_confirm

    def _failed(self, destination: NodeId) -> None:
        """Let what the bridge did not take go again."""
        self._ways.pop(destination, None)
        self._outgoing.way_changed(destination)

    # --- From published nodes (Elsewhere) ----------------------------------------------------

    def hops(self) -> dict[NodeId, int]:
        """Return the nodes that are reached over other bridges only, and how far away they are."""
        near = self._reach.hops()
        return {
            node_id: near[one.bridge] + 1
            for node_id, one in self._behind.items()
            if one.bridge in near
            and self._where(node_id) is not None
            and self._mesh.next_hop(node_id) is None
        }

    async def hand_over(self, said: Inner) -> None:
        """Hand a frame of a published node to its destination, or to the bridge before it."""
        public = self._keys.public(NodeId(said.source))
        destination = NodeId(said.destination)
        if public is None or said.source_signature is UNSET:
            self._dropped("no_key")
            return
        if said.type == TUNNEL_TYPE:
            self._dropped("tunnel")  # to reach us natively, a tunnel has to lead to us
            return
        target = destination
        if not self._reach.is_reached(destination):
            where = self._where(destination)
            if where is None:
                self._dropped("no_route")
                return
            target = where.bridge
        try:
            await self._keep(target, Bridged(public, said))
        except StoreError as error:
            _log.warning("a message between the wires was dropped: %s", error)
            self._dropped("not_kept")

    async def _keep(self, target: NodeId, message: Bridged) -> None:
        """Take a message into the outbox.

        Raises:
            StoreError: it is not on disk.
        """
        if not self._has_room(target):
            self._dropped("busy")
            return
        priority = inner.priority_of(message.said)
        draft = Draft(target, BRIDGED, bridged.encode(message), priority)
        try:
            await self._outgoing.accept([draft])
        except DeliveryError as error:
            _log.warning("a message between the wires was dropped: %s", error)
            self._dropped("not_kept")
        else:
            self._counters.add("bridge.handed_over")

    def _has_room(self, target: NodeId) -> bool:
        waiting = {one: count for one in self._targets if (count := self._outgoing.count(one))}
        self._targets = {*waiting, target}
        return waiting.get(target, 0) < MAX_FOR_ONE and sum(waiting.values()) < MAX_IN_ALL

    def _dropped(self, reason: str) -> None:
        self._counters.add(f"bridge.dropped.{reason}")

    # --- From nodes of ours ------------------------------------------------------------------

    def sort(self, event: MessageReceived, sequence: int) -> MessageReceived | None:
        """Return what handlers get for a message that a node of ours handed over.

        None: they get nothing. It goes on, or is refused, and is finished by and by.

        Args:
            sequence: the number under which it was received.
        """
        try:
            message = bridged.decode(event.message.payload)
            self._check_source(message, event.message.source)
            if message.said.destination == self._own_id:
                return self._opened(event, message)
            self._check_onward(message)
        except RemoteProtocolError as error:
            self._refusals.frame(error.reason, event.message.source, event.source_name, error.what)
            self._finish(sequence)
            return None
        self._tasks.spawn(self._go_on(message, sequence), name="over the bridge")
        return None

    def _check_source(self, message: Bridged, sender: NodeId) -> None:
        source = NodeId(message.said.source)
        if source == self._own_id:
            raise RemoteProtocolError(Refusal.REFLECTED, "a bridged message of ours came back")
        if self._keys.is_barred(source):
            raise RemoteProtocolError(Refusal.BLOCKED, f"a bridged message of {source}")
        is_for_us = message.said.destination == self._own_id
        if source != sender and (self._keys.is_native(source) or self._reach.is_reached(source)):
            raise RemoteProtocolError(
                Refusal.DOWNGRADED, f"a bridged message of {source}, which is native"
            )
        if source == sender and is_for_us:
            raise RemoteProtocolError(
                Refusal.DOWNGRADED, f"{source} speaks our own wire, and wrote for the 0.8 one"
            )

    def _opened(self, event: MessageReceived, message: Bridged) -> MessageReceived:
        opened = open_bridged(message, self._copies, event.message.timestamp_ms)
        where = self._behind.get(opened.source)
        name = self._keys.name(opened.source) or (where.name if where is not None else "")
        self._returns[opened.source] = Behind(event.message.source, message.source_public, name)
        self._returns.move_to_end(opened.source)
        while len(self._returns) > MAX_RETURNS:
            self._returns.popitem(last=False)
        self._outgoing.way_changed(opened.source)
        return MessageReceived(opened, name, event.via, event.is_redelivered, is_legacy=True)

    def _check_onward(self, message: Bridged) -> None:
        """Accept a message that is to leave this node on the 0.8 wire."""
        said = message.said
        destination = NodeId(said.destination)
        if self._mode is not MeshMode.RELAY:
            raise RemoteProtocolError(Refusal.NOT_FOR_US, "this node is no bridge")
        if said.ttl <= 0 or self._own_id in said.hops:
            raise RemoteProtocolError(Refusal.NOT_FOR_US, "a bridged message in a circle")
        if self._keys.is_native(destination) or self._reach.is_reached(destination):
            raise RemoteProtocolError(Refusal.NOT_FOR_US, "its destination speaks our own wire")
        if destination not in self._said and not self._leads_on(destination):
            raise RemoteProtocolError(Refusal.NOT_FOR_US, "nothing leads to its destination here")
        if said.payload or said.e2e_payload is UNSET:
            SignatureRules().check(said, message.source_public, said.payload)

    def _leads_on(self, destination: NodeId) -> bool:
        return self._links.is_online(destination) or self._mesh.next_hop(destination) is not None

    async def _go_on(self, message: Bridged, sequence: int) -> None:
        said = message.said
        key = (said.source, said.msg_id)
        async with self._turn:
            if key in self._handed:
                self._dropped("repeated")
            else:
                self._handed[key] = None
                while len(self._handed) > MAX_HANDED:
                    self._handed.popitem(last=False)
                passed = msgspec.structs.replace(
                    said, ttl=int(said.ttl) - 1, hops=(*said.hops, self._own_id)
                )
                await self._keep_surely(
                    NodeId(said.destination), Bridged(message.source_public, passed)
                )
            self._finish(sequence)

    async def _keep_surely(self, target: NodeId, message: Bridged) -> None:
        """Take a message that was receipted into the outbox, when the disk has room again."""
        while True:
            try:
                await self._keep(target, message)
            except StoreError as error:
                _log.warning("the bridge waits: %s", error)
                await asyncio.sleep(RETRY_S)
            else:
                return
