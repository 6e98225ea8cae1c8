"""What the applications of a simulated mesh sent and saw; it outlives the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ironmesh.sim.invariants import InvariantBrokenError
from ironmesh.types import MessagePriority, NodeId

MARK: Final = b"this is a plain text "
"""Begins the body of every message: it may be on no link but that of the two who speak."""


@dataclass(slots=True)
class Seen:
    """A handler was given a message."""

    text: str
    source: NodeId
    is_redelivered: bool


@dataclass(slots=True)
class Sent:
    """A message whose `send` returned."""

    text: str
    destination: NodeId
    priority: MessagePriority


@dataclass(slots=True)
class Diary:
    """One application."""

    accepted: list[Sent] = field(default_factory=list)
    """In the order in which their `send` began."""
    seen: list[Seen] = field(default_factory=list)
    first_seen: set[str] = field(default_factory=set)

    def saw(self, seen: Seen) -> None:
        """Note what a handler was given.

        Raises:
            InvariantBrokenError: it was given this before, and is not told so.
        """
        if seen.text in self.first_seen and not seen.is_redelivered:
            raise InvariantBrokenError(f"{seen.text!r} was delivered twice")
        self.first_seen.add(seen.text)
        self.seen.append(seen)


def check_all_arrived(diaries: dict[NodeId, Diary]) -> None:
    """See that every accepted message was delivered, in order for each source and priority.

    Raises:
        InvariantBrokenError: one was lost, went astray, or overtook another.
    """
    for source, diary in diaries.items():
        ways: dict[tuple[NodeId, MessagePriority], list[str]] = {}
        for sent in diary.accepted:
            ways.setdefault((sent.destination, sent.priority), []).append(sent.text)
        for (destination, priority), texts in ways.items():
            wanted = set(texts)
            first: dict[str, None] = {}
            for seen in diaries[destination].seen:
                if seen.source == source and seen.text in wanted:
                    first[seen.text] = None
            missing = wanted - set(first)
            if missing:
                raise InvariantBrokenError(
                    f"{len(missing)} accepted messages were lost: {sorted(missing)[:3]}"
                )
            if list(first) != texts:
                raise InvariantBrokenError(
                    f"messages of priority {priority} overtook each other: {list(first)[:5]}"
                )
