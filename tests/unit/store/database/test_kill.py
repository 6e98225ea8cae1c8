"""SIGKILL at any moment: what was acknowledged is there, whole batches only, in order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.stores import DATA_KEY

from ironmesh.delivery.records import Snapshot
from ironmesh.store.database import SqliteStore

KILLS = 30
PER_BATCH = 3

# Each task commits batches of three messages of ours and one arrived message, and says which of
# them are on disk; a number is never used twice, also not by the next process.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from tests.support.stores import DATA_KEY, inbox_row, outbox_row
from ironmesh.delivery.records import MarkHandled, PutInbox, PutOutbox
from ironmesh.store.database import SqliteStore

async def main(folder):
    store = SqliteStore(folder, DATA_KEY)
    snapshot = await store.load()
    state = {"number": max((e.next_number for e in snapshot.epochs), default=0)}
    os.write(1, b"ready\\n")

    async def work():
        while True:
            first = state["number"]
            state["number"] += 3
            rows = tuple((outbox_row(first + i), b"%d" % (first + i)) for i in range(3))
            arrived = inbox_row(first + 1, payload=b"%d" % first)
            await store.commit([PutOutbox(rows), PutInbox((arrived,))])
            os.write(1, b"put %d\\n" % first)
            store.note_started(first + 1)
            store.note_completed(first + 1)
            os.write(1, b"noted %d\\n" % first)
            if first % 2:
                await store.commit([MarkHandled((first + 1,))])

    await asyncio.gather(*(work() for _ in range(8)))

asyncio.run(main(Path(sys.argv[1])))
"""


def killed_after(folder: Path, seconds: float) -> list[tuple[str, int]]:
    """Let the writer write, kill it, and return what it said that it had done."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    with writer.stdout:
        assert writer.stdout.readline() == b"ready\n"
        os.set_blocking(writer.stdout.fileno(), False)
        said, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            said += writer.stdout.read() or b""
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        said += writer.stdout.read() or b""
    whole = said[: said.rfind(b"\n") + 1].decode().splitlines()
    return [(what, int(number)) for what, number in (line.split() for line in whole)]


async def found(folder: Path) -> tuple[Snapshot, dict[int, bytes | None]]:
    """What the next start finds, with all payloads."""
    store = SqliteStore(folder, DATA_KEY)
    snapshot = await store.load()
    payloads = await store.payloads([(row.destination, row.id) for row in snapshot.outbox])
    await store.close()
    numbers = [int.from_bytes(row.id[8:]) for row in snapshot.outbox]
    return snapshot, dict(zip(numbers, payloads, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.timeout(120)
async def test_what_was_acknowledged_is_there_after_every_kill(tmp_path: Path) -> None:
    chance = random.Random(8)
    put: set[int] = set()
    noted: set[int] = set()
    for _kill in range(KILLS):
        for what, number in killed_after(tmp_path / "store", chance.uniform(0.0, 0.1)):
            (put if what == "put" else noted).add(number)
        snapshot, payloads = await found(tmp_path / "store")
        assert put <= set(payloads)
        assert all(payload == b"%d" % number for number, payload in payloads.items())
        firsts = sorted(payloads)[::PER_BATCH]
        assert sorted(payloads) == [first + i for first in firsts for i in range(PER_BATCH)]
        remembered = set(snapshot.sources[0].numbers) if snapshot.sources else set()
        assert remembered == {first + 1 for first in firsts}, "a batch is there whole, or not"
        unhandled = {row.sequence for row in snapshot.unhandled}
        assert not unhandled & {number + 1 for number in noted}, "the handler was done"
        assert all(
            row.is_redelivered or row.sequence - 1 not in noted for row in snapshot.unhandled
        )
        assert [row.sequence for row in snapshot.unhandled] == sorted(unhandled)
    assert len(put) > KILLS
