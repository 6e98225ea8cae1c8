"""What lets two nodes that met go on without a full handshake (docs/protocol.md, section 6).

A session leaves one secret and two ticket numbers: one for the end that dials next, whichever it
is, so neither end's ticket can be shown back to it. Tickets live in memory only.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec

from ironmesh.crypto.hybrid import expand
from ironmesh.session.interface import PeerClaim
from ironmesh.session.native.schedule import Role
from ironmesh.types import NodeId, Secret
from ironmesh.wire.native.constants import TICKET_BYTES

TICKET_LIFETIME_S: Final = 24 * 3600.0
"""Counted from the last full handshake: resuming does not extend it."""
MAX_PEERS: Final = 4096
CROSSING_S: Final = 10.0
"""When two dials cross, the ends may disagree which session was the last: so long both count."""
_SESSIONS_PER_PEER: Final = 2


class Ticket(msgspec.Struct, frozen=True):
    """The right of one end to dial the other once."""

    number: bytes
    """16 bytes; a listener sees it once."""
    role: Role
    """What the end that may dial was in the session that left this ticket."""
    secret: Secret
    claim: PeerClaim
    """The other end, as the last full handshake verified it."""
    is_hybrid: bool
    """The secret stays closed to a quantum computer."""
    made: float
    """Monotonic seconds, as `expires`."""
    expires: float

    @property
    def binder_key(self) -> Secret:
        """Key of the proof that whoever shows the number knows the secret."""
        return Secret(expand(self.secret, b"binder " + self.role.label))


class _Held(msgspec.Struct):
    """In the order in which they were made."""

    ours: deque[Ticket] = msgspec.field(default_factory=deque)
    theirs: deque[Ticket] = msgspec.field(default_factory=deque)


class Tickets:
    """The tickets of one node, at most two of each kind for each of `MAX_PEERS` peers.

    A new session ends the tickets of those before it: a resumption that somebody held back cannot
    be delivered later, to put a dead session in the place of the new one.
    """

    def __init__(self) -> None:
        self._held: dict[NodeId, _Held] = {}
        self._peers: dict[bytes, NodeId] = {}
        self._expires = math.inf
        """No ticket expires before."""

    def __len__(self) -> int:
        return sum(len(held.ours) + len(held.theirs) for held in self._held.values())

    def add(
        self,
        claim: PeerClaim,
        secret: Secret,
        *,
        own_role: Role,
        is_hybrid: bool,
        now: float,
        expires: float,
    ) -> None:
        """Keep what a session left, for either end to dial."""
        held = self._held.pop(claim.node_id, None) or _Held()
        if len(self._held) >= MAX_PEERS:
            self.drop(next(iter(self._held)))
        self._held[claim.node_id] = held
        self._make_room(held, now)
        self._expires = min(self._expires, expires)
        for role in Role:
            ticket = Ticket(
                number=expand(secret, b"ticket " + role.label, TICKET_BYTES),
                role=role,
                secret=secret,
                claim=claim,
                is_hybrid=is_hybrid,
                made=now,
                expires=expires,
            )
            if role is own_role:
                held.ours.append(ticket)
            else:
                held.theirs.append(ticket)
                self._peers[ticket.number] = claim.node_id

    def take(self, peer: NodeId, now: float, *, takes_classic: bool) -> Ticket | None:
        """Return the newest ticket with which this node may dial `peer`; it is gone afterwards.

        Args:
            takes_classic: a ticket of profile `radio` will do.
        """
        held = self._held.get(peer)
        while held is not None and held.ours:
            ticket = held.ours.pop()
            if _is_good(ticket, now, takes_classic=takes_classic):
                return ticket
        return None

    def find(self, number: bytes, now: float, *, takes_classic: bool) -> Ticket | None:
        """Return the ticket that a peer shows; it stays until it is burnt."""
        peer = self._peers.get(number)
        if peer is None:
            return None
        for ticket in self._held[peer].theirs:
            if ticket.number == number and _is_good(ticket, now, takes_classic=takes_classic):
                return ticket
        return None

    def burn(self, ticket: Ticket) -> None:
        """Forget a ticket whose holder proved that it is theirs."""
        peer = self._peers.pop(ticket.number, None)
        if peer is not None:
            self._held[peer].theirs.remove(ticket)

    def drop(self, peer: NodeId) -> None:
        """Forget all of one peer: it was revoked, or its pin changed."""
        held = self._held.pop(peer, None)
        for ticket in held.theirs if held else ():
            del self._peers[ticket.number]

    def drop_all(self) -> None:
        """Forget everything: the passphrase changed."""
        self._held.clear()
        self._peers.clear()

    def expire(self, now: float) -> None:
        """Drop every secret whose time is over."""
        if now < self._expires:
            return
        for peer, held in list(self._held.items()):
            for ticket in [old for old in held.theirs if old.expires <= now]:
                self.burn(ticket)
            for ticket in [old for old in held.ours if old.expires <= now]:
                held.ours.remove(ticket)
            if not held.ours and not held.theirs:
                del self._held[peer]
        left = [ticket for held in self._held.values() for ticket in (*held.ours, *held.theirs)]
        self._expires = min((ticket.expires for ticket in left), default=math.inf)

    def _make_room(self, held: _Held, now: float) -> None:
        while held.ours and _is_superseded(held.ours, now):
            held.ours.popleft()
        while held.theirs and _is_superseded(held.theirs, now):
            del self._peers[held.theirs.popleft().number]


def _is_superseded(tickets: deque[Ticket], now: float) -> bool:
    return len(tickets) == _SESSIONS_PER_PEER or tickets[0].made <= now - CROSSING_S


def _is_good(ticket: Ticket, now: float, *, takes_classic: bool) -> bool:
    return now < ticket.expires and (ticket.is_hybrid or takes_classic)
