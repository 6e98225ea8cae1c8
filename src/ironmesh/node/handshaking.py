"""Runs a handshake machine over a connection, with a limit on every wait."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from ironmesh.errors import ConnectionClosed, HandshakeError
from ironmesh.node.clock import Clock
from ironmesh.node.link import Link
from ironmesh.session.interface import Handshake, PeerClaim
from ironmesh.transport.interface import Connection, ConnectionInfo
from ironmesh.types import Refusal
from ironmesh.wire.native.constants import refusal_of

HANDSHAKE_LIMIT_S = 30.0
"""The whole handshake, whatever the deadlines of its steps say."""

NORMAL_CLOSURE: Final = 1000

_FIXES: Final = {
    Refusal.AUTH_FAILED: "start both nodes with the same passphrase and the same --mesh",
    Refusal.BUSY: "it answers few strangers at a time; we try again by ourselves",
    Refusal.LIMIT: "too many connections from here are half open; we try again by ourselves",
    Refusal.VERSION_TOO_OLD: "install the newer version here",
    Refusal.IDENTITY_CHANGED: "it pins another key for our name: `ironmesh trust forget` there",
    Refusal.NOT_ALLOWED: "add our name to --allowed-peers there",
    Refusal.BLOCKED: "our key is blocked there: `ironmesh trust set-state` there",
    Refusal.REVOKED: "our key was revoked there for good: give this node another identity",
    Refusal.LEGACY_REFUSED: "start the other node with --allow-legacy, or upgrade this one",
}


class HungUpError(HandshakeError):
    """The peer ended the connection: what it proved, or failed to prove, is not known from that."""


async def shake_hands(connection: Connection, machine: Handshake, clock: Clock) -> PeerClaim:
    """Exchange messages until the peer has proved who it is.

    Raises:
        HandshakeError: the peer is refused, refused us, or let a deadline pass.
    """
    try:
        async with asyncio.timeout(HANDSHAKE_LIMIT_S) as limit:
            return await _exchange(connection, machine, clock, limit)
    except TimeoutError as error:
        raise HandshakeError(Refusal.TIMEOUT, "the handshake took too long") from error
    except ConnectionClosed as error:
        raise _hung_up(error, connection.info) from error


async def _exchange(
    connection: Connection, machine: Handshake, clock: Clock, limit: asyncio.Timeout
) -> PeerClaim:
    latest = limit.when()
    assert latest is not None
    loop = asyncio.get_running_loop()
    units = machine.start(clock.now())
    while (claim := machine.claim) is None:
        limit.reschedule(min(latest, loop.time() + machine.deadline - clock.now().mono))
        if units:
            await connection.send(units)
        unit = await connection.receive()
        try:
            units = machine.receive(unit, clock.now())
        except HandshakeError:
            # Whoever hangs up at once does not hear them, and is refused for the same reason.
            with suppress(ConnectionClosed):
                await connection.send(machine.parting_units)
            raise
    if units:
        await connection.send(units)
    return claim


def refused_by(link: Link) -> HandshakeError:
    """Return why a peer ended a session that it never put up."""
    name = link.info.peer_name
    try:
        reason = Refusal(link.reason)
    except ValueError:
        return HandshakeError(
            Refusal.NOT_ALLOWED,
            f"{name} closed the session at once",
            "see its log: it may not list our name, or pin another key for it",
        )
    return HandshakeError(reason, f"{name} refused us ({reason.value})", _FIXES.get(reason, ""))


def _hung_up(error: ConnectionClosed, connection: ConnectionInfo) -> HungUpError:
    """Return what the peer's hanging up says: a hint, for anybody on the way can write it."""
    reason = refusal_of(error.close_code)
    is_native_visitor = bool(connection.subprotocol) and not connection.is_outgoing
    if is_native_visitor and error.is_clean and error.close_code == NORMAL_CLOSURE:
        return HungUpError(Refusal.DUPLICATE, "the peer changed its mind, and blames nobody")
    if reason is None:
        return HungUpError(Refusal.PROTOCOL, f"the peer hung up ({error.what})")
    return HungUpError(reason, f"the peer refused us ({reason.value})", _FIXES[reason])
