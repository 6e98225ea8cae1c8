"""The trust calls of the operator API on the files of a node that does not run."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Self

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import AuditLog
from ironmesh.config import NodeConfig
from ironmesh.control.api import PinView
from ironmesh.control.views import decode_key, find_revoked, pin_view, revoked_view
from ironmesh.errors import KeyFileError
from ironmesh.node.clock import SystemClock
from ironmesh.store import keyfiles
from ironmesh.store.node_lock import NodeLock
from ironmesh.trust.store import TrustStore
from ironmesh.types import NodeId, is_node_id


class OfflineTrust:
    """The pins of a node that does not run, and that cannot start meanwhile; close it with `with`.

    Args:
        config: the node's name, files and passphrases; the rest does not matter.

    Raises:
        NodeAlreadyRunningError: it runs; ask it over its control socket.
        KeyFileError: it has no key file, or the passphrase does not open it.
        TrustFileError: the pin file is damaged or was edited.
    """

    def __init__(self, config: NodeConfig) -> None:
        if keyfiles.find(config.keys_file) is None:
            raise KeyFileError(
                f"the node {config.name!r} has no key file", "check --name and --home"
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(NodeLock.acquire(config.node_dir))
            keys = keyfiles.load_or_create(config, os.urandom).keys
            self._clock = SystemClock()
            self._own_id: NodeId = keys.identity.node_id
            self._trust = TrustStore(config.trust_file, keys.data_key, keys.identity.seed)
            self._trust.check()
            self._audit = AuditLog(config.audit_file, keys.data_key)
            stack.callback(lambda: self._audit.close(self._clock.now()))
            self._held = stack.pop_all()

    def take_notices(self) -> list[str]:
        """Return, once, what the operator should know about the pin file."""
        return self._trust.take_notices()

    def trust_list(self) -> list[PinView]:
        """Return every pin, the revoked ones too."""
        pins = [pin_view(pin) for pin in self._trust.list_pins()]
        return [*pins, *(revoked_view(record) for record in self._trust.list_revoked())]

    def trust_show(self, who: str) -> PinView:
        """Return the pin of a name or node id; see `Operator.trust_show`."""
        revoked = find_revoked(self._trust, who)
        return revoked_view(revoked) if revoked is not None else pin_view(self._trust.get(who))

    def trust_pin(self, public_key_b64: str, name: str, *, is_verified: bool) -> PinView:
        """Pin a key under a name; see `Operator.trust_pin`."""
        now = self._clock.now()
        pin = self._trust.pin(decode_key(public_key_b64), name, now, verified=is_verified)
        self._audit.log(AuditEvent.PIN_ADDED, now, node_id=pin.node_id, name=pin.name)
        return pin_view(pin)

    def trust_revoke(self, who: str, reason: str) -> PinView:
        """Bar a key for good; see `Operator.trust_revoke`."""
        now = self._clock.now()
        node_id = NodeId(who) if is_node_id(who) else self._trust.get(who).node_id
        self._trust.revoke(node_id, self._own_id, now, reason)
        self._audit.log(AuditEvent.PEER_REVOKED, now, node_id=node_id, reason=reason)
        return self.trust_show(node_id)

    def trust_forget(self, who: str) -> PinView:
        """Remove a pin; see `Operator.trust_forget`."""
        pin = self._trust.forget(who)
        self._audit.log(
            AuditEvent.PIN_FORGOTTEN, self._clock.now(), node_id=pin.node_id, name=pin.name
        )
        return pin_view(pin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()
