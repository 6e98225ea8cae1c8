"""Fingerprints for people: a node id as 12 words, which can be read out, and as hex digits.

Twelve words of a list of 2048 carry 132 bits: the 128 of the node id, and 4 by which most slips of
the tongue are noticed.

Source: BIP-39, English list.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from ironmesh.errors import TrustError
from ironmesh.types import NodeId, is_node_id

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS: Final = 12

_GROUP: Final = 4
_BETWEEN: Final = re.compile(r"[\s,.:;_-]+")


def words_of(node_id: NodeId) -> str:
    """Return the 12 words of a fingerprint, with a space between."""
    return _list().to_mnemonic(bytes.fromhex(node_id))


def digits_of(node_id: NodeId) -> str:
    """Return the 32 hex digits of a fingerprint in groups of four."""
    return " ".join(node_id[start : start + _GROUP] for start in range(0, len(node_id), _GROUP))


def read_fingerprint(text: str) -> NodeId:
    """Return the node id of a fingerprint that a person gave, in words or in hex digits.

    Case, and what stands between words or groups of digits, do not matter.

    Raises:
        TrustError: it is neither, or a word is wrong.
    """
    parts = [part for part in _BETWEEN.split(text.lower()) if part]
    digits = "".join(parts)
    if is_node_id(digits):
        return NodeId(digits)
    if len(parts) != WORDS:
        raise TrustError(
            f"{len(parts)} words or groups are no fingerprint",
            f"give all {WORDS} words, or all 32 hex digits",
        )
    words = _list()
    unknown = [part for part in parts if part not in words.wordlist]
    if unknown:
        raise TrustError(
            f"{', '.join(map(repr, unknown))} is none of the words", "ask for it once more"
        )
    try:
        return NodeId(bytes(words.to_entropy(parts)).hex())
    except ValueError as error:
        raise TrustError(
            "one of the words is wrong, or they are in another order", "ask for them once more"
        ) from error


@functools.cache
def _list() -> Mnemonic:
    from mnemonic import Mnemonic

    return Mnemonic("english")
