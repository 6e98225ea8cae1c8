"""A process that announces itself and prints whom it finds, for tests in network namespaces.

Usage: python -m tests.support.discovery_process NAME PORT BIND SERVICE_TYPE
Prints `found NAME HOST:PORT,...`, `lost NAME` and `notice TEXT`; ends when its stdin ends.
"""

from __future__ import annotations

import asyncio
import sys

from ironmesh.discovery.mdns import MdnsDiscovery
from ironmesh.discovery.record import FoundPeer


def show_found(peer: FoundPeer) -> None:
    print("found", peer.name, ",".join(map(str, peer.endpoints)), flush=True)


async def main(name: str, port: str, bind: str, service_type: str) -> None:
    discovery = MdnsDiscovery(service_type, poll_s=0.1)
    discovery.start(
        name,
        int(port),
        bind,
        show_found,
        lambda lost: print("lost", lost, flush=True),
        lambda text: print("notice", text, flush=True),
    )
    print("started", flush=True)
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.add_reader(sys.stdin, lambda: over.done() or over.set_result(None))
    await over
    loop.remove_reader(sys.stdin)
    started = loop.time()
    await discovery.stop()
    print(f"stopped after {loop.time() - started:.3f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
