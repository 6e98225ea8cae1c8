"""Nodes of the 0.8 wire without sockets: deterministic, and open to be forged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import RemoteProtocolError
from ironmesh.session.interface import ChannelEvent, Opened, PeerClaim, UnitRefused
from ironmesh.session.legacy.channel import LegacyChannel
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import Instant, Message, MessageId, NodeId, Random, Refusal, Secret, Unit
from ironmesh.wire.legacy import frame, inner

PASSPHRASE = Secret("correct horse battery staple")
NOW = Instant(mono=1000.0, wall=1767225600.25)
"""The wall time of the frame vectors."""
SESSION_KEY = Secret(bytes(range(32)))


def seeded(label: str) -> Random:
    """Return a source of randomness that repeats itself from run to run."""
    counter = 0

    def random(size: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{label}/{counter}".encode()).digest(size)

    return random


def identity(label: str) -> Identity:
    """Return the identity that belongs to a label."""
    return Identity.generate(seeded(f"identity of {label}"))


def later(seconds: float, now: Instant = NOW) -> Instant:
    """Return the moment `seconds` after `now` on both clocks."""
    return Instant(now.mono + seconds, now.wall + seconds)


def settings(name: str, **changes: Any) -> LegacySettings:
    """Return the settings of a node; key changes only by hand unless asked for."""
    values: dict[str, Any] = {
        "identity": identity(name),
        "name": name,
        "passphrase": PASSPHRASE,
        "random": seeded(name),
        "rekey_interval_s": 0.0,
    }
    return LegacySettings(**(values | changes))


def claim_of(party: LegacySettings) -> PeerClaim:
    """Return what a handshake would verify of a node."""
    return PeerClaim(
        node_id=party.identity.node_id,
        identity_public=party.identity.public,
        name=party.name,
        protocol_version=party.protocol_version,
    )


def handshake(
    dialler: LegacySettings, listener: LegacySettings, now: Instant = NOW
) -> tuple[ClientHandshake, ServerHandshake]:
    """Run both machines until each has verified the other; the server's HELLO is delivered."""
    client, server = ClientHandshake(dialler), ServerHandshake(listener)
    assert client.start(now) == []
    to_client = server.start(now)
    while server.claim is None:
        to_server = [answer for unit in to_client for answer in client.receive(unit, now)]
        to_client = [answer for unit in to_server for answer in server.receive(unit, now)]
    return client, server


def connected(
    dialler: LegacySettings, listener: LegacySettings, now: Instant = NOW
) -> tuple[LegacyChannel, LegacyChannel]:
    """Return the channels of both ends of a fresh session, through the machines."""
    client, server = handshake(dialler, listener, now)
    accepted = server.accept(now)
    for unit in accepted.units:
        assert client.receive(unit, now) == []
    dialled = client.accept(now).channel
    assert isinstance(dialled, LegacyChannel)
    assert isinstance(accepted.channel, LegacyChannel)
    return dialled, accepted.channel


def channel(
    own: LegacySettings, peer: LegacySettings, key: Secret = SESSION_KEY, now: Instant = NOW
) -> LegacyChannel:
    """Return one end of a session with a known key."""
    return LegacyChannel(own, claim_of(peer), key, now)


def pair(
    one: LegacySettings, other: LegacySettings, now: Instant = NOW
) -> tuple[LegacyChannel, LegacyChannel]:
    """Return both ends of a session with a known key."""
    return channel(one, other, now=now), channel(other, one, now=now)


def message(
    sender: LegacySettings, receiver: LegacySettings, payload: bytes = b"hello", **changes: Any
) -> Message:
    """Return a message between two nodes."""
    values: dict[str, Any] = {
        "id": MessageId(hashlib.blake2b(payload, digest_size=16).digest()),
        "type": "MSG",
        "payload": payload,
        "source": sender.identity.node_id,
        "destination": receiver.identity.node_id,
    }
    return Message(**(values | changes))


def exchange(
    one: LegacyChannel, other: LegacyChannel, now: Instant = NOW
) -> tuple[list[ChannelEvent], list[ChannelEvent]]:
    """Carry control traffic until neither end has any; return the events of each end."""
    events: tuple[list[ChannelEvent], list[ChannelEvent]] = ([], [])
    while one.wants_write or other.wants_write:
        for unit in one.seal([], now):
            events[1].extend(other.open(unit, now).events)
        for unit in other.seal([], now):
            events[0].extend(one.open(unit, now).events)
    return events


def refusal_of(call: Callable[..., Any], *arguments: Any) -> Refusal | None:
    """Return the reason with which a call refuses its input; any other exception passes."""
    try:
        call(*arguments)
    except RemoteProtocolError as error:
        return error.reason
    return None


def refusals(opened: Opened) -> list[Refusal]:
    """Return why things were refused; nothing else may have come of them."""
    assert not opened.messages
    return [event.reason for event in opened.events if isinstance(event, UnitRefused)]


def forge(
    signer: Identity,
    key: Secret = SESSION_KEY,
    *,
    says: inner.Inner | None = None,
    plaintext: bytes | None = None,
    header: Callable[[frame.Header], frame.Header] = lambda header: header,
    nonce: bytes = bytes(sodium.BOX_NONCE_BYTES),
) -> bytes:
    """Return a frame that says what we like, rightly signed and encrypted, under any header."""
    body = inner.encode(says) if plaintext is None and says is not None else plaintext or b""
    ciphertext = frame.encrypt(key.reveal(), nonce, body)
    said = says or inner.Inner(type="MSG", msg_id="m", sequence=1, timestamp=NOW.wall)
    packed = frame.pack(
        ciphertext,
        signer.sign(ciphertext),
        sequence=said.sequence,
        timestamp_ms=frame.milliseconds(inner.timestamp_of(said)),
        message_id_hash=frame.id_hash(said.msg_id),
    )
    changed = header(frame.split(packed).header)
    return frame._HEADER.pack(*changed) + packed[frame.HEADER_BYTES :]


def says(sender: Identity, receiver: NodeId | str, **changes: Any) -> inner.Inner:
    """Return an inner object as a published node would write it, without source signature."""
    values: dict[str, Any] = {
        "type": "MSG",
        "payload": b"hello",
        "msg_id": "3b0f2f5e-6a55-4a67-9a7c-0d4f5b1d9a11",
        "source": sender.node_id,
        "source_display": sender.node_id,
        "destination": receiver,
        "timestamp": NOW.wall,
        "sequence": 1,
        "ttl": 5,
    }
    return inner.Inner(**(values | changes))


def rewrite(unit: Unit, **members: Any) -> str:
    """Return a handshake message with members replaced; None removes one."""
    said = msgspec.json.decode(unit) | members
    return msgspec.json.encode(
        {name: value for name, value in said.items() if value is not None}
    ).decode()


def opened_messages(channel: LegacyChannel, units: Sequence[Unit], now: Instant) -> list[Message]:
    """Open units of which none may be refused."""
    messages: list[Message] = []
    for unit in units:
        opened = channel.open(unit, now)
        assert not [event for event in opened.events if isinstance(event, UnitRefused)]
        messages.extend(opened.messages)
    return messages
