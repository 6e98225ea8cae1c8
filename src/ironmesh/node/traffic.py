"""Everything of a node that talks to peers or carries messages, put together.

It is made for the first peer or the first message: a node without either does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironmesh.config import LegacyMode
from ironmesh.delivery.records import Snapshot
from ironmesh.node.books import Books
from ironmesh.node.decisions import PeerDecisions
from ironmesh.node.dialer import Dialer
from ironmesh.node.entrance import Entrance
from ironmesh.node.gate import Gate
from ironmesh.node.mesh.entry import MeshEntry
from ironmesh.node.parts import Parts
from ironmesh.node.postoffice import PostOffice
from ironmesh.node.refusals import RefusalDesk, RefusedPeer
from ironmesh.node.sessions import Sessions
from ironmesh.node.welcome import Welcome
from ironmesh.node.wires import NodeWires
from ironmesh.types import Instant, MeshMode, NodeId, Refusal

if TYPE_CHECKING:
    from ironmesh.node.mesh.service import Mesh


class Traffic:
    """The post office of a node, its sessions, and whom it dials.

    Args:
        parts: what it is built on.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.desk = RefusalDesk(parts.counters, parts.journal, parts.events, parts.clock)
        self._books = Books(self.desk, parts.journal, parts.events)
        self.post = PostOffice(parts, self.desk)
        self.mesh = self._build_mesh()
        self.gate = Gate(self._turned_away, parts.clock)
        self.wires = NodeWires(
            parts.config,
            parts.identity,
            parts.mesh_secrets,
            trust=parts.trust,
            gate=self.gate,
            random=parts.random,
            clock=parts.clock,
        )
        self.sessions = self._build_sessions()
        if parts.config.legacy is not LegacyMode.OFF:
            self._build_tunnels()
        self.dialer = Dialer(
            transport=parts.transport,
            sessions=self.sessions,
            links=parts.links,
            policy=parts.policy,
            events=parts.events,
            tasks=parts.tasks,
            clock=parts.clock,
            random=parts.random,
            allow_plaintext=parts.config.allow_plaintext,
            may_begin_plain=parts.config.legacy is LegacyMode.OFF,
        )
        self.decisions = PeerDecisions(
            parts.identity,
            parts.config.revocation_authorities,
            trust=parts.trust,
            journal=parts.journal,
            links=parts.links,
            wires=self.wires,
            dialer=self.dialer,
            mesh=self.mesh,
            clock=parts.clock,
        )

    # --- Building ----------------------------------------------------------------------------

    def _build_mesh(self) -> MeshEntry | None:
        """Return the entry of the mesh; None where mesh routing is off."""
        if self._parts.config.mesh_routing is MeshMode.OFF:
            return None
        entry = MeshEntry(self._make_mesh)
        self.post.attach(entry)
        return entry

    def _make_mesh(self) -> Mesh:
        from ironmesh.node.mesh.service import Mesh

        parts = self._parts
        mesh = Mesh(
            parts.config,
            parts.identity,
            state=parts.mesh_state,
            links=parts.links,
            outgoing=self.post.outgoing,
            reader=self.post.inbound,
            capabilities=parts.capabilities.own,
            trust=parts.trust,
            bar=self._bar,
            books=self._books,
            tasks=parts.tasks,
            clock=parts.clock,
            random=parts.random,
            counters=parts.counters,
        )
        mesh.start()
        return mesh

    def _build_sessions(self) -> Sessions:
        parts = self._parts
        entrance = Entrance(
            welcome=Welcome(parts.config, parts.identity.node_id, parts.policy, parts.trust),
            trust=parts.trust,
            links=parts.links,
            gate=self.gate,
            books=self._books,
            clock=parts.clock,
        )
        return Sessions(
            wires=self.wires,
            entrance=entrance,
            links=parts.links,
            inbound=self.post.inbound,
            outgoing=self.post.outgoing,
            capabilities=parts.capabilities,
            legacy=self.post.legacy,
            gate=self.gate,
            books=self._books,
            tasks=parts.tasks,
            clock=parts.clock,
            watchers=() if self.mesh is None else (self.mesh,),
        )

    def _build_tunnels(self) -> None:
        from ironmesh.node.mesh.tunnels import Tunnels

        parts, side = self._parts, self.post.legacy.made()
        side.use(
            Tunnels(
                parts.identity,
                side.mesh,
                reach=side.reach,
                keys=side.keys,
                links=parts.links,
                gate=self.gate,
                sessions=self.sessions,
                refusals=self.desk,
                counters=parts.counters,
                clock=parts.clock,
                random=parts.random,
                tasks=parts.tasks,
                make_live=self.post.make_live,
                max_hops=parts.config.max_hops,
            )
        )

    # --- Life --------------------------------------------------------------------------------

    def start(self, snapshot: Snapshot, loaded: Instant) -> None:
        """Go on where the last run ended.

        Args:
            snapshot: what the store knew at `loaded`.
        """
        self.post.start(snapshot, loaded)

    async def hang_up(self, limit_s: float) -> None:
        """Dial nobody any more, and end every session.

        Args:
            limit_s: how long peers have to take our goodbye.
        """
        self.dialer.stop()
        await self.sessions.stop(limit_s)

    async def finish(self) -> None:
        """Let what is being committed be committed; links are down by now."""
        if self.mesh is not None:
            self.mesh.finish()
        await self.post.finish()

    # --- What happens in its parts -----------------------------------------------------------

    def refused(self, reason: Refusal, remote: str) -> None:
        """A connection ended before it was one."""
        self.desk.peer(reason, RefusedPeer(remote, is_outgoing=False), reason.value)

    def _turned_away(self, reason: Refusal, host: str) -> None:
        self.desk.peer(reason, RefusedPeer(host, is_outgoing=False), "turned away at the door")

    def _bar(self, node_id: NodeId, revoker: NodeId) -> None:
        self.decisions.bar(node_id, revoker)
