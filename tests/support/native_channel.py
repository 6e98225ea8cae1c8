"""Ends of a session on our own wire, without a handshake: deterministic, and open to be forged."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.support.legacy import NOW, identity, seeded

from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import ChannelEvent, PeerClaim
from ironmesh.session.native.channel import NativeChannel
from ironmesh.session.native.keys import SessionKeys
from ironmesh.session.native.sealing import RecordWriter
from ironmesh.types import Instant, Message, MessageId, Refusal, Secret, Unit, WireKind
from ironmesh.wire.native.records import Direction

ALICE, BOB = identity("alice"), identity("bob")
"""Alice is the initiator."""


def session_keys(
    *, is_initiator: bool, label: str = "session", is_hybrid: bool = False
) -> SessionKeys:
    """Return the keys that one end of a handshake derived."""

    def key(name: str) -> bytes:
        return hashlib.sha256(f"{label} {name}".encode()).digest()

    return SessionKeys(
        session_id=key("id"),
        root=Secret(key("root")),
        initiator_chain=Secret(key("initiator")),
        responder_chain=Secret(key("responder")),
        resumption=Secret(key("resumption")),
        is_initiator=is_initiator,
        is_hybrid=is_hybrid,
    )


def claim_of(peer: Identity, name: str = "peer") -> PeerClaim:
    """Return what a handshake would verify of a node."""
    return PeerClaim(peer.node_id, peer.public, name, "ironmesh/5.0", WireKind.NATIVE)


def channel(
    own: Identity,
    peer: Identity,
    *,
    is_initiator: bool,
    label: str = "session",
    is_hybrid: bool = False,
    now: Instant = NOW,
    **changes: Any,
) -> NativeChannel:
    """Return one end of a session; key changes only by hand unless asked for."""
    return NativeChannel(
        session_keys(is_initiator=is_initiator, label=label, is_hybrid=is_hybrid),
        identity=own,
        claim=claim_of(peer),
        random=seeded(f"{label} {is_initiator}"),
        now=now,
        **({"rekey_interval_s": 0.0} | changes),
    )


def fresh(**changes: Any) -> tuple[NativeChannel, NativeChannel]:
    """Return both ends, of which the responder has not said READY yet."""
    return (
        channel(ALICE, BOB, is_initiator=True, **changes),
        channel(BOB, ALICE, is_initiator=False, **changes),
    )


def pair(**changes: Any) -> tuple[NativeChannel, NativeChannel]:
    """Return both ends of a session that is up."""
    alice, bob = fresh(**changes)
    exchange(alice, bob, changes.get("now", NOW))
    return alice, bob


def exchange(
    one: NativeChannel, other: NativeChannel, now: Instant = NOW
) -> tuple[list[ChannelEvent], list[ChannelEvent]]:
    """Carry control traffic until neither end has any; return the events of each end."""
    events: tuple[list[ChannelEvent], list[ChannelEvent]] = ([], [])
    while one.wants_write or other.wants_write:
        for unit in one.seal([], now):
            events[1].extend(other.open(unit, now).events)
        for unit in other.seal([], now):
            events[0].extend(one.open(unit, now).events)
    return events


def forger(writer: Identity, *, is_initiator: bool = True, label: str = "session") -> RecordWriter:
    """Return what seals records that say what we like, from the first one of a session on."""
    keys = session_keys(is_initiator=is_initiator, label=label)
    if is_initiator:
        return RecordWriter(writer, keys.session_id, Direction.FROM_INITIATOR, keys.initiator_chain)
    return RecordWriter(writer, keys.session_id, Direction.FROM_RESPONDER, keys.responder_chain)


def message(
    sender: Identity = ALICE, receiver: Identity = BOB, payload: bytes = b"hello", **changes: Any
) -> Message:
    """Return a message between two nodes."""
    values: dict[str, Any] = {
        "id": MessageId(hashlib.blake2b(payload, digest_size=16).digest()),
        "type": "MSG",
        "payload": payload,
        "source": sender.node_id,
        "destination": receiver.node_id,
        "timestamp_ms": 1_767_225_600_000,
    }
    return Message(**(values | changes))


def received(channel: NativeChannel, units: list[Unit], now: Instant = NOW) -> list[Message]:
    """Return the messages of records."""
    return [message for unit in units for message in channel.open(unit, now).messages]


def refusal(channel: NativeChannel, *units: Unit, now: Instant = NOW) -> RemoteProtocolError:
    """Return how a channel refuses the last of several records; those before it must open."""
    for unit in units[:-1]:
        channel.open(unit, now)
    try:
        channel.open(units[-1], now)
    except RemoteProtocolError as error:
        assert channel.next_timer is None, "the session goes on"
        return error
    raise AssertionError("the record was taken")


def reason(channel: NativeChannel, *units: Unit, now: Instant = NOW) -> Refusal:
    """Return why a channel refuses the last of several records."""
    return refusal(channel, *units, now=now).reason
