"""Messages of ours for nodes of the 0.8 wire that a bridge of ours reaches.

They are sealed to the destination, so the bridge reads no more of them than any relay. The bridge
confirms to have them on disk; the destination confirms nothing, so they end as `sent`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from ironmesh.crypto import sodium
from ironmesh.crypto.identity import Identity
from ironmesh.delivery.actions import Draft
from ironmesh.delivery.records import OutboxState
from ironmesh.errors import DeliveryError, NotRunningError, StoreError
from ironmesh.mesh.legacy.behind import Behind
from ironmesh.node.mesh.legacy_ways import HOP_BYTES
from ironmesh.node.outgoing import Outgoing
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.session.legacy.sealing import MAX_PAYLOAD_BYTES
from ironmesh.session.legacy.sources import originate
from ironmesh.types import BRIDGED, Message, MessageId, NodeId
from ironmesh.wire.legacy import bridged
from ironmesh.wire.legacy.bridged import Bridged

_log = logging.getLogger("ironmesh.node")

HANDED_OVER_S: Final = 600.0
"""How long a bridge may take to confirm; then the message goes again, perhaps another way."""


class BridgeWay:
    """The way to one node of the 0.8 wire over one bridge.

    Args:
        is_reached: tells whether messages reach the bridge now.
        on_failure: told that the bridge did not take something.
    """

    can_confirm = False
    is_full = False

    def __init__(
        self,
        identity: Identity,
        behind: Behind,
        *,
        outgoing: Outgoing,
        tasks: TaskSupervisor,
        is_reached: Callable[[NodeId], bool],
        on_failure: Callable[[], None],
        max_hops: int,
    ) -> None:
        self._identity = identity
        self.behind = behind
        self._outgoing = outgoing
        self._tasks = tasks
        self._is_reached = is_reached
        self._on_failure = on_failure
        self._max_hops = max_hops
        self._turn = asyncio.Lock()
        growth = sodium.SEAL_OVERHEAD_BYTES + 3 + max_hops * HOP_BYTES
        self.max_payload_bytes = MAX_PAYLOAD_BYTES - growth

    @property
    def is_usable(self) -> bool:
        """Messages may be queued on it."""
        return self._is_reached(self.behind.bridge)

    async def wait_for_room(self) -> None:
        """Return at once: what waits, waits in the outbox."""

    def enqueue(
        self,
        messages: Sequence[Message],
        *,
        can_wait: bool = False,  # noqa: ARG002 - nothing waits here
    ) -> None:
        """Hand messages to the bridge, in order."""
        self._tasks.spawn(self._hand_over(tuple(messages)), name="to a bridge")

    async def _hand_over(self, messages: tuple[Message, ...]) -> None:
        try:
            async with self._turn:
                ids = await self._outgoing.accept([self._draft(each) for each in messages])
        except NotRunningError:
            return
        except (DeliveryError, StoreError) as error:
            _log.warning("nothing was handed to a bridge: %s", error)
            self._on_failure()
            return
        for message, message_id in zip(messages, ids, strict=True):
            if not await self._is_taken(message_id):
                self._on_failure()
                return
            self._outgoing.written([message])

    async def _is_taken(self, message_id: MessageId) -> bool:
        try:
            ending = await self._outgoing.wait_end(message_id)
        except (KeyError, NotRunningError):
            return False
        return ending.state is OutboxState.DELIVERED

    def _draft(self, message: Message) -> Draft:
        payload = message.payload
        if message.type != BRIDGED:
            said = originate(
                self._identity, message, seal_to=self.behind.public, max_hops=self._max_hops
            )
            payload = bridged.encode(Bridged(self._identity.public, said))
        return Draft(self.behind.bridge, BRIDGED, payload, message.priority, HANDED_OVER_S)
