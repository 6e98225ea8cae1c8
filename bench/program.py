"""The measured process: one `Agent`, ours or the published one, driven by JSON lines on stdin.

It uses only names that both packages offer, so what is measured is the same program twice. Every
command is answered by one line on stdout; times are of the monotonic clock, which the processes of
one machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
import time
from typing import Any

BORN = time.monotonic()
PEER_POLL_S = 0.02
PROGRESS_POLL_S = 0.05
SETTLE_S = 120.0
GOODBYE_S = 0.05
"""What the end of a session still does is done by then; nobody dials again so soon."""
GREETING_S = 0.1
"""What a new session still does is done by then."""
LAST_RECEIPTS = 64
SAMPLER_SWITCH_S = 0.0001
PING_TYPE = "REQ"
PONG_TYPE = "RESP"
LIVE_PING_TYPE = "DISCOVER"
LIVE_PONG_TYPE = "DISCOVER_RESP"
LOOP_PING_TYPE = "PING-ON-LOOP"
LOOP_PONG_TYPE = "PONG-ON-LOOP"


def lift_limits() -> None:
    """Take the published node's rate limits away; to be done before an agent is made."""
    import ironmesh.protocol

    protocol: Any = ironmesh.protocol  # of the published package: ours has no such class
    bucket = protocol.TokenBucket
    bucket.consume = lambda *_args, **_kwargs: True
    bucket.wait_time = lambda *_args, **_kwargs: 0.0


def lift_agent_limits(daemon: Any) -> None:
    """Take away those limits of the published node that each agent has of its own."""
    daemon._peer_bandwidth_rate = 0  # noqa: SLF001 - its public surface has no name for it
    database: Any = getattr(daemon, "_db", None)
    if hasattr(database, "_max_pending_per_peer"):
        database._max_pending_per_peer = 0  # noqa: SLF001 - as above


class Sampler:
    """Looks at all threads again and again: where each is, and the CPU it took since the last look.

    A thread that used no processor counts nothing, wherever it waits.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._found: dict[tuple[str, ...], float] = {}
        self._is_over = threading.Event()
        # Otherwise a look comes when a thread waits anyway, and never where it works.
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SAMPLER_SWITCH_S)
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> list[list[Any]]:
        """Return `[CPU seconds, "file:function", ...]`, the innermost frame first."""
        self._is_over.set()
        self._thread.join()
        sys.setswitchinterval(self._switch_interval_s)
        return [[seconds, *stack] for stack, seconds in self._found.items()]

    def _run(self) -> None:
        last: dict[int, float] = {}
        while not self._is_over.wait(self._interval_s):
            frames = sys._current_frames()  # noqa: SLF001 - there is no other way
            for thread in threading.enumerate():
                if thread is self._thread or thread.ident is None:
                    continue
                now = self._cpu_s(thread.ident)
                spent = now - last.get(thread.ident, now)
                last[thread.ident] = now
                if spent > 0 and thread.ident in frames:
                    key = tuple(self._calls(frames[thread.ident]))
                    self._found[key] = self._found.get(key, 0.0) + spent

    def _cpu_s(self, ident: int) -> float:
        try:
            return time.clock_gettime(time.pthread_getcpuclockid(ident))
        except OSError:  # it ended meanwhile
            return 0.0

    def _calls(self, frame: Any) -> list[str]:
        calls = []
        while frame is not None:
            calls.append(f"{frame.f_code.co_filename}:{frame.f_code.co_name}")
            frame = frame.f_back
        return calls


class Program:
    """The agent, what its handler saw, and the commands."""

    def __init__(self) -> None:
        self._agent: Any = None
        self._loop: Any = None
        self._receipts: list[Any] = []
        self._seen = 0
        self._last_seen = 0.0
        self._sampler: Any = None
        self._watching: Any = None
        self._timing: Any = None
        self._echo_to = ""
        self._loop_pong: Any = None
        self._pong = threading.Event()
        self._pong_at = 0.0

    def start(
        self,
        name: str,
        port: int,
        passphrase: str,
        kwargs: dict[str, Any],
        is_lifted: bool,
    ) -> dict[str, Any]:
        """Make and run the agent; tell what that took since the process began."""
        if is_lifted:
            lift_limits()
        from ironmesh import Agent

        self._agent = Agent(name, port=port, passphrase=passphrase, **kwargs)
        self._agent.on_message()(self._take)
        self._agent.on_message(PING_TYPE)(self._echo)
        self._agent.on_message(PONG_TYPE)(self._take_pong)
        self._agent.on_message(LIVE_PING_TYPE)(self._echo_live)
        self._agent.on_message(LIVE_PONG_TYPE)(self._take_pong)
        self._loop = self._agent.run(foreground=False)
        up = time.monotonic()
        if is_lifted:
            lift_agent_limits(self._agent.daemon)
        return {
            "node_id": self._agent.node_id,
            "cpu_s": time.process_time(),
            "wall_s": up - BORN,
        }

    # --- Handlers ------------------------------------------------------------------------------

    def _take(self, peer_id: str, payload: bytes) -> None:  # noqa: ARG002 - the handlers' signature
        self._seen += 1
        self._last_seen = time.monotonic()

    def _echo(self, peer_id: str, payload: bytes) -> None:
        self._agent.reply(self._echo_to or peer_id, payload, msg_type=PONG_TYPE)

    def _echo_live(self, peer_id: str, payload: bytes) -> None:
        self._send_live(peer_id, payload, LIVE_PONG_TYPE)

    def _send_live(self, peer_id: str, payload: bytes, msg_type: str) -> None:
        """Do what `reply` does, without keeping the message: ours only."""
        sending = self._agent.send(peer_id, payload, msg_type=msg_type, durable=False)
        asyncio.run_coroutine_threadsafe(sending, self._loop)

    def _take_pong(self, peer_id: str, payload: bytes) -> None:  # noqa: ARG002 - as above
        self._pong_at = time.monotonic()
        self._pong.set()

    # --- Commands ------------------------------------------------------------------------------

    def usage(self) -> dict[str, Any]:
        """Tell the CPU seconds so far (user and system, all threads), and those of the agent alone.

        The main thread only obeys and looks whether a peer is there; but for `round_trips`, which
        sends from it.
        """
        cpu_s = time.process_time()
        return {"cpu_s": cpu_s, "agent_cpu_s": cpu_s - time.thread_time()}

    def connect(self, port: int, peer: str) -> dict[str, Any]:
        """Dial a node of this machine and wait until it is online."""
        dialling = self._agent.daemon.connect_to_peer("127.0.0.1", port)
        asyncio.run_coroutine_threadsafe(dialling, self._loop)
        return self.wait_peer(peer, is_online=True)

    def time_session(self) -> dict[str, Any]:
        """Take note of the CPU seconds when the next session is up: ours only."""
        main_clock = time.pthread_getcpuclockid(threading.get_ident())
        up: Any = queue.SimpleQueue()

        def look(event: Any) -> None:
            if type(event).__name__ == "PeerOnline":
                up.put(time.process_time() - time.clock_gettime(main_clock))

        self._timing = up, self._agent.daemon.node.subscribe(look)
        return self.usage()

    def session_time(self) -> dict[str, Any]:
        """Tell the CPU seconds then, without those of the main thread."""
        up, leave = self._timing
        agent_cpu_s = up.get(timeout=SETTLE_S)
        leave()
        return {"agent_cpu_s": agent_cpu_s}

    def watch(self, peer: str) -> dict[str, Any]:
        """Look out for the end of the session with a peer, and for the next one: ours only."""
        went, came = threading.Event(), threading.Event()

        def look(event: Any) -> None:
            kind = type(event).__name__
            if kind in ("PeerOffline", "PeerOnline") and event.node_id == peer:
                (went if kind == "PeerOffline" else came).set()

        self._watching = went, came, self._agent.daemon.node.subscribe(look)
        return {}

    def drop(self, peer: str) -> dict[str, Any]:
        """End the session with a peer, which comes again by itself: ours only."""
        link = self._agent.daemon.node.links.get(peer)
        self._loop.call_soon_threadsafe(link.close_soon, "measured")
        return {}

    def resumed(self) -> dict[str, Any]:
        """Tell the CPU seconds that the session took which followed the one that ended."""
        went, came, leave = self._watching
        if not went.wait(SETTLE_S):
            raise TimeoutError("the session did not end")
        time.sleep(GOODBYE_S)
        before = self.time_session()["agent_cpu_s"]
        if not came.wait(SETTLE_S):
            raise TimeoutError("the session did not come again")
        up = self.session_time()["agent_cpu_s"]
        time.sleep(GREETING_S)
        leave()
        after = self.usage()["agent_cpu_s"]
        return {"up_s": up - before, "settled_s": after - before}

    def wait_peer(self, peer: str, is_online: bool) -> dict[str, Any]:
        """Wait until a peer is online, or is not."""
        end = time.monotonic() + SETTLE_S
        while any(shown["node_id"] == peer for shown in self._agent.peers) is not is_online:
            if time.monotonic() > end:
                raise TimeoutError(f"{peer} did not come or go")
            time.sleep(PEER_POLL_S)
        return {}

    def forget_seen(self) -> dict[str, Any]:
        """Count from 0 again."""
        self._seen = 0
        return {}

    def wait_seen(self, count: int, quiet_s: float) -> dict[str, Any]:
        """Wait for `count` messages, or until nothing more came for `quiet_s`."""
        last, since = -1, time.monotonic()
        while self._seen < count:
            if self._seen != last:
                last, since = self._seen, time.monotonic()
            elif time.monotonic() - since > quiet_s:
                break
            time.sleep(PROGRESS_POLL_S)
        return {"seen": self._seen, "at": self._last_seen}

    def burst(
        self,
        target: str,
        size: int,
        count: int,
        in_flight: int,
        options: dict[str, Any],
        waits_for_receipts: bool = True,
    ) -> dict[str, Any]:
        """Send `count` messages from `in_flight` tasks on the agent's own loop."""
        payload = os.urandom(size)
        receipts = self._receipts = []
        began = time.monotonic()
        self._on_loop(self._send_all(target, payload, count, in_flight, options, receipts))
        accepted = time.monotonic()
        if waits_for_receipts and hasattr(receipts[0], "delivered"):
            self._on_loop(self._wait_delivered(receipts))
        return {"began": began, "accepted": accepted}

    def undelivered(self) -> dict[str, Any]:
        """Tell of how many messages of the last burst no receipt came."""
        states = [getattr(receipt, "state", "delivered") for receipt in self._receipts]
        return {"count": sum(state != "delivered" for state in states)}

    def _on_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _send_all(
        self,
        target: str,
        payload: bytes,
        count: int,
        in_flight: int,
        options: dict[str, Any],
        receipts: list[Any],
    ) -> None:
        numbers = iter(range(count))

        async def worker() -> None:
            for _ in numbers:
                receipts.append(await self._agent.send(target, payload, **options))

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    def sample(self, interval_s: float) -> dict[str, Any]:
        """Begin to sample the stacks of all threads."""
        self._sampler = Sampler(interval_s)
        return {}

    def samples(self) -> dict[str, Any]:
        """Stop that, and tell the CPU seconds by thread and stack."""
        return {"stacks": self._sampler.stop()}

    async def _wait_delivered(self, receipts: list[Any]) -> None:
        """Wait for the last receipts; `undelivered` tells of the others."""
        for receipt in receipts[-LAST_RECEIPTS:]:
            await receipt.delivered(SETTLE_S)

    def echo_to(self, peer: str) -> dict[str, Any]:
        """Echo to this node: the published one takes a relay for the source of what it relays."""
        self._echo_to = peer
        return {}

    def handle_on_loop(self) -> dict[str, Any]:
        """Attach handlers that run on the agent's own loop: ours only."""
        agent, self._loop_pong = self._agent, asyncio.Event()

        async def echo(peer_id: str, payload: bytes) -> None:
            await agent.send(peer_id, payload, msg_type=LOOP_PONG_TYPE, durable=False)

        async def take_pong(peer_id: str, payload: bytes) -> None:  # noqa: ARG001 - as above
            self._pong_at = time.monotonic()
            self._loop_pong.set()

        agent.on_message(LOOP_PING_TYPE)(echo)
        agent.on_message(LOOP_PONG_TYPE)(take_pong)
        return {}

    def round_trips_on_loop(self, target: str, size: int, count: int) -> dict[str, Any]:
        """Do what `round_trips` does with live messages, in a task of the agent's own loop."""
        result: dict[str, Any] = self._on_loop(
            self._round_trips_on_loop(target, os.urandom(size), count)
        )
        return result

    async def _round_trips_on_loop(
        self, target: str, payload: bytes, count: int, patience_s: float = 5.0
    ) -> dict[str, Any]:
        took = []
        for _ in range(count):
            self._loop_pong.clear()
            began = time.monotonic()
            await self._agent.send(target, payload, msg_type=LOOP_PING_TYPE, durable=False)
            async with asyncio.timeout(patience_s):
                await self._loop_pong.wait()
            took.append(self._pong_at - began)
        return {"seconds": took}

    def round_trips(
        self,
        target: str,
        size: int,
        count: int,
        is_live: bool = False,
        patience_s: float = 5.0,
    ) -> dict[str, Any]:
        """Send a message and wait for its echo, `count` times; tell the seconds each took."""
        payload = os.urandom(size)
        took = []
        for _ in range(count):
            self._pong.clear()
            began = time.monotonic()
            if is_live:
                self._send_live(target, payload, LIVE_PING_TYPE)
            else:
                self._agent.reply(target, payload, msg_type=PING_TYPE)
            if not self._pong.wait(patience_s):
                raise TimeoutError("no echo")
            took.append(self._pong_at - began)
        return {"seconds": took}


def main() -> None:
    """Obey until stdin closes; then end at once, as the published node cannot be asked to."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else of this process reaches the driver
    program = Program()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(program, command.pop("command"))(**command)
        except Exception as error:  # noqa: BLE001 - the driver on the other side judges it
            answer = {"error": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(answer) + "\n")
        output.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
