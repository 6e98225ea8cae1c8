"""Whole nodes under a virtual clock: a loop that jumps to its next timer, machines that sleep.

Nothing here waits: where every task waits for time to pass, time passes at once. A machine has
clocks of its own, which can be set, and an address, which can change; while it sleeps none of its
timers fires, nothing that is sent to it arrives, and nobody who dials it is answered.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from ironmesh.errors import ConnectError, ConnectFailure, ConnectionClosed
from ironmesh.node.ports import OnRefused
from ironmesh.transport.interface import (
    Connection,
    ConnectionHandler,
    ConnectionInfo,
    Door,
    Listener,
    Receiver,
)
from ironmesh.transport.memory import MemoryNetwork
from ironmesh.types import Endpoint, Instant, Unit

FIRST_WALL = 1_800_000_000.0
"""Seconds since 1970 when the loop begins."""
DIAL_TIMEOUT_S = 3.0
"""How long who is dialled may be silent."""

_ROUND_S = 1e-6
"""A round of the loop takes so long: clocks that differ by a rounding error meet in the end."""
_LOOK_S = 0.01
"""How long a loop that is held waits for its threads before it looks at its timers again."""

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Looks whether anything arrived; instead of waiting for time to pass, it makes it pass."""

    passed_s = 0.0
    is_held = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passed_s += _ROUND_S
        if timeout is None or timeout <= 0 or self.is_held:
            return super().select(timeout if timeout is None else min(timeout, _LOOK_S))
        events = super().select(0)
        if not events:
            self.passed_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as all tasks wait."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self._jumping.passed_s

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let no time pass: threads are at work, of which the loop knows nothing."""
        self._jumping.is_held = True
        try:
            yield
        finally:
            self._jumping.is_held = False

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at a moment; for a machine that sleeps then, once it is awake."""
        machine = _MACHINE.get() if context is None else context.get(_MACHINE)
        if machine is None:
            return super().call_at(when, callback, *args, context=context)

        def fire() -> None:
            if machine.is_asleep:
                machine.missed.append((handle, lambda: callback(*args)))
            else:
                callback(*args)

        handle = super().call_at(when, fire, context=context)
        return handle


_MACHINE: ContextVar[Machine | None] = ContextVar("machine", default=None)


class Machine:
    """A computer: its clocks, its place in the network, and whether it sleeps.

    Args:
        lan: the network that it is in.
        address: where others dial it.
    """

    def __init__(self, lan: Lan, address: Endpoint) -> None:
        self._lan = lan
        self.address = address
        self.wall_ahead_s = 0.0
        self._mono_ahead_s = 0.0
        self._asleep_since: float | None = None
        self.awake = asyncio.Event()
        self.awake.set()
        self.missed: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []
        self.connections: set[Connection] = set()
        self.dials: Counter[int] = Counter()
        """How it began its handshakes: by the profile that it asked for."""
        lan.machines[address] = self

    # --- Clocks (Clock) ----------------------------------------------------------------------

    def now(self) -> Instant:
        """Return this moment on both of its clocks."""
        passed_s = asyncio.get_running_loop().time()
        running_s = passed_s if self._asleep_since is None else self._asleep_since
        return Instant(running_s + self._mono_ahead_s, FIRST_WALL + passed_s + self.wall_ahead_s)

    # --- What happens to it ------------------------------------------------------------------

    @property
    def is_asleep(self) -> bool:
        """It is suspended."""
        return self._asleep_since is not None

    def run(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` on this machine: what it starts sleeps when the machine does."""
        return asyncio.get_running_loop().create_task(work, context=self._context())

    def call(self, work: Callable[[], None]) -> None:
        """Call `work` on this machine, as `run` does."""
        self._context().run(work)

    def _context(self) -> Context:
        context = copy_context()
        context.run(_MACHINE.set, self)
        return context

    def sleep(self) -> None:
        """Close the lid."""
        self._asleep_since = asyncio.get_running_loop().time()
        self.awake.clear()

    def wake(self, *, has_counted: bool) -> None:
        """Open it again.

        Args:
            has_counted: its monotonic clock went on meanwhile, as it does on some systems.
        """
        if self._asleep_since is not None and not has_counted:
            self._mono_ahead_s -= asyncio.get_running_loop().time() - self._asleep_since
        self._asleep_since = None
        self.awake.set()
        missed, self.missed = self.missed, []
        for handle, callback in missed:
            if not handle.cancelled():
                asyncio.get_running_loop().call_soon(callback, context=handle._context)  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Pull its cable for a moment."""
        for connection in tuple(self.connections):
            connection.abort()

    # --- Its network (Transport) -------------------------------------------------------------

    is_tls = False

    async def listen(
        self,
        endpoint: Endpoint,
        handler: ConnectionHandler,
        door: Door,
        on_refused: OnRefused,
        *,
        subprotocols: Sequence[str] = (),
    ) -> Listener:
        """Accept connections, wherever the machine is."""

        async def serve(connection: Connection) -> None:
            _MACHINE.set(self)
            await handler(_Cable(connection, self))

        return await self._lan.network.listen(
            self._lan.port_of(self),
            serve,
            door=door,
            on_refused=on_refused,
            subprotocols=subprotocols,
        )

    async def dial(
        self, endpoint: Endpoint, *, use_tls: bool, subprotocols: Sequence[str] = ()
    ) -> Connection:
        """Connect to the machine that has an address now."""
        target = self._lan.machines.get(endpoint)
        if target is None or target.is_asleep:
            await asyncio.sleep(DIAL_TIMEOUT_S)
            raise ConnectError(f"nobody answers at {endpoint}", failure=ConnectFailure.UNREACHABLE)
        port = self._lan.port_of(target)
        return _Cable(await self._lan.network.dial(port, subprotocols), self)


class Lan:
    """A network, in which machines have addresses."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.machines: dict[Endpoint, Machine] = {}
        self._ports: dict[Machine, Endpoint] = {}

    def port_of(self, machine: Machine) -> Endpoint:
        """Return where a machine listens beneath all addresses."""
        return self._ports.setdefault(machine, Endpoint("memory", len(self._ports) + 1))

    def readdress(self, addresses: Mapping[Machine, Endpoint]) -> None:
        """Give machines other addresses: sessions over the old ones break."""
        for machine in addresses:
            del self.machines[machine.address]
        for machine, address in addresses.items():
            machine.address = address
            self.machines[address] = machine
            machine.cut()


class _Cable:
    """A connection of a machine: nothing passes while it sleeps."""

    def __init__(self, inner: Connection, machine: Machine) -> None:
        self._inner = inner
        self._machine = machine
        self._is_first = inner.info.is_outgoing
        self._is_paused = False
        machine.connections.add(self)

    @property
    def info(self) -> ConnectionInfo:
        return self._inner.info

    async def send(self, units: Sequence[Unit]) -> None:
        await self._machine.awake.wait()
        if self._is_first and units:
            self._is_first = False
            first = units[0]
            assert isinstance(first, bytes)
            self._machine.dials[first[1]] += 1
        await self._inner.send(units)

    async def receive(self) -> Unit:
        try:
            return await self._inner.receive()
        finally:
            await self._machine.awake.wait()

    def write(self, units: Sequence[Unit]) -> Awaitable[None] | None:
        if self._is_first or not self._machine.awake.is_set():
            return self.send(units)
        return self._inner.write(units)

    def give_to(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._inner.give_to(self)

    def units_received(self, units: list[Unit]) -> None:
        self._when_awake(lambda: self._receiver.units_received(units))

    def connection_ended(self, error: ConnectionClosed) -> None:
        self._when_awake(lambda: self._receiver.connection_ended(error))

    def _when_awake(self, call: Callable[[], None]) -> None:
        """Call on this machine, whoever's turn it is: the timers that come of it are its own."""
        if self._machine.awake.is_set():
            self._machine.call(call)
            return
        self._inner.pause()
        self._waking = self._machine.run(self._call_when_awake(call))

    async def _call_when_awake(self, call: Callable[[], None]) -> None:
        await self._machine.awake.wait()
        call()
        if not self._is_paused:
            self._inner.resume()

    def pause(self) -> None:
        self._is_paused = True
        self._inner.pause()

    def resume(self) -> None:
        self._is_paused = False
        self._inner.resume()

    async def close(self, code: int = 1000) -> None:
        self._machine.connections.discard(self)
        await self._inner.close(code)

    def abort(self) -> None:
        self._machine.connections.discard(self)
        self._inner.abort()
