"""`Agent`: join the mesh in three lines."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from ironmesh.bridge import BridgeDaemon
from ironmesh.bus import BusCallback, BusEvent
from ironmesh.config import DEFAULT_PORT
from ironmesh.daemon_settings import DaemonSettings
from ironmesh.errors import NotRunningError

_log = logging.getLogger("ironmesh.agent")

H = TypeVar("H", bound=Callable[..., object])


class Agent:
    """A node for people who want two agents talking in three lines.

    Args:
        name: the agent's name; its identity lies in `~/.ironmesh/nodes/NAME/`.
        port: where it listens; 0 = any free port.
        passphrase: the mesh passphrase, at least 12 characters; None = from the environment
            variable that `passphrase_env` names.
        bind: the address to listen on.
        allow_plaintext: speak and accept `ws://`; see `NodeConfig.allow_plaintext`.
        reticulum: not built yet; turning it on is an error.
        settings: anything that `BridgeDaemon` takes. `open_discovery` (dial every node of this mesh
            that announces itself) is on by default here, so that three lines find each other.

    Raises:
        ValueError: no passphrase or too short a one, an unknown setting, a bad value.
    """

    def __init__(
        self,
        name: str,
        port: int = DEFAULT_PORT,
        passphrase: str | None = None,
        *,
        bind: str = "0.0.0.0",  # noqa: S104 - a mesh node listens on the network
        allow_plaintext: bool = False,
        reticulum: bool = False,
        passphrase_env: str = "IRONMESH_PASSPHRASE",
        **settings: Unpack[DaemonSettings],
    ) -> None:
        settings.setdefault("open_discovery", True)
        settings.setdefault("bind_address", bind)
        settings.setdefault("allow_plaintext_ws", allow_plaintext)
        settings.setdefault("rns_enabled", reticulum)
        if passphrase is None:
            passphrase = os.environ.get(passphrase_env)
        self.name = name
        self.daemon = BridgeDaemon(name, port, passphrase, **settings)

    # --- Handlers ----------------------------------------------------------------------------

    def on_message(self, msg_type: str = "MSG") -> Callable[[H], H]:
        """Decorate a handler `(peer_id, payload)` or `(peer_id, payload, event)` of a type.

        `peer_id` is the node id of whoever wrote the message. Handlers run one at a time, in the
        order of their registration; a plain function runs in a thread of its own and may block, an
        `async def` runs on the node's loop. What a handler raises is logged.
        """

        def register(handler: H) -> H:
            self.daemon.bus.subscribe(msg_type, _adapt(handler))
            return handler

        return register

    def on(self, event_type: str) -> Callable[[H], H]:
        """Decorate a handler of the event mapping of a message type (see `ironmesh.bus`).

        A handler with two parameters gets `(peer_id, payload)` instead.
        """
        return self.on_message(event_type)

    # --- Sending -----------------------------------------------------------------------------

    async def send(
        self, target: str, message: str | bytes, *, msg_type: str = "MSG", priority: str = "NORMAL"
    ) -> str:
        """Accept a message for a peer and return its id, from whichever loop awaits this.

        Args:
            target: a peer's name or node id.
            message: text is sent as UTF-8.

        Raises:
            UnknownPeerError: a name that nobody has; a `ValueError` that lists who is online.
            MessageTooLargeError, QueueFullError: nothing was queued.
            NotRunningError: before `run`.
        """
        return await self.daemon.send_message(target, msg_type, _bytes(message), priority)

    def send_sync(
        self,
        target: str,
        message: str | bytes,
        *,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
        timeout: float = 10.0,
    ) -> str:
        """Do what `send` does, from any thread but the loop's own.

        Raises:
            TimeoutError: not accepted within `timeout` seconds.
        """
        work = self.send(target, message, msg_type=msg_type, priority=priority)
        try:
            loop = self._loop()
        except NotRunningError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop).result(timeout)

    def reply(
        self,
        peer_id: str,
        message: str | bytes,
        *,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
    ) -> None:
        """Send without waiting for the acceptance; safe in a handler; a failure is logged."""
        work = self.daemon.send_logged(peer_id, msg_type, _bytes(message), priority)
        try:
            loop = self._loop()
        except NotRunningError:
            work.close()
            raise
        asyncio.run_coroutine_threadsafe(work, loop)

    # --- Who is there ------------------------------------------------------------------------

    @property
    def node_id(self) -> str | None:
        """Its node id; None before the start."""
        return None if self.daemon.node_id == "uninitialized" else self.daemon.node_id

    @property
    def peers(self) -> list[dict[str, Any]]:
        """The online peers.

        Each is `{node_id, name, rtt_ms, messages_sent, messages_received, transport}`.
        """
        keys = ("node_id", "name", "rtt_ms", "messages_sent", "messages_received", "transport")
        return [{key: getattr(peer, key) for key in keys} for peer in self.daemon.peers.values()]

    def peer_by_name(self, name: str) -> dict[str, Any] | None:
        """Return the online peer of this name, as in `peers`."""
        return next((peer for peer in self.peers if peer["name"] == name), None)

    def advertise(self, *capabilities: str) -> None:
        """Tell the peers what this agent can do, such as `llm:llama3`, from any thread.

        Raises:
            NotRunningError: before `run`; give `capabilities=[...]` to the constructor instead.
            ConfigError: not a capability.
        """
        for capability in capabilities:
            self.daemon.advertise_capability(capability)

    def discover(self, pattern: str) -> list[tuple[str, str]]:
        """Return `(node id, capability)` of this agent and its online peers, by a glob pattern."""
        return self.daemon.find_capability(pattern)

    # --- Life --------------------------------------------------------------------------------

    def run(self, foreground: bool = True) -> asyncio.AbstractEventLoop | None:
        """Start the agent.

        Args:
            foreground: block until Ctrl-C, then stop. Otherwise return the node's event loop, which
                runs in a thread of its own, as soon as the node listens.

        Raises:
            IronMeshError: it cannot start; nothing is left running.
        """
        return self.daemon.run(background=not foreground)

    def stop(self) -> None:
        """Stop the agent and wait for it; may be called twice."""
        self.daemon.stop()

    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = self.daemon.loop
        if loop is None:
            raise NotRunningError("the agent is not running", "call run() first")
        return loop


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)


def _adapt(handler: Callable[..., object]) -> BusCallback:
    """Return `handler` as a callback of the event, by the number of its parameters."""
    parameters = [
        parameter
        for parameter in inspect.signature(handler).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    count = len(parameters)

    def arguments(event: BusEvent) -> tuple[object, ...]:
        if count == 1:
            return (event,)
        pair = (event["peer_id"], event["payload"])
        return (*pair, event) if count > 2 else pair

    if inspect.iscoroutinefunction(handler):

        async def call_async(event: BusEvent) -> None:
            await handler(*arguments(event))

        return call_async

    def call(event: BusEvent) -> None:
        handler(*arguments(event))

    return call
