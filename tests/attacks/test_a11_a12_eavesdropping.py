"""A11, A12: what a listener learns while it passes, and what it opens later."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from tests.support.attacker import (
    CLOCK,
    NEGOTIATED,
    PLAIN,
    WRONG,
    dialling,
    in_the_middle,
    party,
)
from tests.support.nodes import PASSPHRASE, Live, Nodes, eventually

from ironmesh.crypto import hybrid, sodium
from ironmesh.crypto.keyfile import parse
from ironmesh.crypto.sodium import CryptoError
from ironmesh.discovery import mdns
from ironmesh.discovery.record import build_native_txt, random_label
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.ratchet import Chain
from ironmesh.session.native.sealing import RecordReader
from ironmesh.types import Secret
from ironmesh.wire.native.records import HEADER_BYTES, Header, decode_header

SAID = b"the launch code is 0000"


async def test_a11_a_listener_sees_no_name_no_id_no_key_and_no_word(nodes: Nodes) -> None:
    alice = await nodes.start("alice-of-the-lab", capabilities=("echo",), **PLAIN)
    bob = await nodes.start("bob-of-the-lab", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await alice.node.send("bob-of-the-lab", SAID)
        await bob.has_received(1)
        await middle.cut()
        await bob.seen.wait(type(bob.flaps()[0]), count=2)
    heard = b"".join(middle.said("up") + middle.said("down"))
    assert all(isinstance(unit, bytes) for _, unit in middle.heard)
    for live in (alice, bob):
        public = live.node._running().keys.keys.identity.public
        for shown in (
            live.name.encode(),
            live.id.encode(),
            bytes.fromhex(live.id),
            public,
            sodium.sign_public_to_box(public),
            b"-of-the-lab",
        ):
            assert shown not in heard
    assert SAID not in heard
    assert b"MSG" not in heard


async def test_a11_a_stranger_who_dials_learns_nothing_that_stays_the_same(nodes: Nodes) -> None:
    bob = await nodes.start("bob-of-the-lab", **PLAIN)
    answers = []
    for _ in range(2):
        machine = InitiatorHandshake(party(passphrase=WRONG), NEGOTIATED)
        async with dialling(bob) as peer:
            await peer.say(*machine.start(CLOCK.now()))
            answers.append(await peer.hear())
    first, second = ({m2[at : at + 16] for at in range(len(m2) - 16)} for m2 in answers)
    assert not first & second, "two answers have nothing in common"


def test_a11_what_is_announced_is_random_and_the_public_name_of_the_mesh() -> None:
    labels = {random_label(os.urandom) for _ in range(3)}
    assert len(labels) == 3
    assert build_native_txt("home") == {"mesh": "home"}
    assert "name" not in mdns.NativeIdentity.__annotations__


# --- A12 -----------------------------------------------------------------------------------------


def secrets_of(live: Live) -> set[bytes]:
    """Return every 32-byte secret that files and passphrase of a node give away."""
    opened = parse(live.node.config.keys_file.read_bytes()).open(PASSPHRASE)
    assert opened.data_key is not None
    found = {
        opened.identity.seed.reveal(),
        opened.identity.box_secret(),
        opened.data_key.reveal(),
        sodium.sha256(PASSPHRASE.reveal()),
        *(secret.reveal() for secret in live.node._traffic().wires._native._settings.prs.values()),
    }
    return {secret for secret in found if len(secret) == sodium.KEY_BYTES}


def opened_with(keys: set[bytes], records: list[bytes]) -> list[bytes]:
    """Return what of these records opens with any key, taken as it is or as a chain key."""
    found = []
    for key, record in itertools.product(keys, records):
        header = record[:HEADER_BYTES]
        nonce = bytes(8) + header[2:]
        for tried in (key, Chain(Secret(key)).take()):
            try:
                found.append(hybrid.open_sealed(tried, nonce, record[HEADER_BYTES:], header))
            except CryptoError:
                continue
    return found


async def test_a12_stored_keys_and_the_passphrase_do_not_open_a_recording(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains: list[Secret] = []
    made = RecordReader.__init__

    def spy(self: RecordReader, *args: object) -> None:
        chains.append(args[3])  # type: ignore[arg-type]
        made(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordReader, "__init__", spy)
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        await alice.node.connect(*middle.endpoint)
        await alice.node.send("bob", SAID)
        await bob.has_received(1)
        records = middle.said("up")[2:] + middle.said("down")[1:]
    known = secrets_of(alice) | secrets_of(bob)
    agreed = set()
    publics = {unit[at : at + 32] for _, unit in middle.heard[:3] for at in (0, 3, 32, 35, 64, 67)}
    for secret, public in itertools.product(known, publics):
        try:
            agreed.add(sodium.box_beforenm(bytes(public), secret))  # type: ignore[arg-type]
        except CryptoError:
            continue
    assert opened_with(known | agreed, records) == []
    # So that this means something: with one key more, that no file holds, a record opens.
    assert opened_with({chain.reveal() for chain in chains}, records)
    files = b"".join(path.read_bytes() for path in files_of(alice, bob))
    assert not any(chain.reveal() in files for chain in chains)


def files_of(*lives: Live) -> list[Path]:
    return [
        path for live in lives for path in live.node.config.node_dir.rglob("*") if path.is_file()
    ]


async def test_a12_a_session_key_of_today_opens_no_earlier_record_and_none_after_a_change(
    nodes: Nodes,
) -> None:
    alice, bob = await nodes.start("alice", **PLAIN), await nodes.start("bob", **PLAIN)
    async with in_the_middle(bob) as middle:
        link = await alice.node.connect(*middle.endpoint)
        for number in range(3):
            await alice.node.send("bob", SAID)
            await bob.has_received(number + 1)
        earlier = middle.said("up")[2:]
        stolen = bob.link(alice)._channel._reader._chain._key  # type: ignore[union-attr]
        await alice.node.send("bob", b"in the same phase")
        await bob.has_received(4)
        same_phase = middle.said("up")[2 + len(earlier) :]
        assert opened_with({stolen}, earlier) == []
        assert opened_with({stolen}, same_phase), "the thief has the keys of this phase"
        assert link.rekey()
        other = bob.link(alice)
        assert other is not None
        await eventually(lambda: link.rekey_count == other.rekey_count == 1)
        before = len(middle.said("up"))
        await alice.node.send("bob", b"after the change")
        await bob.has_received(5)
        afterwards = middle.said("up")[before:]
    afterwards = [record for record in afterwards if phase_of(record) == 1]
    assert afterwards
    chain = Chain(Secret(stolen))
    keys = {stolen, *(chain.take() for _ in range(50))}
    assert opened_with(keys, afterwards) == []


def phase_of(record: bytes) -> int:
    header: Header = decode_header(record, len(record))
    return header.phase
