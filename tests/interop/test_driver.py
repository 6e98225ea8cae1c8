"""The driver of the published node, tried on two published nodes alone.

What fails here is the driver or the environment; what fails only in the other files is our node.
"""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.interop


async def test_two_published_nodes_talk_to_each_other(published) -> None:
    one, two = await published("älpha-" + "é", start={"echo": True}), await published()
    await two.connect_to(one)
    await two.send(one.node_id, "hellö")
    assert (await one.wait_message("hellö")).peer_id == two.node_id
    assert (await two.wait_message("echo:hellö")).peer_id == one.node_id
    assert (await two.peer(one))["name"] == one.name


async def test_they_talk_over_tls_without_plaintext(published, certificate) -> None:
    one = await published(allow_plaintext=False, **certificate.kwargs())
    two = await published(allow_plaintext=False)
    await two.connect_to(one)
    await two.send(one.name, json.dumps({"conv_id": "1", "body": "x"}), "CONV")
    assert b"conv_id" in (await one.wait_messages(1, "CONV"))[0].payload


async def test_a_killed_node_is_gone_and_comes_back_with_the_same_identity(published) -> None:
    one, two = await published(), await published()
    await two.connect_to(one)
    before = one.node_id
    await one.kill()
    await two.wait_peer_gone(one)
    await one.start()
    assert one.node_id == before
    await two.connect_to(one)


async def test_the_node_with_the_smaller_id_changes_the_key(published) -> None:
    one = await published()
    two = await published(rekey_interval=1.0, start={"id_below": one.node_id})
    assert two.node_id < one.node_id
    await two.connect_to(one)
    await one.wait_control("REKEY_REQUEST", timeout_s=15)
    await two.wait_control("REKEY_RESPONSE")
    await two.send(one.node_id, "after")
    await one.wait_message("after")


async def test_with_limits_lifted_a_burst_arrives_whole(published) -> None:
    one, two = (
        await published(start={"lift_limits": True}),
        await published(start={"lift_limits": True}),
    )
    await two.connect_to(one)
    await two.send_many(one.node_id, "n", 300)
    arrived = await one.wait_messages(300)
    assert [message.text for message in arrived] == [f"n{i}" for i in range(300)]


async def test_a_stopped_node_says_goodbye(published) -> None:
    one, two = await published(), await published()
    await two.connect_to(one)
    await two.stop()
    await one.wait_control("GOODBYE")
    await one.wait_peer_gone(two)
