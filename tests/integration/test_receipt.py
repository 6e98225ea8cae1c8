"""What `send` returns, and what handlers get, over stops and starts of an agent."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest
from tests.support.agents import Mailbox, Make, agents, connect, eventually, start

from ironmesh import Agent
from ironmesh.delivery.lane import OutboxLimits
from ironmesh.delivery.outbox import Outbox
from ironmesh.errors import NotDeliveredError, NotRunningError, QueueFullError
from ironmesh.receipt import Receipt
from ironmesh.types import NodeId
from ironmesh.wire import receipts

make = pytest.fixture(agents, name="make")
T = TypeVar("T")
NOBODY = NodeId("0123456789abcdef" * 2)
"""A node that is never there."""


@pytest.fixture
def pair(make: Make) -> tuple[Agent, Agent]:
    alice, bob = make("alice"), make("bob")
    start(alice, bob)
    connect(alice, bob)
    return alice, bob


def on_loop(agent: Agent, work: Callable[[], T]) -> T:
    """Do something on the agent's loop."""

    async def run() -> T:
        return work()

    loop = agent.daemon.loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(run(), loop).result(10)


def ask(agent: Agent, work: Coroutine[Any, Any, T]) -> T:
    """Await something on the agent's loop."""
    loop = agent.daemon.loop
    assert loop is not None
    return asyncio.run_coroutine_threadsafe(work, loop).result(10)


# --- Receipts ------------------------------------------------------------------------------------


def test_a_receipt_is_the_id_that_the_handler_sees_and_tells_of_the_delivery(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _peer, _payload, event: got.put(event))
    receipt = alice.send_sync("bob", "x")
    assert isinstance(receipt, str)
    assert asyncio.run(receipt.delivered(10)) is True
    assert receipt.state == "delivered"
    (event,) = got.wait()
    assert event["id"] == receipt
    assert (event["type"], event["source"], event["via"]) == ("MSG", alice.node_id, alice.node_id)
    assert event["redelivered"] is False


def test_a_receipt_may_be_awaited_on_many_loops_at_once(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    bob.stop()
    receipt = alice.send_sync(bob.node_id or "", "x")
    assert receipt.state == "queued"
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waits = [pool.submit(lambda: asyncio.run(receipt.delivered(10))) for _ in range(3)]
        start(bob)
        connect(alice, bob)
        assert [wait.result(10) for wait in waits] == [True] * 3
    assert ask(alice, receipt.delivered(10)) is True


def _cancel(alice: Agent, receipt: Receipt) -> None:
    on_loop(alice, lambda: alice.daemon.node.outgoing.cancel([receipt._message_id]))


def _refuse(alice: Agent, receipt: Receipt) -> None:
    said = receipts.Receipt(receipts.Verdict.REFUSED, (receipt._message_id,), "not for me")
    on_loop(alice, lambda: alice.daemon.node.outgoing.receipt(NOBODY, said))


@pytest.mark.parametrize(
    ("ttl", "end", "text"),
    [
        (0.05, lambda *_: None, "expired"),
        (None, _cancel, "cancelled"),
        (None, _refuse, r"refused \(not for me\)"),
    ],
    ids=["expiry", "cancel", "refusal"],
)
def test_an_end_other_than_delivery_is_an_error_that_names_it(
    make: Make, ttl: float | None, end: Callable[[Agent, Receipt], None], text: str
) -> None:
    alice = make("alice")
    start(alice)
    receipt = alice.send_sync(NOBODY, "x", ttl=ttl)
    end(alice, receipt)
    with pytest.raises(NotDeliveredError, match=text):
        asyncio.run(receipt.delivered(10))
    assert receipt.state in text


def test_what_has_not_ended_in_time_is_a_timeout_and_goes_on(make: Make) -> None:
    alice = make("alice")
    start(alice)
    receipt = alice.send_sync(NOBODY, "x")
    with pytest.raises(TimeoutError):
        asyncio.run(receipt.delivered(0.05))
    assert receipt.state == "queued"


def test_nobody_confirms_what_is_not_kept(pair: tuple[Agent, Agent]) -> None:
    receipt = pair[0].send_sync("bob", "x", durable=False)
    assert receipt.state == "unknown"
    with pytest.raises(NotDeliveredError, match="not kept"):
        asyncio.run(receipt.delivered(10))


def test_after_the_stop_a_receipt_says_that_the_node_has_stopped(make: Make) -> None:
    alice = make("alice")
    start(alice)
    receipt = alice.send_sync(NOBODY, "x")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: asyncio.run(receipt.delivered()))
        eventually(lambda: alice.daemon.node.outgoing._waiters, "a wait")
        alice.stop()
        with pytest.raises(NotRunningError):
            waiting.result(10)
    with pytest.raises(NotRunningError):
        asyncio.run(receipt.delivered(10))
    with pytest.raises(NotRunningError):
        _ = receipt.state


def test_a_lifetime_goes_on_while_the_agent_is_stopped(make: Make) -> None:
    alice = make("alice")
    start(alice)
    short = alice.send_sync(NOBODY, "x", ttl=0.3)
    long = alice.send_sync(NOBODY, "x", ttl=60)
    alice.stop()
    time.sleep(0.3)
    start(alice)
    outgoing = alice.daemon.node.outgoing
    ends = [outgoing.ending(one._message_id) for one in (short, long)]
    assert [end.state.value for end in ends if end is not None] == ["expired", "queued"]


def test_in_a_full_queue_the_less_urgent_gives_way_and_its_sender_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = OutboxLimits(messages=2)
    monkeypatch.setattr("ironmesh.node.postoffice.Outbox", partial(Outbox, limits=limits))
    alice = make("alice")
    start(alice)
    low, normal = (alice.send_sync(NOBODY, "x", priority=name) for name in ("LOW", "NORMAL"))
    high = alice.send_sync(NOBODY, "x", priority="HIGH")
    with pytest.raises(NotDeliveredError, match="evicted"):
        asyncio.run(low.delivered(10))
    with pytest.raises(QueueFullError):
        alice.send_sync(NOBODY, "x", priority="LOW")
    assert [normal.state, high.state] == ["queued", "queued"]


# --- Handlers ------------------------------------------------------------------------------------


def test_a_handler_that_a_stop_interrupts_gets_the_message_again_marked(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    got = Mailbox()
    may_end = asyncio.Event()

    @bob.on_message()
    async def handle(peer_id: str, payload: bytes, event: Any) -> None:
        got.put(payload, event["redelivered"])
        if not event["redelivered"]:
            await may_end.wait()

    sent = [alice.send_sync("bob", text) for text in ("1", "2")]
    for receipt in sent:
        assert asyncio.run(receipt.delivered(10)) is True
    assert got.wait() == [(b"1", False)]
    bob.stop()
    start(bob)
    assert got.wait(3)[1] == (b"1", True)
    assert got.items[2][0] == b"2"


def test_a_handler_that_fails_has_handled_the_message(
    pair: tuple[Agent, Agent], caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = pair
    got = Mailbox()

    @bob.on_message()
    def handle(peer_id: str, payload: bytes) -> None:
        got.put(payload)
        raise ValueError("boom")

    alice.send_sync("bob", "1")
    alice.send_sync("bob", "2")
    got.wait(2)
    eventually(lambda: len([r for r in caplog.records if "a message handler" in r.message]) == 2)
    bob.stop()
    start(bob)
    connect(alice, bob)
    alice.send_sync("bob", "3")
    assert got.wait(3) == [b"1", b"2", b"3"]


def test_without_a_handler_a_message_is_handled_at_once_and_kept_as_history(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    receipt = alice.send_sync("bob", "1")
    assert asyncio.run(receipt.delivered(10)) is True
    store: Any = bob.daemon.node.store
    (entry,) = ask(bob, store.history())
    assert entry.id == receipt._message_id
    bob.stop()
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    start(bob)
    connect(alice, bob)
    alice.send_sync("bob", "2")
    assert got.wait() == [b"2"]
