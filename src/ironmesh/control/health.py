"""What to say first about a running node: what is well, and what needs a person."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from ironmesh.control.api import MAX_LIST, NodeState, OutboxView, PeerView
from ironmesh.delivery.records import OutboxState
from ironmesh.types import Refusal, WireKind

_REFUSED: Final = "refused."
_MOST_NAMES: Final = 5
_SHORT_ID: Final = 8
_TEXTS: Final = {
    Refusal.AUTH_FAILED: "could not prove the passphrase: compare it on both machines",
    Refusal.BLOCKED: "came from a blocked peer: see ironmesh trust list",
    Refusal.CERTIFICATE_CHANGED: "showed another certificate than before: see ironmesh trust list",
    Refusal.CLOCK_SKEW: "were too old or from the future: set the clocks of both machines",
    Refusal.DOWNGRADED: "came on the 0.8 wire and speak ours: somebody may be in the middle",
    Refusal.IDENTITY_CHANGED: "used a known name with another key: see ironmesh trust list",
    Refusal.LEGACY_REFUSED: "spoke the 0.8 wire, which is off for them: see --legacy",
    Refusal.LIMIT: "went over a limit",
    Refusal.LOCKED_OUT: "came from an address with too many failed proofs: wait five minutes",
    Refusal.NOT_ALLOWED: "are not in the list of allowed peers: see --allowed-peers",
    Refusal.REFLECTED: "were our own traffic, sent back",
    Refusal.REPLAY: "were repeated",
    Refusal.REVOKED: "came from a revoked key",
    Refusal.SOURCE_FORGED: "claimed to come from somebody else",
    Refusal.TRUST_FILE: "could not be judged: run ironmesh doctor",
    Refusal.UNEXPECTED_IDENTITY: "were answered by another node than expected",
    Refusal.VERSION_TOO_OLD: "spoke an old version: see --min-protocol-version",
}
"""Refusals that a person should know of; the others are everyday noise."""


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    """It could not be looked at."""


class HealthLine(msgspec.Struct, frozen=True):
    """One thing to know about a node."""

    check: str
    """Stable short name."""
    level: Level
    text: str


def health(
    state: NodeState, peers: Sequence[PeerView], waiting: Sequence[OutboxView]
) -> list[HealthLine]:
    """Return what to say about a running node, in the order in which to say it.

    Args:
        waiting: its messages that have not ended.
    """
    return [
        _listening(state),
        *(HealthLine("posture", Level.WARN, text) for text in state.warnings),
        _discovery(state),
        _peers(peers),
        *_unverified(peers),
        _waiting(waiting),
        *_refusals(state),
    ]


def _listening(state: NodeState) -> HealthLine:
    if not state.listening:
        return HealthLine("listening", Level.FAIL, "it listens nowhere: start it again")
    scheme, level = ("wss", Level.OK) if state.is_tls else ("ws", Level.WARN)
    where = ", ".join(f"{scheme}://{endpoint}" for endpoint in state.listening)
    text = f"listening on {where}"
    return HealthLine("listening", level, text if state.is_tls else f"{text}, without TLS")


def _discovery(state: NodeState) -> HealthLine:
    if state.is_mdns_on:
        return HealthLine("mdns", Level.OK, "announced by mDNS, and looking for others")
    return HealthLine("mdns", Level.OK, "mDNS is off: only addresses of --peer are dialled")


def _peers(peers: Sequence[PeerView]) -> HealthLine:
    direct = [peer for peer in peers if peer.hops == 1]
    online = sum(peer.is_online for peer in direct)
    if not direct:
        return HealthLine("peers", Level.WARN, "no peer was online since the start")
    level = Level.OK if online else Level.WARN
    far = len(peers) - len(direct)
    more = f", {far} more over other nodes" if far else ""
    return HealthLine("peers", level, f"{online} of {len(direct)} peers online{more}")


def _unverified(peers: Sequence[PeerView]) -> list[HealthLine]:
    """Name the peers that somebody could pose as: the 0.8 handshake does not keep that out."""
    names = sorted(
        peer.name or peer.node_id[:_SHORT_ID]
        for peer in peers
        if is_legacy_marked(peer) and not peer.is_verified
    )
    if not names:
        return []
    text = f"{_some(names)} on the 0.8 wire: compare fingerprints with ironmesh trust verify PEER"
    return [HealthLine("unverified", Level.WARN, text)]


def is_legacy_marked(peer: PeerView) -> bool:
    """Tell whether a peer has a session of the 0.8 wire where that is the exception."""
    return peer.is_online and peer.wire == WireKind.LEGACY.value


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")


def _waiting(waiting: Sequence[OutboxView]) -> HealthLine:
    if not waiting:
        return HealthLine("outbox", Level.OK, "no message waits")
    count = f"{MAX_LIST} or more" if len(waiting) >= MAX_LIST else str(len(waiting))
    wait = "message waits" if len(waiting) == 1 else "messages wait"
    names = sorted({message.name or message.node_id[:_SHORT_ID] for message in waiting})
    whom = _some(names)
    held = sum(message.state == OutboxState.HELD for message in waiting)
    if held:
        text = f"{count} {wait} for {whom}; {held} held there: see ironmesh outbox list"
        return HealthLine("outbox", Level.WARN, text)
    return HealthLine("outbox", Level.OK, f"{count} {wait} for {whom}")


def _refusals(state: NodeState) -> list[HealthLine]:
    lines = []
    for reason, text in _TEXTS.items():
        count = state.counters.get(_REFUSED + reason.value, 0)
        if count:
            said = f"{count} refused since the start ({reason.value}): they {text}"
            lines.append(HealthLine(f"refused.{reason.value}", Level.WARN, said))
    return lines
