"""Where sessions write down what happens."""

from __future__ import annotations

import msgspec

from ironmesh.node.events import EventBus
from ironmesh.node.journal import Journal
from ironmesh.node.refusals import RefusalDesk


class Books(msgspec.Struct, frozen=True):
    """The three books of a node."""

    refusals: RefusalDesk
    journal: Journal
    events: EventBus
