"""What was said stays closed to somebody who recorded it and later gets every file and passphrase.

He is given the recording of all that two nodes sent each other, both homes and the passphrase, and
tries every key that he can find in them or make of them. So that a failure means something, he is
then given one ephemeral secret more, and reads everything.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from tests.support.nodes import PASSPHRASE, FaultyConnection, Live, MemoryTransport, Nodes

from ironmesh.crypto import sodium
from ironmesh.crypto.keyfile import parse
from ironmesh.session.legacy.keys import Ephemeral
from ironmesh.transport.memory import MemoryNetwork
from ironmesh.types import Random
from ironmesh.wire.legacy import frame

SAID = b"the launch code is 0000"
HANDSHAKE_TYPES = {"PASSPHRASE_CHALLENGE", "PASSPHRASE_VERIFIED", "HELLO"}


@dataclass
class Recording:
    """Everything that both ends of one session sent."""

    hellos: list[dict[str, str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, connections: Iterable[FaultyConnection]) -> Recording:
        """Sort what these connections carried."""
        made = cls()
        for unit in itertools.chain.from_iterable(each.sent for each in connections):
            if isinstance(unit, bytes):
                made.frames.append(unit)
            else:
                made.texts.append(unit)
        made.hellos = [say for say in map(json.loads, made.texts) if say["type"] == "HELLO"]
        return made

    def ephemerals(self) -> list[bytes]:
        """Return the public keys that the handshake showed."""
        return [base64.b64decode(hello["ephemeral_public"]) for hello in self.hellos]

    def open_with(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return what opens with any of these keys."""
        opened = []
        for key, unit in itertools.product(set(keys), self.frames):
            try:
                opened.append(frame.decrypt(key, frame.split(unit).ciphertext))
            except frame.FrameError:
                continue
        return opened


def found_secrets(live: Live) -> set[bytes]:
    """Return every 32-byte secret that the files of a node and its passphrase give away."""
    opened = parse(live.node.config.keys_file.read_bytes()).open(PASSPHRASE)
    assert opened.data_key is not None
    secrets = {
        opened.identity.seed.reveal(),
        opened.identity.box_secret(),
        opened.data_key.reveal(),
        sodium.sha256(PASSPHRASE.reveal()),
    }
    for content in files_of(live):
        secrets |= decoded(content)
    return {secret for secret in secrets if len(secret) == sodium.KEY_BYTES}


def files_of(live: Live) -> list[bytes]:
    """Return what stands in each file of a node."""
    return [path.read_bytes() for path in live.node.config.node_dir.rglob("*") if path.is_file()]


def decoded(content: bytes) -> set[bytes]:
    """Return the 32-byte values that a JSON file holds as base64 or hex."""
    found = set()
    for word in content.replace(b'"', b" ").split():
        for read in (base64.b64decode, lambda text: bytes.fromhex(text.decode())):
            try:
                found.add(read(word))
            except ValueError:
                continue
    return found


def session_keys(secrets: set[bytes], publics: list[bytes]) -> set[bytes]:
    """Return each secret as it is, and all that agreeing with each public key makes of it."""
    agreed = set()
    for secret, public in itertools.product(secrets, publics):
        try:
            agreed.add(sodium.box_beforenm(public, secret))
        except sodium.CryptoError:
            continue
    return secrets | agreed


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[Ephemeral]:
    """Every ephemeral key that is made."""
    made: list[Ephemeral] = []
    generate = Ephemeral.generate

    def spy(random: Random) -> Ephemeral:
        made.append(generate(random))
        return made[-1]

    monkeypatch.setattr(Ephemeral, "generate", spy)
    return made


async def test_stored_keys_and_a_recording_do_not_open_a_session(
    nodes: Nodes, spied: list[Ephemeral]
) -> None:
    network = MemoryNetwork()
    transports = [MemoryTransport(network), MemoryTransport(network)]
    alice = await nodes.start("alice", transport=transports[0])
    bob = await nodes.start("bob", transport=transports[1])
    recordings, secrets = [], []
    for number in (1, 2):
        for transport in transports:
            transport.connections.clear()
        spied.clear()
        link = await alice.dial(bob)
        await alice.node.send("bob", SAID)
        await bob.has_received(number)
        secrets.append([each.secret.reveal() for each in spied])
        recordings.append(
            Recording.of(each for transport in transports for each in transport.connections)
        )
        link.close_soon("the round is over")
        await bob.offline(alice.id, count=number)
        if number == 1:
            await alice.node.stop()
            alice = await nodes.start("alice", transport=transports[0])

    first, second = recordings
    known = found_secrets(alice) | found_secrets(bob)
    files = b"".join(files_of(alice) + files_of(bob))
    for recording in recordings:
        assert len(recording.ephemerals()) == 2
        publics = [*recording.ephemerals(), *identity_keys(recording)]
        assert recording.open_with(session_keys(known, publics)) == []

    # New keys in each session: one that leaks opens its own session, and no other.
    assert not set(first.ephemerals()) & set(second.ephemerals())
    for own, other, leaked in ((first, second, secrets[0][0]), (second, first, secrets[1][0])):
        keys = session_keys({leaked}, own.ephemerals())
        assert any(base64.b64encode(SAID) in opened for opened in own.open_with(keys))
        assert other.open_with(session_keys({leaked}, other.ephemerals())) == []
        for spelled in (leaked, leaked.hex().encode(), base64.b64encode(leaked)):
            assert spelled not in files


def identity_keys(recording: Recording) -> list[bytes]:
    """Return both identities in the form that agrees on keys."""
    return [
        sodium.sign_public_to_box(base64.b64decode(hello["identity_public"]))
        for hello in recording.hellos
    ]


async def test_a_handshake_shows_public_keys_and_proofs_only(
    nodes: Nodes, spied: list[Ephemeral]
) -> None:
    transport = MemoryTransport(network := MemoryNetwork())
    alice = await nodes.start("alice", transport=transport)
    bob = await nodes.start("bob", transport=MemoryTransport(network))
    await alice.dial(bob)
    said = "".join(Recording.of(transport.connections).texts)
    assert PASSPHRASE.reveal().decode() not in said
    for ephemeral in spied:
        secret = ephemeral.secret.reveal()
        assert secret.hex() not in said
        assert base64.b64encode(secret).decode() not in said


async def test_after_the_handshake_everything_is_a_frame(nodes: Nodes) -> None:
    network = MemoryNetwork()
    transports = [MemoryTransport(network), MemoryTransport(network)]
    alice = await nodes.start("alice", transport=transports[0], capabilities=("echo",))
    bob = await nodes.start("bob", transport=transports[1])
    await alice.dial(bob)
    await alice.node.send("bob", SAID)
    await bob.has_received(1)
    await alice.node.stop()
    await bob.offline(alice.known_id)
    sent = Recording.of(each for transport in transports for each in transport.connections)
    assert {json.loads(text)["type"] for text in sent.texts} <= HANDSHAKE_TYPES
    assert len(sent.frames) > 4
    assert {unit[:2] for unit in sent.frames} == {frame.FRAME_MAGIC}
    assert not any(word in unit for unit in sent.frames for word in (SAID, b'"type"', b"alice"))
