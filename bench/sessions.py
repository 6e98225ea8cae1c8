"""What a session costs to set up: the whole connect between processes, and the bare handshake."""

from __future__ import annotations

import os
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.contestants import Contestant
from bench.counts import Counts, Figures
from bench.process import NodeProcess, nodes
from ironmesh.crypto.identity import Identity
from ironmesh.session.interface import Handshake
from ironmesh.session.native.initiator import InitiatorHandshake
from ironmesh.session.native.responder import ResponderHandshake
from ironmesh.session.native.schedule import Negotiated
from ironmesh.session.native.settings import NativeSettings
from ironmesh.types import Instant, Secret, Unit
from ironmesh.wire.native.constants import SUBPROTOCOL

SETTLE_S: Final = 0.1
"""What a new session still does is done after this."""

ONCE_S: Final = 1.0
"""What a process still does once, after its start or its first session, is done after this."""

PEERS_AT_ONCE: Final = 5
"""Peers that are started together: each takes 128 MiB for a moment, to open its keys."""


# --- Between processes ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Took:
    """CPU seconds of one end of a connect: until the session was up (ours only), and settled."""

    up_s: float | None
    settled_s: float


Both = tuple[Took, Took]
"""The client and the server."""


def connect(contestant: Contestant, counts: Counts, *, is_tls: bool) -> Figures:
    """CPU from the dial until both ends show the session, and what follows at once.

    The first session of two fresh processes; then many, of one process that dials and of another
    that is dialled, each with a peer that it never met, and that is gone before the next one.
    """
    prefix = f"connect.{'tls' if is_tls else 'plain'}"
    with nodes(contestant, 2, is_tls=is_tls) as (client, other_server):
        first = _connect(client, other_server)
        other_server.kill()
        with nodes(contestant, 2, is_tls=is_tls) as (other_client, server):
            _connect(other_client, server)
            other_client.kill()
            time.sleep(ONCE_S)
            later = (
                _later(client, counts, lambda peer: _connect(client, peer)[0], is_tls=is_tls),
                _later(server, counts, lambda peer: _connect(peer, server)[1], is_tls=is_tls),
            )
            figures = _figures(f"{prefix}.later", *later)
            if not contestant.is_published:
                _connect(client, server)
                resumed = [_resume(client, server) for _ in range(counts.resumed)]
                figures |= _figures(f"{prefix}.resumed", *map(list, zip(*resumed, strict=True)))
    return figures | {f"{prefix}.first.both": sum(took.settled_s for took in first) * 1e3}


def _later(
    node: NodeProcess, counts: Counts, meet: Callable[[NodeProcess], Took], *, is_tls: bool
) -> list[Took]:
    """Let a node meet one peer after the other; return what `meet` tells.

    The peers have loaded what a first session needs: they met a companion, which is gone.
    """
    found: list[Took] = []
    while (missing := counts.connects - len(found)) > 0:
        count = min(missing, PEERS_AT_ONCE)
        options = {"is_tls": is_tls, "is_discovering": False}
        with nodes(node.contestant, count + 1, **options) as (companion, *peers):
            for peer in peers:
                peer.connect_to(companion)
            companion.kill()
            time.sleep(ONCE_S)
            for peer in peers:
                found.append(meet(peer))
                peer.kill()
                node.ask("wait_peer", peer=peer.node_id, is_online=False)
    return found


def _connect(client: NodeProcess, server: NodeProcess) -> Both:
    sides = client, server
    is_ours = not client.contestant.is_published
    if is_ours:
        before = [float(each.ask("time_session")["agent_cpu_s"]) for each in sides]
    else:
        before = [each.agent_cpu_s() for each in sides]
    client.connect_to(server)
    up = [each.ask("session_time")["agent_cpu_s"] if is_ours else None for each in sides]
    time.sleep(SETTLE_S)
    after = [each.agent_cpu_s() for each in sides]
    one, other = (
        Took(None if when_up is None else when_up - at_first, at_last - at_first)
        for at_first, when_up, at_last in zip(before, up, after, strict=True)
    )
    return one, other


def _resume(client: NodeProcess, server: NodeProcess) -> Both:
    """Let the dialling end come again by itself, for it knows then whom to expect."""
    client.ask("watch", peer=server.node_id)
    server.ask("watch", peer=client.node_id)
    server.tell("resumed")
    client.ask("drop", peer=server.node_id)
    sides = client.ask("resumed"), server.answer()
    one, other = (Took(side["up_s"], side["settled_s"]) for side in sides)
    return one, other


def _figures(prefix: str, client: list[Took], server: list[Took]) -> Figures:
    """Return the medians in milliseconds."""
    figures = _sides(
        prefix,
        statistics.median(took.settled_s for took in client),
        statistics.median(took.settled_s for took in server),
    )
    up = [[took.up_s for took in side if took.up_s is not None] for side in (client, server)]
    if all(up):
        figures |= _sides(f"{prefix}.up", *map(statistics.median, up))
    return figures


def _sides(prefix: str, client_s: float, server_s: float) -> Figures:
    return {
        f"{prefix}.client": client_s * 1e3,
        f"{prefix}.server": server_s * 1e3,
        f"{prefix}.both": (client_s + server_s) * 1e3,
    }


# --- The bare state machines ----------------------------------------------------------------------

_NEGOTIATED: Final = Negotiated("websocket", (SUBPROTOCOL,), SUBPROTOCOL)


def handshake(counts: Counts) -> Figures:
    """CPU of the two state machines of our own handshake, full and resumed, without any I/O."""
    passphrase_secret = Secret(secrets.token_bytes(32))
    dialler, listener = (_settings(name, passphrase_secret) for name in ("one", "other"))
    _shake_hands(dialler, listener, is_resuming=False)
    full = [_shake_hands(dialler, listener, is_resuming=False) for _ in range(counts.handshakes)]
    resumed = [_shake_hands(dialler, listener, is_resuming=True) for _ in range(counts.handshakes)]
    return {
        f"handshake.{kind}.{side}": statistics.median(times) * 1e3
        for kind, pairs in (("full", full), ("resumed", resumed))
        for side, times in zip(("initiator", "responder"), zip(*pairs, strict=True), strict=True)
    }


def _settings(name: str, passphrase_secret: Secret) -> NativeSettings:
    identity = Identity.generate(os.urandom)
    return NativeSettings(
        identity=identity, name=name, prs={0: passphrase_secret}, random=os.urandom
    )


def _shake_hands(
    dialler: NativeSettings, listener: NativeSettings, *, is_resuming: bool
) -> tuple[float, float]:
    """Run both machines to the end; return the CPU seconds of each."""
    known = listener.identity.node_id if is_resuming else None
    one = _Clocked(InitiatorHandshake(dialler, _NEGOTIATED, known, resume=known))
    other = _Clocked(ResponderHandshake(listener, _NEGOTIATED, lambda: None))
    other.run(lambda: other.machine.start(_now()))
    said = one.run(lambda: one.machine.start(_now()))
    while said:
        said = one.take(other.take(said))
    return one.cpu_s, other.cpu_s


class _Clocked:
    """A machine, and the CPU that it took."""

    def __init__(self, machine: Handshake) -> None:
        self.machine = machine
        self.cpu_s = 0.0
        self._is_accepted = False

    def run(self, step: Callable[[], list[Unit]]) -> list[Unit]:
        """Do one step on the clock."""
        began = time.thread_time()
        said = step()
        self.cpu_s += time.thread_time() - began
        return said

    def take(self, units: list[Unit]) -> list[Unit]:
        """Give it what the other one said; return its answer."""
        return self.run(lambda: self._answer(units))

    def _answer(self, units: list[Unit]) -> list[Unit]:
        said = [answer for unit in units for answer in self.machine.receive(unit, _now())]
        if self.machine.claim is not None and not self._is_accepted:
            self._is_accepted = True
            said += self.machine.accept(_now()).units
        return said


def _now() -> Instant:
    return Instant(mono=time.monotonic(), wall=time.time())
