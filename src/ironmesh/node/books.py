"""Where sessions write down what happens."""

from __future__ import annotations

from dataclasses import dataclass

from ironmesh.node.events import EventBus
from ironmesh.node.journal import Journal
from ironmesh.node.refusals import RefusalDesk


@dataclass(frozen=True, slots=True)
class Books:
    """The three books of a node."""

    refusals: RefusalDesk
    journal: Journal
    events: EventBus
