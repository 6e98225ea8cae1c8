"""How a peer gets in: the handshake, the judgement, and what is written down about both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from ironmesh.audit.events import AuditEvent
from ironmesh.errors import ConnectionClosed, HandshakeError, TrustFileError
from ironmesh.node.arbitration import SessionFacts
from ironmesh.node.books import Books
from ironmesh.node.clock import Clock
from ironmesh.node.dial_guesses import DialGuess
from ironmesh.node.gate import Gate, Visit
from ironmesh.node.handshaking import NORMAL_CLOSURE, shake_hands
from ironmesh.node.linktable import LinkTable
from ironmesh.node.refusals import RefusedPeer
from ironmesh.node.welcome import Turned, Welcome
from ironmesh.session.interface import ClaimRefusedError, Handshake, PeerClaim
from ironmesh.transport.interface import TUNNEL, Connection, ConnectionInfo
from ironmesh.trust.book import Standing, Verdict, first_state
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId, Refusal, WireKind
from ironmesh.wire.native.constants import close_code_of

_log = logging.getLogger("ironmesh.node")


class AlreadyConnectedError(HandshakeError):
    """A session with this peer is up, and stays.

    Args:
        node_id: the peer.
    """

    def __init__(self, node_id: NodeId) -> None:
        self.node_id = node_id
        super().__init__(Refusal.DUPLICATE, "a session with this peer is up already")


class Dialled(msgspec.Struct, frozen=True):
    """What is known of whom a connection was dialled for."""

    expected: NodeId | None = None
    """Who must answer, and may resume an earlier session; None = any."""
    guess: DialGuess | None = None
    """Rations what opening an answer gives away; None: no ration."""
    is_given: bool = True
    """The operator gave the address; otherwise somebody announced it."""


class Entrance:
    """Shakes hands with whoever is at the other end of a connection, and decides who may stay."""

    def __init__(
        self,
        *,
        welcome: Welcome,
        trust: TrustStore,
        links: LinkTable,
        gate: Gate,
        books: Books,
        clock: Clock,
    ) -> None:
        self._welcome = welcome
        self._trust = trust
        self._links = links
        self._gate = gate
        self._books = books
        self._clock = clock
        self._shaking: set[Connection] = set()
        self._is_closed = False

    def close(self) -> None:
        """Let nobody in any more, and hang up on those who are shaking hands."""
        self._is_closed = True
        for connection in self._shaking:
            connection.abort()

    async def admit(
        self,
        connection: Connection,
        make: Callable[[], Handshake],
        way: Visit | Dialled,
    ) -> tuple[Handshake, PeerClaim, Verdict]:
        """Shake hands and judge; returns the machine, ready to accept, and who it is.

        Args:
            make: makes the machine; may refuse the connection.
            way: how it came about: somebody visits us, or we dialled.

        Raises:
            HandshakeError: refused, by either side; it is booked already, and the connection is
                closed.
        """
        who = RefusedPeer(connection.info.remote_text, connection.info.is_outgoing)
        machine: Handshake | None = None
        self._shaking.add(connection)
        try:
            self._check_open()
            machine = make()
            claim = await self._shake(connection, machine)
            if isinstance(way, Visit):
                way.proved()
            who = RefusedPeer(who.remote, who.is_outgoing, claim)
            return machine, claim, self._judge(connection.info, claim, way)
        except HandshakeError as error:
            if isinstance(error, ClaimRefusedError):
                who = RefusedPeer(who.remote, who.is_outgoing, error.claim)
            await self._turn_away(connection, machine, who, error)
            raise
        except TrustFileError as error:
            refused = HandshakeError(Refusal.TRUST_FILE, error.what, error.fix)
            await self._turn_away(connection, machine, who, refused)
            raise refused from error
        finally:
            self._shaking.discard(connection)

    async def _shake(self, connection: Connection, machine: Handshake) -> PeerClaim:
        try:
            return await shake_hands(connection, machine, self._clock)
        except ClaimRefusedError as error:
            verdict = self._trust.judge(error.claim)
            if verdict.standing is Standing.IDENTITY_CHANGED:
                # The name that we know, with another key: that says more than the address does.
                raise ClaimRefusedError(
                    Refusal.IDENTITY_CHANGED, verdict.explain(), claim=error.claim
                ) from error
            raise

    def _check_open(self) -> None:
        if self._is_closed:
            raise HandshakeError(Refusal.SHUTTING_DOWN, "this node is shutting down")

    async def _turn_away(
        self,
        connection: Connection,
        machine: Handshake | None,
        who: RefusedPeer,
        error: HandshakeError,
    ) -> None:
        if self._is_closed:
            connection.abort()
            return
        info = connection.info
        if error.reason is Refusal.AUTH_FAILED and not info.is_outgoing and not info.subprotocol:
            self._count_failure(info.remote_host)
        self._books.refusals.peer(error.reason, who, str(error))
        code: int = close_code_of(error.reason)
        if machine is not None:
            if machine.claim is not None:
                with suppress(ConnectionClosed):
                    await connection.send(machine.refuse(error.reason, self._clock.now()))
            code = machine.close_code
        is_ours_to_choose = info.is_outgoing and bool(info.subprotocol) and who.claim is not None
        if error.reason is Refusal.DUPLICATE or is_ours_to_choose:
            code = NORMAL_CLOSURE  # the peer proved all that it had to: nobody is to blame
        await connection.close(code)

    def _count_failure(self, host: str) -> None:
        if self._gate.failed(host):
            _log.warning("%s failed to prove the passphrase too often: locked out", host)
            self._books.journal.record(AuditEvent.AUTH_LOCKOUT, remote=host)

    # --- Judgement ---------------------------------------------------------------------------

    def _judge(self, info: ConnectionInfo, claim: PeerClaim, way: Visit | Dialled) -> Verdict:
        self._check_open()
        now = self._clock.now()
        expected = way.expected if isinstance(way, Dialled) else None
        judged = self._welcome.judge(claim, info, expected)
        if isinstance(judged, Turned):
            raise ClaimRefusedError(judged.reason, judged.detail, claim=claim)
        facts = SessionFacts(info.is_outgoing, now.mono, claim.is_ours)
        # An announcement does not say whose it is: that a session is up, shows only now.
        is_again = isinstance(way, Dialled) and not way.is_given and self._links.get(claim.node_id)
        if (
            is_again
            or self._is_detour(info, claim.node_id)
            or (not claim.is_ours and not self._links.would_stay(facts, claim.node_id))
        ):
            self._probe(claim.node_id)
            raise AlreadyConnectedError(claim.node_id)
        # Another process may have pinned the name a moment ago, so the book judges again.
        verdict = self._trust.admit(claim, now, state=first_state(claim))
        if verdict.refusal is not None:
            raise HandshakeError(verdict.refusal, verdict.explain())
        if isinstance(way, Visit):
            way.welcomed(claim.node_id)
        self._note(info, claim, verdict)
        return verdict

    def _is_detour(self, info: ConnectionInfo, peer_id: NodeId) -> bool:
        """Tell whether a peer with a session of its own comes through a tunnel as well."""
        link = self._links.get(peer_id)
        is_direct = link is not None and link.connection_info.transport != TUNNEL
        return info.transport == TUNNEL and is_direct

    def _probe(self, peer_id: NodeId) -> None:
        """A peer that is connected came again: perhaps it died and we have not noticed."""
        link = self._links.get(peer_id)
        if link is not None:
            link.probe()

    def _note(self, info: ConnectionInfo, claim: PeerClaim, verdict: Verdict) -> None:
        if claim.wire is WireKind.LEGACY:
            if not info.is_outgoing:
                self._gate.succeeded(info.remote_host)
            self._note_tls(info, claim, verdict)
        if verdict.standing is Standing.NEW:
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

    def _note_tls(self, info: ConnectionInfo, claim: PeerClaim, verdict: Verdict) -> None:
        if info.tls_fingerprint is not None:
            self._trust.remember_tls(claim.node_id, info.tls_fingerprint.hex())
        elif info.is_outgoing and verdict.pin is not None and verdict.pin.tls_fingerprint:
            self._books.journal.record(
                AuditEvent.DOWNGRADE_DETECTED,
                node_id=claim.node_id,
                name=verdict.name,
                remote=info.remote_text,
                detail="this peer spoke TLS before",
            )
