"""Every error that IronMesh raises, in one tree. The text of an error tells what to do next.

`str(error)` is one line: what is wrong, and the fix. Foreign exceptions are translated where they
arrive, once, and chained with `from`. Where the published package raised a `ValueError`, ours is
one too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from ironmesh.types import Refusal


class IronMeshError(Exception):
    """Base of all errors of this package.

    Args:
        what: what is wrong, without a full stop.
        fix: what the user does next, as one short sentence without a full stop; may be empty.
    """

    code: ClassVar[str] = "error"
    """Stable short name, for `--json`, the control API and tests."""

    def __init__(self, what: str, fix: str = "") -> None:
        self.what = what
        self.fix = fix
        super().__init__(f"{what}: {fix}" if fix else what)


# --- Configuration and start -------------------------------------------------------------------


class ConfigError(IronMeshError, ValueError):
    """A setting is unknown, malformed, or contradicts another one."""

    code = "config"


class NotBuiltError(ConfigError):
    """A switch asks for a feature that this version does not have."""

    code = "not_built"


class PassphraseError(IronMeshError, ValueError):
    """There is no usable passphrase: none given, too short, or a file that cannot be trusted."""

    code = "passphrase"


class NodeAlreadyRunningError(IronMeshError):
    """Another process (or another agent of this one) runs the node of this name."""

    code = "already_running"


class PortInUseError(IronMeshError):
    """The listener cannot bind its address."""

    code = "port_in_use"


# --- Files ---------------------------------------------------------------------------------------


class FileRefusedError(IronMeshError):
    """A file or folder is not what it has to be: a link, a device, not ours, too large, locked."""

    code = "file"


class FileLockedError(FileRefusedError):
    """Somebody else holds a lock file, and held it for as long as we would wait."""

    code = "file_locked"


class KeyFileError(IronMeshError, ValueError):
    """A key file cannot be used as it is. Nothing was overwritten."""

    code = "key_file"


class WrongPassphraseError(KeyFileError):
    """The passphrase does not open the key file."""

    code = "wrong_passphrase"


class KeyFileExistsError(KeyFileError):
    """A new identity would overwrite an existing one."""

    code = "key_file_exists"


class TrustFileError(IronMeshError):
    """The pin file is damaged or was edited. Nothing was overwritten and nobody is trusted."""

    code = "trust_file"


class TrustError(IronMeshError, ValueError):
    """A pin cannot be changed as asked. Nothing was changed."""

    code = "trust"


class AuditError(IronMeshError):
    """The audit log's chain is broken, or the log cannot be written."""

    code = "audit"


class StoreError(IronMeshError):
    """The message store cannot be read or written."""

    code = "store"


class StoreDamagedError(StoreError):
    """The message store is not as we left it. Nothing was overwritten."""

    code = "store_damaged"


class StoreFullError(StoreError):
    """The disk is full: nothing was accepted, nothing accepted before is lost."""

    code = "store_full"


# --- Protocol ------------------------------------------------------------------------------------


class ProtocolError(IronMeshError):
    """Something is wrong with a conversation between two nodes."""

    code = "protocol"


class LocalProtocolError(ProtocolError):
    """We misused a state machine: an input that its state does not allow. A bug of ours."""

    code = "local_protocol"


class RemoteProtocolError(ProtocolError):
    """The peer sent something that it must not send.

    Args:
        reason: the named rejection; also the name of its counter.
        what: what exactly was wrong, for the log; never holds a secret or a payload.
    """

    code = "remote_protocol"

    def __init__(self, reason: Refusal, what: str, fix: str = "") -> None:
        self.reason = reason
        super().__init__(what, fix)


class HandshakeError(RemoteProtocolError):
    """The handshake ended without a session: refused by us, or by the peer."""

    code = "handshake"


class EnvelopeError(ProtocolError, ValueError):
    """A conversation envelope is malformed, too large, or was built from wrong values."""

    code = "envelope"


# --- Transport -----------------------------------------------------------------------------------


class TransportError(IronMeshError):
    """Bytes could not be moved."""

    code = "transport"


class ConnectFailure(StrEnum):
    """Why a dial failed."""

    UNREACHABLE = "unreachable"
    """No such name, no route, or an address that this machine cannot use."""
    REFUSED = "refused"
    """A machine is there, and nobody listens."""
    TIMED_OUT = "timed_out"
    NOT_TLS = "not_tls"
    """Somebody listens, who does not speak TLS or hung up instead."""
    NOT_WEBSOCKET = "not_websocket"
    """Somebody listens, who does not speak WebSocket or hung up instead."""


class ConnectError(TransportError):
    """The peer could not be reached at this address.

    Args:
        failure: what happened, for the one who decides what to try next.
    """

    code = "connect"

    def __init__(
        self,
        what: str,
        fix: str = "",
        *,
        failure: ConnectFailure = ConnectFailure.UNREACHABLE,
    ) -> None:
        self.failure = failure
        super().__init__(what, fix)


class ConnectionClosed(TransportError):  # noqa: N818 - the field's usual name for it
    """The connection ended.

    Args:
        close_code: WebSocket close code, or 0 where the transport has none.
    """

    code = "connection_closed"

    def __init__(self, what: str, *, close_code: int = 0, is_clean: bool = False) -> None:
        self.close_code = close_code
        self.is_clean = is_clean
        super().__init__(what)


# --- Sending and the operator's side -------------------------------------------------------------


class DeliveryError(IronMeshError):
    """A message was not accepted for sending. Nothing was queued."""

    code = "delivery"


class UnknownPeerError(DeliveryError, ValueError):
    """No peer has this name, or a node id is malformed."""

    code = "unknown_peer"


class AmbiguousNameError(UnknownPeerError):
    """Several nodes that nobody vouches for claim one name."""

    code = "ambiguous_name"


class MessageTooLargeError(DeliveryError, ValueError):
    """The payload does not fit the wire."""

    code = "too_large"


class QueueFullError(DeliveryError):
    """The queue for this peer is full."""

    code = "queue_full"


class SendTimeoutError(DeliveryError, TimeoutError):
    """A message was not accepted within the time that its sender gave it."""

    code = "send_timeout"


class NoPathError(DeliveryError):
    """A message that is not kept has no way to its peer right now."""

    code = "no_path"


class NotDeliveredError(DeliveryError):
    """A message ended without reaching its destination; the text says how."""

    code = "not_delivered"


class NotYetDeliveredError(DeliveryError, TimeoutError):
    """A message has not ended within the time that somebody waited for it; it goes on."""

    code = "not_yet_delivered"


class UnknownMessageError(IronMeshError, ValueError):
    """No message of ours has this id, or several begin like that."""

    code = "unknown_message"


class MessageEndedError(IronMeshError):
    """A message has ended: it can be neither taken back nor sent again."""

    code = "message_ended"


class NotRunningError(IronMeshError, RuntimeError):
    """The node is not running."""

    code = "not_running"


class WouldBlockError(IronMeshError, RuntimeError):
    """A blocking call on an event loop: what it waits for would never come."""

    code = "would_block"


class ControlError(IronMeshError):
    """A call to a running node failed; `remote_code` is the code of its error."""

    code = "control"

    def __init__(self, what: str, fix: str = "", *, remote_code: str = "control") -> None:
        self.remote_code = remote_code
        super().__init__(what, fix)
