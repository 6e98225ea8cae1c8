"""The measured process: one `Agent`, ours or the published one, driven by JSON lines on stdin.

It uses only names that both packages offer, so what is measured is the same program twice. Every
command is answered by one line on stdout; times are of the monotonic clock, which the processes of
one machine share.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

BORN = time.monotonic()
PEER_POLL_S = 0.02
PROGRESS_POLL_S = 0.05
SETTLE_S = 120.0
LAST_RECEIPTS = 64
PING_TYPE = "REQ"
PONG_TYPE = "RESP"


def lift_limits() -> None:
    """Take the published node's rate limits away; to be done before an agent is made."""
    import ironmesh.protocol

    protocol: Any = ironmesh.protocol  # of the published package: ours has no such class
    bucket = protocol.TokenBucket
    bucket.consume = lambda *_args, **_kwargs: True
    bucket.wait_time = lambda *_args, **_kwargs: 0.0


def lift_agent_limits(daemon: Any) -> None:
    """Take away those limits of the published node that each agent has of its own."""
    daemon._peer_bandwidth_rate = 0  # noqa: SLF001 - its public surface has no name for it
    database: Any = getattr(daemon, "_db", None)
    if hasattr(database, "_max_pending_per_peer"):
        database._max_pending_per_peer = 0  # noqa: SLF001 - as above


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Program:
    """The agent, what its handler saw, and the commands."""

    def __init__(self) -> None:
        self._agent: Any = None
        self._loop: Any = None
        self._receipts: list[Any] = []
        self._seen = 0
        self._last_seen = 0.0
        self._pong = threading.Event()
        self._pong_at = 0.0

    def start(
        self,
        name: str,
        port: int,
        passphrase: str,
        kwargs: dict[str, Any],
        is_lifted: bool,
    ) -> dict[str, Any]:
        """Make and run the agent; tell what that took since the process began."""
        if is_lifted:
            lift_limits()
        from ironmesh import Agent

        self._agent = Agent(name, port=port, passphrase=passphrase, **kwargs)
        self._agent.on_message()(self._take)
        self._agent.on_message(PING_TYPE)(self._echo)
        self._agent.on_message(PONG_TYPE)(self._take_pong)
        self._loop = self._agent.run(foreground=False)
        up = time.monotonic()
        if is_lifted:
            lift_agent_limits(self._agent.daemon)
        return {
            "node_id": self._agent.node_id,
            "cpu_s": time.process_time(),
            "wall_s": up - BORN,
            "has_durable": "durable" in inspect.signature(Agent.send).parameters,
        }

    # --- Handlers ------------------------------------------------------------------------------

    def _take(self, peer_id: str, payload: bytes) -> None:  # noqa: ARG002 - the handlers' signature
        self._seen += 1
        self._last_seen = time.monotonic()

    def _echo(self, peer_id: str, payload: bytes) -> None:
        self._agent.reply(peer_id, payload, msg_type=PONG_TYPE)

    def _take_pong(self, peer_id: str, payload: bytes) -> None:  # noqa: ARG002 - as above
        self._pong_at = time.monotonic()
        self._pong.set()

    # --- Commands ------------------------------------------------------------------------------

    def usage(self) -> dict[str, Any]:
        """Tell the CPU seconds so far (user and system, all threads), and the memory."""
        return {"cpu_s": time.process_time(), "resident_bytes": resident_bytes()}

    def connect(self, port: int, peer: str) -> dict[str, Any]:
        """Dial a node of this machine and wait until it is online."""
        dialling = self._agent.daemon.connect_to_peer("127.0.0.1", port)
        asyncio.run_coroutine_threadsafe(dialling, self._loop)
        return self.wait_peer(peer, is_online=True)

    def wait_peer(self, peer: str, is_online: bool) -> dict[str, Any]:
        """Wait until a peer is online, or is not."""
        end = time.monotonic() + SETTLE_S
        while any(shown["node_id"] == peer for shown in self._agent.peers) is not is_online:
            if time.monotonic() > end:
                raise TimeoutError(f"{peer} did not come or go")
            time.sleep(PEER_POLL_S)
        return {}

    def forget_seen(self) -> dict[str, Any]:
        """Count from 0 again."""
        self._seen = 0
        return {}

    def wait_seen(self, count: int, quiet_s: float) -> dict[str, Any]:
        """Wait for `count` messages, or until nothing more came for `quiet_s`."""
        last, since = -1, time.monotonic()
        while self._seen < count:
            if self._seen != last:
                last, since = self._seen, time.monotonic()
            elif time.monotonic() - since > quiet_s:
                break
            time.sleep(PROGRESS_POLL_S)
        return {"seen": self._seen, "at": self._last_seen}

    def burst(
        self,
        target: str,
        size: int,
        count: int,
        in_flight: int,
        options: dict[str, Any],
        waits_for_receipts: bool = True,
    ) -> dict[str, Any]:
        """Send `count` messages from `in_flight` tasks on the agent's own loop."""
        payload = os.urandom(size)
        receipts = self._receipts = []
        began = time.monotonic()
        self._on_loop(self._send_all(target, payload, count, in_flight, options, receipts))
        accepted = time.monotonic()
        if waits_for_receipts and hasattr(receipts[0], "delivered"):
            self._on_loop(self._wait_delivered(receipts))
        return {"began": began, "accepted": accepted}

    def undelivered(self) -> dict[str, Any]:
        """Tell of how many messages of the last burst no receipt came."""
        states = [getattr(receipt, "state", "delivered") for receipt in self._receipts]
        return {"count": sum(state != "delivered" for state in states)}

    def _on_loop(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _send_all(
        self,
        target: str,
        payload: bytes,
        count: int,
        in_flight: int,
        options: dict[str, Any],
        receipts: list[Any],
    ) -> None:
        numbers = iter(range(count))

        async def worker() -> None:
            for _ in numbers:
                receipts.append(await self._agent.send(target, payload, **options))

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    async def _wait_delivered(self, receipts: list[Any]) -> None:
        """Wait for the last receipts; `undelivered` tells of the others."""
        for receipt in receipts[-LAST_RECEIPTS:]:
            await receipt.delivered(SETTLE_S)

    def round_trips(self, target: str, size: int, count: int) -> dict[str, Any]:
        """Send a message and wait for its echo, `count` times; tell the seconds each took."""
        payload = os.urandom(size)
        took = []
        for _ in range(count):
            self._pong.clear()
            began = time.monotonic()
            self._agent.reply(target, payload, msg_type=PING_TYPE)
            if not self._pong.wait(5.0):
                raise TimeoutError("no echo")
            took.append(self._pong_at - began)
        return {"seconds": took}


def main() -> None:
    """Obey until stdin closes; then end at once, as the published node cannot be asked to."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else of this process reaches the driver
    program = Program()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(program, command.pop("command"))(**command)
        except Exception as error:  # noqa: BLE001 - the driver on the other side judges it
            answer = {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(answer) + "\n")
        output.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
