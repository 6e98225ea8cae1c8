"""One stay in one network: announce this node there, and tell of the others, until it changes."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from ironmesh.discovery.flood import Change, FloodGate
from ironmesh.discovery.interface import Announcement, Observer
from ironmesh.discovery.interfaces import Surroundings, with_multicast
from ironmesh.discovery.record import FoundPeer, build_txt, instance_label, parse_record
from ironmesh.errors import RemoteProtocolError

PROBE_MS: Final = 350
"""How long to ask for another node that uses our label. Published probing takes 1.5 s."""
MAX_LABELS: Final = 8
RESOLVE_MS: Final = 1500
MAX_FOUND: Final = 1024


class Presence:
    """Announces and browses in the given surroundings.

    Args:
        announcement: what to announce.
        surroundings: where.
        observer: told of peers, and of what a person should know.
    """

    def __init__(
        self, announcement: Announcement, surroundings: Surroundings, observer: Observer
    ) -> None:
        self._announcement = announcement
        self._surroundings = surroundings
        self._observer = observer
        self._own_instance = ""
        self._gate = FloodGate()
        self._wake = asyncio.Event()
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, str] = {}
        self._noticed: set[str] = set()

    async def stay(self) -> None:
        """Announce and browse until cancelled; then say goodbye, and that all peers are lost.

        Raises:
            OSError, RuntimeError, zeroconf.Error: discovery does not work here.
        """
        interfaces = with_multicast(self._surroundings.interfaces)
        if not interfaces:
            raise OSError("no interface carries multicast")
        zeroconf = AsyncZeroconf(interfaces=interfaces)
        try:
            await zeroconf.zeroconf.async_wait_for_start()
            browser = AsyncServiceBrowser(
                zeroconf.zeroconf, self._announcement.service_type, handlers=[self._changed]
            )
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._register(zeroconf))
                    await self._look_at_events(zeroconf.zeroconf, group)
            finally:
                await browser.async_cancel()
        finally:
            # In a task of its own: the library gives up half-way in one that was cancelled.
            await asyncio.get_running_loop().create_task(zeroconf.async_close())
            for instance in list(self._found):
                self._lose(instance)

    async def _register(self, zeroconf: AsyncZeroconf) -> None:
        service_type = self._announcement.service_type
        instance = await self._free_instance(zeroconf.zeroconf)
        self._own_instance = instance
        info = AsyncServiceInfo(
            service_type,
            instance,
            port=self._announcement.port,
            properties=build_txt(self._announcement.name, self._announcement.port),
            # A name of its own: the machine's mDNS responder may own `<name>.local.`.
            server=f"ironmesh-{secrets.token_hex(6)}.local.",
            parsed_addresses=[a.partition("%")[0] for a in self._surroundings.announced],
        )
        await (await zeroconf.async_register_service(info, cooperating_responders=True))

    async def _free_instance(self, zeroconf: Zeroconf) -> str:
        service_type = self._announcement.service_type
        instance = ""
        for attempt in range(1, MAX_LABELS + 1):
            instance = f"{instance_label(self._announcement.name, attempt)}.{service_type}"
            if not await AsyncServiceInfo(service_type, instance).async_request(zeroconf, PROBE_MS):
                break
            self._notice(
                f"another node on this network calls itself {self._announcement.name!r}: "
                "give one of them another --name"
            )
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
        info = AsyncServiceInfo(self._announcement.service_type, instance)
        if not await info.async_request(zeroconf, RESOLVE_MS):
            return
        try:
            peer = parse_record(
                info.text or b"",
                info.parsed_scoped_addresses(IPVersion.All),
                self._surroundings.own,
            )
        except RemoteProtocolError as error:
            self._notice(error.what)
            return
        self._find(instance, peer)

    def _find(self, instance: str, peer: FoundPeer) -> None:
        if instance not in self._found and len(self._found) >= MAX_FOUND:
            self._notice("too many nodes announce themselves: some were ignored")
            return
        if self._found.get(instance, peer.name) != peer.name:
            self._lose(instance)
        self._found[instance] = peer.name
        self._observer.on_found(peer)

    def _lose(self, instance: str) -> None:
        name = self._found.pop(instance, None)
        if name is not None and name not in self._found.values():
            self._observer.on_lost(name)

    def _notice(self, text: str) -> None:
        """Say it once; the texts are ours, so there are few."""
        if text not in self._noticed:
            self._noticed.add(text)
            self._observer.on_notice(text)
