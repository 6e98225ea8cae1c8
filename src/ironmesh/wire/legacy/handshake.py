"""The JSON messages of the 0.8 handshake (wire specification, section 4), as typed structs."""

from __future__ import annotations

import binascii
import re
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ironmesh.errors import HandshakeError, RemoteProtocolError
from ironmesh.types import Refusal, Unit
from ironmesh.wire.json_text import compact
from ironmesh.wire.legacy import cjson
from ironmesh.wire.legacy.constants import (
    MAX_DEPTH,
    MAX_HANDSHAKE_BYTES,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    NONCE_BYTES,
)

WRONG_PASSPHRASE: Final = "Wrong passphrase"
LOCKED_OUT: Final = "Too many authentication failures. Try again later."
TOO_MANY_CONNECTIONS: Final = "Too many connections"
HELLO_CONTEXT: Final = b"ironmesh-sig-v1/hello\x00"
BOX_KEY_CONTEXT: Final = b"ironmesh-sig-v1/x25519-identity-binding\x00"

_Text = Annotated[str, Meta(max_length=MAX_TEXT_CHARS)]
_Name = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
_T = TypeVar("_T")


class _Base(msgspec.Struct, frozen=True, kw_only=True, rename={"from_id": "from"}):
    from_id: _Text | UnsetType = UNSET


class Challenge(_Base, frozen=True, tag_field="type", tag="PASSPHRASE_CHALLENGE"):
    """The server's first word: prove the passphrase over this nonce."""

    nonce: _Text
    """64 lowercase hex digits."""
    protocol_version: _Text = ""


class Proof(_Base, frozen=True, tag_field="type", tag="PASSPHRASE_CHALLENGE"):
    """The client's answer; the type name is the challenge's."""

    proof: _Text = ""
    """HMAC-SHA256 of the nonce under the passphrase, lowercase hex."""


class Verified(_Base, frozen=True, tag_field="type", tag="PASSPHRASE_VERIFIED"):
    """The server accepts the proof and gives its own."""

    status: _Text = "verified"
    server_proof: _Text = ""
    """HMAC-SHA256 of the nonce in reverse byte order, lowercase hex."""


class Rejected(_Base, frozen=True, tag_field="type", tag="PASSPHRASE_REJECTED"):
    """The server refuses: wrong proof, wrong message, or lockout."""

    error: str = ""


class RateLimited(_Base, frozen=True, tag_field="type", tag="RATE_LIMITED"):
    """The server takes no more connections for now."""

    error: str = ""


class Failure(_Base, frozen=True, tag_field="type", tag="ERROR"):
    """The server refuses the HELLO."""

    error: str = ""
    code: _Text = ""


class Hello(_Base, frozen=True, tag_field="type", tag="HELLO"):
    """Identity and ephemeral key of one side, signed."""

    name: _Name = ""
    ephemeral_public: _Text = ""
    identity_public: _Text = ""
    protocol_version: _Text = ""
    channel_binding: _Text = ""
    signature: str = ""
    x25519_public_b64: _Text | UnsetType = UNSET
    x25519_binding_signature_b64: _Text | UnsetType = UNSET


class Unexpected(msgspec.Struct, frozen=True):
    """A message of a type that this side of a handshake never gets."""

    type: _Text


FromServer = Challenge | Verified | Rejected | RateLimited | Failure | Hello | Unexpected
FromClient = Proof | Hello | Unexpected

_HEAD: Final = msgspec.json.Decoder(Unexpected)
_FROM_SERVER: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "PASSPHRASE_CHALLENGE": msgspec.json.Decoder(Challenge),
    "PASSPHRASE_VERIFIED": msgspec.json.Decoder(Verified),
    "PASSPHRASE_REJECTED": msgspec.json.Decoder(Rejected),
    "RATE_LIMITED": msgspec.json.Decoder(RateLimited),
    "ERROR": msgspec.json.Decoder(Failure),
    "HELLO": msgspec.json.Decoder(Hello),
}
_FROM_CLIENT: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "PASSPHRASE_CHALLENGE": msgspec.json.Decoder(Proof),
    "HELLO": msgspec.json.Decoder(Hello),
}


def encode(message: msgspec.Struct) -> str:
    """Return a handshake message as the text unit that carries it."""
    return cjson.encode(message).decode("ascii")


def decode_from_server(unit: Unit) -> FromServer:
    """Parse what a server says in a handshake.

    Raises:
        HandshakeError: too large, nested too deep, not JSON, or a member of a wrong type.
    """
    data = _bytes_of(unit)
    head = _decode(_HEAD, data)
    message: FromServer = _decode(_FROM_SERVER.get(head.type, _HEAD), data)
    return message


def decode_from_client(unit: Unit) -> FromClient:
    """Parse what a client says in a handshake; raises as `decode_from_server` does."""
    data = _bytes_of(unit)
    head = _decode(_HEAD, data)
    message: FromClient = _decode(_FROM_CLIENT.get(head.type, _HEAD), data)
    return message


def _bytes_of(unit: Unit) -> bytes:
    if len(unit) > MAX_HANDSHAKE_BYTES:
        raise HandshakeError(
            Refusal.PROTOCOL, f"a handshake message is larger than {MAX_HANDSHAKE_BYTES} bytes"
        )
    try:
        return unit.encode() if isinstance(unit, str) else unit
    except UnicodeEncodeError as error:
        raise HandshakeError(Refusal.PROTOCOL, "a handshake message is not UTF-8") from error


def _decode(decoder: msgspec.json.Decoder[_T], data: bytes) -> _T:
    try:
        return cjson.decode(
            decoder,
            data,
            "a handshake message",
            max_bytes=MAX_HANDSHAKE_BYTES,
            max_depth=MAX_DEPTH,
        )
    except RemoteProtocolError as error:
        raise HandshakeError(Refusal.PROTOCOL, error.what) from error


def canonical_hello(hello: Hello, channel_binding: str) -> bytes:
    """Return the bytes that a HELLO's signature covers (section 4.3).

    Args:
        channel_binding: the nonce, as hex text; a server puts the one that it issued.
    """
    return compact(
        {
            "channel_binding": channel_binding,
            "ephemeral_public": hello.ephemeral_public,
            "identity_public": hello.identity_public,
            "name": hello.name,
            "protocol_version": hello.protocol_version,
        }
    )


def to_base64(data: bytes) -> str:
    """Return canonical padded base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def from_base64(text: str) -> bytes | None:
    """Return the bytes of canonical padded base64, or None if it is spelled in any other way."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    return data if to_base64(data) == text else None


_NONCE: Final = re.compile(rf"[0-9a-f]{{{2 * NONCE_BYTES}}}")


def nonce_bytes(text: str) -> bytes | None:
    """Return the 32 bytes of a challenge's nonce, or None unless it is 64 lowercase hex digits."""
    return bytes.fromhex(text) if _NONCE.fullmatch(text) else None
