"""One stay in one network: announce this node there, and tell of the others, until it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from zeroconf.asyncio import AsyncZeroconf

from ironmesh.discovery.interface import Observer, Service
from ironmesh.discovery.interfaces import Surroundings, with_multicast
from ironmesh.discovery.watch import Watch


class Presence:
    """Announces and browses in the given surroundings.

    Args:
        services: what to announce; each type of record is watched for itself, so that a flood of
            one does not hold up another.
        surroundings: where.
        observer: told of peers, and of what a person should know.
    """

    def __init__(
        self, services: Sequence[Service], surroundings: Surroundings, observer: Observer
    ) -> None:
        self._surroundings = surroundings
        self._watches = [Watch(service, surroundings, observer) for service in services]

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
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(watch.run(zeroconf))
        finally:
            # In a task of its own: the library gives up half-way in one that was cancelled.
            await asyncio.get_running_loop().create_task(zeroconf.async_close())
            for watch in self._watches:
                watch.lose_all()
