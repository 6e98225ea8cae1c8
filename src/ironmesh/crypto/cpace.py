"""CPace over X25519 with SHA-512, initiator-responder (draft-irtf-cfrg-cpace, CPACE-X25519-SHA512).

The map to the curve sees the passphrase, so it must not leak through its timing: libsodium does it
on the Edwards form of the curve. Its map multiplies by the cofactor, so the scalar is divided by 8:
a clamped scalar is a multiple of 8, and the share is the draft's.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from nacl import bindings
from nacl.exceptions import RuntimeError as _NaclRuntimeError
from nacl.exceptions import ValueError as _NaclValueError

from ironmesh.crypto.sodium import CryptoError
from ironmesh.types import Random, Secret

SHARE_BYTES: Final = 32
SCALAR_BYTES: Final = 32
ISK_BYTES: Final = 64

_DSI: Final = b"CPace255"
_DSI_ISK: Final = b"CPace255_ISK"
_HASH_BLOCK_BYTES: Final = 128
_COFACTOR_BITS: Final = 3
_P: Final = 2**255 - 19
_FAILURES: Final = (_NaclRuntimeError, _NaclValueError)


class Share(msgspec.Struct, frozen=True):
    """One side's half of an exchange: used once."""

    scalar: Secret
    """32 bytes as drawn; clamped where it is used (RFC 7748)."""
    public: bytes
    """What the peer gets, 32 bytes."""


class Transcript(msgspec.Struct, frozen=True):
    """What both sides must agree on for their keys to be the same."""

    sid: bytes
    initiator_share: bytes
    initiator_data: bytes
    responder_share: bytes
    responder_data: bytes


def make_share(prs: Secret, ci: bytes, sid: bytes, random: Random) -> Share:
    """Return a new share.

    Args:
        prs: what the passphrase became.
        ci: channel identifier; the same on both sides.
        sid: session id; the same on both sides.

    Raises:
        CryptoError: the generator has low order; no known input leads there.
    """
    scalar = random(SCALAR_BYTES)
    return Share(Secret(scalar), _share_of(scalar, prs.reveal(), ci, sid))


def session_key(share: Share, peer_share: bytes, transcript: Transcript) -> bytes:
    """Return the intermediate session key, 64 bytes.

    Raises:
        CryptoError: the peer's share has low order, or is not 32 bytes.
    """
    secret_point = _shared_point(share.scalar.reveal(), peer_share)
    hashed = hashlib.sha512(lv_cat(_DSI_ISK, transcript.sid, secret_point))
    hashed.update(lv_cat(transcript.initiator_share, transcript.initiator_data))
    hashed.update(lv_cat(transcript.responder_share, transcript.responder_data))
    return hashed.digest()


def lv_cat(*parts: bytes) -> bytes:
    """Return the parts, each after its length in LEB128 (the draft's `lv_cat`)."""
    return b"".join(_leb128(len(part)) + part for part in parts)


def generator_string(prs: bytes, ci: bytes, sid: bytes) -> bytes:
    """Return what is hashed to a generator; the secret fills the hash's first block alone."""
    used = len(lv_cat(_DSI, prs))
    zeros = bytes(max(0, _HASH_BLOCK_BYTES - 1 - used))
    return lv_cat(_DSI, prs, zeros, ci, sid)


def _share_of(scalar: bytes, prs: bytes, ci: bytes, sid: bytes) -> bytes:
    hashed = hashlib.sha512(generator_string(prs, ci, sid)).digest()[:SHARE_BYTES]
    try:
        eightfold = bindings.crypto_core_ed25519_from_uniform(hashed)
        point = bindings.crypto_scalarmult_ed25519_noclamp(_clamped_eighth(scalar), eightfold)
    except _FAILURES as error:
        raise CryptoError("the passphrase leads to a generator of low order") from error
    return _montgomery(point)


def _shared_point(scalar: bytes, peer_share: bytes) -> bytes:
    if len(peer_share) != SHARE_BYTES:
        raise CryptoError("the peer's share is not 32 bytes")
    try:
        return bindings.crypto_scalarmult(scalar, peer_share)
    except _FAILURES as error:
        raise CryptoError("the peer's share has low order") from error


def _clamped_eighth(scalar: bytes) -> bytes:
    number = int.from_bytes(scalar, "little") & ((1 << 255) - 8) | 1 << 254
    return (number >> _COFACTOR_BITS).to_bytes(SCALAR_BYTES, "little")


def _montgomery(point: bytes) -> bytes:
    """Return u of an Edwards point; the share is public, so this need not hide its timing.

    libsodium would first check that the point has prime order, which takes longer than all else.
    """
    y = int.from_bytes(point, "little") % 2**255
    return ((1 + y) * pow(1 - y, -1, _P) % _P).to_bytes(SHARE_BYTES, "little")


def _leb128(number: int) -> bytes:
    if number <= 0x7F:
        return bytes((number,))
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
