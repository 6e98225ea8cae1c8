"""Everything of a node that has to do with messages, put together: from `send` to handlers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.delivery.inbox import Inbox
from ironmesh.delivery.outbox import Outbox
from ironmesh.delivery.records import DeliveryStore
from ironmesh.delivery.upkeep import Upkeep
from ironmesh.errors import StoreError
from ironmesh.node.application_types import check_application_type
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.clock import Clock
from ironmesh.node.events import EventBus
from ironmesh.node.inbound import Inbound, Names
from ironmesh.node.journal import Journal
from ironmesh.node.linktable import LinkTable
from ironmesh.node.mailroom import Mailroom
from ironmesh.node.mesh.entry import MeshEntry
from ironmesh.node.mesh.legacy_entry import LegacyEntry
from ironmesh.node.outbound import LiveMessages, Outbound
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.refusals import RefusalDesk
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.ways import Ways
from ironmesh.observe.counters import Counters
from ironmesh.session.native.limits import MAX_PAYLOAD_BYTES
from ironmesh.trust.store import TrustStore
from ironmesh.types import Random

if TYPE_CHECKING:
    from ironmesh.node.mesh.legacy_side import LegacySide

_log = logging.getLogger("ironmesh.node")


class PostOffice:
    """The outbox, the inbox, their store, and the pipelines that lead to and from them."""

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        store: DeliveryStore,
        *,
        links: LinkTable,
        trust: TrustStore,
        journal: Journal,
        refusals: RefusalDesk,
        tasks: TaskSupervisor,
        clock: Clock,
        random: Random,
        counters: Counters,
        events: EventBus,
    ) -> None:
        own_id = identity.node_id
        self._tasks = tasks
        self._clock = clock
        self.store = store
        live = LiveMessages(own_id, clock, random)
        self.make_live = live.make
        self.capabilities = CapabilityExchange(
            own_id, config.capabilities, links=links, counters=counters, make_message=live.make
        )
        self.ways = Ways(links)
        self.outgoing = Outgoing(
            Outbox(own_id, random),
            store,
            ways=self.ways,
            make_live=live.make,
            tasks=tasks,
            clock=clock,
            counters=counters,
            events=events,
            journal=journal,
        )
        self.mailroom = Mailroom(
            Inbox(),
            store,
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
                config,
                identity,
                links=links,
                trust=trust,
                outgoing=self.outgoing,
                ways=self.ways,
                make_live=live.make,
                tokens=self.capabilities,
                finish=self.mailroom.finish,
                refusals=refusals,
                counters=counters,
                clock=clock,
                tasks=tasks,
            )

        self.legacy = LegacyEntry(make_legacy)
        self.ways.add(self.legacy.find)
        self.mailroom.sort_bridged(self.legacy.sort)
        self.inbound = Inbound(
            legacy=self.legacy,
            capabilities=self.capabilities,
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
        self.capabilities.attach(mesh)
        self.legacy.use_routes(mesh)

    async def start(self) -> None:
        """Open the store and go on where the last run ended.

        Raises:
            StoreError: the store cannot be used; nothing was changed.
        """
        snapshot = await self.store.load()
        self.outgoing.restore(snapshot)
        self.mailroom.start(snapshot)
        self.legacy.start()
        self._tasks.spawn(self._keep_up(), name="store upkeep")

    async def finish(self) -> None:
        """Let what is being committed be committed; links are down by now."""
        await self.outgoing.close()
        await self.mailroom.close()

    async def _keep_up(self) -> None:
        upkeep = Upkeep(self._clock.now())
        while True:
            await asyncio.sleep(max(0.0, upkeep.next_timer - self._clock.now().mono))
            ops = upkeep.timer(self._clock.now())
            try:
                if ops:
                    await self.store.commit(ops)
            except StoreError as error:
                _log.warning("the store was not tidied: %s", error)
                upkeep.commit_failed(ops)
