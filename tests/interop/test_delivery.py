"""What a promise is worth toward a published node: it confirms nothing, and we say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.agents import Make, agents

pytestmark = [pytest.mark.interop, pytest.mark.timeout(90)]

make = pytest.fixture(agents, name="make")


async def test_the_best_that_is_known_of_a_message_to_a_published_node_is_that_it_was_sent(
    make: Make, published: Callable[..., Any]
) -> None:
    theirs = await published(allow_plaintext=True)
    alice = make("alice", allow_plaintext=True, allow_legacy=True, legacy_same_passphrase=True)
    alice.run(foreground=False)
    assert await alice.daemon.connect_to_peer("127.0.0.1", theirs.port) == theirs.node_id
    receipt = await alice.send(theirs.node_id, "x")
    assert await receipt.delivered(20) is False
    assert receipt.state == "sent"
    assert (await theirs.wait_message("x")).peer_id == alice.node_id
