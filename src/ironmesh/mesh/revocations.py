"""Which identities have ended, and telling everybody. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from ironmesh.crypto import prehash
from ironmesh.crypto.identity import Identity
from ironmesh.types import NodeId
from ironmesh.wire.native.revocations import MAX_REVOCATIONS, Revocation, signed_text


class Tell(NamedTuple):
    """Hand revocations to a neighbour, as one message."""

    peer: NodeId
    revocations: tuple[Revocation, ...]


class Revoked(NamedTuple):
    """An identity has ended: its holder, or an authority, says so."""

    node_id: NodeId
    signer: NodeId


RevocationAction = Tell | Revoked


class RevocationLimits(msgspec.Struct, frozen=True):
    """How many are kept of nodes that are not pinned, and that no authority revoked."""

    total: int = 4096
    from_one_neighbour: int = 1024


def make_revocation(signer: Identity, revoked: bytes, time_s: int) -> Revocation:
    """Return the signed end of an identity.

    Args:
        signer: the identity itself, or an authority.
        revoked: Ed25519 key, 32 bytes.
        time_s: seconds since 1970.

    Source: docs/protocol-mesh.md, "Revocations".
    """
    unsigned = Revocation(revoked, signer.public, time_s)
    return msgspec.structs.replace(unsigned, signature=signer.sign_prehashed(signed_text(unsigned)))


def check_revocation(revocation: Revocation) -> bool:
    """Tell whether the signer that a revocation names signed it; not whether it may."""
    return prehash.verify(revocation.signer, signed_text(revocation), revocation.signature)


class RevocationBook:
    """All revocations that this node believes; none is ever dropped.

    Args:
        authorities: the nodes that may revoke others.
        is_pinned: says of which nodes a revocation always finds room.
    """

    def __init__(
        self,
        authorities: Collection[NodeId],
        is_pinned: Callable[[NodeId], bool],
        limits: RevocationLimits | None = None,
    ) -> None:
        self._authorities = frozenset(authorities)
        self._is_pinned = is_pinned
        self._limits = limits or RevocationLimits()
        self._kept: dict[NodeId, Revocation] = {}
        self._peers: set[NodeId] = set()
        self._charged: dict[NodeId, int] = {}
        self.counters: dict[str, int] = {}
        """What was not taken, by reason."""

    def __contains__(self, node_id: NodeId) -> bool:
        return node_id in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def signer_of(self, node_id: NodeId) -> NodeId | None:
        """Return who ended an identity; None = nobody did."""
        revocation = self._kept.get(node_id)
        return None if revocation is None else revocation.signer_id

    @property
    def revocations(self) -> Sequence[Revocation]:
        """All that are kept: to save, and to give to `restore` at the next start."""
        return list(self._kept.values())

    def restore(self, revocations: Iterable[Revocation]) -> list[RevocationAction]:
        """Go on with what an earlier run kept; each is checked again."""
        return [action for each in revocations for action in self._take(each, None)]

    def link_up(self, peer: NodeId) -> list[RevocationAction]:
        """A native neighbour is to know all of them."""
        self._peers.add(peer)
        kept = list(self._kept.values())
        return [
            Tell(peer, tuple(kept[at : at + MAX_REVOCATIONS]))
            for at in range(0, len(kept), MAX_REVOCATIONS)
        ]

    def link_down(self, peer: NodeId) -> None:
        """A neighbour is gone."""
        self._peers.discard(peer)

    def add(self, revocation: Revocation) -> list[RevocationAction]:
        """Take a revocation of the operator of this node, and tell all neighbours."""
        return self._take(revocation, None)

    def heard(self, revocations: Iterable[Revocation], peer: NodeId) -> list[RevocationAction]:
        """A neighbour told of revocations: what is new and right goes on to the others."""
        return [action for each in revocations for action in self._take(each, peer)]

    def _take(self, revocation: Revocation, peer: NodeId | None) -> list[RevocationAction]:
        node_id = revocation.node_id
        if node_id in self._kept:
            return []
        is_own = revocation.signer == revocation.revoked
        is_authorised = revocation.signer_id in self._authorities
        if not is_own and not is_authorised:
            return self._refuse("not_authorised")
        if not check_revocation(revocation):
            return self._refuse("forged")
        if peer is not None and not is_authorised and not self._is_pinned(node_id):
            charged = self._charged.get(peer, 0)
            is_full = sum(self._charged.values()) >= self._limits.total
            if is_full or charged >= self._limits.from_one_neighbour:
                return self._refuse("no_room")
            self._charged[peer] = charged + 1
        self._kept[node_id] = revocation
        told: list[RevocationAction] = [Revoked(node_id, revocation.signer_id)]
        return told + [Tell(each, (revocation,)) for each in sorted(self._peers - {peer})]

    def _refuse(self, reason: str) -> list[RevocationAction]:
        self.counters[reason] = self.counters.get(reason, 0) + 1
        return []
