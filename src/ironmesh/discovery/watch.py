"""One type of record in one network: announce this node by it, and tell of others."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from ironmesh.discovery.flood import Change, FloodGate
from ironmesh.discovery.interface import Observer, Service
from ironmesh.discovery.interfaces import Surroundings
from ironmesh.discovery.record import FoundPeer, Heard
from ironmesh.errors import RemoteProtocolError

PROBE_MS: Final = 350
"""How long to ask for another node that uses our label. Published probing takes 1.5 s."""
RESOLVE_MS: Final = 1500
MAX_FOUND: Final = 1024


class Watch:
    """Announces and browses one type of record.

    Args:
        service: what to announce, and how to read what others announce.
        surroundings: where.
        observer: told of peers, and of what a person should know.
    """

    def __init__(self, service: Service, surroundings: Surroundings, observer: Observer) -> None:
        self._service = service
        self._surroundings = surroundings
        self._observer = observer
        self._own_instance = ""
        self._gate = FloodGate()
        self._wake = asyncio.Event()
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, str] = {}
        self._noticed: set[str] = set()

    async def run(self, zeroconf: AsyncZeroconf) -> None:
        """Announce and browse until cancelled.

        Raises:
            OSError, RuntimeError, zeroconf.Error: discovery does not work here.
        """
        browser = AsyncServiceBrowser(
            zeroconf.zeroconf, self._service.service_type, handlers=[self._changed]
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._register(zeroconf))
                await self._look_at_events(zeroconf.zeroconf, group)
        finally:
            await browser.async_cancel()

    def lose_all(self) -> None:
        """Tell that nobody can be seen any more."""
        for instance in list(self._found):
            self._lose(instance)

    async def _register(self, zeroconf: AsyncZeroconf) -> None:
        instance = await self._free_instance(zeroconf.zeroconf)
        self._own_instance = instance
        info = AsyncServiceInfo(
            self._service.service_type,
            instance,
            port=self._service.port,
            properties=self._service.txt(),
            # A name of its own: the machine's mDNS responder may own `<name>.local.`.
            server=f"ironmesh-{os.urandom(6).hex()}.local.",
            parsed_addresses=[a.partition("%")[0] for a in self._surroundings.announced],
        )
        await (await zeroconf.async_register_service(info, cooperating_responders=True))

    async def _free_instance(self, zeroconf: Zeroconf) -> str:
        service_type = self._service.service_type
        first, *others = [f"{label}.{service_type}" for label in self._service.labels()]
        instance = first
        for other in others:
            if not await AsyncServiceInfo(service_type, instance).async_request(zeroconf, PROBE_MS):
                break
            self._notice(self._service.conflict)
            instance = other
        return instance

    def _changed(
        self,
        zeroconf: Zeroconf,  # noqa: ARG002 - zeroconf passes it by name
        service_type: str,  # noqa: ARG002 - zeroconf passes it by name
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if name == self._own_instance:
            return
        change = Change.GONE if state_change is ServiceStateChange.Removed else Change.SEEN
        if not self._gate.offer(name, change):
            self._notice("too many announcements at once: some were ignored")
        self._wake.set()

    async def _look_at_events(self, zeroconf: Zeroconf, group: asyncio.TaskGroup) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            wait_s = self._gate.wait_s(clock())
            if wait_s is None:
                await self._wake.wait()
                self._wake.clear()
                continue
            await asyncio.sleep(wait_s)
            event = self._gate.take(clock())
            if event is not None:
                self._look_at(event[0], event[1], zeroconf, group)

    def _look_at(
        self, instance: str, change: Change, zeroconf: Zeroconf, group: asyncio.TaskGroup
    ) -> None:
        if (earlier := self._resolving.pop(instance, None)) is not None:
            earlier.cancel()
        if change is Change.GONE:
            self._lose(instance)
            return
        task = group.create_task(self._resolve(zeroconf, instance))
        self._resolving[instance] = task
        task.add_done_callback(lambda done: self._forget(instance, done))

    def _forget(self, instance: str, task: asyncio.Task[None]) -> None:
        if self._resolving.get(instance) is task:
            del self._resolving[instance]

    async def _resolve(self, zeroconf: Zeroconf, instance: str) -> None:
        info = AsyncServiceInfo(self._service.service_type, instance)
        if not await info.async_request(zeroconf, RESOLVE_MS):
            return
        heard = Heard(
            instance.removesuffix(f".{self._service.service_type}"),
            info.text or b"",
            info.port or 0,
            tuple(info.parsed_scoped_addresses(IPVersion.All)),
        )
        try:
            peer = self._service.parse(heard, self._surroundings.own)
        except RemoteProtocolError as error:
            self._notice(error.what)
            return
        self._find(instance, peer)

    def _find(self, instance: str, peer: FoundPeer) -> None:
        if instance not in self._found and len(self._found) >= MAX_FOUND:
            self._notice("too many nodes announce themselves: some were ignored")
            return
        if self._found.get(instance, peer.key) != peer.key:
            self._lose(instance)
        self._found[instance] = peer.key
        self._observer.on_found(peer)

    def _lose(self, instance: str) -> None:
        key = self._found.pop(instance, None)
        if key is not None and key not in self._found.values():
            self._observer.on_lost(key)

    def _notice(self, text: str) -> None:
        """Say it once; the texts are ours, so there are few."""
        if text not in self._noticed:
            self._noticed.add(text)
            self._observer.on_notice(text)
