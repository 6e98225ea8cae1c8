"""The native handshake's machines in each state in which bytes of a stranger can reach them."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from functools import cache

from tests.support.native import FAST, NOW, RADIO, initiator, meet, responder, settings

from ironmesh.errors import HandshakeError
from ironmesh.session.interface import Handshake


def responder_hears(data: bytes) -> None:
    """Say `data` to a responder in place of M1, after an unknown ticket, and in place of M3."""
    for _, listening in _states():
        _hear(listening, data)


def initiator_hears(data: bytes) -> None:
    """Say `data` to an initiator in place of M2, and in place of the answer to a resumption."""
    for dialling, _ in _states():
        _hear(dialling, data)


@cache
def _states() -> tuple[tuple[Handshake, Handshake], ...]:
    """Return both machines, waiting for each of their messages on each kind of link."""
    states: list[tuple[Handshake, Handshake]] = []
    for link in (FAST, RADIO):
        alice, bob = settings("alice"), settings("bob")
        meet(alice, bob, link)
        states.append((initiator(alice, link), responder(bob, link)))
        states[-1][0].start(NOW)
        answered = responder(bob, link)
        answered.receive(initiator(alice, link).start(NOW)[0], NOW)
        resuming = initiator(alice, link, resume=bob.identity.node_id)
        shown = responder(settings("carol"), link)
        shown.receive(resuming.start(NOW)[0], NOW)
        states += [(resuming, answered), (resuming, shown)]
    return tuple(states)


def _hear(machine: Handshake, data: bytes) -> None:
    machine = copy(machine)
    with suppress(HandshakeError):
        machine.receive(data, NOW)
        if machine.claim is not None:
            machine.accept(NOW)
