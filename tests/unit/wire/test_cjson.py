"""Typed JSON: escapes like the published nodes, and limits in linear time."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.legacy import cjson


class Sample(msgspec.Struct):
    text: str = ""
    number: float = 0.0
    items: list[str] = []


_DECODER = msgspec.json.Decoder(Sample)


@given(st.text(), st.lists(st.text(), max_size=3))
def test_text_is_escaped_as_the_standard_library_does(text: str, items: list[str]) -> None:
    value = Sample(text, 0.5, items)
    expected = json.dumps(msgspec.to_builtins(value), separators=(",", ":")).encode()
    assert cjson.encode(value) == expected


@given(st.floats(min_value=1e9, max_value=4e9))
def test_times_are_written_as_the_standard_library_does(number: float) -> None:
    assert (
        cjson.encode(Sample(number=number))
        == json.dumps({"text": "", "number": number, "items": []}, separators=(",", ":")).encode()
    )


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(
    st.recursive(
        st.text(alphabet='[]{}"\\a', max_size=6),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), below, max_size=3)
        ),
        max_leaves=30,
    )
)
def test_depth_is_counted_outside_strings_only(value: Any) -> None:
    data = json.dumps(value).encode()
    depth = _depth(value)
    assert not cjson.is_deeper_than(data, depth)
    if depth:
        assert cjson.is_deeper_than(data, depth - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 1_000_000,
        b"[]" * 500_000,
        b'"\\"' * 330_000,
        b'"' + b'\\"' * 500_000,
        b'{"a":"' + b"\\" * 1_000_000,
        b"{" * 65 + b'"' * 1_000_000,
    ],
    ids=lambda data: ascii(data[:20]),
)
@pytest.mark.timeout(5)
def test_hostile_megabytes_are_refused_in_linear_time(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        cjson.decode(_DECODER, data, "it", max_bytes=2**21, max_depth=64)
    assert caught.value.reason is Refusal.BAD_BODY


def test_size_is_checked_before_anything_is_parsed() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        cjson.decode(_DECODER, b"{}" + b" " * 9, "it", max_bytes=10, max_depth=64)
    assert caught.value.reason is Refusal.TOO_LARGE
