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


def settings(name: str, **changes: Any) -> NativeSettings:
    """Return the settings of a node."""
    values: dict[str, Any] = {
        "identity": identity(name),
        "name": name,
        "prs": {0: PRS},
        "random": seeded(name),
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
    keys: tuple[SessionKeys, SessionKeys]
    """The keys of both ends, the initiator's first."""


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
    ends: dict[Handshake, tuple[SessionKeys, Channel]] = {}

    def carry(said: list[Unit], machine: Handshake) -> list[Unit]:
        units.extend(said)
        answers = [answer for unit in said for answer in machine.receive(unit, now)]
        if machine.claim is not None and machine not in ends:
            keys = keys_of(machine)
            established = machine.accept(now)
            ends[machine] = keys, established.channel
            answers += established.units
        return answers

    to_responder = one.start(now)
    while to_responder:
        to_responder = carry(carry(to_responder, other), one)
    return Met(ends[one][1], ends[other][1], units, (ends[one][0], ends[other][0]))


def keys_of(machine: Handshake) -> SessionKeys:
    """Return the keys of a machine that has verified its peer and waits for a decision."""
    assert isinstance(machine, InitiatorHandshake | ResponderHandshake)
    assert machine._outcome is not None
    return machine._outcome.keys


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
