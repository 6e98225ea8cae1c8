"""A program that a test kills at any moment: it sends numbers to a peer, and takes what comes.

What it knows for sure goes to a log with one `os.write` a line, which survives SIGKILL: `A n` when
`send` has accepted number n, `H n r` when the handler has it (r = 1 if marked as redelivered), and
`E n` when all before n is accepted.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from ironmesh import Agent
from ironmesh.config import MINIMAL_KDF

HANDLER_S = 0.001
"""What a handler works, so that a kill may meet it."""


class Log:
    """Lines that are there once `write` returns, whatever happens to the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def main() -> None:
    """Print the node id, read whom to send to, send; run until killed, or stdin ends."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    log = Log(options["log"])
    agent = Agent(
        options["name"],
        port=options["port"],
        passphrase=options["passphrase"],
        bind="127.0.0.1",
        mdns=False,
        kdf=MINIMAL_KDF,
        allow_plaintext=True,
        open_discovery=False,
        peers=options["peers"],
    )

    @agent.on_message()
    def take(peer_id: str, payload: bytes, event: Any) -> None:
        log.write("H", payload.decode(), int(event["redelivered"]))
        time.sleep(HANDLER_S)

    loop = agent.run(foreground=False)
    assert loop is not None
    print(agent.node_id, flush=True)
    target = sys.stdin.readline().strip()
    asyncio.run_coroutine_threadsafe(_send(agent, target, options, log), loop)
    sys.stdin.readline()
    agent.stop()


async def _send(agent: Agent, target: str, options: dict[str, Any], log: Log) -> None:
    """Send numbers, several at a time, each `send` begun in the order of the numbers."""
    numbers = iter(range(options["first"], options["last"]))

    async def send_some() -> None:
        for number in numbers:
            await agent.send(target, str(number))
            log.write("A", number)

    await asyncio.gather(*(send_some() for _ in range(options["width"])))
    log.write("E", options["last"])


if __name__ == "__main__":
    main()
