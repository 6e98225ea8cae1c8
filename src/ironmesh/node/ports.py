"""What the node asks of the network, so that tests and simulations can give it another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ironmesh.discovery.record import FoundPeer
from ironmesh.transport.interface import Connection, ConnectionHandler, Door, Listener
from ironmesh.types import Endpoint, Refusal
from ironmesh.wire.native.constants import SUBPROTOCOL

SUBPROTOCOLS: Final = (SUBPROTOCOL,)
"""What is offered to whom we dial, and agreed to with who dials us. The 0.8 wire has no name."""

OnRefused = Callable[[Refusal, str], None]
"""Told of a connection that never became one: why, and from where (`host:port`)."""


class Transport(Protocol):
    """Listens and dials."""

    @property
    def is_tls(self) -> bool:
        """The listener speaks TLS."""
        ...

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door,
        on_refused: OnRefused,
        *,
        subprotocols: Sequence[str] = (),
    ) -> Listener:
        """Accept connections at `endpoint` (port 0: any free one).

        Args:
            subprotocols: what may be agreed on, best first; a client need not offer any.

        Raises:
            PortInUseError: the address is taken.
        """
        ...

    async def dial(
        self, endpoint: Endpoint, *, use_tls: bool, subprotocols: Sequence[str] = ()
    ) -> Connection:
        """Connect.

        Args:
            subprotocols: what to offer, best first.

        Raises:
            ConnectError: nobody there, no answer in time, or not what was asked for.
        """
        ...


class Discovery(Protocol):
    """Announces this node and finds others; runs in the background."""

    def start(
        self,
        name: str,
        port: int,
        bind: str,
        on_found: Callable[[FoundPeer], None],
        on_lost: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """Begin; returns at once. `on_notice` takes one line for people."""
        ...

    async def stop(self) -> None:
        """Withdraw the announcement and end."""
        ...
