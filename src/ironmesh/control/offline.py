"""Calls of the operator API on the files of a node that does not run."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Self

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import AuditLog
from ironmesh.config import NodeConfig
from ironmesh.control.api import (
    MAX_LIST,
    Direction,
    HistoryView,
    OutboxDetail,
    OutboxView,
    PinView,
)
from ironmesh.control.views import (
    MAX_LIKE,
    decode_key,
    find_revoked,
    history_view,
    id_beginning,
    known,
    only_id,
    outbox_detail,
    outbox_view,
    pin_view,
    revoked_view,
)
from ironmesh.crypto.keyfile import NodeKeys
from ironmesh.errors import KeyFileError, UnknownPeerError
from ironmesh.mesh.revocations import make_revocation
from ironmesh.node.clock import SystemClock
from ironmesh.store import keyfiles
from ironmesh.store.database import DATABASE, entries
from ironmesh.store.database.queries import Reader, open_reader
from ironmesh.store.mesh_state import MeshState
from ironmesh.store.node_lock import NodeLock
from ironmesh.trust.fingerprint import read_fingerprint
from ironmesh.trust.store import TrustStore
from ironmesh.types import Instant, NodeId, is_node_id
from ironmesh.wire.native.revocations import encode_revocations


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
        with contextlib.ExitStack() as stack:
            keys = _open_keys(config, stack)
            self._clock = SystemClock()
            self._identity = keys.identity
            self._own_id: NodeId = keys.identity.node_id
            self._mesh_state = MeshState(config.store_dir, keys.data_key, os.urandom)
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
        """Bar a key for good; see `Operator.trust_revoke`.

        The mesh is told when the node runs again, where it believes this node.
        """
        now = self._clock.now()
        node_id = NodeId(who) if is_node_id(who) else self._trust.get(who).node_id
        is_own = node_id == self._own_id
        public = self._identity.public if is_own else self._trust.public_key(node_id)
        is_new = self._trust.revoke(node_id, self._own_id, now, reason)
        self._audit.log(AuditEvent.PEER_REVOKED, now, node_id=node_id, reason=reason)
        if is_new and public is not None:
            self._sign_revocation(public, now)
        return self.trust_show(node_id)

    def _sign_revocation(self, public: bytes, now: Instant) -> None:
        """Put the end of an identity where the node finds it; only the node knows if it may."""
        revocation = make_revocation(self._identity, public, int(now.wall))
        kept = self._mesh_state.load_revocations() or b""
        self._mesh_state.save_revocations(kept + encode_revocations([revocation]))

    def trust_forget(self, who: str) -> PinView:
        """Remove a pin; see `Operator.trust_forget`."""
        pin = self._trust.forget(who)
        self._audit.log(
            AuditEvent.PIN_FORGOTTEN, self._clock.now(), node_id=pin.node_id, name=pin.name
        )
        return pin_view(pin)

    def trust_verify(self, who: str, fingerprint: str) -> PinView:
        """Note that a person compared the fingerprint; see `Operator.trust_verify`."""
        pin = self._trust.confirm(who, read_fingerprint(fingerprint))
        self._audit.log(
            AuditEvent.PIN_VERIFIED, self._clock.now(), node_id=pin.node_id, name=pin.name
        )
        return pin_view(pin)

    def own_id(self) -> NodeId:
        """Return the node's own id."""
        return self._own_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()


class OfflineMessages:
    """The messages of a node that does not run, and that cannot start meanwhile; as `OfflineTrust`.

    Raises:
        NodeAlreadyRunningError, KeyFileError, TrustFileError: as `OfflineTrust`.
    """

    def __init__(self, config: NodeConfig) -> None:
        with contextlib.ExitStack() as stack:
            keys = _open_keys(config, stack)
            self._database = config.store_dir / DATABASE
            self._data_key = keys.data_key
            self._trust = TrustStore(config.trust_file, keys.data_key, keys.identity.seed)
            self._trust.check()
            self._held = stack.pop_all()

    def take_notices(self) -> list[str]:
        """Return, once, what the operator should know about the pin file."""
        return self._trust.take_notices()

    def outbox_list(self, peer: str | None, limit: int = MAX_LIST) -> list[OutboxView]:
        """Return the messages of ours that have not ended; see `Operator.outbox_list`."""
        destination = None if peer is None else self._find(peer)
        with self._reader() as reader:
            rows = reader.outbox(destination=destination, limit=limit)
        return [outbox_view(row, self._name(row.destination)) for row in rows]

    def outbox_show(self, message: str) -> OutboxDetail:
        """Return a message of ours, whole; see `Operator.outbox_show`."""
        with self._reader() as reader:
            found = only_id(message, reader.sent_like(id_beginning(message), MAX_LIKE))
            sent = known(reader.sent(found), message)
        return outbox_detail(sent, self._name(sent.row.destination))

    def history(
        self, peer: str | None, direction: Direction | None, since: float, limit: int
    ) -> list[HistoryView]:
        """Return messages of both directions; see `Operator.history`."""
        node_id = None if peer is None else self._find(peer)
        with self._reader() as reader:
            found = reader.history(
                peer=node_id,
                direction=None if direction is None else entries.Direction(direction),
                since_wall=since,
                limit=limit,
            )
        return [history_view(entry, self._name(entry.peer)) for entry in found]

    def _reader(self) -> contextlib.AbstractContextManager[Reader]:
        return open_reader(self._database, self._data_key)

    def _find(self, peer: str) -> NodeId:
        return NodeId(peer) if is_node_id(peer) else self._trust.get(peer).node_id

    def _name(self, node_id: NodeId) -> str:
        try:
            return self._trust.get(node_id).name
        except UnknownPeerError:
            return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()


def _open_keys(config: NodeConfig, stack: contextlib.ExitStack) -> NodeKeys:
    """Lock a node and open its keys; the stack holds the lock."""
    if keyfiles.find(config.keys_file) is None:
        raise KeyFileError(f"the node {config.name!r} has no key file", "check --name and --home")
    stack.enter_context(NodeLock.acquire(config.node_dir))
    return keyfiles.load_or_create(config, os.urandom).keys
