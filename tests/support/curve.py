"""Curve25519 in big integers, slowly and from the formulas: a second opinion for tests."""

from __future__ import annotations

P = 2**255 - 19
A = 486662
NON_SQUARE = 2


def elligator2(encoded: bytes) -> bytes:
    """Map 32 bytes (255 bits count) to a Montgomery u-coordinate (RFC 9380, section 6.7.1)."""
    r = int.from_bytes(encoded, "little") % 2**255 % P
    first = -A * pow(1 + NON_SQUARE * r * r, -1, P) % P
    value = (pow(first, 3, P) + A * first * first + first) % P
    is_square = pow(value, (P - 1) // 2, P) in (0, 1)
    u = first if is_square else (-first - A) % P
    return u.to_bytes(32, "little")
