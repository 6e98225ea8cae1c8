"""Nodes of the 0.8 wire that stand behind a bridge, as the bridge says it in its capabilities.

    legacy:<Ed25519 key, 64 hex digits>[:<name>]

A bridge says so of its direct published neighbours only, while their sessions live: what it hears
of nodes farther away would come back to it in circles. The key belongs to the node's id, which is
its hash, so a bridge cannot lie about it, and whoever reads it can seal to the node. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ironmesh.crypto.identity import node_id_of
from ironmesh.mesh.capabilities import MAX_CAPABILITY_CHARS
from ironmesh.types import NodeId

PREFIX: Final = "legacy:"
PATTERN: Final = PREFIX + "*"
MAX_BEHIND_ONE: Final = 256
"""Nodes that one bridge may speak of."""

_TOKEN: Final = re.compile(r"legacy:([0-9a-f]{64})(?::(.*))?", re.DOTALL)


class Behind(NamedTuple):
    """A node of the 0.8 wire, and how it is reached."""

    bridge: NodeId
    public: bytes
    """Its Ed25519 key, 32 bytes."""
    name: str
    """As the bridge knows it: a claim."""


def token(public: bytes, name: str) -> str:
    """Return the capability by which a bridge says that this node stands behind it."""
    text = f"{PREFIX}{public.hex()}"
    named = f"{text}:{name}"
    return named if name and name.isprintable() and len(named) <= MAX_CAPABILITY_CHARS else text


def read(tokens: Iterable[tuple[NodeId, str]], hops: Mapping[NodeId, int]) -> dict[NodeId, Behind]:
    """Return who stands behind whom; of several bridges the nearest one counts.

    Args:
        tokens: capabilities, each with the node that says so.
        hops: how far away the bridges are; what is not in it is far away.
    """
    found: dict[NodeId, Behind] = {}
    counts: dict[NodeId, int] = {}
    for bridge, text in tokens:
        match = _TOKEN.fullmatch(text)
        counts[bridge] = counts.get(bridge, 0) + 1
        if match is None or counts[bridge] > MAX_BEHIND_ONE:
            continue
        public = bytes.fromhex(match[1])
        node_id = node_id_of(public)
        known = found.get(node_id)
        if known is None or _distance(bridge, hops) < _distance(known.bridge, hops):
            found[node_id] = Behind(bridge, public, match[2] or "")
    return found


def _distance(bridge: NodeId, hops: Mapping[NodeId, int]) -> tuple[int, NodeId]:
    return hops.get(bridge, 1 << 16), bridge
