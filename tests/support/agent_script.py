"""A program around `ironmesh.Agent`: commands and events as JSON lines on stdin and stdout.

It runs in a process of its own, with our package or with the published one, and uses only names
that both offer; so a test may kill it, and what it can do with ours it can do with theirs.
Commands carry an `id`; the answer to one is an event with the same `id`. The first is `start`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import ironmesh
from ironmesh import Agent

TYPES = ("MSG", "REQ", "RESP", "CONV", "ACK", "ERROR")
"""Types whose messages are reported as `message`."""
CONTROL_TYPES = ("GOODBYE", "RATE_LIMITED", "REKEY_REQUEST", "REKEY_RESPONSE", "PONG")
"""Types whose messages are reported as `control`: what the published node shows of its sessions."""
PEER_POLL_S = 0.05


class Output:
    """Writes events; nothing else of this process reaches the real stdout."""

    def __init__(self) -> None:
        self._stream: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        os.dup2(2, 1)

    def emit(self, event: str, **fields: Any) -> None:
        """Write one event."""
        with self._lock:
            self._stream.write(json.dumps({"event": event, **fields}) + "\n")
            self._stream.flush()


def lift_limits() -> None:
    """Take the published node's rate limits away (must happen before an agent is made)."""
    from ironmesh import protocol

    bucket: Any = protocol.TokenBucket
    bucket.consume = lambda *_args, **_kwargs: True
    bucket.wait_time = lambda *_args, **_kwargs: 0.0


def choose_identity(keys_path: str, name: str, *, below: str | None, above: str | None) -> None:
    """Write a published key file whose node id sorts as wanted; the smaller id starts a rekey."""
    from ironmesh import keys

    if Path(keys_path).exists():
        return
    while True:
        pair = ironmesh.generate_keypair(name)
        node_id = pair.get_fingerprint()
        if (below is None or node_id < below) and (above is None or node_id > above):
            keys.save_keys(pair, keys_path, allow_plaintext=True)
            return


class Program:
    """One agent and the commands that drive it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._agent: Any = None
        self._loop: Any = None
        self._echo = False

    def start(self, name: str, port: int, passphrase: str, **options: Any) -> dict[str, Any]:
        """Make and run the agent; return its node id."""
        kwargs: dict[str, Any] = options.get("kwargs", {})
        if options.get("lift_limits"):
            lift_limits()
        if options.get("minimal_kdf"):
            from ironmesh.config import MINIMAL_KDF

            kwargs["kdf"] = MINIMAL_KDF
        if options.get("id_below") or options.get("id_above"):
            choose_identity(
                kwargs["keys_path"],
                name,
                below=options.get("id_below"),
                above=options.get("id_above"),
            )
        self._echo = bool(options.get("echo"))
        self._agent = Agent(name, port=port, passphrase=passphrase, **kwargs)
        for attribute, value in options.get("daemon_attributes", {}).items():
            setattr(self._agent.daemon, attribute, value)
        for message_type in (*TYPES, *options.get("types", ())):
            if options.get("early_handlers"):
                self._agent.daemon.bus.subscribe(message_type, self._reporter(message_type))
            else:
                self._agent.on_message(message_type)(self._reporter(message_type))
        for message_type in CONTROL_TYPES:
            self._agent.on(message_type)(self._control_reporter(message_type))
        self._loop = self._agent.run(foreground=False)
        if options.get("lift_limits"):
            self._agent.daemon._peer_bandwidth_rate = 0
        threading.Thread(target=self._watch_peers, daemon=True).start()
        return {"node_id": self._agent.node_id, "port": port, "version": ironmesh.__version__}

    def _reporter(self, message_type: str) -> Callable[..., None]:
        def report(peer_id: Any, payload: bytes | None = None) -> None:
            # The published node hands its own event over for types other than MSG, REQ and RESP.
            if payload is None:
                peer_id, payload = peer_id["peer_id"], peer_id["payload"]
            self._output.emit(
                "message",
                peer_id=peer_id,
                type=message_type,
                payload_b64=base64.b64encode(payload).decode(),
            )
            if self._echo and message_type == "MSG":
                self._agent.reply(peer_id, b"echo:" + payload)

        return report

    def _control_reporter(self, message_type: str) -> Callable[[Any], None]:
        def report(event: Any) -> None:
            self._output.emit("control", type=message_type, peer_id=event["peer_id"])

        return report

    def _watch_peers(self) -> None:
        known: list[tuple[str, str]] | None = None
        while True:
            peers = self.peers()["peers"]
            current = sorted((peer["node_id"], peer["name"]) for peer in peers)
            if current != known:
                known = current
                self._output.emit("peers", peers=peers)
            time.sleep(PEER_POLL_S)

    def peers(self) -> dict[str, Any]:
        """Return the online peers, as the agent shows them."""
        return {"peers": [dict(peer) for peer in self._agent.peers]}

    def find(self, pattern: str) -> dict[str, Any]:
        """Return node and capability for all that match, as the agent knows them."""
        return {"found": [list(found) for found in self._agent.discover(pattern)]}

    def send(self, target: str, payload_b64: str, type: str, priority: str) -> dict[str, Any]:  # noqa: A002
        """Send one message through `send_sync`."""
        payload = base64.b64decode(payload_b64)
        return {"msg_id": self._agent.send_sync(target, payload, msg_type=type, priority=priority)}

    def send_many(self, target: str, prefix: str, count: int, rate: float) -> dict[str, Any]:
        """Send `prefix` with a running number, `rate` a second (0 = as fast as it takes them)."""
        start = time.monotonic()
        sent = []
        for number in range(count):
            if rate and (wait := start + number / rate - time.monotonic()) > 0:
                time.sleep(wait)
            sent.append(self._agent.send_sync(target, f"{prefix}{number}"))
        return {"msg_ids": sent}

    def connect(self, host: str, port: int) -> dict[str, Any]:
        """Dial an address; `dial_ended` tells when the attempt or the session is over."""
        future = asyncio.run_coroutine_threadsafe(
            self._agent.daemon.connect_to_peer(host, port), self._loop
        )

        def ended(done: Any) -> None:
            error = done.exception()
            self._output.emit(
                "dial_ended",
                port=port,
                peer_id=None if error else done.result(),
                error=None if error is None else f"{type(error).__name__}: {error}",
            )

        future.add_done_callback(ended)
        return {}

    def stop(self) -> dict[str, Any]:
        """Stop the agent in an orderly way."""
        self._agent.stop()
        return {}

    def answer(self, command: dict[str, Any]) -> None:
        """Carry out one command and write its answer, or the error it ended with."""
        number = command.pop("id")
        try:
            result = getattr(self, command.pop("cmd"))(**command)
        except Exception as error:  # noqa: BLE001 - the test on the other side judges it
            self._output.emit("error", id=number, kind=type(error).__name__, text=str(error))
        else:
            self._output.emit("done", id=number, **result)


def commands(stream: TextIO) -> Iterator[dict[str, Any]]:
    """Yield the commands until stdin closes."""
    for line in stream:
        yield json.loads(line)


def main() -> None:
    """Obey until stdin closes; then end at once, as the published node cannot be asked to."""
    program = Program(Output())
    for command in commands(sys.stdin):
        if command["cmd"] == "start":
            program.answer(command)
        else:
            threading.Thread(target=program.answer, args=(command,), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
