"""What every wire offers to the node: a handshake for each role, then a channel.

A handshake and a channel do no I/O and read no clock. The shell feeds them what arrived, writes
what they return, and asks when they want to be woken:

    units = handshake.start(now)                        # write these
    units = handshake.receive(unit, now)                # for each unit that arrives
    if handshake.claim is not None:                     # the peer proved who it is: decide
        units, channel = handshake.accept(now)          # or handshake.refuse(reason, now)

    opened = channel.open(unit, now)                    # for each unit that arrives
    units = channel.seal(messages, now)                 # a list; one message is a list of one
    channel.on_timer(now)                               # at channel.next_timer

Only the writer of a link calls `seal`, so the order of sealing is the order on the wire. Control
traffic (pings, key changes) stays inside the channel: `wants_write` says that `seal([])` has
something to return. While `is_holding`, `seal` takes no messages: a key change is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from ironmesh.errors import HandshakeError
from ironmesh.types import Instant, LinkInfo, Message, NodeId, Refusal, Unit, WireKind


class PeerStatement(msgspec.Struct, frozen=True):
    """What a peer says beside its name, on our own wire; none of it decides a handshake."""

    features: int
    """Bits of what it can do; unknown ones are ignored."""
    record_sequence: int
    """Of its own node record; 0 = it has none."""
    clock_ms: int
    """Its clock, milliseconds since 1970: for people and node records only."""


class PeerClaim(msgspec.Struct, frozen=True):
    """What a peer proved (key) and said (the rest) in a verified handshake, before we accept it."""

    node_id: NodeId
    identity_public: bytes
    """Ed25519 public key, 32 bytes; its possession is proved."""
    name: str
    """A claim: the trust room decides whether this key may use it."""
    protocol_version: str
    wire: WireKind = WireKind.LEGACY
    statement: PeerStatement | None = None
    """None on the 0.8 wire."""

    @property
    def is_ours(self) -> bool:
        """The peer runs this implementation: none other speaks the native wire."""
        return self.wire is WireKind.NATIVE


class ClaimRefusedError(HandshakeError):
    """The peer proved who it is, and may not stay.

    Args:
        claim: what it proved and said.
    """

    def __init__(self, reason: Refusal, what: str, fix: str = "", *, claim: PeerClaim) -> None:
        self.claim = claim
        super().__init__(reason, what, fix)


def check_expected(claim: PeerClaim, expected: NodeId | None) -> None:
    """Refuse a verified peer that is not the one that was dialled.

    Raises:
        ClaimRefusedError: UNEXPECTED_IDENTITY.
    """
    if expected is not None and claim.node_id != expected:
        raise ClaimRefusedError(
            Refusal.UNEXPECTED_IDENTITY,
            f"{claim.node_id} answered where {expected} was dialled",
            "check the fingerprints; if another node has this address for good, run"
            f" `ironmesh trust forget {expected}`, or connect to the address anew",
            claim=claim,
        )


class PeerAlive(msgspec.Struct, frozen=True):
    """The peer answered a ping."""

    rtt_s: float


class PeerClosing(msgspec.Struct, frozen=True):
    """The peer said goodbye; the connection will end."""

    reason: str


class UnitRefused(msgspec.Struct, frozen=True):
    """A unit, or a message in it, was dropped; the session goes on."""

    reason: Refusal
    detail: str
    """For the log: never a secret, never a payload."""


class Rekeyed(msgspec.Struct, frozen=True):
    """Both sides use a new session key from here on."""

    count: int
    """Key changes in this session so far."""


class PeerThrottled(msgspec.Struct, frozen=True):
    """The peer says that it dropped a frame because we sent too fast."""


class PeerReady(msgspec.Struct, frozen=True):
    """The peer accepted us, which was in doubt until now."""


ChannelEvent = PeerAlive | PeerClosing | UnitRefused | Rekeyed | PeerThrottled | PeerReady


class Opened(msgspec.Struct, frozen=True):
    """What one unit held."""

    messages: list[Message] = msgspec.field(default_factory=list)
    """In the order in which they arrived. Types that the mesh consumes are among them."""
    events: list[ChannelEvent] = msgspec.field(default_factory=list)


class Piece(NamedTuple):
    """A part of a message whose payload exceeds `LinkInfo.piece_bytes`."""

    message: Message
    offset: int
    """Where it begins in the payload; pieces of one message follow one another."""
    size: int

    @property
    def is_last(self) -> bool:
        """With it the message is whole."""
        return self.offset + self.size == len(self.message.payload)


class Channel(Protocol):
    """An established session with one peer."""

    @property
    def link(self) -> LinkInfo:
        """How this session works, for those above."""
        ...

    @property
    def wants_write(self) -> bool:
        """Control traffic waits: call `seal([], now)`."""
        ...

    @property
    def is_holding(self) -> bool:
        """A key change is under way: `seal` takes no messages until it is over."""
        ...

    @property
    def next_timer(self) -> float | None:
        """When to call `on_timer`, in monotonic seconds; None = never."""
        ...

    @property
    def rekey_count(self) -> int:
        """Key changes in this session so far."""
        ...

    @property
    def is_truncated(self) -> bool:
        """The peer did not say that its messages end, and this wire has a way to say it."""
        ...

    def seal(
        self, messages: Sequence[Message], now: Instant, piece: Piece | None = None
    ) -> list[Unit]:
        """Return the units to write: waiting control traffic first, then `messages`, then `piece`.

        A message given up before its last piece is forgotten by the peer when the first piece of
        another one of its priority comes.

        Raises:
            MessageTooLargeError: a message does not fit; nothing of the list was sealed.
            LocalProtocolError: messages while `is_holding`, a piece where the wire knows none, or
                the channel is closed.
            RemoteProtocolError: the peer does not let the keys be changed: the session must end.
        """
        ...

    def open(self, unit: Unit, now: Instant) -> Opened:
        """Check and decrypt one unit.

        Raises:
            RemoteProtocolError: the session must end.
        """
        ...

    def on_timer(self, now: Instant) -> None:
        """Queue what is due: pings, key changes.

        Raises:
            RemoteProtocolError: the peer let a deadline pass and the session must end.
        """
        ...

    def ping(self, now: Instant) -> None:
        """Queue a ping; `PeerAlive` tells of the answer."""
        ...

    def rekey(self, now: Instant) -> bool:
        """Start a key change; False when one is under way or the peer cannot."""
        ...

    def goodbye(self, reason: str, now: Instant) -> list[Unit]:
        """Return the goodbye to write last; what the peer sent before it knows can be opened."""
        ...

    def close(self, reason: str, now: Instant) -> list[Unit]:
        """Return the goodbye to write last, unless it was said, and drop the keys."""
        ...


class Established(msgspec.Struct, frozen=True):
    """The end of a handshake: what is still to be written, and the channel."""

    units: list[Unit]
    channel: Channel


class Handshake(Protocol):
    """One side of a handshake, until it is accepted or refused."""

    @property
    def claim(self) -> PeerClaim | None:
        """The verified peer, once the handshake got that far; then call `accept` or `refuse`."""
        ...

    @property
    def deadline(self) -> float:
        """When waiting for the next message becomes too long, in monotonic seconds."""
        ...

    def start(self, now: Instant) -> list[Unit]:
        """Return what this side says first; may be nothing."""
        ...

    def receive(self, unit: Unit, now: Instant) -> list[Unit]:
        """Take one message of the peer; return the answer.

        Raises:
            HandshakeError: the peer is refused or refused us; `parting_units` may hold last words.
        """
        ...

    @property
    def parting_units(self) -> list[Unit]:
        """What to write before closing after a `HandshakeError`; often nothing."""
        ...

    @property
    def close_code(self) -> int:
        """With which code to close the connection of a peer that was refused."""
        ...

    def accept(self, now: Instant) -> Established:
        """The peer may stay: finish, and return the channel."""
        ...

    def refuse(self, reason: Refusal, now: Instant) -> list[Unit]:
        """The peer may not stay: return the last words; often nothing."""
        ...
