"""The chain of audit records: each is bound to the one before by a keyed hash.

A record is one line of JSON. Its `mac` is HMAC-SHA256 over the exact bytes of the line without the
`mac` member, and `prev`, inside those bytes, is the `mac` of the record before (64 zeros in the
first). So no byte can change, and no record can go, come or move, without a break that everybody
who has the key can see. Records cut off the end show against the head: the newest record that was
safely on disk, kept in a file of its own under the same key. Nothing here shows that somebody put
back an older copy of both files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ironmesh.crypto import sodium
from ironmesh.types import Secret

Detail = str | int | float | bool | None

MAX_LINE_BYTES: Final = 32 * 1024
MAX_DETAILS: Final = 16
MAX_DETAIL_CHARS: Final = 256

_LABEL: Final = "ironmesh audit v1"
_RECORD: Final = b"record\0"
_HEAD: Final = b"head\0"
_MAC_MEMBER: Final = b',"mac":"'
_TRAILER_BYTES: Final = len(_MAC_MEMBER) + 64 + len(b'"}\n')

_Mac = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, as it is bound into the chain."""

    seq: int
    """Counts up from 1."""
    ts: str
    """When, by the node's clock: ISO 8601, UTC."""
    event: str
    details: dict[str, Detail]
    prev: _Mac
    """The `mac` of the record before."""


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place in the chain: the number of a record and its `mac`."""

    seq: int
    entry: _Mac


START: Final = Mark(0, "0" * 64)
"""The place before the first record."""


class Restart(StrEnum):
    """Why the log was not as we left it, in the details of `CHAIN_RESTARTED`."""

    TORN = "torn"
    """The last line was cut short, as after a power failure; no record that was safe is lost."""
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    HEAD_MISSING = "head_missing"


def audit_key(data_key: Secret) -> Secret:
    """Derive the key of the chain from the node's data key (32 bytes)."""
    return Secret(sodium.derive(data_key.reveal(), _LABEL))


def bounded(details: dict[str, Detail]) -> dict[str, Detail]:
    """Return `details` as a record may hold them: at most 16, texts of at most 256 characters."""
    return {name: _short(value) for name, value in list(details.items())[:MAX_DETAILS]}


def _short(value: Detail) -> Detail:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 1 << 63:
        value = str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    value = str(value)
    if len(value) > MAX_DETAIL_CHARS:
        value = value[: MAX_DETAIL_CHARS - 1] + "…"
    return value.encode(errors="replace").decode()


def seal(record: Record, key: Secret) -> tuple[bytes, Mark]:
    """Return the line of a record, and its place in the chain."""
    body = msgspec.json.encode(record)
    mac = _mac(key, _RECORD, body)
    return _with_mac(body, mac), Mark(record.seq, mac)


def open_line(line: bytes, key: Secret) -> tuple[Record, Mark] | None:
    """Return the record of a line and its place; None unless it is, byte for byte, one of ours."""
    body = _without_mac(line, key, _RECORD)
    if body is None:
        return None
    try:
        record = msgspec.json.decode(body, type=Record)
    except msgspec.DecodeError:
        return None
    return record, Mark(record.seq, line[-67:-3].decode())


def seal_head(mark: Mark, key: Secret) -> bytes:
    """Return the content of the head file."""
    body = msgspec.json.encode(mark)
    return _with_mac(body, _mac(key, _HEAD, body))


def open_head(data: bytes, key: Secret) -> Mark | None:
    """Return the place that a head file names; None unless every byte is as it was written."""
    body = _without_mac(data, key, _HEAD)
    try:
        return None if body is None else msgspec.json.decode(body, type=Mark)
    except msgspec.DecodeError:
        return None


def _mac(key: Secret, kind: bytes, body: bytes) -> str:
    return sodium.hmac_sha256(key.reveal(), kind + body).hex()


def _with_mac(body: bytes, mac: str) -> bytes:
    return body[:-1] + _MAC_MEMBER + mac.encode() + b'"}\n'


def _without_mac(line: bytes, key: Secret, kind: bytes) -> bytes | None:
    if not _TRAILER_BYTES < len(line) <= MAX_LINE_BYTES:
        return None
    body = line[:-_TRAILER_BYTES] + b"}"
    return body if sodium.same(line, _with_mac(body, _mac(key, kind, body))) else None
