"""What discovery is told at its start: what to announce, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ironmesh.discovery.record import FoundPeer


@dataclass(frozen=True, slots=True)
class Announcement:
    """What this node says about itself."""

    service_type: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Observer:
    """Who is told; plain functions that return at once."""

    on_found: Callable[[FoundPeer], None]
    """A node announced itself, or announced something new; may have this node's own name."""
    on_lost: Callable[[str], None]
    """The node of this name withdrew, or can no longer be seen."""
    on_notice: Callable[[str], None]
    """Something that a person should know, in one line."""
