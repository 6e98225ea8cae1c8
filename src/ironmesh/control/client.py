"""A small synchronous client of the control socket, for the command line."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from ironmesh.config import check_name
from ironmesh.control import local, protocol
from ironmesh.control.api import OperatorEvent
from ironmesh.control.paths import socket_path
from ironmesh.errors import ConfigError, ControlError, NotRunningError

CONNECT_TIMEOUT_S: Final = 2.0
CALL_TIMEOUT_S: Final = 30.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class RunningNode(NamedTuple):
    """A node of this user that answers."""

    name: str
    path: Path


class ControlClient:
    """One connection to a running node; make it with `connect`, close it with `with`."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lines = end.makefile("rb")
        self._ids = itertools.count(1)

    @classmethod
    def connect(cls, path: Path) -> Self:
        """Connect to the node whose control socket is `path`.

        Raises:
            NotRunningError: nobody answers there.
            ControlError: the process there belongs to another user.
        """
        local.require_unix_sockets()
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.settimeout(CONNECT_TIMEOUT_S)
        try:
            end.connect(os.fspath(path))
        except OSError as error:
            end.close()
            raise NotRunningError(
                f"no node answers at {path}", "start it with: ironmesh run --name NAME"
            ) from error
        if not local.is_same_user(end):
            end.close()
            raise ControlError(f"the process at {path} belongs to another user", "end it")
        return cls(end)

    def call(self, name: str, within_s: float | None = None, /, **params: Any) -> Any:
        """Call `name` and return its result; `protocol.CALLS` states the types of both.

        Args:
            within_s: how long the answer may take; None = 30 seconds.
            params: the fields of the call's parameters, as `protocol` declares them.

        Raises:
            ControlError: the node refused; `remote_code` tells why.
        """
        params_type, result_type = protocol.CALLS[name]
        answer = self._ask(name, params_type(**params), within_s)
        try:
            return msgspec.json.decode(answer, type=result_type)
        except (ValueError, RecursionError) as error:
            raise ControlError(
                "the node's answer is not understood", "use the same version of ironmesh for both"
            ) from error

    def events(self, *, timeout_s: float | None = None) -> Iterator[OperatorEvent]:
        """Subscribe, and yield events until the node ends the stream.

        The subscription is in force when this returns. Nothing else can be called on this
        connection afterwards.

        Args:
            timeout_s: how long each event may take to come; None = for ever.

        Raises:
            ControlError: the node refused; while iterating: none came in time.
        """
        self._ask("subscribe", protocol.SubscribeParams())
        self._socket.settimeout(timeout_s)
        return self._read_events(timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, name: str, params: protocol.Params, within_s: float | None = None
    ) -> msgspec.Raw:
        request_id = next(self._ids)
        within_s = CALL_TIMEOUT_S if within_s is None else within_s
        self._socket.settimeout(within_s)
        try:
            self._socket.sendall(protocol.encode_request(request_id, name, params))
            line = self._lines.readline(MAX_ANSWER_BYTES)
        except TimeoutError as error:
            raise ControlError(
                f"the node did not answer within {within_s:g} s", "see the node's log"
            ) from error
        except OSError as error:
            raise _gone() from error
        if not line:
            raise _gone()
        answer = protocol.decode_answer(line)
        if answer.error is not None:
            raise ControlError(
                answer.error.message, answer.error.fix, remote_code=answer.error.code
            )
        if answer.id != request_id or isinstance(answer.result, msgspec.UnsetType):
            raise ControlError("the node answered something else", "see the node's log")
        return answer.result

    def _read_events(self, timeout_s: float | None) -> Iterator[OperatorEvent]:
        try:
            while line := self._lines.readline(MAX_ANSWER_BYTES):
                answer = protocol.decode_answer(line)
                if answer.event is not None:
                    yield answer.event
        except TimeoutError as error:
            raise ControlError(f"nothing happened within {timeout_s:g} s") from error
        except OSError as error:
            raise _gone() from error


def find_running(home: Path) -> list[RunningNode]:
    """Return the nodes under `home` whose control socket answers, by name."""
    local.require_unix_sockets()
    nodes = home / "nodes"
    names = sorted(entry.name for entry in nodes.iterdir()) if nodes.is_dir() else []
    return [
        RunningNode(name, path) for name in names if (path := _answering(nodes / name)) is not None
    ]


def choose(home: Path, name: str | None) -> RunningNode:
    """Return the running node of this name; without a name, the only one that runs.

    Raises:
        NotRunningError: it does not run, or none does.
        ConfigError: several run and no name was given.
    """
    if name is not None:
        path = _answering(home / "nodes" / check_name(name))
        if path is None:
            raise NotRunningError(
                f"the node {name!r} is not running", f"start it with: ironmesh run --name {name}"
            )
        return RunningNode(name, path)
    running = find_running(home)
    if not running:
        raise NotRunningError(
            f"no node is running in {home}", "start one with: ironmesh run --name NAME"
        )
    if len(running) > 1:
        names = ", ".join(node.name for node in running)
        raise ConfigError(f"several nodes are running: {names}", "choose one with --name")
    return running[0]


def _answering(node_dir: Path) -> Path | None:
    try:
        path = socket_path(node_dir)
        ControlClient.connect(path).close()
    except (ConfigError, NotRunningError):
        return None
    return path


def _gone() -> ControlError:
    return ControlError("the node ended the connection", "check that it is still running")
