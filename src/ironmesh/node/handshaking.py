"""Runs a handshake machine over a connection, with a limit on every wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ironmesh.errors import ConnectionClosed, HandshakeError
from ironmesh.node.clock import Clock
from ironmesh.session.interface import Handshake, PeerClaim
from ironmesh.transport.interface import Connection
from ironmesh.types import Refusal

HANDSHAKE_LIMIT_S = 30.0
"""The whole handshake, whatever the deadlines of its steps say."""


async def shake_hands(connection: Connection, machine: Handshake, clock: Clock) -> PeerClaim:
    """Exchange messages until the peer has proved who it is.

    Raises:
        HandshakeError: the peer is refused, refused us, or let a deadline pass.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_LIMIT_S):
            return await _exchange(connection, machine, clock)
    except TimeoutError as error:
        raise HandshakeError(Refusal.TIMEOUT, "the handshake took too long") from error
    except ConnectionClosed as error:
        raise HandshakeError(Refusal.PROTOCOL, f"the peer hung up ({error.what})") from error


async def _exchange(connection: Connection, machine: Handshake, clock: Clock) -> PeerClaim:
    await connection.send(machine.start(clock.now()))
    while (claim := machine.claim) is None:
        async with asyncio.timeout(machine.deadline - clock.now().mono):
            unit = await connection.receive()
        try:
            units = machine.receive(unit, clock.now())
        except HandshakeError:
            # Whoever hangs up at once does not hear them, and is refused for the same reason.
            with suppress(ConnectionClosed):
                await connection.send(machine.parting_units)
            raise
        await connection.send(units)
    return claim
