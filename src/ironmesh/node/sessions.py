"""Every link of the node, from its acceptance to its farewell: at most one carries messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from ironmesh.audit.events import AuditEvent
from ironmesh.errors import HandshakeError
from ironmesh.node.ahead import load_for_a_link
from ironmesh.node.books import Books
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.clock import Clock
from ironmesh.node.entrance import Dialled, Entrance
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.node.gate import Gate, Visit
from ironmesh.node.inbound import Inbound
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mesh.legacy_entry import LegacyEntry
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.session.interface import (
    ChannelEvent,
    Handshake,
    PeerThrottled,
    Rekeyed,
    UnitRefused,
)
from ironmesh.transport.interface import Connection, ConnectionInfo
from ironmesh.trust.book import Standing
from ironmesh.types import Message, NodeId, WireKind

_log = logging.getLogger("ironmesh.node")


class Wires(Protocol):
    """Makes the handshakes of the wires that this node speaks."""

    def client(self, connection: ConnectionInfo, dialled: Dialled) -> Handshake:
        """Return the dialling side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: this node does not speak it with that peer.
        """
        ...

    def server(self, connection: ConnectionInfo, visit: Visit) -> Handshake:
        """Return the answering side of a handshake on the wire that was agreed on.

        Raises:
            HandshakeError: this node does not speak it.
        """
        ...


class LinkWatcher(Protocol):
    """Is told which links carry messages; every call is quick."""

    def link_up(self, link: Link) -> None:
        """A link with a peer carries messages from now on, perhaps in place of another one."""
        ...

    def link_down(self, link: Link) -> None:
        """It was the last link with its peer."""
        ...

    def link_written(self, messages: Sequence[Message]) -> None:
        """The transport has these messages, all of one link."""
        ...


class Sessions:
    """Owns every link of the node.

    Two nodes may dial each other at the same time, and for a moment both sessions live. Which one
    stays, both ends decide alike (`arbitration`); the other is read on until both ends know of the
    one that stays, so that nothing that was sent over it is lost.
    """

    def __init__(
        self,
        *,
        wires: Wires,
        entrance: Entrance,
        links: LinkTable,
        inbound: Inbound,
        outgoing: Outgoing,
        capabilities: CapabilityExchange,
        legacy: LegacyEntry,
        gate: Gate,
        books: Books,
        tasks: TaskSupervisor,
        clock: Clock,
        watchers: Sequence[LinkWatcher] = (),
    ) -> None:
        self._wires = wires
        self._entrance = entrance
        self._links = links
        self._inbound = inbound
        self._outgoing = outgoing
        self._capabilities = capabilities
        self._legacy = legacy
        self._gate = gate
        self._books = books
        self._tasks = tasks
        self._clock = clock
        self._watchers = watchers
        self._newcomers: set[NodeId] = set()
        self._has_loaded = False
        """What the first link needs is loaded, or being loaded."""

    # --- The two ways in ---------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Serve an incoming connection until it ends."""
        visit = self._gate.visit(connection.info.remote_host)
        try:
            machine = partial(self._wires.server, connection.info, visit)
            link = await self._establish(connection, machine, visit)
        except HandshakeError:
            return
        finally:
            self._gate.settle(connection.info.remote_host)
        if link.was_confirmed:
            self._confirm(link)
        else:
            link.ping()
        await self._run(link)

    async def open(self, connection: Connection, dialled: Dialled) -> Link:
        """Shake hands over a connection that we dialled; the link then serves itself.

        Raises:
            AlreadyConnectedError: a session with this peer is up, and stays.
            HandshakeError: refused, by either side; it is booked already.
        """
        try:
            machine = partial(self._wires.client, connection.info, dialled)
            link = await self._establish(connection, machine, dialled)
        except asyncio.CancelledError:
            connection.abort()
            raise
        if link.was_confirmed:
            self._confirm(link)
        self._tasks.spawn(self._run(link), name=f"link-{link.peer[:8]}")
        if link.info.is_ours and not self._has_loaded:
            self._has_loaded = True
            self._tasks.spawn(load_for_a_link(), name="loading ahead")
        return link

    async def stop(self, limit_s: float) -> None:
        """Say goodbye on every link, wait at most `limit_s` for the answers, then hang up."""
        self._entrance.close()
        links = list(self._links.all())
        for link in links:
            link.close_soon("shutting down")
        try:
            async with asyncio.timeout(limit_s):
                for link in links:
                    await link.wait_ended()
        except TimeoutError:
            _log.debug("a peer did not take our goodbye in time")
        for link in links:
            link.abort()

    async def _establish(
        self,
        connection: Connection,
        make: Callable[[], Handshake],
        way: Visit | Dialled,
    ) -> Link:
        machine, claim, verdict = await self._entrance.admit(connection, make, way)
        if verdict.standing is Standing.NEW:
            self._newcomers.add(claim.node_id)
        is_outgoing = connection.info.is_outgoing
        established = machine.accept(self._clock.now())
        link = Link(
            connection,
            established.channel,
            self,
            self._clock,
            opening=established.units,
            is_outgoing=is_outgoing,
            # Who dialled us on the native wire has decided about us. Who answers there says READY;
            # a published node decides after its HELLO, and its first frame shows that it took us.
            is_confirmed=claim.wire is WireKind.NATIVE and not is_outgoing,
        )
        self._links.add(link)
        return link

    # --- Which link stays --------------------------------------------------------------------

    def _confirm(self, link: Link) -> None:
        """Both ends accepted: put the link up, unless another one with this peer stays."""
        loser = self._links.confirm(link)
        if loser is link:
            winner = self._links.get(link.peer)
            if winner is not None:
                winner.probe()
                self._retire(link, winner)
            return
        if loser is not None:
            self._retire(loser, link)
            # What it did not write, the outbox gives to the link that takes over.
            loser.drop_queued()
        self._bring_up(link)
        if loser is None:
            self._announce(link)

    def _retire(self, loser: Link, winner: Link) -> None:
        if _does_peer_know(winner, loser):
            loser.close_soon("duplicate")
        else:
            loser.set_aside()

    def _bring_up(self, link: Link) -> None:
        self._capabilities.link_up(link)
        for watcher in self._watchers:
            watcher.link_up(link)
        self._outgoing.way_changed(link.peer)
        self._legacy.link_up(link)

    def _announce(self, link: Link) -> None:
        is_new = link.peer in self._newcomers
        self._newcomers.discard(link.peer)
        info = link.connection_info
        self._books.journal.record(
            AuditEvent.PEER_CONNECTED,
            node_id=link.peer,
            name=link.info.peer_name,
            remote=info.remote_text,
            is_outgoing=link.is_outgoing,
            is_encrypted=info.is_encrypted,
        )
        self._books.events.publish(
            PeerOnline(
                link.peer,
                link.info.peer_name,
                info.remote_text,
                info.transport,
                link.is_outgoing,
                is_new,
            )
        )

    # --- A link's life -----------------------------------------------------------------------

    async def _run(self, link: Link) -> None:
        reason = "cancelled"
        try:
            reason = await link.run()
        finally:
            self._take_down(link, reason)

    def _take_down(self, link: Link, reason: str) -> None:
        was_online = self._links.remove(link)
        heir = self._links.promote(link.peer) if was_online else None
        if heir is not None:
            self._bring_up(heir)
        elif was_online:
            for watcher in self._watchers:
                watcher.link_down(link)
            self._outgoing.way_changed(link.peer)
            self._capabilities.link_down(link.peer)
            self._legacy.link_down(link.peer)
            self._say_farewell(link, reason)

    def _say_farewell(self, link: Link, reason: str) -> None:
        self._books.journal.record(
            AuditEvent.PEER_DISCONNECTED,
            node_id=link.peer,
            name=link.info.peer_name,
            reason=reason,
        )
        self._books.events.publish(PeerOffline(link.peer, link.info.peer_name, reason, link))

    # --- What a link tells (LinkOwner) -------------------------------------------------------

    def link_confirmed(self, link: Link) -> None:
        """The peer accepted us."""
        if link.is_outgoing and link.info.wire is WireKind.NATIVE:
            link.ping()  # the peer learns from our first record that we have the session up
        self._confirm(link)

    def link_heard(self, link: Link) -> None:
        """The peer has this session up as well: those that it replaced can end."""
        if self._links.get(link.peer) is link:
            for spare in self._links.spares(link.peer):
                self._retire(spare, link)

    def link_event(self, link: Link, event: ChannelEvent) -> None:
        """Something happened in the channel."""
        if isinstance(event, UnitRefused):
            self._books.refusals.frame(event.reason, link.peer, link.info.peer_name, event.detail)
        elif isinstance(event, Rekeyed):
            self._books.journal.record(
                AuditEvent.SESSION_REKEYED, node_id=link.peer, count=event.count
            )
        elif isinstance(event, PeerThrottled):
            self._books.refusals.throttled(link.peer, link.info.peer_name)

    def link_written(self, messages: Sequence[Message]) -> None:
        """The transport has these messages."""
        self._outgoing.written(messages)
        for watcher in self._watchers:
            watcher.link_written(messages)

    def deliver(self, link: Link, messages: list[Message]) -> Awaitable[None] | None:
        """Take messages from a link; await what is returned before giving more."""
        return self._inbound.deliver(link, messages)


def _does_peer_know(winner: Link, loser: Link) -> bool:
    """Tell whether the peer has `winner` up, and will send nothing more over `loser`.

    A server of ours has a session up before its last word of the handshake; of a client we know
    once it says something. Of two sessions that we dialled, the one that the server put up last
    stays; we cannot know which, and let the server end the other.
    """
    if not winner.info.is_ours:
        return True
    if winner.is_outgoing:
        return not loser.is_outgoing
    return winner.has_heard
