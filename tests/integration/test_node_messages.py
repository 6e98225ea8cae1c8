"""Messages between two nodes on real sockets, over every kind of listener."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tests.support.certificates import make_certificate
from tests.support.nodes import LEGACY, Live, Nodes
from tests.support.proxy import fault_proxy

from ironmesh.errors import ConnectError, DeliveryError, MessageTooLargeError, UnknownPeerError
from ironmesh.node.events import PeerOffline, PeerOnline
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.transport.tls import fingerprint


async def _both_ways(alice: Live, bob: Live) -> None:
    await alice.node.send("bob", b"hello")
    assert await bob.has_received(1) == ["hello"]
    await bob.node.send("alice", b"hi back")
    assert await alice.has_received(1) == ["hi back"]


async def test_messages_go_both_ways_over_tls(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    await _both_ways(alice, bob)
    assert alice.link(bob).connection_info.is_encrypted
    assert bob.link(alice).connection_info.is_encrypted


async def test_messages_go_both_ways_without_tls_where_both_allow_it(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(allow_plaintext=True)
    await _both_ways(alice, bob)
    assert not alice.link(bob).connection_info.is_encrypted


async def test_messages_go_both_ways_over_ipv6(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(bind="::1")
    await _both_ways(alice, bob)
    assert alice.link(bob).connection_info.remote_host == "::1"


async def test_a_plain_listener_is_refused_without_the_flag(nodes: Nodes) -> None:
    alice = await nodes.start("alice")
    bob = await nodes.start("bob", allow_plaintext=True)
    with pytest.raises(ConnectError, match=r"does not speak TLS.*allow plaintext on both sides"):
        await alice.node.connect(*bob.endpoint)


async def test_with_the_flag_a_dialler_falls_back_to_plain_and_remembers(
    nodes: Nodes, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path).paths()
    # Alice's own listener speaks TLS; the flag lets her dial without it.
    alice = await nodes.start("alice", allow_plaintext=True, **certificate)
    bob = await nodes.start("bob", allow_plaintext=True)
    async with fault_proxy(*bob.endpoint) as proxy:
        await alice.node.connect("127.0.0.1", proxy.port)
        assert proxy.accepted == 2, "TLS first, then plain"
        proxy.drop()
        await alice.seen.wait(PeerOffline)
        await alice.seen.wait(PeerOnline, count=2)
        assert proxy.accepted == 3, "what worked last is tried first"


async def test_what_worked_is_tried_first_at_an_address_that_is_new(nodes: Nodes) -> None:
    alice = await nodes.start("alice", allow_plaintext=True)
    for name, accepted in (("bob", 2), ("carol", 1)):
        peer = await nodes.start(name, allow_plaintext=True)
        async with fault_proxy(*peer.endpoint) as proxy:
            await alice.node.connect("127.0.0.1", proxy.port)
            assert proxy.accepted == accepted
    dave = await nodes.start("dave")
    await alice.dial(dave)
    assert alice.link(dave).connection_info.is_encrypted, "TLS where there is nothing else"


async def test_where_the_08_wire_is_spoken_tls_is_tried_first_everywhere(nodes: Nodes) -> None:
    """A listener of that wire may speak both."""
    alice = await nodes.start("alice", allow_plaintext=True, **LEGACY)
    for name in ("bob", "carol"):
        peer = await nodes.start(name, allow_plaintext=True)
        async with fault_proxy(*peer.endpoint) as proxy:
            await alice.node.connect("127.0.0.1", proxy.port)
            assert proxy.accepted == 2, "TLS first, then plain"


async def test_with_the_flag_tls_is_used_where_the_peer_offers_it(nodes: Nodes) -> None:
    alice = await nodes.start("alice", allow_plaintext=True)
    bob = await nodes.start("bob")
    await alice.dial(bob)
    assert alice.link(bob).connection_info.is_encrypted


async def test_a_listener_shows_the_certificate_of_its_operator(
    nodes: Nodes, tmp_path: Path
) -> None:
    files = make_certificate(tmp_path)
    bob = await nodes.start("bob", **files.paths())
    alice = await nodes.start("alice")
    await alice.dial(bob)
    shown = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
    assert alice.link(bob).connection_info.tls_fingerprint == fingerprint(shown)


async def test_nobody_pins_the_certificate_of_a_native_peer(nodes: Nodes, tmp_path: Path) -> None:
    """Identity and passphrase are proved inside; a certificate would only tell who it is."""
    alice, bob = await nodes.pair()
    before = alice.link(bob).connection_info.tls_fingerprint
    again = await nodes.again(bob, **make_certificate(tmp_path).paths())
    await alice.seen.wait(PeerOnline, count=2)
    assert alice.link(again).connection_info.tls_fingerprint != before
    assert alice.node.trust.get("bob").tls_fingerprint is None


@pytest.mark.parametrize("size", [0, 1, 65_536, 1_000_000])
async def test_payloads_of_every_size_arrive_whole(nodes: Nodes, size: int) -> None:
    alice, bob = await nodes.pair()
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    await alice.node.send("bob", payload)
    await bob.has_received(1)
    assert bob.received[0].message.payload == payload


async def test_too_large_a_payload_is_an_error_and_nothing_is_queued(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    payload = bytes(MAX_PAYLOAD_BYTES + 1)
    with pytest.raises(MessageTooLargeError, match="parts"):
        await alice.node.send("bob", payload)
    assert alice.link(bob).queued == 0
    await bob.node.stop()
    await alice.offline(bob.known_id)
    with pytest.raises(MessageTooLargeError):
        await alice.node.send("bob", payload)
    assert alice.waiting(bob) == 0


async def test_an_unknown_name_lists_who_is_online(nodes: Nodes) -> None:
    alice, _ = await nodes.pair()
    with pytest.raises(UnknownPeerError, match=r"'carol'.*online now: bob"):
        await alice.node.send("carol", b"x")
    alone = await nodes.start("dave")
    with pytest.raises(UnknownPeerError, match="nobody is online now"):
        await alone.node.send("carol", b"x")


@pytest.mark.parametrize("kind", ["PING", "GOODBYE", "ROUTE_ANNOUNCE", "", "x" * 65, "\ud800"])
async def test_a_type_that_applications_cannot_send_is_an_error(nodes: Nodes, kind: str) -> None:
    alice, bob = await nodes.pair()
    with pytest.raises(DeliveryError):
        await alice.node.send("bob", b"x", kind)
    await alice.node.send("bob", b"after")
    assert await bob.has_received(1) == ["after"], "the link is none the worse for it"
