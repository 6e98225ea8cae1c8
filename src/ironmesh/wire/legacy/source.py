"""The bytes that an originator signs (wire specification, section 9.1)."""

from __future__ import annotations

from typing import Final

SCHEME_V1: Final = "v1"
SCHEME_V2: Final = "v2"
SOURCE_CONTEXT: Final = b"ironmesh-sig-v1/frame-inner-source\x00"


def signed_v1(payload: bytes) -> bytes:
    """Return what scheme v1 signs: the payload alone. Verified only; we never sign it."""
    return payload


def canonical_v2(source: str, destination: str, message_id: str, payload: bytes) -> bytes:
    """Return the four fields of scheme v2, each behind its length (u32, big-endian)."""
    fields = (source.encode(), destination.encode(), message_id.encode(), payload)
    return b"".join(len(part).to_bytes(4) + part for part in fields)


def signed_v2(source: str, destination: str, message_id: str, payload: bytes) -> bytes:
    """Return what scheme v2 signs."""
    return SOURCE_CONTEXT + canonical_v2(source, destination, message_id, payload)
