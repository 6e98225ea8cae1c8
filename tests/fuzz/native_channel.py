"""A session on our own wire: what its peer, or whoever sits on the line, can make it read."""

from __future__ import annotations

from contextlib import suppress

from tests.support.legacy import NOW
from tests.support.native_channel import ALICE, forger, fresh

from ironmesh.errors import RemoteProtocolError


def open_record(data: bytes) -> None:
    """Give `data` to a session as its first record."""
    with suppress(RemoteProtocolError):
        fresh()[1].open(data, NOW)


def open_signed(data: bytes) -> None:
    """Give a session a record of its peer, rightly sealed and signed, that holds `data`."""
    _, bob = fresh()
    with suppress(RemoteProtocolError):
        bob.open(forger(ALICE).seal(data, is_signed=True), NOW)
        bob.seal([], NOW)
