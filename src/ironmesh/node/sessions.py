"""From a fresh connection to a link that is up: handshake, judgement, service, farewell."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from ironmesh.audit.events import AuditEvent
from ironmesh.errors import ConnectionClosed, HandshakeError, TrustFileError
from ironmesh.node.arbitration import SessionFacts
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.clock import Clock
from ironmesh.node.door import AdmissionLimits
from ironmesh.node.events import EventBus, PeerOffline, PeerOnline
from ironmesh.node.handshaking import shake_hands
from ironmesh.node.inbound import Inbound
from ironmesh.node.journal import Journal
from ironmesh.node.link import Link
from ironmesh.node.linktable import LinkTable
from ironmesh.node.outbound import Outbound
from ironmesh.node.refusals import RefusalDesk, RefusedPeer
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.welcome import Turned, Welcome
from ironmesh.session.interface import (
    ChannelEvent,
    Handshake,
    PeerClaim,
    PeerThrottled,
    Rekeyed,
    UnitRefused,
)
from ironmesh.transport.interface import Connection
from ironmesh.trust.book import Standing
from ironmesh.trust.store import TrustStore
from ironmesh.types import Message, NodeId, Refusal

_log = logging.getLogger("ironmesh.node")


class Wire(Protocol):
    """Makes the handshakes of the wires that this node speaks."""

    def client(self, expected: NodeId | None) -> Handshake:
        """Return the dialling side of a handshake."""
        ...

    def server(self) -> Handshake:
        """Return the answering side of a handshake."""
        ...


@dataclass(frozen=True, slots=True)
class Books:
    """Where sessions write down what happens."""

    refusals: RefusalDesk
    journal: Journal
    events: EventBus


class Sessions:
    """Owns every link of the node, from its handshake to its end."""

    def __init__(
        self,
        *,
        wire: Wire,
        welcome: Welcome,
        trust: TrustStore,
        links: LinkTable,
        inbound: Inbound,
        outbound: Outbound,
        capabilities: CapabilityExchange,
        admission: AdmissionLimits,
        books: Books,
        tasks: TaskSupervisor,
        clock: Clock,
    ) -> None:
        self._wire = wire
        self._welcome = welcome
        self._trust = trust
        self._links = links
        self._inbound = inbound
        self._outbound = outbound
        self._capabilities = capabilities
        self._admission = admission
        self._books = books
        self._tasks = tasks
        self._clock = clock
        self._newcomers: set[NodeId] = set()
        self._is_stopping = False

    # --- The two ways in ---------------------------------------------------------------------

    async def serve(self, connection: Connection) -> None:
        """Serve an incoming connection until it ends."""
        try:
            link = await self._establish(connection, self._wire.server(), None)
        except (HandshakeError, ConnectionClosed):
            return
        finally:
            self._admission.settle(connection.info.remote_host)
        self._confirm(link)
        await self._run(link)

    async def open(self, connection: Connection, expected: NodeId | None) -> Link:
        """Shake hands over a connection that we dialled; the link then serves itself.

        Raises:
            HandshakeError: refused, by either side; it is booked already.
        """
        machine = self._wire.client(expected)
        try:
            link = await self._establish(connection, machine, expected)
        except BaseException:
            await connection.close()
            raise
        self._tasks.spawn(self._run(link), name=f"link-{link.peer[:8]}")
        return link

    async def stop(self, limit_s: float) -> None:
        """Say goodbye on every link, and wait at most `limit_s` for it to be taken."""
        self._is_stopping = True
        links = list(self._links.all())
        for link in links:
            link.close_soon("shutting down")
        try:
            async with asyncio.timeout(limit_s):
                for link in links:
                    await link.wait_ended()
        except TimeoutError:
            _log.debug("a peer did not take our goodbye in time")

    # --- Handshake and judgement -------------------------------------------------------------

    async def _establish(
        self, connection: Connection, machine: Handshake, expected: NodeId | None
    ) -> Link:
        who = RefusedPeer(connection.info.remote_text, connection.info.is_outgoing)
        try:
            claim = await shake_hands(connection, machine, self._clock)
            who = RefusedPeer(who.remote, who.is_outgoing, claim)
            try:
                self._judge(connection, machine, claim, expected)
                self._admit(connection, machine, claim)
            except TrustFileError as error:
                self._books.journal.record(AuditEvent.TRUST_FILE_TAMPERED, detail=error.what)
                raise HandshakeError(Refusal.NOT_ALLOWED, error.what, error.fix) from error
        except HandshakeError as error:
            self._failed(connection, error)
            self._books.refusals.peer(error.reason, who, error.what)
            raise
        established = machine.accept(self._clock.now())
        link = Link(
            connection,
            established.channel,
            self,
            self._clock,
            is_outgoing=connection.info.is_outgoing,
            is_confirmed=not connection.info.is_outgoing,
        )
        self._links.add(link)
        await connection.send(established.units)
        return link

    def _judge(
        self,
        connection: Connection,
        machine: Handshake,
        claim: PeerClaim,
        expected: NodeId | None,
    ) -> None:
        now = self._clock.now()
        verdict = self._welcome.judge(claim, connection.info, expected)
        if isinstance(verdict, Turned):
            machine.refuse(verdict.reason, now)
            raise HandshakeError(verdict.reason, verdict.detail)
        facts = SessionFacts(connection.info.is_outgoing, now.mono, claim.is_ours)
        if not self._links.would_stay(facts, claim.node_id):
            self._probe(claim.node_id)
            machine.refuse(Refusal.DUPLICATE, now)
            raise HandshakeError(Refusal.DUPLICATE, "a session with this peer is up already")
        if self._is_stopping:
            raise HandshakeError(Refusal.SHUTTING_DOWN, "this node is shutting down")

    def _failed(self, connection: Connection, error: HandshakeError) -> None:
        if connection.info.is_outgoing or error.reason is not Refusal.AUTH_FAILED:
            return
        host = connection.info.remote_host
        if self._admission.failed(host, self._mono()):
            _log.warning("%s failed to prove the passphrase too often: locked out", host)
            self._books.journal.record(AuditEvent.AUTH_LOCKOUT, remote=host)

    def _admit(self, connection: Connection, machine: Handshake, claim: PeerClaim) -> None:
        """Pin the peer; another process may have pinned its name a moment ago, so judge again."""
        now = self._clock.now()
        verdict = self._trust.admit(claim, now)
        if verdict.refusal is not None:
            machine.refuse(verdict.refusal, now)
            raise HandshakeError(verdict.refusal, verdict.explain())
        if not connection.info.is_outgoing:
            self._admission.succeeded(connection.info.remote_host)
        if connection.info.tls_fingerprint is not None:
            self._trust.remember_tls(claim.node_id, connection.info.tls_fingerprint.hex())
        if verdict.standing is Standing.NEW:
            self._newcomers.add(claim.node_id)
            self._books.journal.record(
                AuditEvent.PEER_PINNED, node_id=claim.node_id, name=verdict.name
            )
        elif verdict.standing is Standing.RENAMED:
            self._books.journal.record(
                AuditEvent.PEER_RENAMED,
                node_id=claim.node_id,
                name=verdict.name,
                previous_name=verdict.previous_name,
            )

    def _probe(self, peer_id: NodeId) -> None:
        """A peer that is connected came again: perhaps it died and we have not noticed."""
        link = self._links.get(peer_id)
        if link is not None:
            link.probe()

    # --- A link's life -----------------------------------------------------------------------

    def _confirm(self, link: Link) -> None:
        loser = self._links.confirm(link)
        if loser is not None:
            loser.close_soon("duplicate")
        if loser is link:
            return
        moved = loser.take_unsent() if loser is not None else []
        link.enqueue(moved)
        self._capabilities.link_up(link)
        self._outbound.link_up(link)
        if loser is None:
            self._announce(link)

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

    async def _run(self, link: Link) -> None:
        reason = "cancelled"
        try:
            reason = await link.run()
        finally:
            is_gone = self._links.remove(link)
            self._outbound.link_down(link)
            if is_gone:
                self._capabilities.link_down(link.peer)
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
        self._confirm(link)

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

    async def deliver(self, link: Link, messages: list[Message]) -> None:
        """Take messages from a link."""
        await self._inbound.deliver(link, messages)

    def _mono(self) -> float:
        return self._clock.now().mono
