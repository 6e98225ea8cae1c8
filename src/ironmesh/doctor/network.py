"""Ports and running nodes."""

from __future__ import annotations

import errno
import shlex
import socket
from pathlib import Path

from ironmesh.control.api import NodeState
from ironmesh.control.client import ControlClient
from ironmesh.control.health import Level, health
from ironmesh.control.paths import socket_path
from ironmesh.doctor.finding import Finding, fail, ok, skip, warn
from ironmesh.errors import ConfigError, ControlError, NodeAlreadyRunningError, NotRunningError
from ironmesh.store.node_lock import wait_released


def ask_running(node_dir: Path) -> NodeState | None:
    """Return how the node of this folder is; None where none answers.

    Raises:
        ControlError: somebody answers, but not as a node of ours.
    """
    try:
        with ControlClient.connect(socket_path(node_dir)) as node:
            state: NodeState = node.call("state")
    except (NotRunningError, ConfigError):
        return None
    return state


def check_running(node_dir: Path) -> tuple[NodeState | None, list[Finding]]:
    """Look whether the node runs, and how it is."""
    try:
        state = ask_running(node_dir)
    except ControlError as error:
        return None, [fail("running", error.what, error.fix)]
    if state is not None:
        findings = [ok("running", f"process {state.pid}, version {state.version}")]
        for line in health(state, (), ()):
            if line.check.startswith("refused") and line.level is Level.WARN:
                said, _, fix = line.text.rpartition(": ")
                findings.append(warn("running", said or line.text, fix if said else ""))
        return state, findings
    if not node_dir.is_dir():
        return None, [skip("running", "it never ran")]
    try:
        wait_released(node_dir, 0)
    except NodeAlreadyRunningError as error:
        return None, [fail("running", f"{error.what}, which does not answer", "end that process")]
    return None, [ok("running", "it does not run")]


def check_port(name: str, bind: str, port: int, state: NodeState | None) -> Finding:
    """Look whether the node can listen where it shall.

    Args:
        state: of the node, where it runs.
    """
    if state is not None:
        return ok("port", f"ours: listening on {', '.join(state.listening)}")
    if port == 0:
        return ok("port", "any free one")
    try:
        _try_to_listen(bind, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = f"ironmesh run --name {shlex.quote(name)} --port {_free_port(bind)}"
            return fail("port", f"{port} is taken by another process", other)
        return fail(
            "port",
            f"{bind}, port {port}, cannot be listened on ({error.strerror})",
            "give --bind an address of this machine, and --port one above 1023",
        )
    return ok("port", f"{port} is free")


def _try_to_listen(bind: str, port: int) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(
        bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As the listener does: what a connection that ended left behind is not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)
        return int(probe.getsockname()[1])


def _free_port(bind: str) -> int:
    return _try_to_listen(bind, 0)
