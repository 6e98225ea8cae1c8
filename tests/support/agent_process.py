"""An agent in a process of its own, driven by tests: start it, talk through it, kill it.

`tests.support.published.PublishedNode` and `tests.support.our_node.OurNode` say which package runs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.support.ports import free_port

SCRIPT = Path(__file__).with_name("agent_script.py")
PASSPHRASE = "correct horse battery staple"
START_TIMEOUT_S = 20.0
TIMEOUT_S = 10.0
LOG_TAIL = 30

T = TypeVar("T")


class AgentFailed(AssertionError):  # noqa: N818 - a test failure, with the process's log in it
    """The process died, or what the test waits for did not come."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the agent's handler got."""

    peer_id: str
    type: str
    payload: bytes

    @property
    def text(self) -> str:
        """The payload as text."""
        return self.payload.decode()


class AgentProcess:
    """One agent process.

    Args:
        home: becomes its HOME; survives `kill` and `restart`.
        name: the agent's name; None = a unique one, so that tests side by side do not meet in mDNS.
        passphrase: of the mesh.
        port: its TCP port; None = a free one.
        start: further fields of the `start` command (`echo`, `lift_limits`, `id_below`, ...).
        netns: the network namespace to run in.
        kwargs: constructor arguments of `Agent`.
    """

    def __init__(
        self,
        home: Path,
        name: str | None = None,
        *,
        passphrase: str = PASSPHRASE,
        port: int | None = None,
        start: dict[str, Any] | None = None,
        netns: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.home = home
        self.name = name or f"node-{secrets.token_hex(3)}"
        self.passphrase = passphrase
        self.port = port or free_port()
        self.node_id = ""
        self.events: list[dict[str, Any]] = []
        self.log: list[str] = []
        self.online: dict[str, str] = {}
        """Names of the online peers by node id."""
        self._start_fields = start or {}
        self._netns = netns
        self._kwargs = kwargs
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._has_ended = False
        self._changed = asyncio.Condition()
        self._next_id = 0

    # --- What the two packages do differently ----------------------------------------------------

    def python(self) -> Sequence[str]:
        """Return the interpreter, with its options, that has the package."""
        return (sys.executable, "-P")

    def agent_kwargs(self) -> dict[str, Any]:
        """Return the constructor arguments of `Agent` that this package needs in tests."""
        return {}

    # --- Life ------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start the process and wait until its agent runs."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.events.clear()
        self.online.clear()
        inside = ["ip", "netns", "exec", self._netns] if self._netns else []
        self._process = await asyncio.create_subprocess_exec(
            *inside,
            *self.python(),
            str(SCRIPT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,
            env={**os.environ, "HOME": str(self.home), "PYTHONUNBUFFERED": "1"},
        )
        self._has_ended = False
        self._reader = asyncio.create_task(self._read_all(self._process))
        kwargs = {"bind": "127.0.0.1", "open_discovery": False, **self.agent_kwargs()}
        ready = await self.call(
            "start",
            timeout_s=START_TIMEOUT_S,
            name=self.name,
            port=self.port,
            passphrase=self.passphrase,
            kwargs={**kwargs, **self._kwargs},
            **self._start_fields,
        )
        self.node_id = ready["node_id"]
        return self

    async def kill(self) -> None:
        """End the process with SIGKILL: nothing is said to peers and nothing is tidied up."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        assert self._reader is not None
        await self._reader
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    async def stop(self) -> None:
        """Stop the agent in an orderly way (`Agent.stop`), then end the process."""
        await self.call("stop", timeout_s=START_TIMEOUT_S)
        await self.kill()

    async def restart(self) -> Self:
        """Kill the process if it runs, and start it again with the same home, name and port."""
        await self.kill()
        return await self.start()

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:
            await self.kill()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()
        if error is not None:
            error.add_note(self._report())

    # --- Commands --------------------------------------------------------------------------------

    async def call(self, command: str, *, timeout_s: float = TIMEOUT_S, **fields: Any) -> Any:
        """Give a command and return the fields of its answer.

        Raises:
            AgentFailed: it ended with an error; `str()` names the error's type and text.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._next_id += 1
        number = self._next_id
        line = json.dumps({"id": number, "cmd": command, **fields}) + "\n"
        self._process.stdin.write(line.encode())
        answer = await self.wait_event(
            lambda event: event.get("id") == number, f"answer to {command}", timeout_s=timeout_s
        )
        if answer["event"] == "error":
            raise AgentFailed(f"{self.name}: {answer['kind']}: {answer['text']}")
        return answer

    async def send(
        self,
        target: str,
        payload: str | bytes,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
    ) -> str:
        """Send one message to a name or node id; return its message id."""
        raw = payload.encode() if isinstance(payload, str) else payload
        answer = await self.call(
            "send",
            target=target,
            payload_b64=base64.b64encode(raw).decode(),
            type=msg_type,
            priority=priority,
        )
        return str(answer["msg_id"])

    async def send_many(
        self, target: str, prefix: str, count: int, *, rate: float = 0, timeout_s: float = 40
    ) -> list[str]:
        """Send `prefix` with the numbers 0 to `count` - 1, `rate` a second (0 = all at once)."""
        answer = await self.call(
            "send_many", target=target, prefix=prefix, count=count, rate=rate, timeout_s=timeout_s
        )
        return list(answer["msg_ids"])

    async def connect_to(self, other: AgentProcess, *, host: str = "127.0.0.1") -> None:
        """Dial the other node and wait until both show the session."""
        await self.dial(host, other.port)
        await self.wait_peer(other)
        await other.wait_peer(self)

    async def dial(self, host: str, port: int) -> None:
        """Dial an address without waiting for what comes of it (see `wait_dial_ended`)."""
        await self.call("connect", host=host, port=port)

    async def wait_dial_ended(self, *, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait until a dial, or the session that came of it, is over."""
        return await self.wait_event(
            lambda event: event["event"] == "dial_ended", "the dial's end", timeout_s=timeout_s
        )

    async def peer(self, other: AgentProcess) -> dict[str, Any]:
        """Return how the agent shows the other one now (`rtt_ms`, counts, ...).

        Raises:
            AgentFailed: it is not online.
        """
        peers = (await self.call("peers"))["peers"]
        for shown in peers:
            if shown["node_id"] == other.node_id:
                return dict(shown)
        raise AgentFailed(f"{self.name} does not show {other.name}: {peers}")

    # --- Waiting ---------------------------------------------------------------------------------

    async def wait_peer(self, other: AgentProcess, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the other node is among the online peers."""
        await self._wait(
            lambda: other.node_id in self.online or None, f"{other.name} online", timeout_s
        )

    async def wait_peer_gone(self, other: AgentProcess, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the other node is not among the online peers."""
        await self._wait(
            lambda: other.node_id not in self.online or None, f"{other.name} offline", timeout_s
        )

    def received(self, msg_type: str | None = None) -> list[Received]:
        """Return the messages so far, in order; of one type if wanted."""
        return [
            Received(event["peer_id"], event["type"], base64.b64decode(event["payload_b64"]))
            for event in self.events
            if event["event"] == "message" and msg_type in (None, event["type"])
        ]

    async def wait_message(
        self, payload: str | bytes, msg_type: str = "MSG", *, timeout_s: float = TIMEOUT_S
    ) -> Received:
        """Wait for a message with this payload."""
        wanted = payload.encode() if isinstance(payload, str) else payload

        def find() -> Received | None:
            arrived = self.received(msg_type)
            return next((message for message in arrived if message.payload == wanted), None)

        return await self._wait(find, f"{msg_type} {wanted[:40]!r}", timeout_s)

    async def wait_messages(
        self, count: int, msg_type: str = "MSG", *, timeout_s: float = 40
    ) -> list[Received]:
        """Wait until at least `count` messages of a type arrived; return them all, in order."""

        def enough() -> list[Received] | None:
            arrived = self.received(msg_type)
            return arrived if len(arrived) >= count else None

        return await self._wait(enough, f"{count} messages of type {msg_type}", timeout_s)

    async def wait_control(
        self, msg_type: str, *, count: int = 1, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Wait until the agent saw `count` control messages of this type."""

        def enough() -> bool | None:
            seen = [e for e in self.events if e["event"] == "control" and e["type"] == msg_type]
            return len(seen) >= count or None

        await self._wait(enough, f"{count} {msg_type}", timeout_s)

    async def wait_event(
        self,
        is_it: Callable[[dict[str, Any]], bool],
        what: str,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """Wait for an event, which may already be there."""
        return await self._wait(lambda: next(filter(is_it, self.events), None), what, timeout_s)

    async def _wait(self, look: Callable[[], T | None], what: str, timeout_s: float) -> T:
        async def watch() -> T:
            async with self._changed:
                while (found := look()) is None:
                    if self._has_ended:
                        raise AgentFailed(f"{self.name} ended before: {what}\n{self._report()}")
                    await self._changed.wait()
                return found

        try:
            return await asyncio.wait_for(watch(), timeout_s)
        except TimeoutError:
            raise AgentFailed(
                f"{self.name}: no {what} within {timeout_s} s\n{self._report()}"
            ) from None

    # --- Reading ---------------------------------------------------------------------------------

    async def _read_events(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            event = json.loads(line)
            async with self._changed:
                if event["event"] == "peers":
                    self.online = {peer["node_id"]: peer["name"] for peer in event["peers"]}
                self.events.append(event)
                self._changed.notify_all()

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.log.append(line.decode(errors="replace").rstrip())

    async def _read_all(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._read_events(process.stdout), self._read_log(process.stderr))
        async with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def _report(self) -> str:
        tail = "\n".join(self.log[-LOG_TAIL:])
        return f"--- {self.name} ({type(self).__name__}), last lines of its log:\n{tail}"
