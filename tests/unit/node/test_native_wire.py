"""What the native wire of one node accepts, as time goes by."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.trust import claim, identity

from ironmesh.config import NodeConfig
from ironmesh.node.native_wire import NativeWire
from ironmesh.session.native.schedule import Role
from ironmesh.types import Instant, Secret

UNTIL = 1_800_000_000.0


class Clock:
    """Shows what a test sets."""

    wall = UNTIL - 1.0

    def now(self) -> Instant:
        return Instant(1000.0, self.wall)


def test_when_the_previous_passphrase_ends_nobody_resumes_by_it(tmp_path: Path) -> None:
    config = NodeConfig(
        name="alice",
        passphrase=Secret("the next passphrase"),
        passphrase_generation=7,
        previous_passphrase=Secret("the one before it"),
        previous_passphrase_until=UNTIL,
        home=tmp_path,
    )
    secrets = {7: Secret(bytes(32)), 6: Secret(bytes(31) + b"x")}
    clock = Clock()
    wire = NativeWire(config, identity(1), secrets, os.urandom, clock)
    tickets = wire._current.tickets
    tickets.add(
        claim(2, "bob"),
        Secret(bytes(32)),
        own_role=Role.INITIATOR,
        is_hybrid=True,
        expires=2000.0,
        now=1000.0,
    )
    assert set(wire._current.prs) == {6, 7}
    assert len(tickets) == 2
    clock.wall = UNTIL
    assert set(wire._current.prs) == {7}
    assert len(tickets) == 0
