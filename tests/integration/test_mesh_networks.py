"""Nodes on hosts that do not see each other: lines, a partition that heals, a killed relay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.agent_process import AgentFailed
from tests.support.netns import Host
from tests.support.our_node import OurNode

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

REPAIR_S = 3.0
"""From the repair to the first message that is through."""
MISSED_S = 18.0
"""How long a host that vanished may go unnoticed: 15 s, and what a machine that is busy takes."""
NATIVE: dict[str, Any] = {"allow_legacy": False, "legacy_same_passphrase": False}

HOOK = "type filter hook {} priority 0;"

Start = Callable[..., Awaitable[OurNode]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start nodes that speak our own wire only; all are killed at the end."""
    async with AsyncExitStack() as stack:

        async def make(name: str, host: Host) -> OurNode:
            node = OurNode(tmp_path / name, name, netns=host.name, bind="0.0.0.0", **NATIVE)
            return await stack.enter_async_context(node)

        yield make


async def line(start: Start, hosts: Sequence[Host]) -> list[OurNode]:
    """Start a node on each host; each is dialled by the one behind it."""
    nodes = [await start(f"node-{number}", host) for number, host in enumerate(hosts, 1)]
    for node, following, host in zip(nodes, nodes[1:], hosts, strict=False):
        await following.connect_to(node, host=host.address)
    return nodes


async def send_by_name(source: OurNode, target: OurNode, text: str) -> None:
    """Send as soon as the name is known."""
    async with asyncio.timeout(20):
        while True:
            try:
                await source.send(target.name, text)
            except AgentFailed:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_line_of_five_hosts_that_see_only_their_neighbours(
    start: Start, five_hosts: list[Host]
) -> None:
    nodes = await line(start, five_hosts)
    first, last = nodes[0], nodes[-1]
    await send_by_name(first, last, "over three relays")
    assert (await last.wait_message("over three relays")).peer_id == first.node_id
    await last.send(first.node_id, "and back")
    assert (await first.wait_message("and back")).peer_id == last.node_id
    await first.send_many(last.node_id, "n", 500)
    arrived = await last.wait_messages(501)
    assert [message.text for message in arrived[1:]] == [f"n{number}" for number in range(500)]
    assert all(not node.received() for node in nodes[1:-1])


async def test_two_subnets_with_a_node_in_both(start: Start, five_hosts: list[Host]) -> None:
    left, both, right = hosts = five_hosts[:3]
    ping = left.run(["ping", "-c1", "-W1", both.address], check=False)
    assert ping.returncode, "the far subnet is not to be seen"
    one, _between, other = await line(start, hosts)
    await send_by_name(one, other, "into the other subnet")
    await other.wait_message("into the other subnet")
    await other.send(one.name, "and back")
    await one.wait_message("and back")
    assert right.address  # its cable to the next one has no node at the end


async def test_a_partition_that_heals_loses_nothing(start: Start, five_hosts: list[Host]) -> None:
    nodes = await line(start, five_hosts)
    first, third, fourth, last = nodes[0], nodes[2], nodes[3], nodes[4]
    await send_by_name(first, last, "n0")
    await last.wait_message("n0")
    wall = five_hosts[2]
    out = f"oifname {wall.device} reject with icmpx type host-unreachable;"
    back = f"iifname {wall.device} meta l4proto tcp reject with tcp reset;"
    chains = (
        f"chain o {{ {HOOK.format('output')} {out} }}; chain i {{ {HOOK.format('input')} {back} }};"
    )
    wall.run(["nft", f"table inet wall {{ {chains} }}"])
    await third.wait_peer_gone(fourth, timeout_s=60)
    for number in range(1, 51):
        await first.send(last.node_id, f"n{number}")
        await last.send(first.node_id, f"m{number}")
    wall.run(["nft", "delete", "table", "inet", "wall"])
    await third.wait_peer(fourth, timeout_s=60)
    repaired = time.monotonic()
    await last.wait_message("n1", timeout_s=REPAIR_S)
    await first.wait_message("m1", timeout_s=REPAIR_S)
    assert time.monotonic() - repaired < REPAIR_S
    arrived = await last.wait_messages(51)
    returned = await first.wait_messages(50)
    assert [message.text for message in arrived] == [f"n{number}" for number in range(51)]
    assert [message.text for message in returned] == [f"m{number}" for number in range(1, 51)]


async def test_a_host_that_vanishes_is_missed_by_whom_it_dialled_and_by_who_dialled_it(
    start: Start, five_hosts: list[Host]
) -> None:
    first, between, last = await line(start, five_hosts[:3])
    await send_by_name(first, last, "n0")
    await last.wait_message("n0")
    five_hosts[1].vanish()
    async with asyncio.timeout(MISSED_S):
        for node in (first, last):
            await node.wait_peer_gone(between, timeout_s=MISSED_S)


async def test_a_relay_that_is_killed_has_an_alternative(start: Start, one_host: Host) -> None:
    one, relay, spare, other = [
        await start(name, one_host) for name in ("one", "relay", "spare", "other")
    ]
    for between in (relay, spare):
        await one.connect_to(between)
        await other.connect_to(between)
    await send_by_name(one, other, "n0")
    await other.wait_message("n0")
    sending = asyncio.create_task(stream(one, other, 400))
    await other.wait_messages(100)
    await relay.kill()
    killed = time.monotonic()
    through = len(other.received())
    await other.wait_messages(through + 20, timeout_s=REPAIR_S)
    assert time.monotonic() - killed < REPAIR_S
    await sending
    arrived = await other.wait_messages(401)
    assert [message.text for message in arrived] == [f"n{number}" for number in range(401)]


async def stream(source: OurNode, target: OurNode, count: int) -> None:
    """Send numbered texts, the next one when the last is accepted."""
    for number in range(1, count + 1):
        await source.send(target.node_id, f"n{number}")
        await asyncio.sleep(0.005)
