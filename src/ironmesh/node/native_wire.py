"""Our own wire of one node: its handshakes, made from its configuration, identity and secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from ironmesh.config import NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.node.clock import Clock
from ironmesh.node.entrance import Dialled
from ironmesh.node.gate import Visit
from ironmesh.session.interface import Handshake
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.schedule import Negotiated
from ironmesh.session.native.settings import NativeSettings
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.types import NodeId, Random, Secret

REKEY_S: Final = 600.0
"""A session in use changes its keys at least as often, whatever is configured for the 0.8 wire."""


class NativeWire:
    """Makes the handshakes of the native wire.

    Args:
        mesh_secrets: what the accepted passphrases became, by their numbers.
    """

    def __init__(
        self,
        config: NodeConfig,
        identity: Identity,
        mesh_secrets: Mapping[int, Secret],
        random: Random,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._settings = NativeSettings(
            identity=identity,
            name=config.name,
            prs=mesh_secrets,
            random=random,
            requires_pq=config.require_pq,
            rekey_interval_s=min(config.rekey_interval_s or REKEY_S, REKEY_S),
        )
        self._newest = {config.passphrase_generation: mesh_secrets[config.passphrase_generation]}
        self._previous_until = config.previous_passphrase_until

    @property
    def _current(self) -> NativeSettings:
        """The settings as of now: tickets and the previous passphrase last for a while only."""
        now = self._clock.now()
        self._settings.tickets.expire(now.mono)
        is_over = self._previous_until is not None and now.wall >= self._previous_until
        if is_over and len(self._settings.prs) > 1:
            self._settings = replace(self._settings, prs=self._newest)
            # Who proved the previous one must not go on for a day by resuming.
            self._settings.tickets.drop_all()
        return self._settings

    def client(self, connection: ConnectionInfo, dialled: Dialled) -> Handshake:
        """Return the dialling side of a handshake; it resumes if the peer left a ticket."""
        return InitiatorHandshake(
            self._current,
            _negotiated(connection),
            dialled.expected,
            resume=dialled.expected,
            guess=dialled.guess,
        )

    def server(self, connection: ConnectionInfo, visit: Visit) -> Handshake:
        """Return the answering side of a handshake."""
        return ResponderHandshake(self._current, _negotiated(connection), visit.may_answer)

    def forget(self, peer: NodeId) -> None:
        """Let this peer resume nothing: it was revoked, or its pin changed."""
        self._settings.tickets.drop(peer)


def _negotiated(connection: ConnectionInfo) -> Negotiated:
    return Negotiated(connection.transport, connection.offered, connection.subprotocol or "")
