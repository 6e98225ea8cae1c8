"""Node records, and how they are asked for (docs/protocol-mesh.md).

    body       version(1) = 1, flags(1), prekey number(4), X25519 prekey(32),
               [SHA-256 of the ML-KEM prekey(32)] with flag 1, wire versions: count(1) and each(1),
               name: length(1) and UTF-8, capabilities: count(varint) and each length(varint), UTF-8
    blobs      each length(varint) and bytes          NODE_RECORDS: bodies and ML-KEM prekeys
    hashes     each SHA-256(32)                       RECORD_REQUEST

A body does not say whose it is: the beacon of its node holds its hash. There is one way to write
each body: wire versions and capabilities ascend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from ironmesh.config import check_name
from ironmesh.errors import ConfigError, RemoteProtocolError
from ironmesh.types import Refusal
from ironmesh.wire.native.constants import KEM_PUBLIC_BYTES, MAX_NAME_BYTES
from ironmesh.wire.native.messages import take_varint, varint

MAX_BODY_BYTES: Final = 64 * 1024
MAX_CAPABILITIES: Final = 1024
MAX_CAPABILITY_CHARS: Final = 256
HASH_BYTES: Final = 32
MAX_BLOBS: Final = 256
MAX_BLOBS_BYTES: Final = 256 * 1024
"""Of one NODE_RECORDS message, which may be larger only if it holds one blob."""
MAX_HASHES: Final = 256

_VERSION: Final = 1
_FLAG_KEM: Final = 0x01
_FIXED_BYTES: Final = 2 + 4 + 32
_LONGEST_CHAR: Final = 4
_OTHER_BYTES: Final = 512
"""More than everything else in a body."""


class NodeRecord(msgspec.Struct, frozen=True):
    """What a node says about itself, beside its beacon."""

    name: str
    """A claim, which any node of the mesh can make."""
    capabilities: tuple[str, ...]
    """Sorted, none twice."""
    prekey_number: int
    """What parcels for it say they are sealed to; never 0."""
    x25519: bytes
    """Prekey, 32 bytes."""
    kem_hash: bytes = b""
    """SHA-256 of its ML-KEM-768 prekey; empty = it has none."""
    wire_versions: tuple[int, ...] = (5,)
    """Ascending."""


# --- Bodies --------------------------------------------------------------------------------------


def encode_node_record(record: NodeRecord) -> bytes:
    """Return the body of a record.

    Raises:
        ConfigError: the name or a capability is not usable, or all of them are too much.
        ValueError: a field has another size; a bug of ours.
    """
    check_name(record.name)
    capabilities = sorted(set(record.capabilities))
    for capability in capabilities:
        if not is_capability(capability):
            raise ConfigError(f"{capability!a} is not a capability", "use 1 to 256 characters")
    if len(record.x25519) != HASH_BYTES or len(record.kem_hash) not in (0, HASH_BYTES):
        raise ValueError("not a node record that can be written")
    versions = bytes(sorted(set(record.wire_versions)))
    name = record.name.encode()
    body = b"".join(
        (
            bytes((_VERSION, _FLAG_KEM if record.kem_hash else 0)),
            record.prekey_number.to_bytes(4, "big"),
            record.x25519,
            record.kem_hash,
            bytes((len(versions),)) + versions,
            bytes((len(name),)) + name,
            varint(len(capabilities)),
            *(varint(len(text)) + text for text in map(str.encode, capabilities)),
        )
    )
    if len(body) > MAX_BODY_BYTES or len(capabilities) > MAX_CAPABILITIES:
        raise ConfigError(
            f"{len(capabilities)} capabilities of together {len(body)} bytes are too much",
            f"advertise at most {MAX_CAPABILITIES}, of together {MAX_BODY_BYTES} bytes",
        )
    return body


def decode_node_record(body: bytes) -> NodeRecord:
    """Take the body of a record apart; its size is checked first.

    Raises:
        RemoteProtocolError: TOO_LARGE; BAD_BODY: not as we would write it, or a version, name or
            capability that cannot be.
    """
    if len(body) > MAX_BODY_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"a node record of {len(body)} bytes")
    try:
        return _decode(body)
    except IndexError as error:
        raise _bad("cut off") from error
    except UnicodeDecodeError as error:
        raise _bad("a text that is none") from error
    except ConfigError as error:
        raise _bad("a name that no node may have") from error


def _decode(body: bytes) -> NodeRecord:
    if len(body) < _FIXED_BYTES:
        raise _bad("cut off")
    version, flags = body[0], body[1]
    number = int.from_bytes(body[2:6], "big")
    if version != _VERSION or flags & ~_FLAG_KEM or not number:
        raise _bad(f"version {version}, flags {flags:#04x}, prekey {number}")
    at = _FIXED_BYTES
    kem_hash, at = _take(body, at, HASH_BYTES if flags & _FLAG_KEM else 0)
    versions, at = _take(body, at + 1, body[at])
    if not _ascend(versions):
        raise _bad("wire versions that do not ascend")
    name, at = _take(body, at + 1, body[at])
    if len(name) > MAX_NAME_BYTES:
        raise _bad("a name that is too long")
    capabilities, at = _capabilities(body, at)
    if at != len(body):
        raise _bad("bytes after its end")
    return NodeRecord(
        name=check_name(name.decode()),
        capabilities=capabilities,
        prekey_number=number,
        x25519=body[6:_FIXED_BYTES],
        kem_hash=kem_hash,
        wire_versions=tuple(versions),
    )


def _capabilities(body: bytes, at: int) -> tuple[tuple[str, ...], int]:
    count, at = take_varint(body, at)
    if count > MAX_CAPABILITIES:
        raise _bad(f"{count} capabilities")
    found = []
    for _ in range(count):
        size, at = take_varint(body, at)
        if size > _LONGEST_CHAR * MAX_CAPABILITY_CHARS:
            raise _bad("a capability that is too long")
        text, at = _take(body, at, size)
        found.append(text.decode())
    if not all(map(is_capability, found)) or not _ascend(found):
        raise _bad("capabilities that cannot be, or do not ascend")
    return tuple(found), at


def is_capability(text: str) -> bool:
    """Tell whether a record may list a capability: 1 to 256 characters, no control characters."""
    return 0 < len(text) <= MAX_CAPABILITY_CHARS and not any(map(_is_control, text))


def _is_control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


def fitting(capabilities: Iterable[str]) -> tuple[str, ...]:
    """Return the capabilities that a record can list, sorted: as many as there is room for."""
    listed: list[str] = []
    room = MAX_BODY_BYTES - _OTHER_BYTES
    for text in sorted(set(capabilities)):
        size = len(text.encode(errors="replace")) + 2
        if is_capability(text) and size <= room and len(listed) < MAX_CAPABILITIES:
            listed.append(text)
            room -= size
    return tuple(listed)


def _ascend(values: Sequence[str] | Sequence[int]) -> bool:
    return all(one < other for one, other in pairwise(values))  # type: ignore[operator]


# --- Asking and answering ------------------------------------------------------------------------


def encode_blobs(blobs: Iterable[bytes]) -> bytes:
    """Return the payload of NODE_RECORDS."""
    return b"".join(part for blob in blobs for part in (varint(len(blob)), blob))


def share_out_blobs(blobs: Iterable[bytes]) -> list[bytes]:
    """Return the payloads of as many NODE_RECORDS as are needed."""
    shares: list[list[bytes]] = []
    size = 0
    for blob in blobs:
        is_full = len(shares[-1]) == MAX_BLOBS if shares else True
        if is_full or size + len(blob) + 4 > MAX_BLOBS_BYTES:
            shares.append([])
            size = 0
        shares[-1].append(blob)
        size += len(blob) + 4
    return [encode_blobs(share) for share in shares]


def decode_blobs(payload: bytes) -> tuple[bytes, ...]:
    """Return what NODE_RECORDS holds: bodies and ML-KEM keys, told apart by who asked for them.

    Raises:
        RemoteProtocolError: TOO_LARGE: more than was asked for can be; BAD_BODY: malformed.
    """
    if len(payload) > MAX_BLOBS_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"node records of {len(payload)} bytes")
    blobs: list[bytes] = []
    at = 0
    try:
        while at < len(payload):
            size, at = take_varint(payload, at)
            if not size or size > MAX_BODY_BYTES or len(blobs) == MAX_BLOBS:
                raise _bad("an empty or too large one, or too many")
            blob, at = _take(payload, at, size)
            blobs.append(blob)
    except IndexError as error:
        raise _bad("cut off") from error
    if not blobs:
        raise _bad("none")
    return tuple(blobs)


def encode_hashes(hashes: Iterable[bytes]) -> bytes:
    """Return the payload of RECORD_REQUEST; at most 256 hashes fit."""
    return b"".join(hashes)


def decode_hashes(payload: bytes) -> tuple[bytes, ...]:
    """Return what a RECORD_REQUEST asks for.

    Raises:
        RemoteProtocolError: TOO_LARGE, or BAD_BODY: not 1 to 256 hashes.
    """
    if len(payload) > MAX_HASHES * HASH_BYTES:
        raise RemoteProtocolError(Refusal.TOO_LARGE, f"a request of {len(payload)} bytes")
    if not payload or len(payload) % HASH_BYTES:
        raise _bad("a request that is cut off")
    return tuple(payload[at : at + HASH_BYTES] for at in range(0, len(payload), HASH_BYTES))


def is_kem_key(blob: bytes) -> bool:
    """Tell whether a blob has the size of an ML-KEM-768 key."""
    return len(blob) == KEM_PUBLIC_BYTES


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(data):
        raise _bad("cut off")
    return data[at:end], end


def _bad(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(Refusal.BAD_BODY, f"a malformed node record: {what}")
