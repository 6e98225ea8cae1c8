"""Pin files of the published package, by their vectors."""

from __future__ import annotations

import json

import pytest
from tests.support.trust import VECTORS

from ironmesh.errors import TrustFileError
from ironmesh.trust.pins import TrustState
from ironmesh.trust.published import read_published
from ironmesh.types import Secret

V1 = json.loads((VECTORS / "trust_store.json").read_text())
V2 = json.loads((VECTORS / "v095_additions.json").read_text())["trust_store_v2"]
SEED = Secret(bytes.fromhex(V1["identity_seed_hex"]))
PEER = "72a54b11ac53dacb99effe505edc5bba"
REVOKED = "8afdcd7a64538d9a28cc142d9a1fd384"


def as_file(content: object) -> bytes:
    return json.dumps(content, indent=2).encode()


def without_mac(**changes: object) -> bytes:
    content = {k: v for k, v in V1["file"].items() if k != "_mac"}
    return as_file({**content, **changes})


def test_version_1_is_read_with_its_checksum() -> None:
    published = read_published(as_file(V1["file"]), SEED)
    pin = published.book.pins[PEER]
    assert (pin.state, pin.name, pin.first_seen) == (TrustState.TRUSTED, "", 1767225600.25)
    assert pin.public_text == V1["file"]["peers"][PEER]["pubkey"]
    assert pin.capability_set == ("tool:x",)
    assert pin.capability_hash == V1["file"]["peers"][PEER]["capability_hash"]
    assert published.book.revoked[REVOKED].reason == "demo"
    assert len(published.notices) == 1


def test_version_2_is_decrypted() -> None:
    published = read_published(as_file(V2["file"]), SEED)
    assert published.book.pins[PEER].last_seen == 1795376322.1323586


@pytest.mark.parametrize("content", [V1["file"], V2["file"]], ids=["v1", "v2"])
@pytest.mark.parametrize("seed", [Secret(bytes(32)), None], ids=["other seed", "no seed"])
def test_a_file_of_another_identity_is_refused(content, seed) -> None:
    with pytest.raises(TrustFileError, match="identity"):
        read_published(as_file(content), seed)


def test_an_edited_file_is_refused() -> None:
    edited = as_file(V1["file"]).replace(b'"demo"', b'"Demo"')
    with pytest.raises(TrustFileError, match="edited"):
        read_published(edited, SEED)


def test_a_file_without_a_checksum_is_read_with_a_notice_and_its_peers_are_pending() -> None:
    published = read_published(without_mac(), None)
    assert published.book.pins[PEER].state is TrustState.PENDING
    assert any("no checksum" in notice for notice in published.notices)


def test_a_block_without_a_checksum_stays_a_block() -> None:
    peer = {**V1["file"]["peers"][PEER], "trust_state": "blocked"}
    published = read_published(without_mac(peers={PEER: peer}), None)
    assert published.book.pins[PEER].state is TrustState.BLOCKED


def test_an_entry_whose_key_is_not_its_own_is_left_out_with_a_notice() -> None:
    peer = V1["file"]["peers"][PEER]
    peers = {"ab" * 16: peer, PEER: {**peer, "pubkey": ""}}
    published = read_published(without_mac(peers=peers), None)
    assert not published.book.pins
    assert any("left out 2" in notice for notice in published.notices)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"peers": []}',
        b'{"peers": {"x": 1}}',
        b'{"peers": {}, "revoked": {"x": {"revoker": "y", "timestamp": 1}}}',
        b'{"peers": {"x": {"pubkey": "", "trust_state": "boss"}}}',
        b'{"ciphertext": "x", "version": 2}',
        b"\xff",
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(TrustFileError):
        read_published(data, SEED)
