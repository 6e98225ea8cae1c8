import socket
import threading

import pytest
from tests.support.fake_operator import BOB, ServedOperator, message

from ironmesh.control import client as client_module
from ironmesh.control import local
from ironmesh.control.client import ControlClient, choose, find_running
from ironmesh.errors import ConfigError, ControlError, NotBuiltError, NotRunningError


@pytest.fixture
def alice(tmp_path):
    with ServedOperator(tmp_path) as served:
        yield served


def test_results_are_typed(alice):
    with ControlClient.connect(alice.path) as client:
        assert client.call("state") == alice.operator.state()
        assert client.call("peers") == alice.operator.peers()
        assert client.call("send", target="bob", payload=b"hi").node_id == BOB
        assert client.call("stop") is None


def test_a_refusal_keeps_its_code(alice):
    with ControlClient.connect(alice.path) as client:
        with pytest.raises(ControlError) as caught:
            client.call("send", target="nobody", payload=b"hi")
        assert caught.value.remote_code == "unknown_peer"
        assert caught.value.fix == "known: bob"


def test_events_are_yielded_until_the_node_ends_them(alice):
    with ControlClient.connect(alice.path) as client:
        events = client.events()
        alice.publish(message(), message(b"\xff"))
        alice.end_events()
        assert list(events) == [message(), message(b"\xff")]


def test_waiting_for_an_event_may_be_limited(alice):
    with ControlClient.connect(alice.path) as client:
        events = client.events(timeout_s=0.01)
        with pytest.raises(ControlError, match="nothing happened"):
            next(events)


def test_a_node_that_is_gone_is_not_running(tmp_path):
    with pytest.raises(NotRunningError, match="ironmesh run"):
        ControlClient.connect(tmp_path / "control.sock")


def test_a_node_that_ends_the_connection_is_a_named_error(alice):
    with ControlClient.connect(alice.path) as client:
        alice.close_server()
        with pytest.raises(ControlError, match="ended the connection"):
            client.call("state")


def test_a_node_of_another_user_is_not_spoken_to(alice, monkeypatch):
    monkeypatch.setattr(local, "is_same_user", lambda end: False)
    with pytest.raises(ControlError, match="another user"):
        ControlClient.connect(alice.path)


def test_the_only_running_node_is_chosen(alice, tmp_path):
    (tmp_path / "nodes" / "dead").mkdir()
    (tmp_path / "nodes" / "file").write_text("")
    assert find_running(tmp_path) == [("alice", alice.path)]
    assert choose(tmp_path, None) == ("alice", alice.path)
    assert choose(tmp_path, "alice") == ("alice", alice.path)


def test_of_several_running_nodes_one_must_be_named(alice, tmp_path):
    with ServedOperator(tmp_path, "bob"):
        with pytest.raises(ConfigError, match=r"alice, bob.*--name"):
            choose(tmp_path, None)
        assert choose(tmp_path, "bob").name == "bob"


def test_without_a_running_node_the_error_says_how_to_start_one(tmp_path):
    assert find_running(tmp_path) == []
    with pytest.raises(NotRunningError, match="ironmesh run --name NAME"):
        choose(tmp_path, None)
    with pytest.raises(NotRunningError, match="ironmesh run --name carol"):
        choose(tmp_path, "carol")


def test_a_name_is_no_way_out_of_the_home(tmp_path):
    with pytest.raises(ConfigError):
        choose(tmp_path, "../alice")


def test_a_system_without_unix_sockets_is_told_so(monkeypatch, tmp_path):
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(NotBuiltError, match="WSL"):
        find_running(tmp_path)


@pytest.fixture
def node(tmp_path):
    """Something at the end of a socket that answers each line with what the test wants."""
    path = tmp_path / "control.sock"
    answers = []

    def serve(listener):
        end, _ = listener.accept()
        with end, end.makefile("rb") as lines:
            for _ in lines:
                end.sendall(answers.pop(0))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        with ControlClient.connect(path) as client:
            yield client, answers
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"garbage\n", "not understood"),
        (b'{"id":1,"result":{"name":5}}\n', "not understood"),
        (b'{"id":99,"result":null}\n', "something else"),
        (b'{"id":1}\n', "something else"),
        (b'{"id":1,"event":{"kind":"missed","count":1}}\n', "something else"),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_named_error(node, answer, told):
    client, answers = node
    answers.append(answer)
    with pytest.raises(ControlError, match=told):
        client.call("state")


def test_a_node_that_does_not_answer_is_not_waited_for_forever(node, monkeypatch):
    monkeypatch.setattr(client_module, "CALL_TIMEOUT_S", 0.05)
    client, answers = node
    answers.append(b"")
    with pytest.raises(ControlError, match="did not answer within"):
        client.call("state")
