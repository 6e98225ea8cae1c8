"""Which of two sessions with the same peer stays. Pure, and decided alike at both ends.

A published node keeps the older session and refuses the newer one, so toward it we do the same.
Between our own nodes a newer session replaces an older one (the peer restarted, or its address
changed), except where both dialled at the same time: then the one that the smaller node id dialled
stays, whichever end looks. A session of its own goes before one through a tunnel.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from ironmesh.types import NodeId

CROSSING_WINDOW_S: Final = 10.0
"""Two sessions that began within this time of each other, dialled from opposite ends, crossed."""


class Keep(Enum):
    """The session that stays."""

    EXISTING = "existing"
    NEW = "new"


class SessionFacts(msgspec.Struct, frozen=True):
    """What arbitration needs to know of a session."""

    is_outgoing: bool
    established_mono: float
    is_ours: bool
    is_tunnel: bool = False
    """It goes over published relays."""


def arbitrate(
    existing: SessionFacts, new: SessionFacts, *, own_id: NodeId, peer_id: NodeId
) -> Keep:
    """Decide between the session that is up and one whose handshake just succeeded."""
    if not new.is_ours:
        return Keep.EXISTING
    if existing.is_tunnel != new.is_tunnel:
        return Keep.NEW if existing.is_tunnel else Keep.EXISTING
    have_crossed = (
        existing.is_outgoing != new.is_outgoing
        and abs(new.established_mono - existing.established_mono) < CROSSING_WINDOW_S
    )
    if not have_crossed:
        return Keep.NEW
    smaller_dials = own_id < peer_id
    return Keep.NEW if new.is_outgoing == smaller_dials else Keep.EXISTING
