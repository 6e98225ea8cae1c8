"""Durable enqueues: how many messages a second are safely on disk before `commit` returns.

    python bench/durable_enqueue.py [--folder DIR] [--seconds N] [--json]

Each of N tasks commits one 64-byte message after the other; a row of the table tells rate, CPU per
message (both threads), and transactions. The folder must be on the disk that is to be measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from pathlib import Path

from ironmesh.delivery.records import OutboxRow, PutOutbox
from ironmesh.store.database import SqliteStore
from ironmesh.types import MessageId, MessagePriority, NodeId, Secret

DESTINATION = NodeId("5e" * 16)
EPOCH = secrets.token_bytes(8)
PAYLOAD = bytes(64)


def message(number: int) -> PutOutbox:
    """One message of ours to one destination."""
    row = OutboxRow(
        id=MessageId(EPOCH + number.to_bytes(8)),
        destination=DESTINATION,
        type="MSG",
        priority=MessagePriority.NORMAL,
        size_bytes=len(PAYLOAD),
        accepted_wall=1.8e9,
        lifetime_s=86_400.0,
        as_of_wall=1.8e9,
    )
    return PutOutbox(((row, PAYLOAD),))


async def measure(folder: Path, tasks: int, seconds: float) -> dict[str, float]:
    """Let `tasks` tasks enqueue for some seconds."""
    store = SqliteStore(folder, Secret(bytes(32)))
    snapshot = await store.load()
    number = max((epoch.next_number for epoch in snapshot.epochs), default=1)
    first, end = number, time.perf_counter() + seconds

    async def enqueue() -> None:
        nonlocal number
        while time.perf_counter() < end:
            operation = message(number)
            number += 1
            await store.commit((operation,))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(enqueue() for _ in range(tasks)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    count = number - first
    return {
        "tasks": tasks,
        "messages": count,
        "per_second": round(count / took),
        "cpu_us": round(cpu / count * 1e6, 1),
    }


async def measure_load(folder: Path) -> dict[str, float]:
    """Open what was written."""
    store = SqliteStore(folder, Secret(bytes(32)))
    began, cpu = time.perf_counter(), time.process_time()
    snapshot = await store.load()
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    return {"rows": len(snapshot.outbox), "load_s": round(took, 3), "cpu_s": round(cpu, 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for tasks in options.tasks:
            results.append(asyncio.run(measure(Path(folder) / "s", tasks, options.seconds)))
            if not options.json:
                print("  ".join(f"{name} {value:>9,}" for name, value in results[-1].items()))
        results.append(asyncio.run(measure_load(Path(folder) / "s")))
    if options.json:
        print(json.dumps(results))
    else:
        print("  ".join(f"{name} {value:>9,}" for name, value in results[-1].items()))


if __name__ == "__main__":
    main()
