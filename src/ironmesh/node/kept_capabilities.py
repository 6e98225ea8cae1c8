"""Capabilities that programs advertised while the node ran: they last until they are withdrawn."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import msgspec

from ironmesh.errors import ConfigError, StoreError
from ironmesh.node.capabilities import CapabilityExchange
from ironmesh.node.supervisor import TaskSupervisor
from ironmesh.node.threads import in_thread
from ironmesh.observe.counters import Counters
from ironmesh.store.mesh_state import MeshState

_log = logging.getLogger("ironmesh.node")

_DECODER: Final = msgspec.json.Decoder(list[str])


class KeptCapabilities:
    """What this node was told to advertise while it ran, brought to disk.

    Args:
        capabilities: what it advertises, these and others.
    """

    def __init__(
        self,
        capabilities: CapabilityExchange,
        state: MeshState,
        tasks: TaskSupervisor,
        counters: Counters,
    ) -> None:
        self._capabilities = capabilities
        self._state = state
        self._tasks = tasks
        self._counters = counters
        self._kept: set[str] = set()
        self._is_saved = True
        self._saving: asyncio.Task[None] | None = None

    def restore(self) -> None:
        """Advertise again what was kept by the last run."""
        try:
            kept = _DECODER.decode(self._state.load_capabilities() or b"[]")
        except (StoreError, msgspec.DecodeError) as error:
            _log.warning("the capabilities of the last run are not advertised: %s", error)
            return
        for capability in kept:
            try:
                self._capabilities.advertise(capability)
            except ConfigError as error:
                _log.warning("%r is not advertised any more: %s", capability, error)
            else:
                self._kept.add(capability)

    def advertise(self, capability: str) -> asyncio.Future[None]:
        """Advertise a capability, in later runs as well; the future is done once that is sure.

        Raises:
            ConfigError: not a capability, or there are too many.
        """
        self._capabilities.advertise(capability)
        self._kept.add(capability)
        return self._save_soon()

    def withdraw(self, capability: str) -> asyncio.Future[None]:
        """Withdraw a capability; one of the configuration is back in the next run."""
        self._capabilities.withdraw(capability)
        self._kept.discard(capability)
        return self._save_soon()

    async def settle(self) -> None:
        """Return once what changed is on disk, or could not be written."""
        if self._saving is not None:
            await asyncio.wait([self._saving])

    def _save_soon(self) -> asyncio.Future[None]:
        self._is_saved = False
        if self._saving is None or self._saving.done():
            self._saving = self._tasks.spawn(self._save(), name="capabilities")
        return asyncio.shield(self._saving)

    async def _save(self) -> None:
        while not self._is_saved:
            self._is_saved = True
            try:
                state = msgspec.json.encode(sorted(self._kept))
                await in_thread(self._state.save_capabilities, state)
            except StoreError as error:
                self._counters.add("store_errors")
                _log.warning("capabilities are advertised in this run only: %s", error)
