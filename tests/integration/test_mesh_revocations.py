"""The end of an identity, told from node to node."""

from __future__ import annotations

import pytest
from tests.support.attacker import PLAIN
from tests.support.liar import know_each_other, liar_between
from tests.support.nodes import Live, Nodes, eventually

from ironmesh.control.offline import OfflineTrust
from ironmesh.errors import HandshakeError
from ironmesh.mesh.revocations import make_revocation
from ironmesh.types import MessageType, Refusal
from ironmesh.wire.native.revocations import encode_revocations


async def with_authority(nodes: Nodes) -> tuple[Live, Live, Live, Live]:
    """Start an authority, two nodes in a line behind it that listen to it, and one more."""
    authority = await nodes.start("authority")
    authority = await nodes.again(authority, revocation_authorities=frozenset({authority.id}))
    settings = {"revocation_authorities": frozenset({authority.id})}
    middle = await nodes.start("middle", **settings)
    far = await nodes.start("far", **settings)
    bad = await nodes.start("bad")
    await authority.dial(middle)
    await middle.dial(far)
    await bad.dial(authority)
    await bad.dial(far)
    return authority, middle, far, bad


def is_barred(live: Live, other: Live) -> bool:
    return live.node.trust.is_revoked(other.known_id)


async def test_who_an_authority_revokes_is_refused_by_nodes_that_it_never_met(
    nodes: Nodes,
) -> None:
    authority, middle, far, bad = await with_authority(nodes)
    authority.node.decisions.revoke("bad", "its laptop was stolen")
    await eventually(lambda: is_barred(far, bad))
    await far.offline(bad.id)
    with pytest.raises(HandshakeError) as caught:
        await bad.node.connect(*far.endpoint)
    assert caught.value.reason is Refusal.REVOKED
    assert "PEER_REVOKED" in far.audited()
    assert middle.node.counters["mesh.revocations"] == 1


async def test_a_revocation_is_kept_over_a_restart_and_told_to_who_comes_later(
    nodes: Nodes,
) -> None:
    authority, middle, far, bad = await with_authority(nodes)
    authority.node.decisions.revoke("bad", "")
    await eventually(lambda: middle.node.counters["mesh.revocations"] == 1)
    await far.node.stop()
    await authority.node.stop()
    again = await nodes.again(middle)
    late = await nodes.start(
        "late", revocation_authorities=again.node.config.revocation_authorities
    )
    await bad.dial(late)
    await late.dial(again)
    await eventually(lambda: is_barred(late, bad))
    await late.offline(bad.id)


@pytest.mark.parametrize("is_authority", [True, False])
async def test_who_is_revoked_while_the_node_is_down_is_told_of_when_it_runs_again(
    nodes: Nodes, *, is_authority: bool
) -> None:
    authority, middle, far, bad = await with_authority(nodes)
    await authority.node.stop()
    with OfflineTrust(authority.node.config) as trust:
        trust.trust_revoke("bad", "its laptop was stolen")
        trust.trust_revoke(bad.id, "again")
    kept = {"revocation_authorities": frozenset[str]()} if not is_authority else {}
    again = await nodes.again(authority, **kept)
    await again.dial(middle)
    if is_authority:
        await eventually(lambda: is_barred(far, bad))
        await far.offline(bad.id)
        return
    with pytest.raises(HandshakeError):
        await bad.node.connect(*again.endpoint)
    assert not is_barred(middle, bad)


async def test_a_node_ends_its_own_identity(nodes: Nodes) -> None:
    alice, bob = await nodes.pair()
    carol = await nodes.start("carol")
    await bob.dial(carol)
    alice.node.decisions.revoke(alice.id, "the key leaked")
    await eventually(lambda: is_barred(bob, alice))
    await bob.offline(alice.id)
    with pytest.raises(HandshakeError):
        await alice.node.connect(*carol.endpoint)
    assert carol.node.counters["mesh.revocations"] == 1


async def test_who_is_no_authority_revokes_for_itself_alone(nodes: Nodes) -> None:
    alice, bob = await nodes.pair(**PLAIN)
    carol = await nodes.start("carol", **PLAIN)
    await bob.dial(carol)
    await carol.dial(alice)
    bob.node.decisions.revoke("alice", "")
    await bob.offline(alice.id)
    async with liar_between(carol) as liar:
        mine = make_revocation(liar.own.identity, carol.node.trust.public_key(alice.id) or b"", 1)
        await liar.say(carol, MessageType.REVOCATION, encode_revocations([mine]))
        await eventually(lambda: carol.node.counters["mesh.revocations_refused"] == 1)
    assert carol.link(alice) is not None


async def test_a_revoked_source_is_not_heard_over_relays_either(nodes: Nodes) -> None:
    alice, bob = await nodes.start("alice"), await nodes.start("bob")
    relay = await nodes.start("relay")
    await alice.dial(relay)
    await relay.dial(bob)
    await know_each_other(alice, bob)
    await alice.node.send("bob", b"before")
    await bob.has_received(1)
    bob.node.decisions.revoke("alice", "")
    await alice.node.send("bob", b"after")
    await eventually(lambda: bob.node.counters["refused.revoked"] > 0)
    assert bob.texts == ["before"]
