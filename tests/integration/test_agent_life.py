"""An agent's life: started, stopped, started again, interrupted, and left behind by its program."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.agents import (
    PASSPHRASE,
    QUIET,
    Mailbox,
    Make,
    agents,
    connect,
    eventually,
    start,
)
from tests.support.leftovers import Leftovers
from tests.support.pace import slowdown
from tests.support.processes import Running, environment

from ironmesh import Agent
from ironmesh.control.client import ControlClient
from ironmesh.control.host import Host
from ironmesh.control.paths import socket_path
from ironmesh.errors import (
    KeyFileError,
    NodeAlreadyRunningError,
    NotRunningError,
    PortInUseError,
    WouldBlockError,
)

make = pytest.fixture(agents, name="make")

HEAD = f"""
import signal, sys, threading, time
from ironmesh import Agent
from ironmesh.config import MINIMAL_KDF

agent = Agent("alice", port=0, bind="127.0.0.1", mdns=False, kdf=MINIMAL_KDF,
              passphrase={PASSPHRASE!r})
other = Agent("bob", port=0, bind="127.0.0.1", mdns=False, kdf=MINIMAL_KDF,
              passphrase={PASSPHRASE!r})

def join():
    import asyncio
    assert asyncio.run(other.daemon.connect_to_peer("127.0.0.1", agent.daemon.port))

"""
"""What the programs of this page begin with."""


def program(home: Path, text: str, *options: str) -> Running:
    import sys

    return Running([sys.executable, *options, "-c", HEAD + text], env=environment(home), cwd=home)


# --- Start and stop ------------------------------------------------------------------------------


def test_stop_takes_less_than_a_second_and_may_be_repeated(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    start(alice, bob)
    connect(alice, bob)
    begun = time.monotonic()
    alice.stop()
    assert time.monotonic() - begun < slowdown()
    alice.stop()
    make("carol").stop()
    with pytest.raises(NotRunningError):
        alice.send_sync("bob", "x")


def test_a_stopped_agent_runs_again(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    start(alice, bob)
    first_id, first_loop = bob.node_id, bob.daemon.loop
    bob.stop()
    assert bob.daemon.loop is None
    start(bob)
    assert bob.node_id == first_id
    assert bob.daemon.loop is not first_loop
    connect(alice, bob)
    alice.send_sync("bob", "x")
    assert got.wait() == [b"x"]


def test_run_twice_is_run_once(make: Make) -> None:
    agent = make()
    loop = agent.run(foreground=False)
    assert loop is not None
    assert agent.run(foreground=False) is loop
    loops = Mailbox()
    threads = [
        threading.Thread(target=lambda: loops.put(agent.run(foreground=False))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert loops.wait(4) == [loop] * 4
    for thread in threads:
        thread.join()


def test_two_threads_that_start_an_agent_get_the_same_loop(make: Make) -> None:
    agent = make()
    loops = Mailbox()
    threads = [
        threading.Thread(target=lambda: loops.put(agent.run(foreground=False))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    assert len(set(loops.wait(4))) == 1
    for thread in threads:
        thread.join()


async def test_twenty_lives_leave_nothing_behind(make: Make) -> None:
    agent, other = make("alice"), make("bob")
    other.run(foreground=False)
    got = Mailbox()
    other.on_message()(lambda _, payload: got.put(payload))
    agent.on_message()(lambda _, payload: got.put(payload))

    async def live() -> None:
        before = len(got.items)
        agent.run(foreground=False)
        connect(agent, other)
        agent.send_sync("bob", "x")
        other.send_sync("alice", "y")
        got.wait(before + 2)
        agent.stop()
        await asyncio.to_thread(eventually, lambda: not other.peers)

    await live()
    gc.collect()
    before = await Leftovers.now()
    for _ in range(20):
        await live()
    gc.collect()
    assert await Leftovers.now() == before


def test_a_name_runs_once_in_a_home(make: Make) -> None:
    first, second = make("alice"), make("alice")
    start(first)
    with pytest.raises(NodeAlreadyRunningError, match="another agent of this process"):
        start(second)
    first.stop()
    start(second)
    assert second.node_id == first.node_id


def test_a_failed_start_leaves_nothing_and_may_be_repeated(make: Make) -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        agent = make(port=taken.getsockname()[1])
        with pytest.raises(PortInUseError):
            start(agent)
        assert threading.active_count() == before
        assert agent.daemon.loop is None
    start(agent)


def test_a_damaged_key_file_is_a_named_error(make: Make, private_home: Path) -> None:
    agent = make()
    start(agent)
    agent.stop()
    keys = private_home / ".ironmesh" / "nodes" / "alice" / "keys.json"
    keys.write_bytes(b"{")
    with pytest.raises(KeyFileError):
        start(agent)
    assert keys.read_bytes() == b"{"


@pytest.mark.parametrize("how", ["plain", "async", "shutdown"])
def test_a_handler_may_stop_its_agent(make: Make, how: str) -> None:
    alice, bob = make("alice"), make("bob")
    calls, got = Mailbox(), Mailbox()
    alice.on_message()(lambda _, payload: got.put(payload))

    def plain(peer_id: str, payload: bytes) -> None:
        bob.reply(peer_id, "bye")
        begun = time.monotonic()
        bob.stop()
        calls.put(time.monotonic() - begun)

    async def on_loop(peer_id: str, payload: bytes) -> None:
        if how == "async":
            plain(peer_id, payload)
            return
        bob.reply(peer_id, "bye")
        await bob.daemon.shutdown()
        calls.put(0)

    bob.on_message()(plain if how == "plain" else on_loop)
    loop = bob.run(foreground=False)
    assert loop is not None
    start(alice)
    connect(alice, bob)
    alice.send_sync("bob", "x")
    eventually(loop.is_closed, "the end of bob")
    assert got.wait() == [b"bye"]
    bob.stop()
    eventually(lambda: "ironmesh-bob" not in {thread.name for thread in threading.enumerate()})

    start(bob)
    connect(alice, bob)
    alice.stop()
    assert bob.daemon.loop is not None, "the message was handled, and does not come again"
    assert len(calls.items) == 1
    assert calls.items[0] < 1


def test_a_handler_that_blocks_does_not_hold_up_the_stop(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    entered, release = threading.Event(), threading.Event()

    @bob.on_message()
    def handle(peer_id: str, payload: bytes) -> None:
        entered.set()
        release.wait(30)

    start(alice, bob)
    connect(alice, bob)
    alice.send_sync("bob", "x")
    assert entered.wait(5)
    begun = time.monotonic()
    bob.stop()
    assert time.monotonic() - begun < slowdown()
    release.set()


def test_the_control_socket_may_stop_an_agent(make: Make, private_home: Path) -> None:
    agent = make()
    loop = agent.run(foreground=False)
    assert loop is not None

    path = socket_path(private_home / ".ironmesh" / "nodes" / "alice")
    with ControlClient.connect(path) as client:
        client.call("stop")
    eventually(loop.is_closed)
    assert agent.daemon.loop is None
    start(agent)


def test_the_loop_that_run_returned_may_be_stopped(make: Make, private_home: Path) -> None:
    agent = make()
    loop = agent.run(foreground=False)
    assert loop is not None
    loop.call_soon_threadsafe(loop.stop)
    eventually(loop.is_closed)
    assert not socket_path(private_home / ".ironmesh" / "nodes" / "alice").exists()
    agent.stop()


def test_a_start_that_is_interrupted_leaves_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make()
    before = threading.active_count()
    really_start = Host.start

    async def interrupted(host: Host) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.1)
        await really_start(host)

    with monkeypatch.context() as patch:
        patch.setattr(Host, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start(agent)
    eventually(lambda: threading.active_count() == before, "the end of its threads")
    start(agent)


# --- In the foreground ---------------------------------------------------------------------------


@pytest.fixture
def foreground(make: Make) -> Iterator[tuple[Agent, threading.Thread]]:
    agent = make()
    thread = threading.Thread(target=agent.run)
    thread.start()
    eventually(lambda: agent.daemon.loop is not None and agent.node_id is not None)
    yield agent, thread
    agent.stop()
    thread.join(5)


def test_a_foreground_run_in_another_thread_ends_with_a_stop(
    foreground: tuple[Agent, threading.Thread],
) -> None:
    agent, thread = foreground
    agent.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_in_the_foreground_messages_are_sent_and_handled(
    make: Make, foreground: tuple[Agent, threading.Thread]
) -> None:
    agent, _ = foreground
    got, other = Mailbox(), make("bob")
    other.on_message()(lambda _, payload: got.put(payload))
    start(other)
    connect(other, agent)
    agent.send_sync("bob", "one")
    asyncio.run(agent.send("bob", "two"))
    assert got.wait(2) == [b"one", b"two"]


def test_a_foreground_run_joins_an_agent_that_runs(make: Make) -> None:
    agent = make()
    start(agent)
    thread = threading.Thread(target=agent.run)
    thread.start()
    agent.stop()
    thread.join(5)
    assert not thread.is_alive()


async def test_a_foreground_run_on_a_loop_is_refused_by_name(make: Make) -> None:
    with pytest.raises(WouldBlockError, match="foreground=False"):
        make().run()


CATCHING = """
def tell():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.001)
    print("ready", flush=True)

threading.Thread(target=tell).start()
"""
BLOCKED = """
@agent.on_message()
def handle(peer_id, payload):
    print("handling", flush=True)
    handling.set()
    time.sleep(60)

handling = threading.Event()
agent.run(foreground=False)
other.run(foreground=False)
join()
other.send_sync("alice", "x")
handling.wait()
other.stop()
"""


@pytest.mark.timed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_blocked", [False, True])
def test_a_signal_ends_a_foreground_run_within_a_second(
    tmp_path: Path, number: signal.Signals, is_blocked: bool
) -> None:
    text = BLOCKED if is_blocked else "agent.run(foreground=False)\n"
    text += CATCHING + "agent.run()\nprint('ended', agent)\n"
    with program(tmp_path, text, "-W", "error") as process:
        process.wait_line("ready")
        if is_blocked:
            process.wait_line("handling")
        begun = time.monotonic()
        process.send_signal(number)
        process.wait_line("ended <Agent 'alice', [0-9a-f]{32}, not running>")
        process.expect(0)
        assert time.monotonic() - begun < slowdown()
        assert process.err == []


def test_a_signal_during_the_start_ends_the_run_as_well(tmp_path: Path) -> None:
    text = """
threading.Timer(0.02, lambda: signal.raise_signal(signal.SIGTERM)).start()
agent.run()
print("ended")
"""
    with program(tmp_path, text) as process:
        process.wait_line("ended")
        process.expect(0)


def test_after_a_foreground_run_signals_mean_what_they_meant(tmp_path: Path) -> None:
    text = """
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
for moment in (0.02, 0.5):
    threading.Timer(moment, agent.stop).start()
agent.run()
assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
print("same")
"""
    with program(tmp_path, text) as process:
        process.wait_line("same")
        process.expect(0)


# --- The end of the program ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "import atexit; atexit.register(agent.stop)\n"])
def test_a_program_that_ends_says_goodbye(tmp_path: Path, ending: str) -> None:
    text = f"""
agent.run(foreground=False)
other.run(foreground=False)
join()
{ending}
import asyncio
asyncio.run_coroutine_threadsafe(asyncio.to_thread(int), agent.daemon.loop).result()
print("end")
"""
    with program(tmp_path, text, "-W", "error") as process:
        process.wait_line("end")
        begun = time.monotonic()
        process.expect(0)
        assert time.monotonic() - begun < 2 * slowdown()
        assert process.err == []
    nodes = tmp_path / ".ironmesh" / "nodes"
    assert not socket_path(nodes / "alice").exists()
    log = (nodes / "alice" / "audit.log").read_text()
    assert "node_stopped" in log.lower()


def test_a_child_of_the_process_does_not_stop_the_agent(make: Make) -> None:
    alice, bob = make("alice"), make("bob")
    got = Mailbox()
    bob.on_message()(lambda _, payload: got.put(payload))
    start(alice, bob)
    connect(alice, bob)
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    alice.send_sync("bob", "x")
    assert got.wait() == [b"x"]


# --- Secrets -------------------------------------------------------------------------------------


def test_the_passphrase_shows_nowhere(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    agent = make(keys_passphrase="the key file's own", legacy_passphrase="the old wire's own")
    start(agent)
    agent.stop()
    shown = [repr(agent), repr(agent.daemon), repr(agent.daemon.config), str(vars(agent.daemon))]
    text = "\n".join([*shown, caplog.text])
    for secret in (PASSPHRASE, "the key file's own", "the old wire's own"):
        assert secret not in text


@pytest.mark.parametrize(
    "settings",
    [
        {"rekey_interval": -1},
        {"nonsense": True},
        {"gui": True},
        {"bind": "1.2.3.4", "bind_address": "5.6.7.8"},
    ],
)
def test_a_traceback_with_variables_does_not_show_a_passphrase(settings: dict[str, Any]) -> None:
    import traceback

    secrets = {"keys_passphrase": "the key file's own", "legacy_passphrase": "the old wire's own"}
    try:
        Agent("alice", **{**QUIET, **secrets, **settings})
    except ValueError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [frame for frame in frames.stack if "src/ironmesh" in frame.filename]
        shown = "\n".join(str(frame.locals) for frame in ours)
        assert ours
        for secret in (PASSPHRASE, *secrets.values()):
            assert secret not in shown
    else:
        pytest.fail("nothing was wrong")
