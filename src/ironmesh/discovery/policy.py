"""Whom to dial and whom to accept. Who a peer really is, the handshake proves.

Both sides of a pair decide by the same rule who of them dials: the one with the smaller name, or on
the native wire the smaller label, does, at once; the other waits for that call and dials only if it
does not come. A native announcement has no name: everybody of this mesh is dialled, names are
checked in the handshake, and whose name is not listed then is not dialled again.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import StrEnum
from typing import Final

import msgspec

from ironmesh.config import DEFAULT_MESH
from ironmesh.discovery.record import FoundPeer
from ironmesh.types import WireKind

WAIT_FOR_CALL_S: Final = 2.0
"""How long the node with the larger name waits to be dialled."""
NATIVE_WAIT_FOR_CALL_S: Final = 3.0
"""How long the node with the larger label waits to be dialled."""
MAX_UNLISTED: Final = 4096
"""Labels that are remembered as those of peers that are not listed."""


class Decision(StrEnum):
    """What to do about a peer that was found."""

    IGNORE_SELF = "ignore_self"
    IGNORE_NOT_LISTED = "ignore_not_listed"
    """There is a list of allowed peers, and it lacks this one."""
    IGNORE_DEFAULT_DENY = "ignore_default_deny"
    """There is no list, and open discovery is off."""
    IGNORE_OTHER_MESH = "ignore_other_mesh"
    """On the native wire: its mesh has another name."""
    IGNORE_ONLINE = "ignore_online"
    DIAL_NOW = "dial_now"
    DIAL_AFTER_WAIT = "dial_after_wait"
    """Give it `WAIT_FOR_CALL_S`, or `NATIVE_WAIT_FOR_CALL_S`, to dial us."""


class DialPolicy(msgspec.Struct):
    """The operator's choice, applied to names and labels.

    Args:
        own_name: this node's name.
        allowed_peers: names that are dialled and accepted; None = no list.
        open_discovery: without a list, dial every node that is found.
        own_label: what this node announces on the native wire.
        mesh: the public name of this node's mesh.
    """

    own_name: str
    allowed_peers: frozenset[str] | None = None
    open_discovery: bool = False
    own_label: str = ""
    mesh: str = DEFAULT_MESH
    _unlisted: OrderedDict[str, None] = msgspec.field(default_factory=OrderedDict)

    def decide_found(self, peer: FoundPeer, *, is_online: bool) -> Decision:
        """Say what to do about a peer that discovery found on either wire.

        Args:
            is_online: there is a session with it.
        """
        if peer.wire is WireKind.LEGACY:
            return self.decide(peer.name, is_online=is_online)
        if peer.label == self.own_label:
            return Decision.IGNORE_SELF
        if peer.mesh != self.mesh:
            return Decision.IGNORE_OTHER_MESH
        if self.allowed_peers is None and not self.open_discovery:
            return Decision.IGNORE_DEFAULT_DENY
        if self.allowed_peers == frozenset() or peer.label in self._unlisted:
            return Decision.IGNORE_NOT_LISTED
        if is_online:
            return Decision.IGNORE_ONLINE
        return Decision.DIAL_AFTER_WAIT if self.own_label > peer.label else Decision.DIAL_NOW

    def unlisted(self, label: str) -> None:
        """Who announces this label proved a name that is not listed: do not dial it again."""
        self._unlisted[label] = None
        self._unlisted.move_to_end(label)
        if len(self._unlisted) > MAX_UNLISTED:
            self._unlisted.popitem(last=False)

    def decide(self, name: str, *, is_online: bool) -> Decision:
        """Say what to do about a peer that was found on the 0.8 wire.

        Args:
            name: the name that it announces.
            is_online: there is a session with a peer of this name.
        """
        if name == self.own_name:
            return Decision.IGNORE_SELF
        if self.allowed_peers is None and not self.open_discovery:
            return Decision.IGNORE_DEFAULT_DENY
        if not self.accepts(name):
            return Decision.IGNORE_NOT_LISTED
        if is_online:
            return Decision.IGNORE_ONLINE
        return Decision.DIAL_AFTER_WAIT if self.own_name > name else Decision.DIAL_NOW

    def accepts(self, name: str) -> bool:
        """Tell whether an authenticated peer of this name may have a session."""
        return self.allowed_peers is None or name in self.allowed_peers
