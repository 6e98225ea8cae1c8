"""`outbox`, `history` and `send --wait` with real nodes: processes that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.mesh import Mesh
from tests.support.ports import free_port
from tests.support.processes import Running

LIMIT_S = 30.0
"""For a session to come up or end, on a machine that is busy."""


class Pair:
    """Alice, who sends, and bob, who may be absent."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._port = str(free_port())
        self.alice = mesh.start("alice", "--port", self._port)
        self.bob = self.come()

    def come(self) -> Running:
        """Let bob come, and wait until he has a session with alice."""
        bob = self.mesh.start("bob", "--port", "0", "--peer", f"127.0.0.1:{self._port}")
        bob.wait_line("Peer alice .* online", timeout_s=LIMIT_S)
        return bob

    def leave(self) -> None:
        """Let bob leave, and wait until alice knows."""
        self.bob.terminate()
        self.alice.wait_line(r"Peer bob \(.*\) offline", timeout_s=LIMIT_S)

    def send(self, text: str, *flags: str, code: int = 0) -> str:
        """Send a message from alice to bob; return its id."""
        sent = self.mesh.json("send", "bob", text, "--name", "alice", *flags, code=code)
        return str(sent["id"])


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with ExitStack() as stack:
        yield Mesh(tmp_path, stack)


@pytest.fixture
def pair(mesh: Mesh) -> Pair:
    return Pair(mesh)


def test_a_message_for_an_absent_peer_waits_and_is_delivered_when_it_comes(
    mesh: Mesh, pair: Pair
) -> None:
    assert mesh.run("outbox", "list", "--name", "alice") == "nothing waits"
    pair.leave()
    assert mesh.run("send", "bob", "early", "--name", "alice").startswith("queued ")
    message_id = pair.send("later")
    waiting = mesh.json("outbox", "list", "bob", "--name", "alice")
    assert [(one["state"], one["name"]) for one in waiting] == [("queued", "bob")] * 2
    assert message_id in mesh.run("outbox", "list", "--name", "alice")
    shown = mesh.run("outbox", "show", message_id, "--name", "alice")
    assert "State:    queued" in shown
    assert shown.endswith("later")
    assert mesh.run("outbox", "retry", message_id, "--name", "alice").startswith("trying ")
    pair.come()
    assert mesh.run("send", "bob", "x", "--wait", "--name", "alice").startswith("delivered ")
    assert mesh.json("outbox", "list", "--name", "alice") == []
    history = mesh.json("history", "bob", "--name", "alice", "--direction", "sent")
    assert [one["state"] for one in history] == ["delivered"] * 3
    assert history[1]["id"] == message_id


def test_waiting_in_vain_ends_in_one_line_and_the_message_goes_on(mesh: Mesh, pair: Pair) -> None:
    pair.leave()
    command = ("send", "bob", "x", "--name", "alice", "--wait", "--timeout", "0.2")
    waited = mesh.begin(*command)
    waited.expect(1)
    assert len(waited.err) == 1
    assert "is queued after 0.2 s and goes on" in waited.err[0]
    assert len(mesh.json("outbox", "list", "--name", "alice")) == 1


def test_the_end_of_a_lifetime_is_told(mesh: Mesh, pair: Pair) -> None:
    pair.leave()
    waited = mesh.begin("send", "bob", "x", "--name", "alice", "--wait", "--ttl", "0.2")
    waited.expect(1)
    assert "was not delivered: expired" in waited.err[-1]
    [entry] = mesh.json("history", "--name", "alice")
    assert entry["state"] == "expired"


def test_a_cancelled_message_never_arrives(mesh: Mesh, pair: Pair) -> None:
    pair.leave()
    message_id = pair.send("taken back")
    assert mesh.run("outbox", "cancel", message_id, "--name", "alice") == (
        f"cancelled {message_id} to bob ({_node_id(mesh, 'bob')[:8]}...)"
    )
    again = mesh.json("outbox", "cancel", message_id, "--name", "alice", code=1)
    assert again["error"]["code"] == "message_ended"
    pair.come()
    pair.send("kept", "--wait")
    arrived = mesh.json("history", "alice", "--name", "bob", "--direction", "received")
    assert [one["size_bytes"] for one in arrived] == [len("kept")]


def test_live_goes_now_or_not_at_all(mesh: Mesh, pair: Pair) -> None:
    listening = mesh.begin("listen", "--name", "bob", "--count", "1")
    listening.wait_line("listening")
    assert mesh.run("send", "bob", "now", "--live", "--name", "alice").startswith("sent ")
    listening.expect(0)
    assert listening.out == ["alice: now"]
    pair.leave()
    refused = mesh.json("send", "bob", "x", "--live", "--name", "alice", code=1)
    assert refused["error"]["code"] == "no_path"
    assert mesh.json("outbox", "list", "--name", "alice") == []


def test_history_has_both_directions_also_while_the_node_is_down(mesh: Mesh, pair: Pair) -> None:
    out = pair.send("out", "--wait")
    mesh.run("send", "alice", "back", "--wait", "--name", "bob")
    shown = mesh.json("history", "--name", "alice", "--since", "1h")
    assert [(one["direction"], one["name"]) for one in shown] == [
        ("received", "bob"),
        ("sent", "bob"),
    ]
    pair.leave()
    waiting = pair.send("waits")
    pair.alice.terminate()
    later = mesh.json("history", "--name", "alice")
    assert [one["id"] for one in later][0::2] == [waiting, out]
    assert waiting in mesh.run("outbox", "list", "--name", "alice")
    assert mesh.run("outbox", "show", waiting, "--name", "alice").endswith("waits")
    refused = mesh.json("outbox", "cancel", waiting, "--name", "alice", code=1)
    assert refused["error"]["code"] == "not_running"
    assert "only a running node" in refused["error"]["message"]


def _node_id(mesh: Mesh, name: str) -> str:
    return str(mesh.json("keys", "info", "--name", name)["node_id"])
