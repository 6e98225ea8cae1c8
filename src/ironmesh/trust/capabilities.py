"""The hash of a set of capabilities, by which a change of the set is noticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ironmesh.crypto import sodium

_PREFIX: Final = b"ironmesh-cap-hash-v1:"


def canonical_capability_hash(capabilities: Iterable[str]) -> str:
    """Return 64 hex digits that are the same for every order and repetition of the tokens.

    Source: wire specification, section 10.6.
    """
    tokens = sorted({token.strip() for token in capabilities} - {""})
    return sodium.sha256(_PREFIX + "\n".join(tokens).encode()).hex()
