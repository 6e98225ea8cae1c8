"""What a node does now and then: bring to disk what was put off, give memory back."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Final, Protocol

from ironmesh.delivery.records import DeliveryStore
from ironmesh.delivery.upkeep import Upkeep
from ironmesh.errors import StoreError, TrustFileError
from ironmesh.node.clock import Clock
from ironmesh.node.journal import Journal
from ironmesh.trust.store import TrustStore

_log = logging.getLogger("ironmesh.node")

FLUSH_S: Final = 60.0
STARTED_S: Final = 1.0
"""The start is over by then, mDNS included."""


class Flushed(Protocol):
    """Something that is written now and then."""

    async def flush(self) -> None:
        """Write what was put off."""
        ...


async def maintain(trust: TrustStore, journal: Journal, mesh: Flushed | None = None) -> None:
    """Flush pins, audit log and routes every minute, until cancelled."""
    await asyncio.sleep(STARTED_S)
    give_back_memory()
    while True:
        await asyncio.sleep(FLUSH_S)
        flush(trust, journal)
        if mesh is not None:
            await mesh.flush()


async def keep_up(store: DeliveryStore, clock: Clock) -> None:
    """Let the store forget what is old, until cancelled."""
    upkeep = Upkeep(clock.now())
    while True:
        await asyncio.sleep(max(0.0, upkeep.next_timer - clock.now().mono))
        ops = upkeep.timer(clock.now())
        try:
            if ops:
                await store.commit(ops)
        except StoreError as error:
            _log.warning("the store was not tidied: %s", error)
            upkeep.commit_failed(ops)


def flush(trust: TrustStore, journal: Journal) -> None:
    """Write what was put off; what cannot be written is told, and stays for the next time."""
    try:
        trust.flush()
    except TrustFileError as error:
        _log.error("the pins were not written: %s", error)
    journal.flush()


def give_back_memory() -> None:
    """Return to the system what a start took and freed: glibc keeps a megabyte of it otherwise."""
    if sys.platform != "linux":
        return
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other libraries have none
    if trim is not None:
        trim(0)
