"""Node records as bytes: one way to write each, everything bounded."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import ConfigError, RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.native import noderecords
from ironmesh.wire.native.noderecords import (
    MAX_BLOBS,
    MAX_BLOBS_BYTES,
    MAX_BODY_BYTES,
    NodeRecord,
    decode_blobs,
    decode_hashes,
    decode_node_record,
    encode_blobs,
    encode_hashes,
    encode_node_record,
    fitting,
    is_capability,
    share_out_blobs,
)

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
records = st.builds(
    NodeRecord,
    name=st.text(st.sampled_from("abcXYZ019-_äж"), min_size=1, max_size=32),
    capabilities=st.lists(words, max_size=8, unique=True).map(lambda some: tuple(sorted(some))),
    prekey_number=st.integers(1, 2**32 - 1),
    x25519=st.binary(min_size=32, max_size=32),
    kem_hash=st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
    wire_versions=st.sets(st.integers(0, 255), max_size=4).map(lambda some: tuple(sorted(some))),
)


def record(**changes: Any) -> NodeRecord:
    values: dict[str, Any] = {
        "name": "node",
        "capabilities": ("a", "b"),
        "prekey_number": 1,
        "x25519": bytes(32),
    }
    return NodeRecord(**(values | changes))


def refusal(body: bytes) -> Refusal:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_node_record(body)
    return caught.value.reason


@given(records)
def test_what_is_written_is_read(said: NodeRecord) -> None:
    assert decode_node_record(encode_node_record(said)) == said


@given(records, st.data())
def test_a_changed_body_is_refused_or_another_record(said: NodeRecord, data: st.DataObject) -> None:
    """There is one way to write each record."""
    body = bytearray(encode_node_record(said))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    with suppress(RemoteProtocolError):
        read = decode_node_record(bytes(body))
        assert read != said
        assert encode_node_record(read) == bytes(body)


@given(records, st.data())
def test_a_body_that_is_cut_or_grown_is_refused(said: NodeRecord, data: st.DataObject) -> None:
    body = encode_node_record(said)
    assert refusal(body[: data.draw(st.integers(0, len(body) - 1))]) is Refusal.BAD_BODY
    assert refusal(body + b"\x00") is Refusal.BAD_BODY


def test_capabilities_and_versions_are_written_sorted_and_once() -> None:
    said = record(capabilities=("b", "a", "b"), wire_versions=(6, 5, 6))
    read = decode_node_record(encode_node_record(said))
    assert read.capabilities == ("a", "b")
    assert read.wire_versions == (5, 6)


def test_what_does_not_ascend_is_refused() -> None:
    body = encode_node_record(record())
    assert body.endswith(b"\x01a\x01b")
    for wrong in (b"\x01b\x01a", b"\x01a\x01a"):
        assert refusal(body[:-4] + wrong) is Refusal.BAD_BODY


@pytest.mark.parametrize("capability", ["", "x" * 257, "a\nb", "\x7f", "\x85"])
def test_what_is_no_capability_is_neither_written_nor_read(capability: str) -> None:
    assert not is_capability(capability)
    with pytest.raises(ConfigError):
        encode_node_record(record(capabilities=(capability,)))
    text = capability.encode()
    body = encode_node_record(record(capabilities=()))
    size = bytes((len(text),)) if len(text) < 128 else bytes((len(text) & 0x7F | 0x80, 2))
    assert refusal(body[:-1] + b"\x01" + size + text) is Refusal.BAD_BODY


@given(st.lists(st.text(max_size=300), max_size=40))
def test_of_any_capabilities_those_that_fit_can_be_written(capabilities: list[str]) -> None:
    listed = fitting(capabilities)
    assert set(listed) == {text for text in capabilities if is_capability(text)}
    assert (
        decode_node_record(encode_node_record(record(capabilities=listed))).capabilities == listed
    )


def test_of_too_many_capabilities_some_are_listed() -> None:
    for many in ([f"{n:04}" + "ä" * 250 for n in range(400)], [str(n) for n in range(2000)]):
        listed = fitting(many)
        assert 100 < len(listed) < len(many)
        assert encode_node_record(record(capabilities=listed, name="n" * 64, kem_hash=bytes(32)))


def test_names_are_those_that_nodes_may_have() -> None:
    with pytest.raises(ConfigError):
        encode_node_record(record(name="a b"))
    body = encode_node_record(record(name="a-b"))
    assert refusal(body.replace(b"a-b", b"a b")) is Refusal.BAD_BODY
    assert refusal(body.replace(b"a-b", b"a\xffb")) is Refusal.BAD_BODY


def test_a_body_is_bounded_before_anything_is_read() -> None:
    assert refusal(bytes(MAX_BODY_BYTES + 1)) is Refusal.TOO_LARGE
    many = tuple(f"{number:04}" + "x" * 250 for number in range(300))
    with pytest.raises(ConfigError):
        encode_node_record(record(capabilities=many))
    with pytest.raises(ConfigError):
        encode_node_record(record(capabilities=tuple(map(str, range(1025)))))
    counted = encode_node_record(record(capabilities=()))[:-1] + b"\x81\x08" + b"\x01a" * 1025
    assert refusal(counted) is Refusal.BAD_BODY


@pytest.mark.parametrize(
    "changes", [{"x25519": bytes(31)}, {"kem_hash": bytes(31)}, {"kem_hash": bytes(33)}]
)
def test_keys_of_another_size_are_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="can be written"):
        encode_node_record(record(**changes))


def test_a_prekey_has_a_number() -> None:
    assert refusal(encode_node_record(record(prekey_number=0))) is Refusal.BAD_BODY


# --- Asking and answering ------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20))
def test_blobs_are_read_as_written(blobs: list[bytes]) -> None:
    assert list(decode_blobs(encode_blobs(blobs))) == blobs


@given(st.lists(st.integers(1, MAX_BODY_BYTES), max_size=40))
def test_blobs_are_shared_out_to_messages_that_can_be_read(sizes: list[int]) -> None:
    blobs = [bytes(size) for size in sizes]
    payloads = share_out_blobs(blobs)
    assert [blob for payload in payloads for blob in decode_blobs(payload)] == blobs


def test_many_small_blobs_take_several_messages() -> None:
    payloads = share_out_blobs([b"x"] * (MAX_BLOBS + 1))
    assert [len(decode_blobs(payload)) for payload in payloads] == [MAX_BLOBS, 1]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Refusal.BAD_BODY),
        (b"\x00", Refusal.BAD_BODY),
        (b"\x02a", Refusal.BAD_BODY),
        (b"\x80", Refusal.BAD_BODY),
        (b"\x81\x80\x04" + bytes(MAX_BODY_BYTES + 1), Refusal.BAD_BODY),
        (b"\x01x" * (MAX_BLOBS + 1), Refusal.BAD_BODY),
        (bytes(MAX_BLOBS_BYTES + 1), Refusal.TOO_LARGE),
    ],
)
def test_malformed_blobs_are_refused(payload: bytes, reason: Refusal) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_blobs(payload)
    assert caught.value.reason is reason


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=256))
def test_hashes_are_read_as_written(hashes: list[bytes]) -> None:
    assert list(decode_hashes(encode_hashes(hashes))) == hashes


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Refusal.BAD_BODY),
        (bytes(31), Refusal.BAD_BODY),
        (bytes(33), Refusal.BAD_BODY),
        (bytes(257 * 32), Refusal.TOO_LARGE),
    ],
)
def test_malformed_requests_are_refused(payload: bytes, reason: Refusal) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_hashes(payload)
    assert caught.value.reason is reason


def test_a_blob_of_the_size_of_a_key_may_be_one() -> None:
    assert noderecords.is_kem_key(bytes(1184))
    assert not noderecords.is_kem_key(bytes(1183))
