"""Two agents talk: handlers, sending, and who is there."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import WAIT_S, Mailbox, Make, agents, connect, eventually, start
from tests.support.ports import free_port

from ironmesh import Agent, IronMeshError
from ironmesh.errors import (
    ConfigError,
    DeliveryError,
    MessageTooLargeError,
    NotRunningError,
    UnknownPeerError,
    WouldBlockError,
)

make = pytest.fixture(agents, name="make")


@pytest.fixture
def pair(make: Make) -> tuple[Agent, Agent]:
    alice, bob = make("alice"), make("bob")
    start(alice, bob)
    connect(alice, bob)
    return alice, bob


# --- Handlers ------------------------------------------------------------------------------------


def test_a_handler_answers_with_reply(make: Make) -> None:
    answers = Mailbox()
    alice, bob = make("alice"), make("bob")
    alice.on_message()(answers.put)

    @bob.on_message()
    def handle(peer_id: str, payload: bytes) -> None:
        assert peer_id == alice.node_id
        bob.reply(peer_id, b"ack " + payload)

    start(alice, bob)
    connect(alice, bob)
    alice.send_sync("bob", "hello")
    assert answers.wait() == [(bob.node_id, b"ack hello")]


def test_plain_and_async_handlers_run_in_the_order_of_their_registration(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    calls = Mailbox()

    @bob.on_message()
    def first(peer_id: str, payload: bytes) -> None:
        time.sleep(0.01)
        calls.put("first", payload)

    @bob.on_message()
    async def second(peer_id: str, payload: bytes) -> None:
        await asyncio.sleep(0.01)
        calls.put("second", payload)

    @bob.on("MSG")
    def third(event: Any) -> None:
        calls.put("third", event["payload"])

    for payload in (b"1", b"2"):
        alice.send_sync("bob", payload)
    expected = [
        (name, payload) for payload in (b"1", b"2") for name in ("first", "second", "third")
    ]
    assert calls.wait(6) == expected


def test_a_plain_handler_runs_beside_the_loop_and_an_async_one_on_it(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    threads = Mailbox()

    @bob.on_message()
    def plain(peer_id: str, payload: bytes) -> None:
        threads.put(threading.current_thread().name)

    @bob.on_message()
    async def on_loop(peer_id: str, payload: bytes) -> None:
        assert asyncio.get_running_loop() is bob.daemon.loop
        threads.put(threading.current_thread().name)

    alice.send_sync("bob", "x")
    assert threads.wait(2) == ["ironmesh-bob-handlers", "ironmesh-bob"]


def test_a_callable_that_returns_an_awaitable_is_awaited(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()

    async def work(payload: bytes) -> None:
        got.put(payload)

    bob.on_message()(lambda _, payload: work(payload))
    alice.send_sync("bob", "x")
    assert got.wait() == [b"x"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    "error", [ValueError("boom"), SystemExit(3), KeyboardInterrupt(), StopIteration()]
)
def test_what_a_handler_raises_is_logged_and_goes_no_further(
    pair: tuple[Agent, Agent],
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    is_async: bool,
) -> None:
    alice, bob = pair
    got = Mailbox()

    def fail(peer_id: str, payload: bytes) -> None:
        raise error

    async def fail_async(peer_id: str, payload: bytes) -> None:
        raise error

    bob.on_message()(fail_async if is_async else fail)
    bob.on_message()(lambda _, payload: got.put(payload))
    alice.send_sync("bob", "one")
    alice.send_sync("bob", "two")
    assert got.wait(2) == [b"one", b"two"]
    failures = [record for record in caplog.records if "a message handler" in record.message]
    assert len(failures) == 2
    assert failures[0].exc_info is not None


def test_a_cancelled_wait_in_a_handler_does_not_end_the_handlers(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    got = Mailbox()

    @bob.on_message()
    async def fail(peer_id: str, payload: bytes) -> None:
        raise asyncio.CancelledError

    bob.on_message()(lambda _, payload: got.put(payload))
    alice.send_sync("bob", "one")
    alice.send_sync("bob", "two")
    assert got.wait(2) == [b"one", b"two"]


def test_the_third_parameter_is_the_event(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()

    @bob.on_message()
    def handle(peer_id: str, payload: bytes, event: Any) -> None:
        got.put(event)

    sent = alice.send_sync("bob", "x")
    event = got.wait()[0]
    assert event["peer_id"] == event["source"] == event["via"] == alice.node_id
    assert event["msg_id"] == event["id"] == sent
    assert (event["type"], event["payload"], event["source_name"]) == ("MSG", b"x", "alice")
    with pytest.raises(TypeError):
        event["payload"] = b"y"


def test_a_raw_handler_gets_the_event_of_its_type_only(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()

    @bob.on("CONV")
    def handle(event: Any) -> None:
        got.put(event["type"], event["payload"])

    alice.send_sync("bob", "no")
    alice.send_sync("bob", "yes", msg_type="CONV")
    assert got.wait() == [("CONV", b"yes")]


def test_a_type_of_ones_own_reaches_its_handler(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message("weather.report")(got.put)
    alice.send_sync("bob", "sun", msg_type="weather.report")
    assert got.wait() == [(alice.node_id, b"sun")]


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (lambda box: box.put, 2),
        (lambda box: lambda peer_id, payload, mark="own": box.put(peer_id, mark), ("own",)),
        (lambda box: lambda event: box.put(event["type"]), "MSG"),
    ],
)
def test_a_handler_gets_as_many_arguments_as_it_takes(
    pair: tuple[Agent, Agent], handler: Callable[[Mailbox], Any], expected: Any
) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(handler(got))
    alice.send_sync("bob", "x")
    found = got.wait()[0]
    if expected == 2:
        assert found == (alice.node_id, b"x")
    elif isinstance(expected, tuple):
        assert found == (alice.node_id, *expected)
    else:
        assert found == expected


@pytest.mark.parametrize("handler", [lambda: None, lambda a, b, c, d: None, lambda *, a: None])
def test_a_handler_with_other_parameters_is_refused_at_once(make: Make, handler: Any) -> None:
    with pytest.raises(ConfigError, match=r"\(peer_id, payload\)"):
        make().on_message()(handler)


def test_handlers_may_be_added_while_the_agent_runs(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(got.put)
    alice.send_sync("bob", "x")
    assert got.wait() == [(alice.node_id, b"x")]


# --- Sending -------------------------------------------------------------------------------------


def test_sending_by_name_and_by_id(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    ids = [alice.send_sync("bob", "by name"), alice.send_sync(str(bob.node_id), b"by id")]
    assert got.wait(2) == [b"by name", b"by id"]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("payload", [b"", "", "grüße", bytearray(b"x"), memoryview(b"x")])
def test_payloads_arrive_as_bytes(pair: tuple[Agent, Agent], payload: Any) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    alice.send_sync("bob", payload)
    assert got.wait() == [payload.encode() if isinstance(payload, str) else bytes(payload)]


@pytest.mark.parametrize("payload", [7, None, ["x"]])
def test_a_payload_that_is_neither_text_nor_bytes_is_refused(
    pair: tuple[Agent, Agent], payload: Any
) -> None:
    with pytest.raises(TypeError, match="text or bytes"):
        pair[0].send_sync("bob", payload)


async def test_send_may_be_awaited_on_the_agents_loop_and_on_another(
    pair: tuple[Agent, Agent],
) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    loop = alice.daemon.loop
    assert loop is not None
    assert loop is not asyncio.get_running_loop()
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(alice.send("bob", "own"), loop))
    await alice.send("bob", "other")
    assert got.wait(2) == [b"own", b"other"]


def test_send_may_be_awaited_under_asyncio_run(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    asyncio.run(alice.send("bob", "x"))
    assert got.wait() == [b"x"]


async def test_an_agent_may_be_run_inside_a_running_loop(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    alice.run(foreground=False)
    bob.run(foreground=False)
    assert await alice.daemon.connect_to_peer("127.0.0.1", bob.daemon.port) == bob.node_id
    await alice.send("bob", "x")
    assert got.wait() == [b"x"]


def test_many_threads_send_at_once(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))

    def send(number: int) -> None:
        for count in range(10):
            alice.send_sync("bob", f"{number}-{count}")

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got.wait(80)) == sorted(f"{n}-{c}".encode() for n in range(8) for c in range(10))


def test_a_plain_handler_may_send_and_wait(make: Make) -> None:
    got, ids = Mailbox(), Mailbox()
    alice, bob = make("alice"), make("bob")
    alice.on_message()(lambda _, payload: got.put(payload))
    bob.on_message()(lambda peer_id, _: ids.put(bob.send_sync(peer_id, "answer")))
    start(alice, bob)
    connect(alice, bob)
    alice.send_sync("bob", "x")
    assert got.wait() == [b"answer"]
    assert len(ids.wait()[0]) == 36


def test_send_sync_in_an_async_handler_is_refused_by_name(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    errors = Mailbox()

    @bob.on_message()
    async def handle(peer_id: str, payload: bytes) -> None:
        try:
            bob.send_sync(peer_id, "never")
        except RuntimeError as error:
            errors.put(error)
            await bob.send(peer_id, "instead")

    got = Mailbox()
    alice.on_message()(lambda _, payload: got.put(payload))
    alice.send_sync("bob", "x")
    assert got.wait() == [b"instead"]
    assert isinstance(errors.wait()[0], WouldBlockError)


def test_a_name_that_nobody_has_is_told_with_the_names_online(pair: tuple[Agent, Agent]) -> None:
    with pytest.raises(ValueError, match=r"'carol'.*bob") as caught:
        pair[0].send_sync("carol", "x")
    assert isinstance(caught.value, UnknownPeerError)


def test_a_message_that_is_too_large_is_refused(pair: tuple[Agent, Agent]) -> None:
    with pytest.raises(MessageTooLargeError, match="bytes"):
        pair[0].send_sync("bob", bytes(16 * 1024 * 1024 + 1))


@pytest.mark.parametrize("priority", ["urgent", "", 3])
def test_an_unknown_priority_is_refused(pair: tuple[Agent, Agent], priority: Any) -> None:
    with pytest.raises(ConfigError, match="LOW, NORMAL, HIGH, CRITICAL"):
        pair[0].send_sync("bob", "x", priority=priority)


@pytest.mark.parametrize("priority", ["LOW", "normal", "High", "CRITICAL"])
def test_priorities_may_be_written_in_any_case(pair: tuple[Agent, Agent], priority: str) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    alice.send_sync("bob", "x", priority=priority)
    assert got.wait() == [b"x"]


@pytest.mark.parametrize("msg_type", ["", "GOODBYE", "REKEY_REQUEST", "x" * 1000, "\ud800"])
def test_a_type_that_only_nodes_send_is_refused_and_hurts_no_session(
    pair: tuple[Agent, Agent], msg_type: str
) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    with pytest.raises(DeliveryError):
        alice.send_sync("bob", "x", msg_type=msg_type)
    alice.send_sync("bob", "after")
    assert got.wait() == [b"after"]


async def test_before_run_sending_is_a_runtime_error(make: Make) -> None:
    agent = make()
    with pytest.raises(RuntimeError, match="call run"):
        agent.send_sync("bob", "x")
    with pytest.raises(NotRunningError):
        await agent.send("bob", "x")
    with pytest.raises(NotRunningError):
        agent.advertise("llm:x")


def test_a_reply_that_fails_is_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    agent = make()
    agent.reply("bob", "x")
    assert "call run() first" in caplog.text
    start(agent)
    agent.reply("bob", "x")
    eventually(lambda: "no peer is called 'bob'" in caplog.text)
    agent.stop()
    agent.reply("bob", "x")
    assert [record.levelno for record in caplog.records].count(logging.WARNING) >= 3


def test_a_send_that_is_not_accepted_in_time_says_so(
    pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = pair

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(alice.daemon.node, "accept", never)
    with pytest.raises(TimeoutError, match=r"within 0\.05 s") as caught:
        alice.send_sync("bob", "x", timeout=0.05)
    assert isinstance(caught.value, IronMeshError)


def test_replies_that_nobody_takes_do_not_pile_up(
    pair: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = pair

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(alice.daemon.node, "accept", never)
    for _ in range(300):
        alice.reply("bob", "x")
    eventually(lambda: alice.daemon.metrics.get("messages.dropped") == 300 - 256)


def test_what_was_accepted_before_a_stop_is_sent(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    start(alice, bob)
    connect(alice, bob)
    for number in range(50):
        alice.send_sync("bob", str(number))
    alice.stop()
    assert got.wait(50) == [str(number).encode() for number in range(50)]


# --- Messages that wait --------------------------------------------------------------------------


@pytest.mark.parametrize("trial", range(20))
def test_what_waited_for_an_agent_reaches_its_handlers_when_it_starts(
    make: Make, trial: int
) -> None:
    port = free_port()
    bob = make("bob", port=port)
    start(bob)
    bob_id = str(bob.node_id)
    bob.stop()
    alice = make("alice", peers=[f"127.0.0.1:{port}"])
    start(alice)
    for number in range(5):
        alice.send_sync(bob_id, str(number))
    again = make("bob", port=port)
    got = Mailbox()
    again.on_message()(lambda _, payload: got.put(payload))
    start(again)
    assert again.node_id == bob_id
    connect(again, alice)
    assert got.wait(5) == [str(number).encode() for number in range(5)]


# --- Who is there --------------------------------------------------------------------------------


def test_peers_are_shown_with_their_figures(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair
    got = Mailbox()
    bob.on_message()(got.put)
    alice.send_sync("bob", "x")
    got.wait()
    (peer,) = alice.peers
    assert set(peer) == {
        "node_id",
        "name",
        "rtt_ms",
        "messages_sent",
        "messages_received",
        "transport",
    }
    assert (peer["node_id"], peer["name"], peer["transport"]) == (bob.node_id, "bob", "websocket")
    assert peer["messages_sent"] == 1
    assert alice.peer_by_name("bob")["node_id"] == bob.node_id  # type: ignore[index]
    assert alice.peer_by_name("carol") is None


def test_the_node_id_is_known_from_the_start_on(make: Make) -> None:
    agent = make()
    assert agent.node_id is None
    assert (agent.peers, agent.discover("*")) == ([], [])
    agent.run(foreground=False)
    node_id = agent.node_id
    assert node_id is not None
    assert len(node_id) == 32
    agent.stop()
    assert agent.node_id == node_id
    assert (agent.peers, agent.discover("*")) == ([], [])


def test_capabilities_are_advertised_and_discovered(make: Make) -> None:
    alice, bob = make("alice", capabilities=["tool:clock"]), make("bob")
    start(alice, bob)
    connect(alice, bob)
    eventually(lambda: bob.discover("tool:*") == [(alice.node_id, "tool:clock")])
    alice.advertise("llm:llama3", "llm:phi")
    assert alice.discover("llm:*") == [(alice.node_id, "llm:llama3"), (alice.node_id, "llm:phi")]
    eventually(lambda: len(bob.discover("*")) == 3)
    assert bob.discover("LLM:*") == []
    with pytest.raises(ConfigError, match="not a capability"):
        alice.advertise("")


def test_what_is_advertised_lasts_until_it_is_withdrawn(make: Make) -> None:
    alice, bob = make("alice", capabilities=["tool:clock"]), make("bob")
    start(alice, bob)
    connect(alice, bob)
    alice.advertise("llm:llama3", "llm:phi")
    alice.withdraw("llm:phi", "tool:clock", "never there")
    eventually(lambda: bob.discover("*") == [(alice.node_id, "llm:llama3")])
    alice.stop()
    again = make("alice", capabilities=["tool:clock"])
    start(again)
    kept = [(again.node_id, "llm:llama3"), (again.node_id, "tool:clock")]
    assert again.discover("*") == kept
    connect(again, bob)
    eventually(lambda: bob.discover("*") == kept)
    again.withdraw("llm:llama3")
    again.stop()
    last = make("alice")
    start(last)
    assert last.discover("*") == []


def test_an_async_handler_may_advertise(pair: tuple[Agent, Agent]) -> None:
    alice, bob = pair

    @bob.on_message()
    async def handle(peer_id: str, payload: bytes) -> None:
        bob.advertise(payload.decode())

    alice.send_sync("bob", "llm:x")
    eventually(lambda: alice.discover("llm:x") == [(bob.node_id, "llm:x")])


# --- Homes ---------------------------------------------------------------------------------------


def test_two_agents_of_one_home_have_two_identities(
    pair: tuple[Agent, Agent], private_home: Path
) -> None:
    alice, bob = pair
    assert alice.node_id != bob.node_id
    nodes = private_home / ".ironmesh" / "nodes"
    assert sorted(folder.name for folder in nodes.iterdir()) == ["alice", "bob"]
    assert (nodes.stat().st_mode & 0o777, (nodes / "bob").stat().st_mode & 0o777) == (0o700, 0o700)


def test_an_identity_is_kept_in_the_home_that_is_given(make: Make, tmp_path: Path) -> None:
    first, again, elsewhere = (make(home=tmp_path / home) for home in ("one", "one", "two"))
    for agent in (first, again, elsewhere):
        agent.run(foreground=False)
        agent.stop()
    assert first.node_id == again.node_id != elsewhere.node_id


def test_keys_and_pins_go_where_the_settings_say(make: Make, tmp_path: Path) -> None:
    keys, pins = tmp_path / "k" / "id.json", tmp_path / "t" / "pins.json"
    keys.parent.mkdir(mode=0o700)
    pins.parent.mkdir(mode=0o700)
    alice, bob = make("alice", keys_path=keys, trust_path=str(pins)), make("bob")
    start(alice, bob)
    connect(alice, bob)
    assert keys.is_file()
    assert pins.is_file()
    assert alice.daemon.trust_path == str(pins)


# --- Who may talk --------------------------------------------------------------------------------


async def _dial(one: Agent, other: Agent) -> str | None:
    async with asyncio.timeout(WAIT_S):
        return await one.daemon.connect_to_peer("127.0.0.1", other.daemon.port)


async def test_only_allowed_peers_come_in(make: Make) -> None:
    host, alice, bob = make("host", allowed_peers=["alice"]), make("alice"), make("bob")
    start(host, alice, bob)
    assert await _dial(alice, host) == host.node_id
    assert await _dial(bob, host) is None
    assert [peer["name"] for peer in host.peers] == ["alice"]


async def test_another_passphrase_does_not_come_in(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = make("alice"), make("bob", passphrase="another one altogether")
    start(alice, bob)
    assert await _dial(bob, alice) is None
    assert "no session with 127.0.0.1" in caplog.text
    assert "another one altogether" not in caplog.text


async def test_without_the_old_wire_nobody_speaks_it(make: Make) -> None:
    alice = make("alice")
    bob = make("bob", allow_legacy=True, legacy_same_passphrase=True)
    start(alice, bob)
    assert await _dial(bob, alice) == alice.node_id
