"""Rows and batches for tests of the message store."""

from __future__ import annotations

from ironmesh.delivery.records import InboxRow, OutboxRow, PutInbox, PutOutbox
from ironmesh.types import Message, MessageId, MessagePriority, NodeId, Secret

DATA_KEY = Secret(bytes(range(32)))
ALICE = NodeId("a1" * 16)
BOB = NodeId("b0" * 16)
CAROL = NodeId("ca" * 16)
EPOCH = b"epoch--1"
WALL = 1_800_000_000.0


def message_id(number: int, epoch: bytes = EPOCH) -> MessageId:
    """An id of `epoch` (8 bytes)."""
    return MessageId(epoch + number.to_bytes(8))


def outbox_row(
    number: int, *, destination: NodeId = BOB, epoch: bytes = EPOCH, **fields: object
) -> OutboxRow:
    """A queued message of ours; `fields` replace its others."""
    values: dict[str, object] = {
        "type": "MSG",
        "priority": MessagePriority.NORMAL,
        "size_bytes": 5,
        "accepted_wall": WALL + number,
        "lifetime_s": 86_400.0,
        "as_of_wall": WALL + number,
        **fields,
    }
    return OutboxRow(id=message_id(number, epoch), destination=destination, **values)  # type: ignore[arg-type]


def put_outbox(*numbers: int, payload: bytes = b"hello", destination: NodeId = BOB) -> PutOutbox:
    """Messages of ours."""
    return PutOutbox(
        tuple((outbox_row(number, destination=destination), payload) for number in numbers)
    )


def inbox_row(
    sequence: int,
    *,
    source: NodeId = BOB,
    payload: bytes = b"hello",
    type: str = "MSG",  # noqa: A002
    number: int | None = None,
    epoch: bytes = EPOCH,
    arrived_wall: float | None = None,
    is_foreign: bool = False,
) -> InboxRow:
    """A message that arrived from `source`."""
    return InboxRow(
        sequence=sequence,
        message=Message(
            message_id(sequence if number is None else number, epoch),
            type,
            payload,
            source,
            ALICE,
            MessagePriority.HIGH,
            1_800_000_000_123,
        ),
        via=CAROL,
        arrived_wall=WALL + sequence if arrived_wall is None else arrived_wall,
        is_foreign=is_foreign,
    )


def put_inbox(*sequences: int, source: NodeId = BOB) -> PutInbox:
    """Messages that arrived."""
    return PutInbox(tuple(inbox_row(sequence, source=source) for sequence in sequences))
