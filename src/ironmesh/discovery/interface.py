"""What discovery is told at its start: what to announce, and whom to tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ironmesh.discovery.record import FoundPeer, Heard, Interface


class Service(Protocol):
    """One type of record: what this node says in it, and how to read that of others."""

    @property
    def service_type(self) -> str:
        """The DNS-SD type."""
        ...

    @property
    def port(self) -> int:
        """Of this node's listener."""
        ...

    @property
    def conflict(self) -> str:
        """What to tell people where another node uses a label of ours."""
        ...

    def labels(self) -> Sequence[str]:
        """Return DNS labels for this node, the first choice first; a single one is not probed."""
        ...

    def txt(self) -> dict[str, str]:
        """Return the members of the TXT record."""
        ...

    def parse(self, heard: Heard, own: Sequence[Interface]) -> FoundPeer:
        """Check a record that somebody announced.

        Args:
            own: this machine's addresses with their networks.

        Raises:
            RemoteProtocolError: it breaks a rule, or has no usable address.
        """
        ...


class Observer(msgspec.Struct, frozen=True):
    """Who is told; plain functions that return at once."""

    on_found: Callable[[FoundPeer], None]
    """A node announced itself, or announced something new; may be this node."""
    on_lost: Callable[[str], None]
    """The node with this `FoundPeer.key` withdrew, or can no longer be seen."""
    on_notice: Callable[[str], None]
    """Something that a person should know, in one line."""
