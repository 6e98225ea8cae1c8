"""Where the CPU of a message goes: stacks of both nodes, sampled during a burst, by stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from bench.contestants import Contestant
from bench.counts import IN_FLIGHT, LIVE_TIMES, Counts
from bench.process import NodeProcess, nodes

INTERVAL_S: Final = 0.002

STAGES: Final = (
    ("measuring program", ("/bench/program.py",)),
    ("API: `Agent`, handing over to handlers", (
        "/ironmesh/agent.py", "/ironmesh/bridge.py", "/ironmesh/bus.py", "/ironmesh/receipt.py",
        "/ironmesh/control/", "/ironmesh/node/threads.py", "/ironmesh/node/events.py",
    )),
    ("store: rows, their encryption, SQLite, notes", ("/ironmesh/store/", "/sqlite3/")),
    ("outbox and inbox", (
        "/ironmesh/delivery/", "/ironmesh/node/outgoing.py", "/ironmesh/node/outbound.py",
        "/ironmesh/node/saving.py", "/ironmesh/node/mailroom.py", "/ironmesh/node/deliveries.py",
        "/ironmesh/node/inbound.py", "/ironmesh/wire/receipts.py",
    )),
    ("sealing, signing, encoding", (
        "/ironmesh/session/", "/ironmesh/wire/", "/ironmesh/crypto/", "/nacl/", "/cryptography/",
    )),
    ("link: queue, reader, writer", ("/ironmesh/node/",)),
    ("WebSocket", ("/ironmesh/transport/", "/websockets/")),
    ("event loop, sockets, waking threads", (
        "/asyncio/", "/selectors.py", "/concurrent/", "/threading.py",
    )),
)  # fmt: skip
REST: Final = "other"
WAITS: Final = (
    "/selectors.py:select",
    "/threading.py:wait",
    "/ironmesh/node/threads.py:_work",
    "/ironmesh/store/database/writer.py:_next",
)
"""Who is found here has spent its CPU elsewhere, nobody knows where."""
KINDS: Final = ("live", "durable")

Stages = dict[str, dict[str, float]]
"""Microseconds of CPU for each message, by stage, then by `live sender` and so on."""


def stages(contestant: Contestant, counts: Counts) -> Stages:
    """Sample both nodes of a contestant during a burst of either kind, 64 bytes."""
    found: dict[str, dict[str, float]] = {name: {} for name, _ in (*STAGES, (REST, ()))}
    with nodes(contestant, 2) as (sender, receiver):
        sender.connect_to(receiver)
        _burst(sender, receiver, counts.profiled // 10, {})
        for kind in KINDS:
            count = counts.profiled * (LIVE_TIMES if kind == "live" else 1)
            for node in (sender, receiver):
                node.ask("sample", interval_s=INTERVAL_S)
            before = sender.cpu_s(), receiver.cpu_s()
            _burst(sender, receiver, count, {"durable": kind == "durable"})
            spent = sender.cpu_s() - before[0], receiver.cpu_s() - before[1]
            ends = ("sender", sender, spent[0]), ("receiver", receiver, spent[1])
            for end, node, cpu_s in ends:
                for stage, share in shares(node.ask("samples")["stacks"]).items():
                    found[stage][f"{kind} {end}"] = share * cpu_s / count * 1e6
    return found


def _burst(sender: NodeProcess, receiver: NodeProcess, count: int, options: dict[str, Any]) -> None:
    receiver.ask("forget_seen")
    receiver.tell("wait_seen", count=count, quiet_s=5.0)
    sender.ask(
        "burst",
        target=receiver.node_id,
        size=64,
        count=count,
        in_flight=IN_FLIGHT,
        options=options,
        waits_for_receipts=options.get("durable", True),
    )
    receiver.answer()


def shares(stacks: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Return what part of the sampled CPU belongs to which stage."""
    sums: dict[str, float] = defaultdict(float)
    for seconds, *calls in stacks:
        if not calls[0].endswith(WAITS):
            sums[stage_of(calls)] += seconds
    total = sum(sums.values()) or 1.0
    return {stage: seconds / total for stage, seconds in sums.items()}


def stage_of(calls: Sequence[str]) -> str:
    """Return the stage of a stack: that of its innermost call that belongs to one."""
    for call in calls:
        for name, parts in STAGES:
            if any(part in call for part in parts):
                return name
    return REST
