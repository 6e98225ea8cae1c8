"""What `send` returns: the id of a message, and a handle on what becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from ironmesh.control.embedded import EmbeddedNode
from ironmesh.delivery.records import OutboxState
from ironmesh.errors import NotDeliveredError
from ironmesh.types import MessageId, message_id_text

if TYPE_CHECKING:
    from ironmesh.node.outgoing import Ending

UNKNOWN = "unknown"


class Receipt(str):
    """The id of an accepted message (a UUID), and what becomes of it.

    It may be used from any thread and awaited on any event loop, as long as the node runs.
    """

    __slots__ = ("_embedded", "_message_id")

    _embedded: EmbeddedNode
    _message_id: MessageId

    def __new__(cls, message_id: MessageId, embedded: EmbeddedNode) -> Self:
        """Return the receipt of a message that this node accepted."""
        receipt = super().__new__(cls, message_id_text(message_id))
        receipt._message_id = message_id
        receipt._embedded = embedded
        return receipt

    @property
    def state(self) -> str:
        """How the message stands: `queued`, `held`, or how it ended (see `docs/delivery.md`).

        `unknown` for a message that ended long ago or was not kept (`durable=False`).
        """
        ending = self._embedded.node.outgoing.ending(self._message_id)
        return UNKNOWN if ending is None else ending.state.value

    async def delivered(self, timeout: float | None = None) -> bool:
        """Wait until the message has ended.

        Args:
            timeout: seconds at most; None = as long as it takes.

        Returns:
            True: it is on disk at its destination. False: it was sent to a published node, which
            cannot confirm.

        Raises:
            NotDeliveredError: it was refused, expired, evicted or cancelled, or not kept.
            TimeoutError: it has not ended in time; it goes on.
            NotRunningError: the node stopped; what has not ended goes on at its next start.
        """
        async with asyncio.timeout(timeout):
            ending = await self._embedded.thread.wait(self._wait_end())
        if ending.state is OutboxState.DELIVERED:
            return True
        if ending.state is OutboxState.SENT:
            return False
        why = f" ({ending.reason})" if ending.reason else ""
        raise NotDeliveredError(f"the message was not delivered: {ending.state.value}{why}")

    async def _wait_end(self) -> Ending:
        outgoing = self._embedded.node.outgoing
        try:
            return await outgoing.wait_end(self._message_id)
        except KeyError as error:
            from ironmesh.wire.receipts import is_live

            if is_live(self._message_id):
                raise NotDeliveredError(
                    "nobody confirms a message that is not kept", "send it with durable=True"
                ) from error
            raise NotDeliveredError("nothing is known of this message any more") from error
