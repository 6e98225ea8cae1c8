"""`ironmesh demo`: two real node processes on this machine find each other and talk."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from ironmesh.cli.options import json_option
from ironmesh.cli.output import print_json
from ironmesh.config import MINIMAL_KDF
from ironmesh.control.api import MessageEvent, OperatorEvent, PeerEvent, PeerView
from ironmesh.control.client import ControlClient
from ironmesh.control.paths import socket_path
from ironmesh.errors import ControlError, IronMeshError, NotRunningError
from ironmesh.files import write_private
from ironmesh.store.keyfiles import generate
from ironmesh.types import Secret

POLL_S: Final = 0.01
STOP_LIMIT_S: Final = 3.0
QUESTION: Final = "Hello from alice. Do you hear me?"
ANSWER: Final = "Loud and clear."


class DemoError(IronMeshError):
    """The demo did not come to its end."""

    code = "demo"


@dataclass(slots=True)
class Report:
    """What happened and when, told as it happens."""

    is_silent: bool
    started: float = field(default_factory=time.monotonic)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, step: str, text: str, **facts: Any) -> None:
        """Note a step with its time since the start."""
        at_ms = round((time.monotonic() - self.started) * 1000)
        self.steps.append({"step": step, "at_ms": at_ms, **facts})
        if not self.is_silent:
            click.echo(f"{at_ms:>6} ms  {text}")


class DemoNode:
    """One node process with its control connections."""

    def __init__(self, name: str, friend: str, home: Path, passphrase: Path) -> None:
        self.name = name
        self._log = home / f"{name}.log"
        self._socket = socket_path(home / "nodes" / name)
        arguments = ["--name", name, "--port", "0", "--bind", "127.0.0.1"]
        arguments += ["--allowed-peers", friend, "--passphrase-file", str(passphrase)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ironmesh", "run", "--home", str(home), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_clean_environment(),
            )
        self._calls: ControlClient | None = None
        self._events: Iterator[OperatorEvent] = iter(())
        self._streams = contextlib.ExitStack()

    def connect(self, deadline: float) -> None:
        """Wait until the node answers at its control socket."""
        while self._calls is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._failure("did not start")
            try:
                self._calls = self._streams.enter_context(ControlClient.connect(self._socket))
            except NotRunningError:
                time.sleep(POLL_S)
        events = self._streams.enter_context(ControlClient.connect(self._socket))
        self._events = events.events(timeout_s=max(deadline - time.monotonic(), 0.1))

    def call(self, name: str, **params: Any) -> Any:
        """Call the node."""
        assert self._calls is not None
        return self._calls.call(name, **params)

    def wait_for_peer(self) -> PeerView:
        """Wait until the node has a session with its friend."""
        while True:
            peers: list[PeerView] = self.call("peers")
            online = [peer for peer in peers if peer.is_online]
            if online:
                return online[0]
            self._wait(PeerEvent)

    def wait_for_message(self) -> MessageEvent:
        """Wait for the next message."""
        event = self._wait(MessageEvent)
        assert isinstance(event, MessageEvent)
        return event

    def _wait(self, kind: type[OperatorEvent]) -> OperatorEvent:
        try:
            for event in self._events:
                if isinstance(event, kind):
                    return event
        except (ControlError, TimeoutError) as error:
            raise self._failure("did not get on") from error
        raise self._failure("ended")

    def ask_to_stop(self) -> None:
        """Send what a service manager sends."""
        self._streams.close()
        self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> int:
        """Return the exit code of the process, which was asked to stop."""
        try:
            return self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _failure(self, what: str) -> DemoError:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-3:]
        return DemoError(f"the node {self.name} {what}", " | ".join(lines) or "see ironmesh doctor")


@click.command("demo")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds at most.")
@json_option
def demo_command(timeout_s: float, *, as_json: bool) -> None:
    """Let two nodes on this machine find each other, shake hands and exchange a message.

    Both run in a temporary folder that is removed at the end; ~/.ironmesh is not touched.
    """
    report = Report(is_silent=as_json)
    with tempfile.TemporaryDirectory(prefix="ironmesh-demo-") as folder:
        _show(report, Path(folder), time.monotonic() + timeout_s)
    if as_json:
        print_json({"ok": True, "steps": report.steps})


def _show(report: Report, home: Path, deadline: float) -> None:
    names = [f"{name}-{secrets.token_hex(3)}" for name in ("alice", "bob")]
    passphrase = _prepare(home, names)
    report.tell("prepared", "two identities and a random passphrase, in a temporary folder")
    alice = DemoNode(names[0], names[1], home, passphrase)
    bob = DemoNode(names[1], names[0], home, passphrase)
    nodes = (alice, bob)
    try:
        _talk(report, alice, bob, deadline)
    finally:
        for node in nodes:
            node.ask_to_stop()
        codes = [node.wait_stopped() for node in nodes]
    if any(codes):
        raise DemoError(f"a node ended with exit code {max(codes)}")
    report.tell("stopped", "both nodes said goodbye and ended; nothing is left behind")


def _talk(report: Report, alice: DemoNode, bob: DemoNode, deadline: float) -> None:
    for node in (alice, bob):
        node.connect(deadline)
        state = node.call("state")
        report.tell(
            "listening",
            f"{node.name} listens on {state.listening[0]}"
            f" ({'wss' if state.is_tls else 'ws'}), id {state.node_id[:8]}",
            name=node.name,
            node_id=state.node_id,
        )
    peer = alice.wait_for_peer()
    report.tell(
        "online",
        "found by mDNS; hands shaken: passphrase proved, keys pinned,"
        f" {'TLS' if peer.is_encrypted else 'no TLS'}",
        rtt_ms=peer.rtt_ms,
    )
    bob.wait_for_peer()
    asked = time.monotonic()
    alice.call("send", target=bob.name, payload=QUESTION.encode())
    question = bob.wait_for_message()
    report.tell("message", f'{bob.name} got: "{question.text}"')
    bob.call("send", target=question.source, payload=ANSWER.encode())
    answer = alice.wait_for_message()
    round_trip_ms = round((time.monotonic() - asked) * 1000, 1)
    report.tell(
        "answer",
        f'{alice.name} got: "{answer.text}" ({round_trip_ms} ms there and back)',
        round_trip_ms=round_trip_ms,
    )


def _prepare(home: Path, names: list[str]) -> Path:
    """Write a random passphrase and two identities; random ones need no slow key derivation."""
    passphrase = Secret(secrets.token_urlsafe(24))
    path = home / "passphrase"
    write_private(path, passphrase.reveal())
    for name in names:
        keys = home / "nodes" / name / "keys.json"
        generate(keys, name, passphrase, MINIMAL_KDF, os.urandom)
    return path


def _clean_environment() -> dict[str, str]:
    """Return our environment without settings that are meant for other nodes."""
    return {key: value for key, value in os.environ.items() if not key.startswith("IRONMESH_")}
