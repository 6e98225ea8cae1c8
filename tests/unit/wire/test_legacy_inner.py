"""The inner object: type rules, bounded times, ids and gzip."""

import gzip
import json
import uuid
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import vectors
from tests.support.legacy import refusal_of

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import MessageId, MessagePriority, Refusal, message_id_text
from ironmesh.wire.legacy import inner
from ironmesh.wire.legacy.constants import MAX_INFLATED_BYTES, MAX_UNIT_BYTES

ROWS = vectors.load("frame_negative")["inner_objects"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["note"])
def test_type_rules_of_the_vectors(row: dict[str, Any]) -> None:
    data = json.dumps(row["inner"]).encode()
    if row["expect"] == "accept":
        said = inner.decode(data)
        inner.timestamp_of(said)
        return
    with pytest.raises(RemoteProtocolError) as caught:
        inner.timestamp_of(inner.decode(data))
    assert caught.value.reason is Refusal.BAD_BODY


_TEXT = st.text(max_size=40)
_INNERS = st.builds(
    inner.Inner,
    type=st.text(min_size=1, max_size=40),
    payload=st.binary(max_size=200),
    msg_id=_TEXT,
    source=_TEXT,
    source_display=_TEXT,
    destination=_TEXT,
    timestamp=st.floats(0, 1e12),
    priority=st.sampled_from([*MessagePriority, "other"]).map(str),
    sequence=st.integers(0, 2**64 - 1),
    routing=st.builds(inner.Routing, compressed=st.booleans()),
    ttl=st.integers(0, 255),
    hops=st.lists(_TEXT, max_size=4).map(tuple),
    source_signature=st.binary(max_size=64),
    e2e_payload=st.binary(max_size=80),
    source_sig_scheme=st.sampled_from(["v1", "v2"]),
)


@given(_INNERS)
def test_what_is_encoded_decodes_to_the_same(said: inner.Inner) -> None:
    data = inner.encode(said)
    assert data.isascii()
    assert inner.decode(data) == said
    assert b"\x7f" not in data


def test_members_that_are_absent_stay_absent() -> None:
    minimal = inner.decode(b'{"type":"MSG"}')
    assert minimal.destination == "*"
    assert minimal.ttl == 3
    assert inner.priority_of(minimal) is MessagePriority.NORMAL
    written = msgspec.json.decode(inner.encode(minimal))
    assert not {"e2e_payload", "source_signature", "source_sig_scheme"} & set(written)


@given(st.binary(max_size=300))
def test_other_bytes_are_refused_by_name(data: bytes) -> None:
    assert refusal_of(inner.decode, data) in (None, Refusal.BAD_BODY)


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(inner.Inner.__struct_fields__), _ANY))
def test_members_of_any_type_are_taken_or_refused_by_name(members: dict[str, Any]) -> None:
    data = json.dumps({"type": "MSG"} | members).encode()
    reason = refusal_of(lambda: inner.timestamp_of(inner.decode(data)))
    assert reason in (None, Refusal.BAD_BODY)
    if reason is None:
        said = inner.decode(data)
        assert 0 <= inner.timestamp_of(said) <= 1e12
        assert isinstance(said.sequence, int)
        assert 0 <= said.ttl <= 255


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e13", "0x10", "", "1" * 250])
def test_times_that_are_no_times_are_refused(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        inner.timestamp_of(inner.decode(json.dumps({"type": "M", "timestamp": text}).encode()))


@pytest.mark.parametrize(
    "members",
    [
        '"payload":"YQ"',
        '"payload":"Y Q=="',
        '"payload":null',
        '"hops":["a",null]',
        '"hops":' + json.dumps(["x"] * 257),
        '"routing":[]',
        '"routing":{"compressed":1}',
        '"sequence":true',
        '"type":"' + "x" * 257 + '"',
        '"msg_id":"' + "x" * 257 + '"',
        '"x":' + "[" * 64 + "]" * 64,
        '"source_signature":"%"',
    ],
    ids=lambda text: text[:24],
)
def test_hostile_members_are_refused(members: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        inner.decode(f'{{"type":"MSG",{members}}}'.encode())
    assert caught.value.reason is Refusal.BAD_BODY


def test_an_object_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        inner.decode(b" " * (MAX_UNIT_BYTES + 1))
    assert caught.value.reason is Refusal.TOO_LARGE


@given(st.binary(min_size=16, max_size=16).map(MessageId))
def test_uuids_and_hex_are_the_ids_that_they_spell(message_id: MessageId) -> None:
    text = message_id_text(message_id)
    assert inner.message_id_of(text) == message_id
    assert inner.message_id_of(text.upper()) == message_id
    assert inner.message_id_of(message_id.hex()) == message_id


@given(st.text(max_size=256))
def test_other_ids_get_sixteen_bytes_of_their_own(text: str) -> None:
    given_id = inner.message_id_of(text)
    assert len(given_id) == 16
    assert given_id == inner.message_id_of(text)
    assert inner.message_id_of(text + "!") != given_id


def test_a_brace_or_urn_spelling_is_no_uuid() -> None:
    spelled = uuid.UUID(int=5)
    for text in (f"{{{spelled}}}", spelled.urn, str(spelled) + "\n"):
        assert inner.message_id_of(text) != spelled.bytes


@given(st.binary(max_size=500))
def test_gzip_opens(body: bytes) -> None:
    assert inner.inflate(gzip.compress(body)) == body


def test_a_decompression_bomb_stops_at_the_limit() -> None:
    assert len(inner.inflate(gzip.compress(bytes(MAX_INFLATED_BYTES)))) == MAX_INFLATED_BYTES
    with pytest.raises(RemoteProtocolError) as caught:
        inner.inflate(gzip.compress(bytes(MAX_INFLATED_BYTES + 1)))
    assert caught.value.reason is Refusal.TOO_LARGE


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        gzip.compress(b"hello")[:-1],
        gzip.compress(b"hello") + b"x",
        gzip.compress(b"a") * 2,
        zlib.compress(b"hello"),
    ],
    ids=["empty", "plain", "cut", "tail", "two members", "zlib"],
)
def test_anything_but_one_gzip_member_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        inner.inflate(payload)
    assert caught.value.reason is Refusal.BAD_BODY


def test_a_priority_that_we_do_not_know_is_normal() -> None:
    said = inner.decode(b'{"type":"MSG","priority":"URGENT"}')
    assert inner.priority_of(said) is MessagePriority.NORMAL
