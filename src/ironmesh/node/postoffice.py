"""Everything of a node that has to do with messages, put together: from `send` to handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import Snapshot
from ironmesh.node.application_types import check_application_type
from ironmesh.node.inbound import Inbound, Names
from ironmesh.node.mailroom import Mailroom
from ironmesh.node.mesh.entry import MeshEntry
from ironmesh.node.mesh.legacy_entry import LegacyEntry
from ironmesh.node.outbound import LiveMessages, Outbound
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.parts import Parts
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.ways import Ways
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.types import Instant

if TYPE_CHECKING:
    from ironmesh.node.mesh.legacy_side import LegacySide


class PostOffice:
    """The outbox, the inbox, and the pipelines that lead to and from them and their store."""

    def __init__(self, parts: Parts, refusals: RefusalDesk) -> None:
        own_id = parts.identity.node_id
        links, trust, tasks = parts.links, parts.trust, parts.tasks
        clock, counters, events = parts.clock, parts.counters, parts.events
        live = LiveMessages(own_id, clock, parts.random)
        self.make_live = live.make
        self._capabilities = parts.capabilities
        self.ways = Ways(links)
        self.outgoing = Outgoing(
            Outbox(own_id, parts.random),
            parts.store,
            ways=self.ways,
            make_live=live.make,
            tasks=tasks,
            clock=clock,
            counters=counters,
            events=events,
            journal=parts.journal,
        )
        self.mailroom = Mailroom(
            Inbox(),
            parts.store,
            tell=self.outgoing.tell,
            name_of=Names(links, trust).of,
            tasks=tasks,
            clock=clock,
            counters=counters,
            events=events,
        )

        def make_legacy() -> LegacySide:
            from ironmesh.node.mesh.legacy_side import LegacySide

            return LegacySide(
                parts.config,
                parts.identity,
                links=links,
                trust=trust,
                outgoing=self.outgoing,
                ways=self.ways,
                make_live=live.make,
                tokens=parts.capabilities,
                finish=self.mailroom.finish,
                refusals=refusals,
                counters=counters,
                clock=clock,
                tasks=tasks,
            )

        self.legacy = LegacyEntry(make_legacy, tasks)
        self.ways.add(self.legacy.find)
        self.mailroom.sort_bridged(self.legacy.sort)
        self.inbound = Inbound(
            legacy=self.legacy,
            capabilities=parts.capabilities,
            outgoing=self.outgoing,
            mailroom=self.mailroom,
            counters=counters,
        )
        self.outbound = Outbound(
            own_id,
            links=links,
            ways=self.ways,
            trust=trust,
            outgoing=self.outgoing,
            live=live,
            counters=counters,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            check_type=check_application_type,
            check_way=self.legacy.check,
            behind_bridges=self.legacy.named,
        )

    def attach(self, mesh: MeshEntry) -> None:
        """Let messages go and come over other nodes, too."""
        self.ways.add(mesh.find)
        self.inbound.attach(mesh)
        self.outbound.attach(mesh)
        self._capabilities.attach(mesh)
        self.legacy.use_routes(mesh)

    def start(self, snapshot: Snapshot, loaded: Instant) -> None:
        """Go on where the last run ended.

        Args:
            snapshot: what the store knew at `loaded`.
        """
        self.outgoing.restore(snapshot, loaded)
        self.mailroom.start(snapshot, loaded)
        self.legacy.start()

    async def finish(self) -> None:
        """Let what is being committed be committed; links are down by now."""
        await self.outgoing.close()
        await self.mailroom.close()
