"""Typed JSON of the 0.8 wire: compact, ASCII only on the way out, bounded on the way in."""

from __future__ import annotations

import re
from typing import Final, TypeVar

import msgspec

from ironmesh.errors import RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.json_text import compact

_T = TypeVar("_T")

_ENCODER: Final = msgspec.json.Encoder()
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def encode(value: msgspec.Struct) -> bytes:
    r"""Return `value` as compact JSON with every character above `~` escaped as `\uXXXX`."""
    data = _ENCODER.encode(value)
    if data.isascii() and b"\x7f" not in data:
        return data
    return compact(msgspec.to_builtins(value))


def decode(
    decoder: msgspec.json.Decoder[_T], data: bytes, what: str, *, max_bytes: int, max_depth: int
) -> _T:
    """Parse `data` into the decoder's type.

    Args:
        what: what the bytes are, for the error.

    Raises:
        RemoteProtocolError: TOO_LARGE, or BAD_BODY for anything that is not such an object.
    """
    if len(data) > max_bytes:
        raise RemoteProtocolError(
            Refusal.TOO_LARGE, f"{what} has {len(data)} bytes, the limit is {max_bytes}"
        )
    if is_deeper_than(data, max_depth):
        raise RemoteProtocolError(Refusal.BAD_BODY, f"{what} is nested deeper than {max_depth}")
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(Refusal.BAD_BODY, f"{what} is malformed ({error})") from error


def is_deeper_than(data: bytes, limit: int) -> bool:
    """Tell whether JSON text nests objects and arrays deeper than `limit`, in linear time."""
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    depth = 0
    for bracket in _STRINGS.sub(b"", data).translate(None, _NOT_BRACKETS):
        if bracket in b"[{":
            depth += 1
            if depth > limit:
                return True
        else:
            depth -= 1
    return False
