"""The command line with real nodes: everything is a process, and reaches the others by sockets."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.support.mesh import PASSPHRASE, Mesh
from tests.support.pace import slowdown

STOP_LIMIT_S = 2.0


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with ExitStack() as stack:
        yield Mesh(tmp_path, stack)


def test_two_nodes_are_shown_to_each_other_and_stop_on_a_signal(mesh: Mesh) -> None:
    alice, bob = mesh.pair()
    assert alice.out[0].startswith("IronMesh ")
    assert "agent alice" in alice.out[0]
    node_id = alice.wait_line(r"Node id: ([0-9a-f]{32})")[1]
    assert mesh.json("keys", "info", "--name", "alice")["node_id"] == node_id
    [peer] = mesh.json("peers", "--name", "bob")
    assert (peer["name"], peer["node_id"], peer["is_online"]) == ("alice", node_id, True)
    assert peer["is_encrypted"]
    assert alice.terminate() < STOP_LIMIT_S * slowdown()
    bob.wait_line(r"Peer alice \(.*\) offline")
    bob.send_signal(signal.SIGINT)
    bob.expect(0)
    assert not list(mesh.folder.glob("nodes/*/control.sock"))


def test_a_message_and_the_answer_of_a_command_cross_the_mesh(mesh: Mesh) -> None:
    mesh.pair()
    answering = mesh.begin("listen", "--name", "bob", "--exec", "tr a-z A-Z", "--count", "1")
    listening = mesh.begin("listen", "--name", "alice", "--json", "--count", "1")
    for command in (answering, listening):
        command.wait_line("listening")
    assert mesh.json("send", "bob", "hello", "--name", "alice", "--wait")["state"] == "delivered"
    answering.expect(0)
    listening.expect(0)
    [answer] = map(json.loads, listening.out)
    assert (answer["source_name"], answer["text"], answer["type"]) == ("bob", "HELLO", "MSG")


def test_bytes_from_standard_input_arrive_as_they_are(mesh: Mesh) -> None:
    mesh.pair()
    listening = mesh.begin("listen", "--name", "bob", "--from", "alice", "--count", "1")
    listening.wait_line("listening")
    mesh.run("send", "bob", "-", "--name", "alice", stdin="zwei\nZeilen ü\n")
    listening.expect(0)
    assert listening.out == ["alice: zwei", "    Zeilen ü"]


def test_a_revoked_peer_is_gone_and_stays_out(mesh: Mesh) -> None:
    alice, bob = mesh.pair()
    [peer] = mesh.json("trust", "list", "--name", "alice")
    assert (peer["name"], peer["state"], peer["is_online"]) == ("bob", "trusted", True)
    mesh.run("trust", "revoke", "bob", "--name", "alice", "--reason", "lost")
    alice.wait_line(r"Peer bob \(.*\) offline")
    bob.wait_line(r"Peer alice \(.*\) offline")
    alice.wait_line("reason=revoked")
    alice.terminate()
    bob.terminate()
    [revoked] = mesh.json("trust", "list", "--name", "alice")
    assert (revoked["node_id"], revoked["state"]) == (peer["node_id"], "revoked")


def test_a_second_node_of_the_same_name_is_refused_in_one_line(mesh: Mesh) -> None:
    mesh.start("alice", "--port", "0")
    second = mesh.begin("run", "--name", "alice", "--port", "0", "--no-mdns")
    second.expect(1)
    assert second.err[-1].startswith("error: ")
    assert mesh.json("peers", "--name", "alice") == []


def test_the_socket_of_a_node_that_was_killed_is_replaced(mesh: Mesh) -> None:
    mesh.start("alice", "--port", "0").kill()
    assert mesh.json("peers", "--name", "alice", code=1)["error"]["code"] == "not_running"
    mesh.start("alice", "--port", "0")
    assert mesh.json("peers", "--name", "alice") == []


@pytest.mark.parametrize("flag", ["--open-discovery", "--allow-plaintext-ws"])
def test_each_insecure_flag_is_said_out_loud(mesh: Mesh, flag: str) -> None:
    node = mesh.start("alice", "--port", "0", flag)
    node.wait_line(f"INSECURE: {flag}")


def test_json_tells_programs_where_the_node_listens(mesh: Mesh) -> None:
    node = mesh.start("alice", "--port", "0", "--json")
    events = {line["event"]: line for line in map(json.loads, node.out)}
    assert events["starting"]["name"] == "alice"
    assert len(events["identity"]["node_id"]) == 32
    assert events["listening"]["is_tls"] is True
    assert events["listening"]["endpoints"][0].startswith("127.0.0.1:")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_passphrase_is_in_no_argument_and_in_no_output(mesh: Mesh) -> None:
    node = mesh.start("alice", "--port", "0", "--log-level", "debug")
    arguments = Path(f"/proc/{node.pid}/cmdline").read_text()
    assert PASSPHRASE not in arguments + node.text
    assert PASSPHRASE not in mesh.run("keys", "info", "--name", "alice")


def test_a_home_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)
    home.mkdir()
    with ExitStack() as stack:
        mesh = Mesh(home, stack)
        mesh.start("alice", "--port", "0")
        assert mesh.json("peers") == []
        assert not list(mesh.folder.glob("nodes/*/control.sock"))
