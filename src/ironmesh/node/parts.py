"""What a node has from its start on; all that it needs besides is made for a first peer."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.delivery.records import DeliveryStore
from ironmesh.discovery.policy import DialPolicy
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.clock import Clock
from ironmesh.node.events import EventBus
from ironmesh.node.journal import Journal
from ironmesh.node.kept_capabilities import KeptCapabilities
from ironmesh.node.linktable import LinkTable
from ironmesh.node.ports import Discovery, Transport
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.observe.counters import Counters
from ironmesh.store.keyfiles import LoadedKeys
from ironmesh.store.mesh_state import MeshState
from ironmesh.trust.store import TrustStore
from ironmesh.types import Random, Secret


class Parts(msgspec.Struct, frozen=True):
    """The parts of a node that runs."""

    config: NodeConfig
    keys: LoadedKeys
    mesh_secrets: Mapping[int, Secret]
    """What the accepted passphrases became, by their numbers."""
    journal: Journal
    trust: TrustStore
    policy: DialPolicy
    links: LinkTable
    capabilities: CapabilityExchange
    kept_capabilities: KeptCapabilities
    mesh_state: MeshState
    store: DeliveryStore
    transport: Transport
    discovery: Discovery | None
    tasks: TaskSupervisor
    events: EventBus
    counters: Counters
    clock: Clock
    random: Random

    @property
    def identity(self) -> Identity:
        """Who this node is."""
        return self.keys.keys.identity

    @property
    def data_key(self) -> Secret:
        """The key of its own data, 32 bytes."""
        return self.keys.keys.data_key
