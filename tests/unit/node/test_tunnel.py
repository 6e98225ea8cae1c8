"""Both ends of a tunnel over something that loses, repeats, swaps, or goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.support.nodes import eventually

from ironmesh.errors import ConnectionClosed
from ironmesh.node.clock import SystemClock
from ironmesh.node.mesh import tunnel as under_test
from ironmesh.node.mesh.tunnel import FRAME_BURST, MAX_WAITING_UNITS, Pace, TunnelConnection
from ironmesh.types import NodeId
from ironmesh.wire.legacy.tunnel import decode

NEIGHBOUR, FAR = NodeId("a" * 32), NodeId("b" * 32)


class Neighbour:
    """The link to the published neighbour."""

    peer = NEIGHBOUR
    is_usable = True

    async def wait_for_room(self) -> None:
        """There is always room."""


class Ends:
    """Two ends; `carry` says what becomes of each payload on its way."""

    def __init__(self) -> None:
        self.carry: Callable[[bytes], list[bytes]] = lambda payload: [payload]
        self.ended: list[TunnelConnection] = []
        self.near = self._end(is_outgoing=True)
        self.far = self._end(is_outgoing=False)

    def _end(self, *, is_outgoing: bool) -> TunnelConnection:
        def put(payload: bytes) -> None:
            other = self.far if is_outgoing else self.near
            for carried in self.carry(payload):
                other.feed(decode(carried))

        return TunnelConnection(
            FAR,
            b"8 bytes!",
            cast("Any", Neighbour()),
            is_outgoing=is_outgoing,
            pace=Pace(SystemClock()),
            put=put,
            on_end=self.ended.append,
        )


@pytest.fixture
def ends() -> Ends:
    return Ends()


async def test_units_go_both_ways_and_large_ones_in_pieces(ends: Ends) -> None:
    large = bytes(range(256)) * 400
    await ends.near.send([b"one", large])
    await ends.far.send([b"answer"])
    assert [await ends.far.receive() for _ in range(2)] == [b"one", large]
    assert await ends.near.receive() == b"answer"


async def test_a_frame_that_a_relay_loses_ends_the_tunnel(ends: Ends) -> None:
    await ends.near.send([b"one"])
    ends.carry = lambda _: []
    await ends.near.send([b"lost"])
    ends.carry = lambda payload: [payload]
    with pytest.raises(ConnectionClosed):
        await ends.near.send([b"three"])
    assert await ends.far.receive() == b"one"
    with pytest.raises(ConnectionClosed, match="lost a frame"):
        await ends.far.receive()
    assert ends.ended == [ends.near, ends.far], "the other end is told"


async def test_a_frame_that_a_relay_repeats_costs_nothing(ends: Ends) -> None:
    ends.carry = lambda payload: [payload, payload]
    await ends.near.send([b"one", b"two"])
    assert [await ends.far.receive() for _ in range(2)] == [b"one", b"two"]


async def test_an_end_that_closes_says_so(ends: Ends) -> None:
    await ends.near.send([b"last"])
    await ends.near.close()
    assert await ends.far.receive() == b"last"
    with pytest.raises(ConnectionClosed) as closed:
        await ends.far.receive()
    assert closed.value.is_clean
    with pytest.raises(ConnectionClosed):
        await ends.near.send([b"more"])
    assert set(ends.ended) == {ends.far, ends.near}


async def test_a_tunnel_that_is_lost_ends_for_whoever_reads_and_writes(ends: Ends) -> None:
    reading = asyncio.ensure_future(ends.near.receive())
    await asyncio.sleep(0)
    ends.near.lose("the session with the published neighbour ended")
    with pytest.raises(ConnectionClosed, match="published neighbour"):
        await reading
    with pytest.raises(ConnectionClosed):
        await ends.near.send([b"x"])


async def test_what_nobody_reads_is_bounded(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "FRAME_BURST", 10 * MAX_WAITING_UNITS)
    flood = Ends()
    with pytest.raises(ConnectionClosed):
        await flood.near.send([b"x"] * MAX_WAITING_UNITS)
    assert flood.far in flood.ended


async def test_frames_go_no_faster_than_relays_take_them(ends: Ends) -> None:
    sent: list[bytes] = []
    ends.carry = lambda payload: sent.append(payload) or []  # type: ignore[func-returns-value]
    writing = asyncio.ensure_future(ends.near.send([b"x"] * (FRAME_BURST + 20)))
    await eventually(lambda: len(sent) >= FRAME_BURST)
    assert len(sent) < FRAME_BURST + 10, "the rest waits its turn"
    ends.near.abort()
    with pytest.raises(ConnectionClosed):
        await writing
