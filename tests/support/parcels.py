"""Two nodes that never met, and what one of them seals to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.legacy import identity, seeded

from ironmesh.crypto.identity import Identity
from ironmesh.session.parcels.prekeys import Prekeys
from ironmesh.session.parcels.sealing import DestinationKeys, seal_parcel
from ironmesh.types import Instant, Message, MessageId, MessagePriority
from ironmesh.wire.receipts import join_id

ALICE, BOB, MALLORY = identity("alice"), identity("bob"), identity("mallory")
START = Instant(1000.0, 1_767_225_600.0)
EPOCH = b"an epoch"


def later(seconds: float, start: Instant = START) -> Instant:
    """Return a moment on both clocks."""
    return Instant(start.mono + seconds, start.wall + seconds)


def prekeys(label: str = "prekeys", now: Instant = START) -> Prekeys:
    """Return prekeys of a node that has started, saved."""
    made = Prekeys()
    made.renew(now, seeded(label))
    made.saved()
    return made


def keys_of(node: Identity, own: Prekeys, *, is_hybrid: bool = True) -> DestinationKeys:
    """Return what others seal to."""
    current = own.current
    assert current is not None
    kem = current.kem if is_hybrid else None
    return DestinationKeys(node.public, current.number, current.x25519, kem)


def sealer(
    source: Identity, to: DestinationKeys, label: str = "sealer"
) -> Callable[[bytes], bytes]:
    """Return what seals contents of a source, each with fresh keys."""
    random = seeded(label)
    return lambda content: seal_parcel(source, to, content, random)


def message(number: int, payload: bytes = b"hello", **changes: Any) -> Message:
    """Return message `number` of Alice to Bob."""
    values: dict[str, Any] = {
        "id": join_id(EPOCH, number),
        "type": "MSG",
        "payload": payload,
        "source": ALICE.node_id,
        "destination": BOB.node_id,
        "priority": MessagePriority.NORMAL,
        "timestamp_ms": 1_767_225_600_000,
    }
    return Message(**(values | changes))


def numbers(messages: Any) -> list[int]:
    """Return the numbers of messages."""
    return [int.from_bytes(one.id[8:], "big") for one in messages]


def live(number: int) -> MessageId:
    """Return the id of a message that is not kept."""
    return join_id(bytes(8), number)
