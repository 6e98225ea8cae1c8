"""Parcels: what anybody can hand over, and what somebody who may seal one can put into it."""

from __future__ import annotations

from contextlib import suppress

from tests.support.parcels import ALICE, BOB, keys_of, prekeys, sealer

from ironmesh.errors import RemoteProtocolError
from ironmesh.session.parcels.inbox import ParcelInbox
from ironmesh.session.parcels.sealing import open_parcel
from ironmesh.wire.native.parcels import MAX_CONTENT_BYTES

_PREKEYS = prekeys()
_SEAL = sealer(ALICE, keys_of(BOB, _PREKEYS, is_hybrid=False))


def open_any(data: bytes) -> None:
    """Open `data` as a parcel, and as the rest of one with our key number."""
    number = keys_of(BOB, _PREKEYS).number.to_bytes(4, "big")
    for parcel in (data, b"\x01" + number + data, b"\x02" + number + data):
        with suppress(RemoteProtocolError):
            open_parcel(parcel, _PREKEYS, BOB)


def take_sealed(data: bytes) -> None:
    """Read a parcel of a real source that holds `data`."""
    inbox = ParcelInbox(BOB.node_id)
    opened = open_parcel(_SEAL(data[:MAX_CONTENT_BYTES]), _PREKEYS, BOB)
    for content in (opened.content, b"\x02" + bytes(5) + data, b"\x04" + bytes(4) + data):
        with suppress(RemoteProtocolError):
            inbox.take(opened.source, content, 0.0)
    inbox.timer(10.0)
