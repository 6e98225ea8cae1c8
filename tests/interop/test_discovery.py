"""Finding the published node, and being found by it; its rule is that the smaller name dials."""

from __future__ import annotations

import pytest
from tests.interop.pairs import Pairs
from tests.support.netns import Host

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

LONG_S = 30.0


async def test_a_published_node_with_the_larger_name_is_dialled_by_us(pairs: Pairs) -> None:
    theirs = await pairs.start_theirs(name="zz-waits")
    ours = await pairs.start_ours(
        name="aa-dials", allow_plaintext=True, peers=[f"127.0.0.1:{theirs.port}"]
    )
    await ours.wait_peer(theirs)
    await theirs.wait_peer(ours)


@pytest.mark.netns
async def test_a_published_node_finds_us_by_mdns_and_dials(pairs: Pairs, one_host: Host) -> None:
    """We dial nobody on that wire whose address an announcement alone vouches for."""
    our_name, their_name = "zz-ours", "aa-theirs"
    theirs = await pairs.start_theirs(
        name=their_name, allowed_peers=[our_name], netns=one_host.name
    )
    ours = await pairs.start_ours(
        name=our_name,
        allowed_peers=[their_name],
        allow_plaintext=True,
        mdns=True,
        netns=one_host.name,
    )
    await ours.wait_peer(theirs, timeout_s=LONG_S)
    await theirs.wait_peer(ours, timeout_s=LONG_S)
    await ours.send(their_name, "found")
    await theirs.wait_message("found")
