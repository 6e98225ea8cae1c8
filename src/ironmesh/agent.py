"""`Agent`: join the mesh in three lines."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, Unpack

from ironmesh.bridge import BridgeDaemon
from ironmesh.bus import BusCallback, BusEvent, MessageEvent
from ironmesh.config import DEFAULT_PORT
from ironmesh.daemon_settings import DaemonSettings, add_alias, hide_secrets
from ironmesh.errors import ConfigError, PassphraseError
from ironmesh.receipt import Receipt
from ironmesh.types import Secret

H = TypeVar("H", bound=Callable[..., object])

_CALLS: Final[dict[int, Callable[[Callable[..., Any], BusEvent], Any]]] = {
    1: lambda handler, event: handler(event),
    2: lambda handler, event: handler(*_said(event)),
    3: lambda handler, event: handler(*_said(event), event),
}
"""How a handler of so many parameters is called."""


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
        passphrase: str | Secret | None = None,
        *,
        bind: str = "0.0.0.0",  # noqa: S104 - a mesh node listens on the network
        allow_plaintext: bool = False,
        reticulum: bool = False,
        passphrase_env: str = "IRONMESH_PASSPHRASE",
        **settings: Unpack[DaemonSettings],
    ) -> None:
        hidden = hide_secrets(passphrase or os.environ.get(passphrase_env), settings)
        del passphrase  # a traceback that shows variables would show it
        if not hidden:
            raise PassphraseError(
                "there is no passphrase", f"give passphrase=..., or set {passphrase_env}"
            )
        settings.setdefault("open_discovery", True)
        add_alias(settings, "bind_address", bind, default="0.0.0.0")  # noqa: S104 - as above
        add_alias(settings, "allow_plaintext_ws", allow_plaintext, default=False)
        add_alias(settings, "rns_enabled", reticulum, default=False)
        self.name = name
        self.daemon = BridgeDaemon(name, port, hidden, **settings)

    def __repr__(self) -> str:
        daemon: BridgeDaemon | None = vars(self).get("daemon")
        if daemon is None:  # a traceback may show half an agent
            return "<Agent>"
        state = "running" if daemon.loop is not None else "not running"
        return f"<Agent {daemon.name!r}, {daemon.node_id}, {state}>"

    # --- Handlers ----------------------------------------------------------------------------

    def on_message(self, msg_type: str = "MSG") -> Callable[[H], H]:
        """Decorate a handler `(peer_id, payload)`, or `(peer_id, payload, event)`, of a type.

        `peer_id` is the node id of whoever wrote the message, `payload` is bytes, `event` is the
        mapping of `on`. Handlers run one at a time, in the order of their registration; a plain
        function runs in a thread of its own and may block, an `async def` runs on the node's loop.
        What a handler raises is logged.

        Raises:
            ConfigError: it takes other parameters.
        """

        return self._registrar(msg_type, (2, 3, 1))

    def on(self, event_type: str) -> Callable[[H], H]:
        """Decorate a handler `(event)` of a message type.

        `event` is a read-only mapping: `peer_id`, `msg_id`, `type`, `payload` and more, see
        `ironmesh.bus`. A handler with two or three parameters gets them as with `on_message`.
        """
        return self._registrar(event_type, (1, 2, 3))

    def _registrar(self, event_type: str, counts: tuple[int, ...]) -> Callable[[H], H]:
        def register(handler: H) -> H:
            self.daemon.bus.subscribe(event_type, _adapt(handler, counts))
            return handler

        return register

    # --- Sending -----------------------------------------------------------------------------

    async def send(
        self,
        target: str,
        message: str | bytes,
        *,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
        durable: bool = True,
        ttl: float | None = None,
    ) -> Receipt:
        """Accept a message for a peer, from whichever loop awaits this: it is on disk then.

        Args:
            target: a peer's name or node id.
            message: text is sent as UTF-8.
            durable: keep it until it ends. Otherwise it goes over the session that is up now, or
                not at all, and nobody confirms it.
            ttl: seconds that it may take; None = 24 hours.

        Returns:
            The id, a `str`; `await receipt.delivered(timeout)` and `receipt.state` tell more.

        Raises:
            UnknownPeerError: a name that nobody has; a `ValueError` that lists who is online.
            MessageTooLargeError, QueueFullError, StoreError, NoPathError: nothing was accepted.
            NotRunningError: before `run`.
        """
        payload = message if type(message) is bytes else _bytes(message)
        return await self.daemon.send_message(
            target, msg_type, payload, priority, durable=durable, ttl=ttl
        )

    def send_sync(
        self,
        target: str,
        message: str | bytes,
        *,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
        timeout: float = 10.0,
        durable: bool = True,
        ttl: float | None = None,
    ) -> Receipt:
        """Do what `send` does and wait for it, from any thread but the node's own.

        Raises:
            SendTimeoutError: not accepted within `timeout` seconds; a `TimeoutError`.
            WouldBlockError: on the node's loop, as in an async handler: await `send` there.
        """
        return self.daemon.send_sync(
            target, msg_type, _bytes(message), priority, timeout, durable=durable, ttl=ttl
        )

    def reply(
        self,
        peer_id: str,
        message: str | bytes,
        *,
        msg_type: str = "MSG",
        priority: str = "NORMAL",
    ) -> None:
        """Send without waiting for the acceptance, from any thread; a failure is logged."""
        self.daemon.send_later(peer_id, msg_type, _bytes(message), priority)

    # --- Who is there ------------------------------------------------------------------------

    @property
    def node_id(self) -> str | None:
        """Its node id; None before the start."""
        return None if self.daemon.node_id == "uninitialized" else self.daemon.node_id

    @property
    def peers(self) -> list[dict[str, Any]]:
        """The online peers, and the nodes that are reached over others (transport `mesh`).

        Each is `{node_id, name, rtt_ms, messages_sent, messages_received, transport}`.
        """
        keys = ("node_id", "name", "rtt_ms", "messages_sent", "messages_received", "transport")
        return [{key: getattr(peer, key) for key in keys} for peer in self.daemon.peers.values()]

    def peer_by_name(self, name: str) -> dict[str, Any] | None:
        """Return the online peer of this name, as in `peers`."""
        return next((peer for peer in self.peers if peer["name"] == name), None)

    def advertise(self, *capabilities: str) -> None:
        """Tell the peers what this agent can do, such as `llm:llama3`, from any thread.

        It is kept over a restart, until it is withdrawn.

        Raises:
            NotRunningError: before `run`; give `capabilities=[...]` to the constructor instead.
            ConfigError: not a capability.
        """
        for capability in capabilities:
            self.daemon.advertise_capability(capability)

    def withdraw(self, *capabilities: str) -> None:
        """Tell the peers what this agent cannot do any more, from any thread.

        What was given to the constructor is back at the next start.

        Raises:
            NotRunningError: before `run`.
        """
        for capability in capabilities:
            self.daemon.withdraw_capability(capability)

    def discover(self, pattern: str) -> list[tuple[str, str]]:
        """Return `(node id, capability)` of this agent and its online peers, by a glob pattern."""
        return self.daemon.find_capability(pattern)

    # --- Life --------------------------------------------------------------------------------

    def run(self, foreground: bool = True) -> asyncio.AbstractEventLoop | None:
        """Start the agent, or join it where it runs already; after a stop, start it anew.

        Args:
            foreground: block until Ctrl-C, SIGTERM or `stop`. Otherwise return the node's event
                loop, which runs in a thread of its own, as soon as the node listens.

        Raises:
            IronMeshError: it cannot start; nothing is left running.
        """
        return self.daemon.run(background=not foreground)

    def stop(self) -> None:
        """Stop the agent and wait for it; may be called twice.

        In a handler it returns at once, and the agent stops once the handler has ended.
        """
        self.daemon.stop()


_BYTES: Final = bytes | bytearray | memoryview


def _bytes(message: str | bytes) -> bytes:
    if isinstance(message, str):
        return message.encode()
    if isinstance(message, _BYTES):
        return bytes(message)
    raise TypeError(f"a message is text or bytes, not {type(message).__name__}")


def _said(event: BusEvent) -> tuple[object, object]:
    """Return who wrote a message, and what."""
    if isinstance(event, MessageEvent):  # there is no need to look at the rest
        return event.received.message.source, event.received.message.payload
    return event["peer_id"], event["payload"]


def _adapt(handler: Callable[..., object], counts: tuple[int, ...]) -> BusCallback:
    """Return `handler` as a callback of the event.

    Args:
        counts: with how many arguments to call it: the first of these that it takes.
    """
    call = _CALLS[_argument_count(handler, counts)]

    if inspect.iscoroutinefunction(handler):

        async def call_async(event: BusEvent) -> None:
            await call(handler, event)

        return call_async

    return partial(call, handler)


def _argument_count(handler: Callable[..., object], counts: tuple[int, ...]) -> int:
    try:
        signature = inspect.signature(handler)
    except ValueError:  # a builtin that does not tell
        return counts[0]
    for count in counts:
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    name = getattr(handler, "__name__", repr(handler))
    raise ConfigError(
        f"the handler {name} takes other parameters",
        "write (peer_id, payload), (peer_id, payload, event) or (event)",
    )
