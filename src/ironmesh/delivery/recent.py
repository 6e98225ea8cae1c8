"""Which messages arrived lately, so that one sent twice is delivered once. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ironmesh.types import MessageId, NodeId

MAX_REMEMBERED: Final = 8192


class RecentIds:
    """Remembers the last messages by source and id, over the ends of sessions."""

    def __init__(self, limit: int = MAX_REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[tuple[NodeId, MessageId], None] = OrderedDict()

    def add(self, source: NodeId, message_id: MessageId) -> bool:
        """Remember a message; True if it arrived before."""
        key = (source, message_id)
        if key in self._seen:
            self._seen.move_to_end(key)
            return True
        self._seen[key] = None
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return False
