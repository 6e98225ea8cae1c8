"""The control protocol, version 1: JSON lines over a local socket.

    -> {"v":1,"id":7,"call":"send","params":{"target":"bob","payload_b64":"aGk="}}
    <- {"id":7,"result":{"id":"...","node_id":"...","state":"sent"}}
    <- {"id":7,"error":{"code":"unknown_peer","message":"...","fix":"..."}}
    <- {"id":9,"event":{"kind":"message", ...}}

Calls of one client are answered in order; events follow the answer to `subscribe` until one side
closes. Payloads and keys are standard base64.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from ironmesh.control.api import (
    MAX_LIST,
    Direction,
    HistoryView,
    NodeState,
    OperatorEvent,
    OutboxDetail,
    OutboxView,
    PeerView,
    PingView,
    PinView,
    SentView,
)
from ironmesh.control.mesh_views import CapabilityView, MapView, RouteView, TraceView
from ironmesh.delivery.records import DEFAULT_LIFETIME_S
from ironmesh.errors import ControlError, IronMeshError
from ironmesh.types import MessagePriority, MessageType, NodeId

VERSION: Final = 1
MAX_LINE_BYTES: Final = 24 * 1024 * 1024
"""The longest line of a client, its line feed included."""
MAX_REQUEST_ID: Final = 2**53

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIST)]
"""How many rows a call returns at most."""

PingSeconds = Annotated[float, msgspec.Meta(gt=0, le=20)]
"""How long a peer has to answer; less than a client waits for the node."""


class _Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of one call."""


class StateParams(_Params, frozen=True):
    """`state`."""


class PeersParams(_Params, frozen=True):
    """`peers`."""


class SendParams(_Params, frozen=True):
    """`send`."""

    target: str
    payload: bytes = msgspec.field(name="payload_b64")
    msg_type: str = msgspec.field(name="type", default=MessageType.MSG.value)
    priority: MessagePriority = MessagePriority.NORMAL
    ttl_s: float = DEFAULT_LIFETIME_S
    is_durable: bool = True
    wait_s: float | None = None


class OutboxListParams(_Params, frozen=True):
    """`outbox_list`."""

    peer: str | None = None
    limit: Limit = MAX_LIST


class OutboxShowParams(_Params, frozen=True):
    """`outbox_show`."""

    message: str


class OutboxRetryParams(_Params, frozen=True):
    """`outbox_retry`."""

    message: str


class OutboxCancelParams(_Params, frozen=True):
    """`outbox_cancel`."""

    message: str


class HistoryParams(_Params, frozen=True):
    """`history`."""

    peer: str | None = None
    direction: Direction | None = None
    since: float = 0.0
    limit: Limit = 100


class SubscribeParams(_Params, frozen=True):
    """`subscribe`."""


class TrustListParams(_Params, frozen=True):
    """`trust_list`."""


class TrustShowParams(_Params, frozen=True):
    """`trust_show`."""

    who: str


class TrustPinParams(_Params, frozen=True):
    """`trust_pin`."""

    public_key_b64: str
    name: str
    is_verified: bool = False


class TrustRevokeParams(_Params, frozen=True):
    """`trust_revoke`."""

    who: str
    reason: str = ""


class TrustForgetParams(_Params, frozen=True):
    """`trust_forget`."""

    who: str


class TrustVerifyParams(_Params, frozen=True):
    """`trust_verify`."""

    who: str
    fingerprint: str


class PingParams(_Params, frozen=True):
    """`ping`."""

    target: str
    timeout_s: PingSeconds = 5.0


class RoutesParams(_Params, frozen=True):
    """`routes`."""


class TraceParams(_Params, frozen=True):
    """`trace`."""

    target: str
    timeout_s: PingSeconds = 5.0


class CapabilitiesParams(_Params, frozen=True):
    """`capabilities`."""

    pattern: str = "*"


class MapParams(_Params, frozen=True):
    """`map`."""


class ConfigParams(_Params, frozen=True):
    """`config`."""


class ConnectParams(_Params, frozen=True):
    """`connect`."""

    host: str
    port: int


class StopParams(_Params, frozen=True):
    """`stop`."""


Params = (
    StateParams
    | PeersParams
    | SendParams
    | OutboxListParams
    | OutboxShowParams
    | OutboxRetryParams
    | OutboxCancelParams
    | HistoryParams
    | SubscribeParams
    | TrustListParams
    | TrustShowParams
    | TrustPinParams
    | TrustRevokeParams
    | TrustForgetParams
    | TrustVerifyParams
    | PingParams
    | RoutesParams
    | TraceParams
    | CapabilitiesParams
    | MapParams
    | ConfigParams
    | ConnectParams
    | StopParams
)

CALLS: Final[dict[str, tuple[type[Params], Any]]] = {
    "state": (StateParams, NodeState),
    "peers": (PeersParams, list[PeerView]),
    "send": (SendParams, SentView),
    "outbox_list": (OutboxListParams, list[OutboxView]),
    "outbox_show": (OutboxShowParams, OutboxDetail),
    "outbox_retry": (OutboxRetryParams, OutboxView),
    "outbox_cancel": (OutboxCancelParams, OutboxView),
    "history": (HistoryParams, list[HistoryView]),
    "subscribe": (SubscribeParams, None),
    "trust_list": (TrustListParams, list[PinView]),
    "trust_show": (TrustShowParams, PinView),
    "trust_pin": (TrustPinParams, PinView),
    "trust_revoke": (TrustRevokeParams, PinView),
    "trust_forget": (TrustForgetParams, PinView),
    "trust_verify": (TrustVerifyParams, PinView),
    "ping": (PingParams, PingView),
    "routes": (RoutesParams, list[RouteView]),
    "trace": (TraceParams, TraceView),
    "capabilities": (CapabilitiesParams, list[CapabilityView]),
    "map": (MapParams, MapView),
    "config": (ConfigParams, dict[str, Any]),
    "connect": (ConnectParams, NodeId),
    "stop": (StopParams, None),
}
"""Every call: its parameters and the type of its result. `subscribe` is answered by events."""


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v: int
    id: int
    call: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class ErrorBody(msgspec.Struct, frozen=True):
    """An error as it travels."""

    code: str
    message: str
    fix: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a node: a result, an error, or an event."""

    id: int
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorBody | None = None
    event: OperatorEvent | None = None


class RequestError(ControlError):
    """A line is no request; `request_id` is 0 where it could not be read.

    `remote_code` is `malformed`, `version`, `unknown_call` or `bad_params`.
    """

    def __init__(self, code: str, what: str, fix: str, *, request_id: int = 0) -> None:
        self.request_id = request_id
        super().__init__(what, fix, remote_code=code)


# --- Requests ------------------------------------------------------------------------------------


def encode_request(request_id: int, call: str, params: Params) -> bytes:
    """Return a request line."""
    return _line({"v": VERSION, "id": request_id, "call": call, "params": params})


def decode_request(line: bytes) -> tuple[int, Params]:
    """Return the id and the checked parameters of a request line.

    Raises:
        RequestError: too long, no request, another version, or an unknown call or parameter.
    """
    if len(line) > MAX_LINE_BYTES:
        raise too_long()
    try:
        request = msgspec.json.decode(line, type=_Request)
    except (ValueError, RecursionError) as error:
        raise RequestError("malformed", f"not a request ({error})", "see the protocol") from error
    if not 0 <= request.id <= MAX_REQUEST_ID:
        raise RequestError("malformed", "the request id is out of range", "count up from 0")
    if request.v != VERSION:
        raise RequestError(
            "version",
            f"control protocol version {request.v} is not spoken here",
            f"use version {VERSION}",
            request_id=request.id,
        )
    known = CALLS.get(request.call)
    if known is None:
        raise RequestError(
            "unknown_call",
            f"there is no call {request.call[:64]!r}",
            f"use one of {', '.join(CALLS)}",
            request_id=request.id,
        )
    try:
        return request.id, msgspec.json.decode(request.params, type=known[0])
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "bad_params", str(error), f"see the parameters of {request.call}", request_id=request.id
        ) from error


def too_long() -> RequestError:
    """Return the refusal of a line over the limit."""
    return RequestError(
        "malformed", f"a line is longer than {MAX_LINE_BYTES} bytes", "send smaller messages"
    )


# --- Answers -------------------------------------------------------------------------------------


def encode_result(request_id: int, result: Any) -> bytes:
    """Return the answer line of a call that succeeded."""
    return _line({"id": request_id, "result": result})


def encode_event(request_id: int, event: OperatorEvent) -> bytes:
    """Return the line of one event of a subscription."""
    return _line({"id": request_id, "event": event})


def encode_error(request_id: int, error: IronMeshError) -> bytes:
    """Return the answer line of a call that failed."""
    code = error.remote_code if isinstance(error, ControlError) else error.code
    return _line({"id": request_id, "error": ErrorBody(code, error.what, error.fix)})


def decode_answer(line: bytes) -> Answer:
    """Return what a node answered.

    Raises:
        ControlError: this is no answer.
    """
    try:
        return msgspec.json.decode(line, type=Answer)
    except (ValueError, RecursionError) as error:
        raise ControlError(
            "the node's answer is not understood", "use the same version of ironmesh for both"
        ) from error


def _line(value: Any) -> bytes:
    return msgspec.json.encode(value) + b"\n"
