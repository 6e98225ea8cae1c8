"""Several messages in one frame: strict, bounded, and the same on the way out as on the way in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Message, MessageId, MessagePriority, NodeId
from ironmesh.wire.legacy import bundle
from ironmesh.wire.legacy.constants import MAX_SENT_TYPE_CHARS
from ironmesh.wire.legacy.control import CHANNEL_TYPES

ALICE, BOB = NodeId("aa" * 16), NodeId("bb" * 16)
ENTRY_BYTES = 31

kinds = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_SENT_TYPE_CHARS
).filter(lambda kind: kind not in CHANNEL_TYPES and kind != bundle.TYPE)
messages = st.builds(
    Message,
    id=st.binary(min_size=16, max_size=16).map(MessageId),
    type=kinds,
    payload=st.binary(max_size=50),
    source=st.just(ALICE),
    destination=st.just(BOB),
    priority=st.sampled_from(MessagePriority),
    timestamp_ms=st.integers(0, 2**64 - 1),
)


def one(kind: str = "MSG", payload: bytes = b"hello") -> Message:
    return Message(MessageId(bytes(16)), kind, payload, ALICE, BOB)


@given(st.lists(messages, min_size=1, max_size=8))
def test_what_is_encoded_is_decoded(said: list[Message]) -> None:
    data = bundle.encode(said)
    assert bundle.decode(data, ALICE, BOB) == said
    assert len(data) <= sum(map(bundle.entry_bytes, said))


@given(st.binary(max_size=200))
def test_there_is_one_way_to_write_what_is_said(data: bytes) -> None:
    try:
        said = bundle.decode(data, ALICE, BOB)
    except RemoteProtocolError:
        return
    assert bundle.encode(said) == data


@given(st.lists(messages, min_size=1, max_size=3), st.data())
def test_of_what_is_cut_off_nothing_is_taken(said: list[Message], data: st.DataObject) -> None:
    last = len(bundle.encode(said[-1:]))
    whole = bundle.encode(said)
    missing = data.draw(st.integers(1, last - 1))
    with pytest.raises(RemoteProtocolError, match="cut off"):
        bundle.decode(whole[:-missing], ALICE, BOB)


@pytest.mark.parametrize("kind", ["", "x" * 65, bundle.TYPE, *sorted(CHANNEL_TYPES)])
def test_types_that_no_bundle_may_hold_are_refused(kind: str) -> None:
    with pytest.raises(RemoteProtocolError, match="type"):
        bundle.decode(bundle.encode([one(kind)]), ALICE, BOB)


def test_a_type_that_is_no_text_and_an_unknown_priority_are_refused() -> None:
    data = bundle.encode([one()])
    with pytest.raises(RemoteProtocolError, match="no text"):
        bundle.decode(data.replace(b"MSG", b"\xff\xfe\xfd"), ALICE, BOB)
    with pytest.raises(RemoteProtocolError, match="priority"):
        bundle.decode(data[:24] + b"\x04" + data[25:], ALICE, BOB)


def test_the_number_of_entries_is_bounded() -> None:
    most = [one()] * bundle.MAX_MESSAGES
    assert bundle.decode(bundle.encode(most), ALICE, BOB) == most
    for said in ([*most, one()], []):
        with pytest.raises(RemoteProtocolError, match="too many entries, or none"):
            bundle.decode(bundle.encode(said), ALICE, BOB)


def test_an_entry_is_as_documented() -> None:
    data = bundle.encode([one()])
    assert data == bytes(24) + b"\x02\x00\x03\x00\x00\x00\x05MSGhello"
    assert len(data) == ENTRY_BYTES + 3 + 5
