"""Discovery by multicast DNS (RFC 6762, 6763): a node announces itself and finds the others.

All of it happens in the background and nothing of it is needed: a node without multicast runs, and
is told to people as a notice.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from ironmesh.discovery.interface import Observer, Service
from ironmesh.discovery.interfaces import Surroundings, survey
from ironmesh.discovery.record import NATIVE_SERVICE_TYPE, SERVICE_TYPE, FoundPeer
from ironmesh.discovery.services import LegacyService, NativeService
from ironmesh.errors import ConfigError

POLL_S: Final = 3.0
"""How often to look whether the network changed: a cable, another Wi-Fi, a new address."""
RETRY_S: Final = 30.0


class NativeIdentity(msgspec.Struct, frozen=True):
    """What a node is called on the native wire, to anybody who listens."""

    label: str
    """From `record.random_label`, anew at each start."""
    mesh: str
    """The public name of its mesh."""
    service_type: str = NATIVE_SERVICE_TYPE


class MdnsDiscovery:
    """Announces one node and finds others, wherever the machine is connected.

    Args:
        service_type: the DNS-SD type of the 0.8 wire, for which the node's name is announced;
            None = not at all.
        native: what to announce for the native wire; None = nothing.
        poll_s: seconds between two looks at the interfaces.
    """

    def __init__(
        self,
        service_type: str | None = SERVICE_TYPE,
        *,
        native: NativeIdentity | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        self._service_type = service_type
        self._native = native
        self._poll_s = poll_s
        self._follower: asyncio.Task[None] | None = None
        self._stay: asyncio.Task[None] | None = None

    def start(
        self,
        name: str,
        port: int,
        bind: str,
        on_found: Callable[[FoundPeer], None],
        on_lost: Callable[[str], None],
        on_notice: Callable[[str], None],
    ) -> None:
        """Begin in the background; returns at once. Needs a running event loop.

        Args:
            name: this node's name, announced as it is on the 0.8 wire, and nowhere else.
            port: the listener's real port.
            bind: the listener's address; `0.0.0.0` = every IPv4 interface, `::` = every interface,
                another one limits announcing and browsing to its interface.
            on_found: a node announced itself, or announced something new. May have this one's name
                or label.
            on_lost: the node with this `FoundPeer.key` withdrew, or can no longer be seen.
            on_notice: something that a person should know, in one line.

        Raises:
            ConfigError: `bind` is not an address.
        """
        try:
            ipaddress.ip_address(bind.partition("%")[0])
        except ValueError as error:
            raise ConfigError(
                f"{bind!r} is not an address", "give --bind an address of this machine"
            ) from error
        services = self._services(name, port)
        observer = Observer(on_found, on_lost, on_notice)
        self._follower = asyncio.get_running_loop().create_task(
            self._follow(bind, services, observer)
        )
        self._follower.add_done_callback(_report)

    async def stop(self) -> None:
        """Say goodbye to the network and end; may be called twice, and before `start`."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        if self._stay is not None:
            # The follower cancelled it, and may itself have been cancelled while it ended.
            await asyncio.wait([self._stay])
        self._follower = self._stay = None

    def _services(self, name: str, port: int) -> list[Service]:
        services: list[Service] = []
        if self._native is not None:
            native = self._native
            services.append(NativeService(native.service_type, native.label, native.mesh, port))
        if self._service_type is not None:
            services.append(LegacyService(self._service_type, name, port))
        return services

    async def _follow(self, bind: str, services: Sequence[Service], observer: Observer) -> None:
        """Begin a new stay each time the surroundings change."""
        while True:
            here = survey(bind)
            stay = asyncio.get_running_loop().create_task(_stay(services, here, observer))
            stay.add_done_callback(_report)
            self._stay = stay
            try:
                while survey(bind) == here:  # noqa: ASYNC110 - no portable event tells of it
                    await asyncio.sleep(self._poll_s)
            finally:
                stay.cancel()
                await asyncio.wait([stay])


async def _stay(services: Sequence[Service], here: Surroundings, observer: Observer) -> None:
    """Announce and browse here; where that fails, say so and try again later."""
    if not here.announced:
        observer.on_notice("no network interface is up: discovery waits for one")
        return
    # Costs as much as everything else at start; by now the node is up already.
    from zeroconf import Error

    from ironmesh.discovery.presence import Presence

    while True:
        problem: BaseException | None = None
        try:
            await Presence(services, here, observer).stay()
        except* (OSError, RuntimeError, Error) as errors:
            problem = _first(errors)
        observer.on_notice(f"discovery does not work ({problem}): peers can be given by --peer")
        await asyncio.sleep(RETRY_S)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        task.get_loop().call_exception_handler(
            {"message": "discovery failed", "exception": error, "task": task}
        )
