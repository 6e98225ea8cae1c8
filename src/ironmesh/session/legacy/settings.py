"""What every 0.8 handshake and channel of one node needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ironmesh.crypto.identity import Identity
from ironmesh.session.legacy.nonces import NonceLedger
from ironmesh.types import NodeId, Random, Secret
from ironmesh.wire.legacy.constants import PROTOCOL_VERSION

NORMAL_CLOSURE: Final = 1000
MESSAGE_TIMEOUT_S: Final = 30.0
"""How long each side waits for the next handshake message."""
PING_INTERVAL_S: Final = 30.0
LIVENESS_TIMEOUT_S: Final = 90.0
"""A session in which nothing at all arrived for so long is over."""
REKEY_TIMEOUT_S: Final = 30.0
RETIRED_KEY_S: Final = 30.0
"""How long a replaced session key still opens what was on its way."""
KEY_CONFIRMATION_S: Final = 45.0
"""How long after a key change the first frame under the new key may take: more than one ping."""

PUBLISHED_FRAMES_PER_SECOND: Final = 18.0
"""Published nodes drop what exceeds 20; pings and answers of ours count too."""
PUBLISHED_FRAME_BURST: Final = 60
PONGS_PER_SECOND: Final = 1.0
PONG_BURST: Final = 10
REMEMBERED_IDS: Final = 2048


def knows_nobody(_source: NodeId) -> bytes | None:
    """Return no key for any originator: frames that came through a relay are refused."""
    return None


def nobody_is(_source: NodeId) -> bool:
    """Know no node that spoke our own wire."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacySettings:
    """Made once for each node and shared by all its 0.8 handshakes and channels."""

    identity: Identity
    name: str
    passphrase: Secret
    random: Random
    known_keys: Callable[[NodeId], bytes | None] = knows_nobody
    """The pinned Ed25519 public key (32 bytes) of an originator, to check what relays hand over."""
    is_native: Callable[[NodeId], bool] = nobody_is
    """Tells whether a node once spoke our own wire with us: it has no business on this one."""
    takes_transit: bool = False
    """Frames for other nodes are handed over, as `Transit`, and not refused."""
    min_version: str = "ironmesh/0.3"
    """Peers that state less are refused."""
    protocol_version: str = PROTOCOL_VERSION
    """What we state; from `ironmesh/0.9` on, signatures toward such peers carry a context."""
    rekey_interval_s: float = 1800.0
    """Seconds between key changes that we start; 0 = never."""
    nonces: NonceLedger = field(default_factory=NonceLedger)
    """Recent challenges of this node, in both roles: one of them must not come back to it."""
