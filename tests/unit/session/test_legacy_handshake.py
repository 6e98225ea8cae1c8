"""Both machines of the 0.8 handshake against each other, the vectors, and liars."""

import itertools
import json
from typing import Any

import msgspec
import pytest
from tests.support import vectors
from tests.support.legacy import (
    NOW,
    connected,
    handshake,
    later,
    seeded,
    settings,
)

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.legacy.client import ClientHandshake, ClientState
from ironmesh.session.legacy.server import ServerHandshake, ServerState
from ironmesh.session.legacy.settings import MESSAGE_TIMEOUT_S
from ironmesh.types import Random, Refusal, Secret, WireKind
from ironmesh.wire.legacy import frame

HELLO = vectors.load("hello")
PROOFS = vectors.load("passphrase_proof")
AGREEMENT = vectors.load("session_key")["vectors"][0]
PEOPLE = {row["name"]: row for row in vectors.load("identity")["vectors"]}
VERSIONS = ("ironmesh/0.6.5", "ironmesh/0.9", "ironmesh/0.6")


def scripted(*values: str) -> Random:
    """Return a source of randomness that begins with these values (hex)."""
    rest = seeded("rest")
    ready = iter([bytes.fromhex(value) for value in values])
    return lambda size: next(ready, None) or rest(size)


def person(name: str) -> Identity:
    return Identity.from_seed(bytes.fromhex(PEOPLE[name]["seed_hex"]))


# --- It works --------------------------------------------------------------------------------


@pytest.mark.parametrize(("own", "peer"), list(itertools.product(VERSIONS, repeat=2)))
def test_two_nodes_meet_whatever_versions_they_state(own: str, peer: str) -> None:
    alice = settings("alice", protocol_version=own)
    bob = settings("bob", protocol_version=peer)
    client, server = handshake(alice, bob)
    accepted = server.accept(NOW)
    assert client.claim is None
    (hello,) = accepted.units
    assert client.receive(hello, NOW) == []
    assert server.claim is not None
    assert client.claim is not None
    assert server.claim.node_id == alice.identity.node_id
    assert server.claim.identity_public == alice.identity.public
    assert server.claim.protocol_version == own
    assert not server.claim.is_ours
    assert client.claim.node_id == bob.identity.node_id
    assert client.claim.name == "bob"
    link = client.accept(NOW).channel.link
    assert (link.peer, link.wire, link.is_ours) == (
        bob.identity.node_id,
        WireKind.LEGACY,
        False,
    )
    assert (link.frames_per_second, link.frame_burst) == (18, 60)


def test_names_of_any_script_arrive_as_they_are() -> None:
    client, server = handshake(settings("naïve-ünïcode 😀"), settings("bob"))
    assert server.claim is not None
    assert server.claim.name == "naïve-ünïcode 😀"
    assert client.state is ClientState.HELLO_SENT


def test_the_first_frame_of_a_dialler_is_a_ping_and_its_answer_proves_the_session() -> None:
    dialled, accepted = connected(settings("alice"), settings("bob"))
    assert dialled.wants_write
    assert not accepted.wants_write
    (ping,) = dialled.seal([], NOW)
    assert accepted.open(ping, NOW).events == []
    (pong,) = accepted.seal([], NOW)
    (event,) = dialled.open(pong, later(0.25)).events
    assert event.rtt_s == pytest.approx(0.25)


# --- The vectors, through the machines -------------------------------------------------------


@pytest.mark.parametrize("vector", PROOFS["vectors"], ids=lambda vector: vector["nonce_hex"][:8])
def test_proofs_are_those_of_the_vectors(vector: dict[str, Any]) -> None:
    passphrase = Secret(vector["passphrase"])
    alice = settings("alice", passphrase=passphrase)
    bob = settings("bob", passphrase=passphrase, random=scripted(vector["nonce_hex"]))
    client, server = ClientHandshake(alice), ServerHandshake(bob)
    client.start(NOW)
    (challenge,) = server.start(NOW)
    if "note" in vector:
        with pytest.raises(HandshakeError, match="reverse") as caught:
            client.receive(challenge, NOW)
        assert caught.value.reason is Refusal.PROTOCOL
        return
    (proof,) = client.receive(challenge, NOW)
    assert msgspec.json.decode(proof)["proof"] == vector["client_proof"]
    (verified,) = server.receive(proof, NOW)
    assert msgspec.json.decode(verified)["server_proof"] == vector["server_proof"]


@pytest.mark.parametrize("row", PROOFS["negative"], ids=["other passphrase", "upper case"])
def test_wrong_proofs_of_the_vectors_are_rejected(row: dict[str, Any]) -> None:
    bob = settings("bob", passphrase=Secret(row["passphrase"]), random=scripted(row["nonce_hex"]))
    server = ServerHandshake(bob)
    server.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive(json.dumps({"type": "PASSPHRASE_CHALLENGE", "proof": row["proof"]}), NOW)
    assert caught.value.reason is Refusal.AUTH_FAILED
    (parting,) = server.parting_units
    assert msgspec.json.decode(parting) == {
        "type": "PASSPHRASE_REJECTED",
        "from": bob.identity.node_id,
        "error": "Wrong passphrase",
    }


def _server_awaiting_hello(nonce_hex: str, **changes: Any) -> ServerHandshake:
    """Return a server that issued this nonce and has verified a proof for it."""
    values: dict[str, Any] = {"identity": person("bob"), "random": scripted(nonce_hex)}
    bob = settings("bob", **(values | changes))
    server = ServerHandshake(bob)
    server.start(NOW)
    proof = sodium.hmac_sha256(bob.passphrase.reveal(), bytes.fromhex(nonce_hex)).hex()
    server.receive(json.dumps({"type": "PASSPHRASE_CHALLENGE", "proof": proof}), NOW)
    assert server.state is ServerState.PROOF_VERIFIED
    return server


@pytest.mark.parametrize(
    "vector", HELLO["vectors"], ids=lambda v: v["signer"] + v["message"]["protocol_version"][9:]
)
def test_hello_vectors_are_verified_and_answered(vector: dict[str, Any]) -> None:
    version = vector["message"]["protocol_version"]
    own = person("carol" if vector["signer"] == "bob" else "bob")
    server = _server_awaiting_hello(vector["nonce_hex"], identity=own, protocol_version=version)
    assert server.receive(json.dumps(vector["message"]), NOW) == []
    assert server.claim is not None
    assert server.claim.node_id == PEOPLE[vector["signer"]]["node_id"]
    assert server.claim.name == vector["message"]["name"]


@pytest.mark.parametrize(
    "vector", HELLO["vectors"], ids=lambda v: v["signer"] + v["message"]["protocol_version"][9:]
)
def test_our_hello_is_that_of_the_vectors_to_the_byte(vector: dict[str, Any]) -> None:
    message = vector["message"]
    ephemeral = "private_b_hex" if vector["signer"] == "bob" else "private_a_hex"
    signer = settings(
        message["name"],
        identity=person(vector["signer"]),
        protocol_version=message["protocol_version"],
        random=scripted(AGREEMENT[ephemeral]),
    )
    issuer = settings(
        "issuer",
        random=scripted(vector["nonce_hex"]),
        protocol_version=message["protocol_version"],
    )
    client, server = ClientHandshake(signer), ServerHandshake(issuer)
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
    assert msgspec.json.decode(hello) == message


@pytest.mark.parametrize("row", HELLO["negative"], ids=lambda row: row["note"][:40])
def test_hello_refusals_of_the_vectors(row: dict[str, Any]) -> None:
    server = _server_awaiting_hello(row["server_nonce_hex"])
    if row["expect"] == "accept":
        server.receive(json.dumps(row["message"]), NOW)
        assert server.claim is not None
        return
    with pytest.raises(HandshakeError) as caught:
        server.receive(json.dumps(row["message"]), NOW)
    assert caught.value.reason is not Refusal.AUTH_FAILED
    (parting,) = server.parting_units
    said = msgspec.json.decode(parting)
    assert f"{said['type']}/{said['code']}" == row["expect"]
    assert server.claim is None


def test_the_session_key_is_that_of_the_vector() -> None:
    nonce = HELLO["vectors"][0]["nonce_hex"]
    alice = settings("alice", identity=person("alice"), random=scripted(AGREEMENT["private_a_hex"]))
    bob = settings(
        "bob", identity=person("bob"), random=scripted(nonce, AGREEMENT["private_b_hex"])
    )
    dialled, _ = connected(alice, bob)
    (ping,) = dialled.seal([], NOW)
    assert isinstance(ping, bytes)
    key = bytes.fromhex(AGREEMENT["session_key_hex"])
    assert b'"PING"' in frame.decrypt(key, frame.split(ping).ciphertext)


# --- Time and misuse -------------------------------------------------------------------------


def test_every_wait_has_a_deadline() -> None:
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    client.start(NOW)
    (challenge,) = server.start(NOW)
    assert client.deadline == server.deadline == NOW.mono + MESSAGE_TIMEOUT_S
    (proof,) = client.receive(challenge, later(29))
    assert client.deadline == NOW.mono + 29 + MESSAGE_TIMEOUT_S
    with pytest.raises(HandshakeError) as caught:
        server.receive(proof, later(30.1))
    assert caught.value.reason is Refusal.TIMEOUT
    with pytest.raises(HandshakeError) as caught:
        client.receive(challenge, later(59.1))
    assert caught.value.reason is Refusal.TIMEOUT


def test_misuse_is_ours_and_not_the_peers_fault() -> None:
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    with pytest.raises(LocalProtocolError):
        client.receive("{}", NOW)
    with pytest.raises(LocalProtocolError):
        server.receive("{}", NOW)
    client.start(NOW)
    server.start(NOW)
    for call in (client.start, server.start, client.accept, server.accept):
        with pytest.raises(LocalProtocolError):
            call(NOW)
    assert client.refuse(Refusal.BLOCKED, NOW) == []
    with pytest.raises(LocalProtocolError):
        client.receive("{}", NOW)


def test_nothing_of_a_handshake_shows_a_secret() -> None:
    alice = settings("alice")
    client, server = handshake(alice, settings("bob"))
    shown = repr(alice) + repr(vars(client)) + repr(vars(server))
    assert PASSPHRASE_TEXT not in shown
    assert alice.identity.seed.reveal().hex() not in shown


PASSPHRASE_TEXT = "correct horse battery staple"
