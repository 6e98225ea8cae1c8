"""The 0.8 machines in each state in which bytes of a stranger or of a peer can reach them."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cache

import msgspec
from tests.support import vectors
from tests.support.legacy import NOW, channel, forge, settings

from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError, RemoteProtocolError
from ironmesh.mesh.legacy.relaying import LegacyRelay, PassOn
from ironmesh.session.interface import Handshake
from ironmesh.session.legacy import sources as _sources
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.session.legacy.settings import LegacySettings
from ironmesh.types import MeshMode, Secret
from ironmesh.wire.legacy import bridged, inner
from ironmesh.wire.legacy.transit import Transit

_PEOPLE = {row["name"]: row for row in vectors.load("identity")["vectors"]}
_ALICE, _BOB = (
    settings(name, identity=Identity.from_seed(bytes.fromhex(_PEOPLE[name]["seed_hex"])))
    for name in ("alice", "bob")
)
_RELAY = replace(_BOB, takes_transit=True)
_COPIES = _sources.SealedCopies(_BOB.identity)
_KEY = Secret(bytes.fromhex(vectors.load("session_key")["vectors"][0]["session_key_hex"]))


def open_frame(data: bytes) -> None:
    """Give `data` to a session whose key and peer are those of the frame vectors."""
    channel(_BOB, _ALICE, _KEY).open(data, NOW)


def open_sealed(data: bytes) -> None:
    """Give a session a frame of its peer, rightly sealed and signed, that says `data`."""
    for party in (_BOB, _RELAY):
        _open_sealed(party, data)


def _open_sealed(party: LegacySettings, data: bytes) -> None:
    says = inner.Inner(type="MSG", msg_id="m", sequence=1, timestamp=NOW.wall)
    with suppress(RemoteProtocolError):
        said = inner.decode(data)
        inner.timestamp_of(said)
        if said.sequence < 2**64:
            says = said
    bob = channel(party, _ALICE, _KEY)
    opened = bob.open(forge(_ALICE.identity, _KEY, says=says, plaintext=data), NOW)
    bob.seal([], NOW)
    relay = LegacyRelay(party.identity.node_id, MeshMode.RELAY)
    for message in opened.messages:
        if isinstance(message, Transit):
            verdict = relay.judge(
                message.said,
                _ALICE.identity.node_id,
                NOW,
                is_otherwise=lambda destination: destination < "8",
                next_hop=lambda destination: destination,
            )
            if isinstance(verdict, PassOn):
                passed = msgspec.structs.replace(message, said=verdict.said)
                channel(party, _ALICE, _KEY).seal([passed], NOW)


def open_bridged(data: bytes) -> None:
    """Open what a bridge hands over, as its destination does."""
    _sources.open_bridged(bridged.decode(data), _COPIES, 0)


def server_hears(data: bytes) -> None:
    """Say `data` to a server in place of the proof, and in place of the HELLO."""
    for depth in range(2):
        _hear(_advanced(depth)[1], data)


def client_hears(data: bytes) -> None:
    """Say `data` to a client in place of the challenge, of the server's proof, and of its HELLO."""
    for depth in range(3):
        _hear(_advanced(depth)[0], data)


@cache
def _advanced(rounds: int) -> tuple[Handshake, Handshake]:
    """Return both machines after so many messages each way."""
    client, server = ClientHandshake(settings("carol")), ServerHandshake(settings("dave"))
    client.start(NOW)
    units = server.start(NOW)
    for _ in range(rounds):
        units = server.receive(client.receive(units[0], NOW)[0], NOW)
    return client, server


def _hear(machine: Handshake, data: bytes) -> None:
    machine = copy(machine)
    with suppress(HandshakeError):
        machine.receive(data, NOW)
        if machine.claim is not None:
            machine.accept(NOW)
