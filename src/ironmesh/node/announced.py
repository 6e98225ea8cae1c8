"""What becomes of a node that discovery found: it is dialled, or people are told why not."""

from __future__ import annotations

from typing import Final

from ironmesh.discovery.policy import Decision, DialPolicy
from ironmesh.discovery.record import FoundPeer
from ironmesh.node.events import EventBus, Notice
from ironmesh.node.traffic_entry import TrafficEntry
from ironmesh.types import WireKind

MAX_TOLD: Final = 256
"""Announced nodes that people are told of; of more they are not."""


class Announced:
    """Judges announcements by the operator's policy.

    Args:
        traffic: made for the first node that is to be dialled.
    """

    def __init__(self, policy: DialPolicy, events: EventBus, traffic: TrafficEntry) -> None:
        self._policy = policy
        self._events = events
        self._traffic = traffic
        self._told: set[str] = set()

    def found(self, peer: FoundPeer) -> None:
        """Discovery found a node."""
        decision = self._policy.decide_found(peer, is_online=False)
        if decision is Decision.IGNORE_DEFAULT_DENY:
            self._tell_denied(peer)
        if decision not in (Decision.DIAL_NOW, Decision.DIAL_AFTER_WAIT):
            return
        if peer.wire is WireKind.LEGACY:
            self._tell_legacy(peer)
        else:
            self._traffic.follow(peer, waits_for_call=decision is Decision.DIAL_AFTER_WAIT)

    def lost(self, key: str) -> None:
        """Discovery no longer sees a node."""
        self._traffic.lost(key)

    def _tell_denied(self, peer: FoundPeer) -> None:
        name = peer.name or "NAME"
        who = peer.name or f"a node of this mesh at {peer.endpoints[0]}"
        self._tell(
            peer.key, f"found {who}, not dialled: add --allowed-peers {name}, or --open-discovery"
        )

    def _tell_legacy(self, peer: FoundPeer) -> None:
        if not self._traffic.is_following(peer.endpoints):
            self._tell(
                peer.key,
                f"found {peer.name} on the 0.8 wire, on which no announced address is dialled: "
                f"add --peer {peer.endpoints[0]}",
            )

    def _tell(self, about: str, text: str) -> None:
        """Tell people something, once about each announced node."""
        if about not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(about)
            self._events.publish(Notice(text))
