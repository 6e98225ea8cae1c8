"""Nodes of our own wire without sockets: deterministic, and open to be forged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.legacy import NOW, identity, later, seeded

from ironmesh.errors import HandshakeError
from ironmesh.session.interface import Channel, Handshake
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.keys import SessionKeys
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.schedule import Negotiated
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Instant, NodeId, Refusal, Secret, Unit
from ironmesh.wire.native.constants import SUBPROTOCOL

__all__ = ["NOW", "identity", "later", "seeded"]

PRS = Secret(bytes(range(32)))
"""What a passphrase would become."""
OTHER_PRS = Secret(bytes(range(1, 33)))
FAST = Negotiated("websocket", (SUBPROTOCOL,), SUBPROTOCOL)
RADIO = Negotiated("reticulum", (), "", is_radio_small=True, is_slow=True)
LINKS = {"hybrid": FAST, "radio": RADIO}


@dataclass(slots=True)
class KeptChannel:
    """Stands in for a channel where a test looks at the keys alone."""

    keys: SessionKeys
    options: dict[str, Any]

    def close(self, reason: str, now: Instant) -> list[Unit]:
        return [f"closed: {reason}".encode()]


def keep_keys(keys: SessionKeys, **options: Any) -> Any:
    return KeptChannel(keys, options)


def settings(name: str, **changes: Any) -> NativeSettings:
    """Return the settings of a node."""
    values: dict[str, Any] = {
        "identity": identity(name),
        "name": name,
        "prs": {0: PRS},
        "random": seeded(name),
        "make_channel": keep_keys,
    }
    return NativeSettings(**(values | changes))


def always() -> None:
    """Answer every first message."""


def initiator(
    node: NativeSettings,
    negotiated: Negotiated = FAST,
    expected: NodeId | None = None,
    resume: NodeId | None = None,
) -> InitiatorHandshake:
    """Return a fresh dialling side."""
    return InitiatorHandshake(node, negotiated, expected, resume=resume)


def responder(
    node: NativeSettings,
    negotiated: Negotiated = FAST,
    may_answer: Callable[[], Refusal | None] = always,
) -> ResponderHandshake:
    """Return an accepting side that listens."""
    machine = ResponderHandshake(node, negotiated, may_answer)
    assert machine.start(NOW) == []
    return machine


@dataclass(frozen=True, slots=True)
class Met:
    """Both ends of a finished handshake, and every unit that was written for it."""

    dialled: Channel
    accepted: Channel
    units: list[bytes]

    @property
    def keys(self) -> tuple[SessionKeys, SessionKeys]:
        """The keys of both ends, the initiator's first."""
        assert isinstance(self.dialled, KeptChannel)
        assert isinstance(self.accepted, KeptChannel)
        return self.dialled.keys, self.accepted.keys


def meet(
    dialler: NativeSettings,
    listener: NativeSettings,
    negotiated: Negotiated = FAST,
    *,
    resume: bool = False,
    now: Instant = NOW,
) -> Met:
    """Run both machines to the end."""
    one = initiator(dialler, negotiated, resume=listener.identity.node_id if resume else None)
    other = ResponderHandshake(listener, negotiated, always)
    other.start(now)
    units: list[bytes] = []
    to_responder = one.start(now)
    accepted: Channel | None = None
    dialled: Channel | None = None
    while dialled is None or accepted is None:
        to_initiator = [answer for unit in to_responder for answer in other.receive(unit, now)]
        units += to_responder
        to_responder = []
        if other.claim is not None and accepted is None:
            established = other.accept(now)
            to_initiator += established.units
            accepted = established.channel
        units += to_initiator
        to_responder = [answer for unit in to_initiator for answer in one.receive(unit, now)]
        if one.claim is not None and dialled is None:
            established = one.accept(now)
            to_responder += established.units
            dialled = established.channel
    return Met(dialled, accepted, units)


def refusal_of(machine: Handshake, unit: Unit, now: Instant = NOW) -> Refusal | None:
    """Return why a machine refuses a unit, None if it takes it; anything else passes."""
    try:
        machine.receive(unit, now)
    except HandshakeError as error:
        return error.reason
    return None


def agree(one: SessionKeys, other: SessionKeys) -> bool:
    """Tell whether two ends hold the same keys."""
    return (
        one.session_id == other.session_id
        and one.root == other.root
        and one.initiator_chain == other.initiator_chain
        and one.responder_chain == other.responder_chain
        and one.resumption == other.resumption
    )
