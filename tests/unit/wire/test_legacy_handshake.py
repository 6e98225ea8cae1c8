"""The handshake messages of the 0.8 wire: strict in, canonical out."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import vectors
from tests.support.legacy import refusal_of

from ironmesh.crypto import sodium
from ironmesh.errors import HandshakeError
from ironmesh.types import Refusal
from ironmesh.wire.legacy import handshake
from ironmesh.wire.legacy.constants import MAX_HANDSHAKE_BYTES, both_since

HELLO = vectors.load("hello")
_TEXT = st.text(max_size=80)

_MESSAGES = st.one_of(
    st.builds(handshake.Challenge, from_id=_TEXT, nonce=_TEXT, protocol_version=_TEXT),
    st.builds(handshake.Verified, from_id=_TEXT, status=_TEXT, server_proof=_TEXT),
    st.builds(handshake.Rejected, error=_TEXT),
    st.builds(handshake.RateLimited, error=_TEXT),
    st.builds(handshake.Failure, error=_TEXT, code=_TEXT),
    st.builds(
        handshake.Hello,
        from_id=_TEXT,
        name=_TEXT,
        ephemeral_public=_TEXT,
        identity_public=_TEXT,
        protocol_version=_TEXT,
        channel_binding=_TEXT,
        signature=_TEXT,
        x25519_public_b64=_TEXT,
    ),
)


@given(_MESSAGES)
def test_what_a_server_says_survives_the_wire_as_text_and_as_bytes(message: Any) -> None:
    unit = handshake.encode(message)
    assert unit.isascii()
    assert handshake.decode_from_server(unit) == message
    assert handshake.decode_from_server(unit.encode()) == message


@given(st.builds(handshake.Proof, from_id=_TEXT, proof=_TEXT))
def test_a_proof_survives_the_wire(message: handshake.Proof) -> None:
    assert handshake.decode_from_client(handshake.encode(message)) == message


@pytest.mark.parametrize("vector", HELLO["vectors"], ids=lambda v: v["signer"])
def test_hello_vectors_decode_to_the_canonical_bytes(vector: dict[str, Any]) -> None:
    hello = handshake.decode_from_client(json.dumps(vector["message"]))
    assert isinstance(hello, handshake.Hello)
    canonical = handshake.canonical_hello(hello, vector["nonce_hex"])
    assert canonical.hex() == vector["canonical_hex"]
    assert canonical.decode() == vector["canonical_utf8"]
    assert json.loads(handshake.encode(hello)) == vector["message"]
    assert handshake.HELLO_CONTEXT.hex() == vector["signature_context_hex"]


@given(name=st.text(max_size=256), version=_TEXT)
def test_canonical_bytes_are_what_the_standard_library_writes(name: str, version: str) -> None:
    hello = handshake.Hello(name=name, protocol_version=version)
    members = {
        "name": name,
        "protocol_version": version,
        "channel_binding": "b",
        "identity_public": "",
        "ephemeral_public": "",
    }
    expected = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    assert handshake.canonical_hello(hello, "b") == expected


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_anything_else_is_refused_by_name(unit: bytes | str) -> None:
    for decode in (handshake.decode_from_server, handshake.decode_from_client):
        assert refusal_of(decode, unit) in (None, Refusal.PROTOCOL)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below),
    max_leaves=9,
)


@given(
    st.dictionaries(
        st.sampled_from(["type", "from", "nonce", "proof", "error", "name", "signature"]), _JSON
    ),
    st.sampled_from(["PASSPHRASE_CHALLENGE", "HELLO", "ERROR", "PASSPHRASE_VERIFIED", None]),
)
def test_members_of_wrong_types_are_refused_by_name(members: dict[str, Any], kind: Any) -> None:
    if kind:
        members["type"] = kind
    unit = json.dumps(members)
    for decode in (handshake.decode_from_server, handshake.decode_from_client):
        assert refusal_of(decode, unit) in (None, Refusal.PROTOCOL)


@pytest.mark.parametrize(
    "unit",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"type":"HELLO"}{}',
        '{"type":1}',
        '{"type":"PASSPHRASE_CHALLENGE"}',
        '{"type":"HELLO","name":null}',
        '{"type":"HELLO","name":"' + "n" * 257 + '"}',
        '{"type":"HELLO","name":"\ud800"}',
        b'{"type":"HELLO","name":"\xff"}',
        b'\xff\xfe{"type":"HELLO"}',
        '{"type":"HELLO","x":' + "[" * 65 + "]" * 65 + "}",
        '{"type":"HELLO","x":' + "[" * 60000,
        '{"type":"HELLO","x":"' + "x" * MAX_HANDSHAKE_BYTES + '"}',
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_malformed_messages_are_refused(unit: str | bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        handshake.decode_from_server(unit)
    assert caught.value.reason is Refusal.PROTOCOL


def test_unknown_members_are_ignored_and_unknown_types_are_named() -> None:
    known = '{"type":"PASSPHRASE_CHALLENGE","nonce":"00","new":{"deep":[[1]]}}'
    assert handshake.decode_from_server(known) == handshake.Challenge(nonce="00")
    unknown = handshake.decode_from_server('{"type":"SKIP_OFFER","from":"x"}')
    assert unknown == handshake.Unexpected("SKIP_OFFER")


@given(st.binary(max_size=100))
def test_base64_is_canonical_or_nothing(data: bytes) -> None:
    text = handshake.to_base64(data)
    assert handshake.from_base64(text) == data
    assert handshake.from_base64(text + "\n") is None
    assert handshake.from_base64(" " + text) is None
    if data:
        assert handshake.from_base64(text.rstrip("=") + "=" * 3) is None


@pytest.mark.parametrize("text", ["YWJ=", "YR==", "YQ", "YQ=", "Y Q==", "YQ==YQ==", "-_8=", "ä"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    assert handshake.from_base64(text) is None


@pytest.mark.parametrize("text", ["", "00", "0" * 63, "0" * 65, "0" * 62 + "AB", "g" * 64])
def test_a_nonce_is_64_lowercase_hex_digits(text: str) -> None:
    assert handshake.nonce_bytes(text) is None
    assert handshake.nonce_bytes("0f" * 32) == b"\x0f" * 32


def test_the_sealing_key_of_0_9_is_bound_by_the_published_signature() -> None:
    data = vectors.load("v095_additions")
    binding = data["x25519_binding"]
    public = bytes.fromhex(binding["x25519_public_hex"])
    signature = bytes.fromhex(binding["signature_hex"])
    signer = bytes.fromhex(data["alice_public_hex"])
    assert bytes.fromhex(binding["context_hex"]) == handshake.BOX_KEY_CONTEXT
    assert sodium.verify(signer, handshake.BOX_KEY_CONTEXT + public, signature)
    hello = handshake.decode_from_client(json.dumps({"type": "HELLO", **binding["hello_fields"]}))
    assert isinstance(hello, handshake.Hello)
    assert isinstance(hello.x25519_public_b64, str)
    assert handshake.from_base64(hello.x25519_public_b64) == public
    assert msgspec.json.decode(handshake.encode(hello))["x25519_public_b64"]


def test_a_version_counts_for_both_or_not_at_all() -> None:
    assert both_since((0, 9), "ironmesh/0.9", "ironmesh/7.3")
    assert not both_since((0, 9), "ironmesh/0.6.5", "ironmesh/0.9")
    assert not both_since((0, 9), "ironmesh/0.9", "0.9")
