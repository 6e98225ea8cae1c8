"""The live links of a node: at most one for each peer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ironmesh.node.arbitration import Keep, SessionFacts, arbitrate
from ironmesh.transport.interface import TUNNEL
from ironmesh.types import NodeId

if TYPE_CHECKING:
    from ironmesh.node.link import Link


def _facts(link: Link) -> SessionFacts:
    return SessionFacts(
        link.is_outgoing,
        link.established.mono,
        link.info.is_ours,
        link.connection_info.transport == TUNNEL,
    )


class LinkTable:
    """Knows which link leads to which peer."""

    def __init__(self, own_id: NodeId) -> None:
        self._own_id = own_id
        self._online: dict[NodeId, Link] = {}
        self._all: set[Link] = set()

    def add(self, link: Link) -> None:
        """Track a link from its acceptance on."""
        self._all.add(link)

    def would_stay(self, link_facts: SessionFacts, peer_id: NodeId) -> bool:
        """Tell whether a session with these facts would win over the one that is up."""
        existing = self._online.get(peer_id)
        if existing is None:
            return True
        return self._arbitrate(existing, link_facts, peer_id) is Keep.NEW

    def confirm(self, link: Link) -> Link | None:
        """Put a confirmed link up; return the link that has to go: another one, itself, or none."""
        existing = self._online.get(link.peer)
        if existing is link:
            return None
        if existing is not None and self._arbitrate(existing, _facts(link), link.peer) is (
            Keep.EXISTING
        ):
            return link
        self._online[link.peer] = link
        return existing

    def remove(self, link: Link) -> bool:
        """Forget an ended link; True if the peer has no link any more because of it."""
        self._all.discard(link)
        if self._online.get(link.peer) is not link:
            return False
        del self._online[link.peer]
        return True

    def promote(self, peer_id: NodeId) -> Link | None:
        """Put a spare link of a peer up, after the one that replaced it ended; None: there is none.

        Both ends may have disagreed for a moment which of two links stays.
        """
        heir = next(iter(self.spares(peer_id)), None)
        if heir is not None:
            heir.reinstate()
            self._online[peer_id] = heir
        return heir

    def spares(self, peer_id: NodeId) -> list[Link]:
        """Return the links of a peer that another one replaced, and that are still read."""
        return [link for link in self.of_peer(peer_id) if link.is_spare]

    def of_peer(self, peer_id: NodeId) -> list[Link]:
        """Return all links of a peer, also those that are coming up or going down."""
        return [link for link in self._all if link.peer == peer_id]

    def get(self, peer_id: NodeId) -> Link | None:
        """Return the link to a peer, if one is up."""
        return self._online.get(peer_id)

    def by_name(self, name: str) -> Link | None:
        """Return the link to the peer that calls itself `name`, if one is up."""
        return next((link for link in self._online.values() if link.info.peer_name == name), None)

    def is_online(self, peer_id: NodeId) -> bool:
        """Tell whether a link to this peer is up."""
        return peer_id in self._online

    def online(self) -> Iterator[Link]:
        """The links that are up, in the order in which they came up."""
        return iter(tuple(self._online.values()))

    def all(self) -> Iterator[Link]:
        """All links, also those that are coming up or going down."""
        return iter(tuple(self._all))

    def _arbitrate(self, existing: Link, new: SessionFacts, peer_id: NodeId) -> Keep:
        return arbitrate(_facts(existing), new, own_id=self._own_id, peer_id=peer_id)
