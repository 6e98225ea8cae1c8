"""Liars at either end of the 0.8 handshake, and the name under which each is refused."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.support.legacy import NOW, handshake, rewrite, seeded, settings

from ironmesh.crypto.identity import Identity
from ironmesh.errors import HandshakeError, LocalProtocolError
from ironmesh.session.legacy.client import ClientHandshake, ClientState
from ironmesh.session.legacy.server import ServerHandshake, ServerState
from ironmesh.types import Refusal, Unit
from ironmesh.wire.legacy.handshake import (
    BOX_KEY_CONTEXT,
    LOCKED_OUT,
    to_base64,
)

Change = Callable[[dict[str, Any]], Any]


# --- What a server refuses -------------------------------------------------------------------


def _refused_hello(change: Change, **server_changes: Any) -> tuple[HandshakeError, list[Unit]]:
    """Let a server judge alice's HELLO after `change`; return why it refused and its last words."""
    client, server = (
        ClientHandshake(settings("alice")),
        ServerHandshake(settings("bob", **server_changes)),
    )
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
    said = msgspec.json.decode(hello)
    with pytest.raises(HandshakeError) as caught:
        server.receive(rewrite(hello, **change(said)), NOW)
    assert server.claim is None
    assert server.state is ServerState.REFUSED
    return caught.value, server.parting_units


@pytest.mark.parametrize(
    ("change", "reason", "code"),
    [
        ({"identity_public": None}, Refusal.UNSIGNED, "AUTH_FAILED"),
        ({"signature": ""}, Refusal.UNSIGNED, "AUTH_FAILED"),
        ({"signature": "AAAA"}, Refusal.BAD_SIGNATURE, "AUTH_FAILED"),
        ({"name": "bob"}, Refusal.BAD_SIGNATURE, "AUTH_FAILED"),
        ({"protocol_version": "ironmesh/0.7"}, Refusal.BAD_SIGNATURE, "AUTH_FAILED"),
        ({"protocol_version": "ironmesh/0.9"}, Refusal.BAD_SIGNATURE, "AUTH_FAILED"),
        ({"from": ""}, Refusal.PROTOCOL, "INVALID_FRAME"),
        ({"ephemeral_public": ""}, Refusal.PROTOCOL, "INVALID_FRAME"),
        ({"ephemeral_public": "AAAA"}, Refusal.PROTOCOL, None),
        ({"identity_public": to_base64(bytes(31))}, Refusal.PROTOCOL, None),
        ({"name": "n" * 257}, Refusal.PROTOCOL, None),
        ({"type": "PING"}, Refusal.PROTOCOL, None),
    ],
    ids=str,
)
def test_a_server_refuses_a_bad_hello(change: dict[str, Any], reason: Refusal, code: Any) -> None:
    error, parting = _refused_hello(lambda said: change)
    assert error.reason is reason
    assert [msgspec.json.decode(unit).get("code") for unit in parting] == ([code] if code else [])


def test_another_spelling_of_the_identity_key_is_refused() -> None:
    def respell(said: dict[str, Any]) -> dict[str, Any]:
        text = said["identity_public"]
        sibling = chr(ord(text[-2]) + 1)
        return {"identity_public": text[:-2] + sibling + "="}

    error, _ = _refused_hello(respell)
    assert error.reason in (Refusal.PROTOCOL, Refusal.BAD_SIGNATURE)


def test_a_version_below_the_floor_is_refused_without_a_word() -> None:
    error, parting = _refused_hello(lambda said: {}, min_version="ironmesh/0.9")
    assert error.reason is Refusal.VERSION_TOO_OLD
    assert "--min-protocol-version" in error.fix
    assert parting == []


def test_a_server_refuses_its_own_identity() -> None:
    error, parting = _refused_hello(lambda said: {}, identity=settings("alice").identity)
    assert error.reason is Refusal.SELF
    assert parting == []


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
def test_an_ephemeral_key_of_low_order_is_refused(point: bytes) -> None:
    alice, bob = settings("alice"), settings("bob")
    client, server = ClientHandshake(alice), ServerHandshake(bob)
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive(_resigned(hello, alice.identity, ephemeral_public=to_base64(point)), NOW)
    assert caught.value.reason is Refusal.PROTOCOL


def _resigned(unit: Unit, signer: Identity, **members: Any) -> str:
    """Return a HELLO with members replaced and an attached signature over the result."""
    said = msgspec.json.decode(unit) | members
    signed = ("channel_binding", "ephemeral_public", "identity_public", "name", "protocol_version")
    canonical = json.dumps(
        {name: said[name] for name in signed}, sort_keys=True, separators=(",", ":")
    ).encode()
    return json.dumps(said | {"signature": to_base64(signer.sign(canonical) + canonical)})


def test_a_sealing_key_must_be_signed_by_the_identity() -> None:
    alice, mallory = settings("alice").identity, settings("mallory").identity
    key = bytes(range(32))

    def hello_of(signer: Identity, public: bytes) -> Change:
        signature = signer.sign(BOX_KEY_CONTEXT + public)
        return lambda said: {
            "x25519_public_b64": to_base64(public),
            "x25519_binding_signature_b64": to_base64(signature),
        }

    for change in (
        hello_of(mallory, key),
        hello_of(alice, key[:31]),
        lambda said: {"x25519_public_b64": to_base64(key)},
        lambda said: {"x25519_binding_signature_b64": to_base64(bytes(64))},
    ):
        error, _ = _refused_hello(change)
        assert error.reason is Refusal.BAD_SIGNATURE
    with pytest.raises(pytest.fail.Exception):
        _refused_hello(hello_of(alice, key))


@pytest.mark.parametrize(
    ("unit", "got"),
    [
        ('{"type":"PASSPHRASE_RESPONSE","proof":"x"}', "PASSPHRASE_RESPONSE"),
        ('{"type":"HELLO","from":"x"}', "HELLO"),
    ],
    ids=["other type", "hello too early"],
)
def test_another_message_than_the_proof_is_named_but_does_not_count(unit: str, got: str) -> None:
    server = ServerHandshake(settings("bob"))
    server.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive(unit, NOW)
    assert caught.value.reason is Refusal.PROTOCOL
    (parting,) = server.parting_units
    assert msgspec.json.decode(parting)["error"] == f"Expected PASSPHRASE_CHALLENGE, got {got}"


def test_a_missing_proof_counts_like_a_wrong_one() -> None:
    server = ServerHandshake(settings("bob"))
    server.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive('{"type":"PASSPHRASE_CHALLENGE"}', NOW)
    assert caught.value.reason is Refusal.AUTH_FAILED


def test_a_server_shows_its_hello_only_to_whom_it_accepts() -> None:
    _, server = handshake(settings("alice"), settings("bob"))
    assert server.refuse(Refusal.BLOCKED, NOW) == []
    assert server.claim is None
    with pytest.raises(LocalProtocolError):
        server.accept(NOW)


@pytest.mark.parametrize(
    ("reason", "unit"),
    [
        (Refusal.LOCKED_OUT, {"type": "PASSPHRASE_REJECTED", "error": LOCKED_OUT}),
        (Refusal.BUSY, {"type": "RATE_LIMITED", "error": "Too many connections"}),
        (Refusal.LIMIT, {"type": "RATE_LIMITED", "error": "Too many connections"}),
    ],
)
def test_a_server_says_why_it_does_not_even_begin(reason: Refusal, unit: Any) -> None:
    (words,) = ServerHandshake(settings("bob")).refuse(reason, NOW)
    assert msgspec.json.decode(words) == unit
    client = ClientHandshake(settings("alice"))
    client.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        client.receive(words, NOW)
    assert caught.value.reason is (Refusal.BUSY if reason is Refusal.LIMIT else reason)
    assert ServerHandshake(settings("bob")).refuse(Refusal.SHUTTING_DOWN, NOW) == []


# --- What a client refuses -------------------------------------------------------------------


def _client_at(state: ClientState) -> tuple[ClientHandshake, Unit]:
    """Return a client and the honest server's next word to it."""
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    client.start(NOW)
    (unit,) = server.start(NOW)
    if state is ClientState.CONNECTED:
        return client, unit
    (proof,) = client.receive(unit, NOW)
    (unit,) = server.receive(proof, NOW)
    if state is ClientState.PROOF_SENT:
        return client, unit
    (hello,) = client.receive(unit, NOW)
    server.receive(hello, NOW)
    return client, server.accept(NOW).units[0]


@pytest.mark.parametrize(
    ("state", "change", "reason"),
    [
        (ClientState.CONNECTED, {"nonce": "00"}, Refusal.PROTOCOL),
        (ClientState.CONNECTED, {"nonce": "ab" * 32}, Refusal.PROTOCOL),
        (ClientState.CONNECTED, {"nonce": "AB" + "cd" * 31}, Refusal.PROTOCOL),
        (ClientState.CONNECTED, {"type": "SKIP_OFFER"}, Refusal.PROTOCOL),
        (ClientState.PROOF_SENT, {"server_proof": None}, Refusal.AUTH_FAILED),
        (ClientState.PROOF_SENT, {"server_proof": ""}, Refusal.AUTH_FAILED),
        (ClientState.PROOF_SENT, {"server_proof": "0" * 64}, Refusal.AUTH_FAILED),
        (ClientState.PROOF_SENT, {"server_proof": "ü"}, Refusal.AUTH_FAILED),
        (ClientState.PROOF_SENT, {"type": "HELLO"}, Refusal.PROTOCOL),
        (ClientState.HELLO_SENT, {"channel_binding": "0" * 64}, Refusal.REPLAY),
        (ClientState.HELLO_SENT, {"channel_binding": None}, Refusal.REPLAY),
        (ClientState.HELLO_SENT, {"identity_public": None}, Refusal.UNSIGNED),
        (ClientState.HELLO_SENT, {"signature": None}, Refusal.UNSIGNED),
        (ClientState.HELLO_SENT, {"name": "eve"}, Refusal.BAD_SIGNATURE),
        (ClientState.HELLO_SENT, {"ephemeral_public": None}, Refusal.PROTOCOL),
        (ClientState.HELLO_SENT, {"type": "PASSPHRASE_VERIFIED"}, Refusal.PROTOCOL),
    ],
    ids=str,
)
def test_a_client_refuses_a_bad_server(
    state: ClientState, change: dict[str, Any], reason: Refusal
) -> None:
    client, unit = _client_at(state)
    with pytest.raises(HandshakeError) as caught:
        client.receive(rewrite(unit, **change), NOW)
    assert caught.value.reason is reason
    assert client.claim is None
    assert client.state is ClientState.REFUSED
    assert client.parting_units == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"type": "RATE_LIMITED", "error": "Too many connections from your IP"}, Refusal.BUSY),
        ({"type": "PASSPHRASE_REJECTED", "error": LOCKED_OUT}, Refusal.LOCKED_OUT),
        ({"type": "PASSPHRASE_REJECTED", "error": "Wrong passphrase"}, Refusal.AUTH_FAILED),
        ({"type": "ERROR", "error": "no", "code": "AUTH_FAILED"}, Refusal.AUTH_FAILED),
        ({"type": "ERROR", "error": "\x1b[2J\n" * 99, "code": "X"}, Refusal.PROTOCOL),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "state", [ClientState.CONNECTED, ClientState.PROOF_SENT, ClientState.HELLO_SENT]
)
def test_a_client_understands_how_it_is_refused(
    state: ClientState, words: dict[str, Any], reason: Refusal
) -> None:
    client, _ = _client_at(state)
    with pytest.raises(HandshakeError) as caught:
        client.receive(json.dumps(words), NOW)
    assert caught.value.reason is reason
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700


def test_our_own_proof_sent_back_is_named() -> None:
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    mirrored = {"type": "PASSPHRASE_VERIFIED", "server_proof": msgspec.json.decode(proof)["proof"]}
    with pytest.raises(HandshakeError) as caught:
        client.receive(json.dumps(mirrored), NOW)
    assert caught.value.reason is Refusal.REFLECTED


def test_our_own_hello_sent_back_is_named() -> None:
    client, server = ClientHandshake(settings("alice")), ServerHandshake(settings("bob"))
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
    with pytest.raises(HandshakeError) as caught:
        client.receive(hello, NOW)
    assert caught.value.reason is Refusal.REFLECTED


def test_a_dialler_of_itself_is_told_so() -> None:
    alice = settings("alice")
    client, server = ClientHandshake(alice), ServerHandshake(alice)
    client.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        client.receive(server.start(NOW)[0], NOW)
    assert caught.value.reason is Refusal.SELF


def test_another_process_with_our_identity_is_refused() -> None:
    client, server = handshake(settings("alice"), settings("bob"))
    twin = settings("alice", random=seeded("twin"))
    client, server = ClientHandshake(settings("alice")), ServerHandshake(twin)
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive(hello, NOW)
    assert caught.value.reason is Refusal.SELF


def test_a_rogue_server_cannot_fetch_its_proof_with_a_second_dial() -> None:
    alice, bob = settings("alice"), settings("bob")
    first, second = ClientHandshake(alice), ClientHandshake(alice)
    first.start(NOW)
    second.start(NOW)
    (challenge,) = ServerHandshake(bob).start(NOW)
    first.receive(challenge, NOW)
    nonce = bytes.fromhex(msgspec.json.decode(challenge)["nonce"])
    with pytest.raises(HandshakeError) as caught:
        second.receive(rewrite(challenge, nonce=nonce[::-1].hex()), NOW)
    assert caught.value.reason is Refusal.REFLECTED


def test_a_rogue_dialler_cannot_have_our_client_answer_our_challenge() -> None:
    alice = settings("alice")
    (challenge,) = ServerHandshake(alice).start(NOW)
    client = ClientHandshake(alice)
    client.start(NOW)
    with pytest.raises(HandshakeError) as caught:
        client.receive(challenge, NOW)
    assert caught.value.reason is Refusal.SELF


def test_only_the_expected_node_may_answer() -> None:
    alice, bob = settings("alice"), settings("bob")
    for expected, reason in (
        (bob.identity.node_id, None),
        (settings("carol").identity.node_id, Refusal.UNEXPECTED_IDENTITY),
    ):
        server = ServerHandshake(settings("bob", random=seeded(expected)))
        client = ClientHandshake(alice, expected)
        client.start(NOW)
        (proof,) = client.receive(server.start(NOW)[0], NOW)
        (hello,) = client.receive(server.receive(proof, NOW)[0], NOW)
        server.receive(hello, NOW)
        (answer,) = server.accept(NOW).units
        if reason is None:
            client.receive(answer, NOW)
            assert client.claim is not None
            continue
        with pytest.raises(HandshakeError) as caught:
            client.receive(answer, NOW)
        assert caught.value.reason is reason


def test_a_hello_of_another_connection_is_refused_by_both_sides() -> None:
    alice, bob = settings("alice"), settings("bob")
    old_client, old_server = ClientHandshake(alice), ServerHandshake(bob)
    old_client.start(NOW)
    (proof,) = old_client.receive(old_server.start(NOW)[0], NOW)
    (old_hello,) = old_client.receive(old_server.receive(proof, NOW)[0], NOW)
    old_server.receive(old_hello, NOW)
    (old_answer,) = old_server.accept(NOW).units

    client, server = ClientHandshake(alice), ServerHandshake(bob)
    client.start(NOW)
    (proof,) = client.receive(server.start(NOW)[0], NOW)
    client.receive(server.receive(proof, NOW)[0], NOW)
    with pytest.raises(HandshakeError) as caught:
        server.receive(old_hello, NOW)
    assert caught.value.reason is Refusal.BAD_SIGNATURE
    with pytest.raises(HandshakeError) as caught:
        client.receive(old_answer, NOW)
    assert caught.value.reason is Refusal.REPLAY
