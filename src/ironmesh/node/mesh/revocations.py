"""Identities that have ended: heard of, told to neighbours, and kept over a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.errors import IronMeshError, RemoteProtocolError, StoreError
from ironmesh.mesh.revocations import (
    RevocationAction,
    RevocationBook,
    Revoked,
    Tell,
    make_revocation,
)
from ironmesh.node.clock import Clock
from ironmesh.node.mesh import neighbours
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import in_thread
from ironmesh.observe.counters import Counters
from ironmesh.store.mesh_state import MeshState
from ironmesh.types import MessageType, NodeId
from ironmesh.wire.native.revocations import (
    MAX_REVOCATIONS,
    REVOCATION_BYTES,
    Revocation,
    decode_revocations,
    encode_revocations,
)

_log = logging.getLogger("ironmesh.node")

Bar = Callable[[NodeId, NodeId], None]
"""Refuses a node from now on, because another one (or itself) says so."""

_PART_BYTES: Final = MAX_REVOCATIONS * REVOCATION_BYTES


class Revocations:
    """Drives the book of revocations.

    Args:
        bar: is called for nodes that are pinned or have a session; of others the book knows.
        is_near: tells which those are.
    """

    def __init__(
        self,
        identity: Identity,
        config: NodeConfig,
        *,
        state: MeshState,
        tell: neighbours.Tell,
        bar: Bar,
        is_pinned: Callable[[NodeId], bool],
        is_near: Callable[[NodeId], bool],
        tasks: TaskSupervisor,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._identity = identity
        self._may_revoke = identity.node_id in config.revocation_authorities
        self._state = state
        self._tell = tell
        self._bar = bar
        self._is_near = is_near
        self._tasks = tasks
        self._clock = clock
        self._counters = counters
        self._book = RevocationBook(config.revocation_authorities, is_pinned)
        self._is_saving = False

    async def load(self) -> None:
        """Go on with what the last run kept."""
        try:
            kept = await in_thread(self._state.load_revocations) or b""
            parts = [kept[at : at + _PART_BYTES] for at in range(0, len(kept), _PART_BYTES)]
            known = [each for part in parts for each in decode_revocations(part)]
        except (StoreError, RemoteProtocolError) as error:
            _log.warning("the revocations of the last run are not used: %s", error)
            return
        self._run(self._book.restore(known))

    def link_up(self, peer: NodeId) -> bool:
        """A session with a neighbour began; False if it may not go on."""
        signer = self._book.signer_of(peer)
        if signer is not None:
            self._refuse(peer, signer)
            return False
        self._run(self._book.link_up(peer))
        return True

    def link_down(self, peer: NodeId) -> None:
        """The session with a neighbour ended."""
        self._book.link_down(peer)

    def received(self, peer: NodeId, body: bytes) -> None:
        """Take what a neighbour says.

        Raises:
            RemoteProtocolError: malformed.
        """
        before = sum(self._book.counters.values())
        self._run(self._book.heard(decode_revocations(body), peer))
        refused = sum(self._book.counters.values()) - before
        if refused:
            self._counters.add("mesh.revocations_refused", refused)

    def is_revoked(self, node_id: NodeId) -> bool:
        """Tell whether an identity has ended."""
        return node_id in self._book

    def revoke(self, public: bytes) -> bool:
        """Tell everybody that an identity has ended; False if nobody would believe us."""
        if not self._may_revoke and public != self._identity.public:
            return False
        now = self._clock.now()
        self._run(self._book.add(make_revocation(self._identity, public, int(now.wall))))
        return True

    def _run(self, actions: Iterable[RevocationAction]) -> None:
        is_new = False
        for action in actions:
            match action:
                case Tell(peer, revocations):
                    self._tell(peer, MessageType.REVOCATION, encode_revocations(revocations))
                case Revoked(node_id, signer):
                    is_new = True
                    self._counters.add("mesh.revocations")
                    if node_id == self._identity.node_id:
                        _log.warning("%s revoked this node: it needs a new identity", signer)
                    if self._is_near(node_id):
                        self._refuse(node_id, signer)
        if is_new and not self._is_saving:
            self._is_saving = True
            self._tasks.spawn(self._save(), name="revocations")

    def _refuse(self, node_id: NodeId, signer: NodeId) -> None:
        try:
            self._bar(node_id, signer)
        except (IronMeshError, OSError) as error:
            _log.warning("%s was revoked, and is not barred: %s", node_id, error)

    async def _save(self) -> None:
        self._is_saving = False
        kept: list[Revocation] = list(self._book.revocations)
        try:
            await in_thread(self._state.save_revocations, encode_revocations(kept))
        except StoreError as error:
            _log.warning("the revocations were not written: %s", error)
