"""Whom to dial and whom to accept, by name. Who a peer really is, the handshake proves.

Both sides of a pair decide by the same rule who of them dials: the one with the smaller name does,
at once; the other waits for that call and dials only if it does not come.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

WAIT_FOR_CALL_S: Final = 2.0
"""How long the node with the larger name waits to be dialled."""


class Decision(StrEnum):
    """What to do about a peer that was found."""

    IGNORE_SELF = "ignore_self"
    IGNORE_NOT_LISTED = "ignore_not_listed"
    """There is a list of allowed peers, and it lacks this one."""
    IGNORE_DEFAULT_DENY = "ignore_default_deny"
    """There is no list, and open discovery is off."""
    IGNORE_ONLINE = "ignore_online"
    DIAL_NOW = "dial_now"
    DIAL_AFTER_WAIT = "dial_after_wait"
    """Give it `WAIT_FOR_CALL_S` to dial us."""


@dataclass(frozen=True, slots=True)
class DialPolicy:
    """The operator's choice, applied to names.

    Args:
        own_name: this node's name.
        allowed_peers: names that are dialled and accepted; None = no list.
        open_discovery: without a list, dial every node that is found.
    """

    own_name: str
    allowed_peers: frozenset[str] | None = None
    open_discovery: bool = False

    def decide(self, name: str, *, is_online: bool) -> Decision:
        """Say what to do about a found peer.

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
