"""The 0.8 machines in each state in which bytes of a stranger or of a peer can reach them."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from functools import cache

from tests.support import vectors
from tests.support.legacy import NOW, channel, forge, settings

from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError, RemoteProtocolError
from ironmesh.session.interface import Handshake
from ironmesh.session.legacy.client import ClientHandshake
from ironmesh.session.legacy.server import ServerHandshake
from ironmesh.types import Secret
from ironmesh.wire.legacy import inner

_PEOPLE = {row["name"]: row for row in vectors.load("identity")["vectors"]}
_ALICE, _BOB = (
    settings(name, identity=Identity.from_seed(bytes.fromhex(_PEOPLE[name]["seed_hex"])))
    for name in ("alice", "bob")
)
_KEY = Secret(bytes.fromhex(vectors.load("session_key")["vectors"][0]["session_key_hex"]))


def open_frame(data: bytes) -> None:
    """Give `data` to a session whose key and peer are those of the frame vectors."""
    channel(_BOB, _ALICE, _KEY).open(data, NOW)


def open_sealed(data: bytes) -> None:
    """Give a session a frame of its peer, rightly sealed and signed, that says `data`."""
    says = inner.Inner(type="MSG", msg_id="m", sequence=1, timestamp=NOW.wall)
    with suppress(RemoteProtocolError):
        said = inner.decode(data)
        inner.timestamp_of(said)
        if said.sequence < 2**64:
            says = said
    bob = channel(_BOB, _ALICE, _KEY)
    bob.open(forge(_ALICE.identity, _KEY, says=says, plaintext=data), NOW)
    bob.seal([], NOW)


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
