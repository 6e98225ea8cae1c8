"""What the operator asks about messages of a running node: its outbox and its history."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import msgspec

from ironmesh.control.api import Direction, HistoryView, OutboxDetail, OutboxView
from ironmesh.control.views import (
    MAX_LIKE,
    history_view,
    id_beginning,
    known,
    only_id,
    outbox_detail,
    outbox_view,
)
from ironmesh.delivery.records import OutboxState
from ironmesh.errors import (
    MessageEndedError,
    StoreError,
    TrustFileError,
    UnknownPeerError,
)
from ironmesh.node.node import Node
from ironmesh.node.outgoing import Ending
from ironmesh.store.database import entries
from ironmesh.store.database.entries import Archive, SentMessage
from ironmesh.types import MessageId, NodeId, is_node_id

_View = TypeVar("_View", bound=OutboxView)

CANCEL_LIMIT_S: Final = 5.0
"""How long the end of a cancelled message may take to reach the disk."""


class Messages:
    """The outbox and the history of one node, for people.

    Args:
        node: the node; it need not run yet.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def ending(self, message_id: MessageId, wait_s: float) -> Ending:
        """Return how a message that was accepted ended, or how it stands after `wait_s` seconds."""
        outgoing = self._node.outgoing
        try:
            async with asyncio.timeout(max(0.0, wait_s)):
                return await outgoing.wait_end(message_id)
        except TimeoutError:
            return outgoing.ending(message_id) or Ending(OutboxState.QUEUED)

    async def outbox_list(self, peer: str | None, limit: int) -> list[OutboxView]:
        """Return the messages of ours that have not ended; see `Operator.outbox_list`."""
        destination = None if peer is None else self._find(peer)
        rows = await self._archive().outbox(destination=destination, limit=limit)
        views = [
            self._as_now(outbox_view(row, self._name(row.destination)), row.id) for row in rows
        ]
        return [view for view in views if not OutboxState(view.state).is_end]

    async def outbox_show(self, message: str) -> OutboxDetail:
        """Return a message of ours, whole; see `Operator.outbox_show`."""
        sent = await self._sent(message)
        return self._detail(sent)

    async def outbox_retry(self, message: str) -> OutboxView:
        """Let a message go again now; see `Operator.outbox_retry`."""
        sent = await self._going(message)
        self._node.outgoing.retry([sent.row.id])
        return self._as_now(outbox_view(sent.row, self._name(sent.row.destination)), sent.row.id)

    async def outbox_cancel(self, message: str) -> OutboxView:
        """Take a message back; see `Operator.outbox_cancel`."""
        sent = await self._going(message)
        self._node.outgoing.cancel([sent.row.id])
        ending = await self.ending(sent.row.id, CANCEL_LIMIT_S)
        if ending.state.is_end and ending.state is not OutboxState.CANCELLED:
            raise _ended(ending.state.value)
        view = outbox_view(sent.row, self._name(sent.row.destination))
        return self._as_now(view, sent.row.id)

    async def history(
        self, peer: str | None, direction: Direction | None, since: float, limit: int
    ) -> list[HistoryView]:
        """Return messages of both directions; see `Operator.history`."""
        found = await self._archive().history(
            peer=None if peer is None else self._find(peer),
            direction=None if direction is None else entries.Direction(direction),
            since_wall=since,
            limit=limit,
        )
        return [history_view(entry, self._name(entry.peer)) for entry in found]

    # --- Which message, and how it stands ----------------------------------------------------

    async def _going(self, message: str) -> SentMessage:
        sent = await self._sent(message)
        state = self._detail(sent).state
        if OutboxState(state).is_end:
            raise _ended(state)
        return sent

    async def _sent(self, message: str) -> SentMessage:
        archive = self._archive()
        found = await archive.sent_like(id_beginning(message), MAX_LIKE)
        return known(await archive.sent(only_id(message, found)), message)

    def _detail(self, sent: SentMessage) -> OutboxDetail:
        view = outbox_detail(sent, self._name(sent.row.destination))
        return self._as_now(view, sent.row.id)

    def _as_now(self, view: _View, message_id: MessageId) -> _View:
        """Return a view with the state of this moment: the disk may be a little behind."""
        ending = self._node.outgoing.ending(message_id)
        if ending is None or ending.state.value == view.state:
            return view
        reason = ending.reason or view.reason
        return msgspec.structs.replace(view, state=ending.state.value, reason=reason)

    def _archive(self) -> Archive:
        store = self._node.store
        if not isinstance(store, Archive):
            raise StoreError("this node keeps its messages in memory only", "give it a folder")
        return store

    # --- Who ---------------------------------------------------------------------------------

    def _find(self, peer: str) -> NodeId:
        """Return the node id that a name or id means.

        Raises:
            UnknownPeerError: nobody of this name is known.
        """
        if is_node_id(peer):
            return NodeId(peer)
        link = self._node.links.by_name(peer)
        return self._node.trust.get(peer).node_id if link is None else link.peer

    def _name(self, node_id: NodeId) -> str:
        link = self._node.links.get(node_id)
        if link is not None:
            return link.info.peer_name
        try:
            return self._node.trust.get(node_id).name
        except (UnknownPeerError, TrustFileError):
            return ""


def _ended(state: str) -> MessageEndedError:
    return MessageEndedError(f"the message has ended: {state}", "send a new one")
