"""The header of a record: exact, and checked before anything is done with the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.native.records import (
    MAX_RECORD_BYTES,
    OVERHEAD_BYTES,
    Direction,
    Header,
    decode_header,
    encode_header,
    signed_text,
)

headers = st.builds(Header, st.booleans(), st.integers(0, 255), st.integers(0, 2**32 - 1))


def refusal(record: bytes, max_bytes: int = MAX_RECORD_BYTES) -> Refusal:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_header(record, max_bytes)
    return caught.value.reason


@given(headers, st.integers(80, 200))
def test_what_is_written_is_read(header: Header, body: int) -> None:
    written = encode_header(header)
    assert len(written) == 6
    assert decode_header(written + bytes(body)) == header


def test_a_header_has_these_bytes() -> None:
    assert encode_header(Header(True, 3, 0x01020304)).hex() == "510301020304"
    assert encode_header(Header(False, 255, 0)).hex() == "50ff00000000"


@pytest.mark.parametrize("version", [0, 4, 6, 15])
def test_another_version_is_refused(version: int) -> None:
    assert refusal(bytes((version << 4,)) + bytes(100)) is Refusal.PROTOCOL


@pytest.mark.parametrize("flag", [2, 4, 8])
def test_an_unknown_flag_is_refused(flag: int) -> None:
    assert refusal(bytes((0x50 | flag,)) + bytes(100)) is Refusal.PROTOCOL


def test_a_record_too_short_for_what_it_says_is_refused() -> None:
    for size in range(22):
        assert refusal(b"\x50" + bytes(size)[1:]) is Refusal.TRUNCATED
    assert decode_header(b"\x50" + bytes(21)) == Header(False, 0, 0)
    assert refusal(b"\x51" + bytes(OVERHEAD_BYTES - 2)) is Refusal.TRUNCATED
    assert decode_header(b"\x51" + bytes(OVERHEAD_BYTES - 1)) == Header(True, 0, 0)


def test_a_record_over_its_limit_is_refused() -> None:
    assert decode_header(b"\x50" + bytes(MAX_RECORD_BYTES - 1)) == Header(False, 0, 0)
    assert refusal(b"\x50" + bytes(MAX_RECORD_BYTES)) is Refusal.TOO_LARGE
    assert refusal(b"\x50" + bytes(425), 425) is Refusal.TOO_LARGE


def test_every_part_of_what_is_signed_changes_it() -> None:
    parts = (b"s" * 32, Direction.FROM_INITIATOR, b"h" * 6, b"messages")
    others = (b"S" * 32, Direction.FROM_RESPONDER, b"H" * 6, b"Messages")
    texts = {signed_text(*parts)}
    for place, other in enumerate(others):
        changed = (*parts[:place], other, *parts[place + 1 :])
        texts.add(signed_text(*changed))  # type: ignore[arg-type]
    assert len(texts) == 5
    assert len(signed_text(*parts)) == 18 + 32 + 1 + 6 + 32
