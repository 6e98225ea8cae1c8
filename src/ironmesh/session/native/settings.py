"""What every native handshake and channel of one node needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from ironmesh.crypto import hybrid
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.meshkey import GENERATIONS, MESH_SECRET_BYTES
from ironmesh.errors import LocalProtocolError
from ironmesh.session.native.exchange import Encapsulate
from ironmesh.session.native.tickets import Tickets
from ironmesh.types import Instant, Random, Secret
from ironmesh.wire.native.handshake import Statement

FIRST_MESSAGE_TIMEOUT_S: Final = 5.0
"""How long a responder waits for the first message."""
MESSAGE_TIMEOUT_S: Final = 10.0
"""How long each side waits for every other message of the handshake."""
SLOW_TIMEOUT_S: Final = 60.0
"""The same for every message on a slow link."""

_MAX_CLOCK_MS: Final = 2**48 - 1


def no_record() -> int:
    """Say that this node has no node record."""
    return 0


class NativeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Made once for each node and shared by all its native handshakes and channels.

    A change of passphrase makes new ones, and drops all tickets.
    """

    identity: Identity
    name: str
    prs: Mapping[int, Secret]
    """What each accepted passphrase became (32 bytes), by generation: one, or two while a mesh
    changes it. This node proves the newest."""
    random: Random
    tickets: Tickets = msgspec.field(default_factory=Tickets)
    features: int = 0
    record_sequence: Callable[[], int] = no_record
    """Of the own node record, as of now."""
    requires_pq: bool = False
    """Refuse sessions that a quantum computer could open later: profile `radio`."""
    rekey_interval_s: float = 600.0
    """Seconds after which a channel in use changes its keys."""
    encapsulate: Encapsulate = hybrid.encapsulate

    def __post_init__(self) -> None:
        if len(self.prs) not in (1, 2) or not all(0 <= gen < GENERATIONS for gen in self.prs):
            raise LocalProtocolError("a node accepts one passphrase, or two, numbered 0 to 255")
        if any(len(secret) != MESH_SECRET_BYTES for secret in self.prs.values()):
            raise LocalProtocolError("a mesh secret is 32 bytes")

    @property
    def generation(self) -> int:
        """The newest generation; after 255 comes 0."""
        first, *others = self.prs
        second = others[0] if others else first
        return first if (first - second) % GENERATIONS < GENERATIONS // 2 else second

    def statement(self, now: Instant) -> Statement:
        """Return what this node says of itself."""
        return Statement(
            identity_public=self.identity.public,
            features=self.features,
            record_sequence=self.record_sequence(),
            clock_ms=min(max(0, int(now.wall * 1000)), _MAX_CLOCK_MS),
            name=self.name,
        )
