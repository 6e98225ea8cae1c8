"""`send`, `listen` and `peers` against a served operator."""

import io
import json
import threading
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from tests.support.fake_operator import BOB, ServedOperator, message

from ironmesh.cli.listen import as_line
from ironmesh.control.api import MissedEvent, PeerEvent
from ironmesh.types import MessagePriority


@pytest.fixture
def publish(alice):
    """Publish events from another thread once the command listens, then let the node stop."""
    threads = []

    def start(*events):
        def work():
            alice.publish(*events)
            alice.end_events()

        threads.append(threading.Thread(target=work))
        threads[0].start()

    yield start
    for thread in threads:
        thread.join(10)


# --- send ---


def test_send_hands_the_text_to_the_node(ironmesh, alice, tmp_path):
    result = ironmesh("send", "bob", "grüß", "--home", tmp_path)
    assert result.code == 0
    assert result.out == "sent 00000000-0000-0000-0000-000000000001 to bob (8f3c2a1b...)\n"
    assert alice.operator.sent == [("bob", "grüß".encode(), "MSG", MessagePriority.NORMAL)]


def test_send_takes_type_priority_and_a_node_id(ironmesh, alice, tmp_path):
    result = ironmesh(
        "send", BOB, "x", "--type", "REQ", "--priority", "high", "--json", "--home", tmp_path
    )
    assert json.loads(result.out)["node_id"] == BOB
    assert alice.operator.sent == [(BOB, b"x", "REQ", MessagePriority.HIGH)]


def test_send_reads_bytes_from_standard_input(ironmesh, alice, tmp_path, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(b"\x00\xff\n"), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stdin)
    assert ironmesh("send", "bob", "-", "--home", tmp_path).code == 0
    assert alice.operator.sent[0][1] == b"\x00\xff\n"


def test_a_payload_that_no_line_holds_is_refused_before_it_is_sent(
    ironmesh, alice, tmp_path, monkeypatch
):
    stdin = SimpleNamespace(buffer=io.BytesIO(bytes((16 << 20) + 1)), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stdin)
    result = ironmesh("send", "bob", "-", "--home", tmp_path)
    assert result.code == 1
    assert "longer than" in result.err


def test_a_large_payload_passes_the_socket(ironmesh, alice, tmp_path, monkeypatch):
    stdin = SimpleNamespace(buffer=io.BytesIO(bytes(16 << 20)), isatty=lambda: False)
    monkeypatch.setattr("sys.stdin", stdin)
    assert ironmesh("send", "bob", "-", "--home", tmp_path).code == 0
    assert len(alice.operator.sent[0][1]) == 16 << 20


def test_an_unknown_peer_is_told_with_those_that_are_known(ironmesh, alice, tmp_path):
    result = ironmesh("send", "carol", "x", "--home", tmp_path)
    assert (result.code, result.err) == (1, "error: no peer is named 'carol': known: bob\n")


def test_of_several_nodes_one_must_be_named(ironmesh, alice, tmp_path):
    with ServedOperator(tmp_path, "zoe") as zoe:
        result = ironmesh("send", "bob", "x", "--home", tmp_path)
        assert (result.code, len(result.err.splitlines())) == (1, 1)
        assert "alice, zoe" in result.err
        assert ironmesh("send", "bob", "x", "--home", tmp_path, "--name", "zoe").code == 0
        assert zoe.operator.sent
        assert not alice.operator.sent


# --- peers ---


def test_peers_are_shown_at_80_columns_with_whole_ids(ironmesh, alice, tmp_path):
    result = ironmesh("peers", "--home", tmp_path)
    assert result.code == 0
    assert BOB in result.out
    assert "127.0.0.1:8766" in result.out
    assert "out 1ms" in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_peers_of_the_0_8_wire_are_marked(ironmesh, alice, tmp_path, monkeypatch):
    [peer] = alice.operator.peers()
    legacy = replace(peer, wire="legacy")
    monkeypatch.setattr(alice.operator, "peers", lambda: [legacy])
    for command in ("peers", "status"):
        [row] = [
            line
            for line in ironmesh(command, "--home", tmp_path).out.splitlines()
            if line.startswith("bob ") and BOB in line
        ]
        assert "legacy" in row


def test_peers_as_json_have_every_field(ironmesh, alice, tmp_path):
    [peer] = json.loads(ironmesh("peers", "--json", "--home", tmp_path).out)
    assert peer["rtt_ms"] == 1.25
    assert peer["is_encrypted"] is True


def test_without_peers_it_says_so(ironmesh, alice, tmp_path, monkeypatch):
    monkeypatch.setattr(alice.operator, "peers", list)
    assert ironmesh("peers", "--home", tmp_path).out == "no peers yet\n"


# --- listen ---


def test_listen_prints_messages_until_the_node_stops(ironmesh, publish, tmp_path):
    publish(message(b"one"), PeerEvent(node_id=BOB, name="bob", is_online=False), message(b"two"))
    result = ironmesh("listen", "--home", tmp_path)
    assert result.out == "bob: one\nbob: two\n"
    assert result.code == 1
    assert "the node stopped" in result.err


def test_listen_ends_after_count_messages(ironmesh, publish, tmp_path):
    publish(message(b"one"), message(b"two"))
    result = ironmesh("listen", "--count", "1", "--home", tmp_path)
    assert (result.code, result.out) == (0, "bob: one\n")


def test_listen_as_json_adds_the_text_where_there_is_one(ironmesh, publish, tmp_path):
    publish(message(b"one"), message(b"\xff"))
    result = ironmesh("listen", "--count", "2", "--json", "--home", tmp_path)
    first, second = map(json.loads, result.out.splitlines())
    assert (first["text"], first["payload_b64"]) == ("one", "b25l")
    assert second["payload_b64"] == "/w=="
    assert "text" not in second


@pytest.mark.parametrize("source", ["carol", "c" * 32])
def test_listen_can_be_limited_to_a_peer(ironmesh, publish, tmp_path, source):
    from msgspec.structs import replace

    carol = replace(message(b"two"), source="c" * 32, source_name="carol")
    publish(message(b"one"), carol)
    result = ironmesh("listen", "--from", source, "--count", "1", "--home", tmp_path)
    assert result.out == "carol: two\n"


def test_listen_can_be_limited_to_a_type(ironmesh, publish, tmp_path):
    from msgspec.structs import replace

    publish(message(b"one"), replace(message(b"two"), type="REQ"))
    result = ironmesh("listen", "--type", "REQ", "--count", "1", "--home", tmp_path)
    assert result.out == "bob [REQ]: two\n"


def test_listen_tells_of_missed_events(ironmesh, publish, tmp_path):
    publish(MissedEvent(count=3), message(b"one"))
    result = ironmesh("listen", "--count", "1", "--home", tmp_path)
    assert "3 events were missed" in result.err


def test_a_command_gets_each_message_and_answers(ironmesh, alice, publish, tmp_path):
    publish(message(b"one", number=1), message(b"two", number=2))
    command = 'cat; printf " %s %s %s" $IRONMESH_FROM_NAME $IRONMESH_MESSAGE_TYPE $IRONMESH_FROM'
    result = ironmesh("listen", "--exec", command, "--count", "2", "--home", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert [(target, payload) for target, payload, *_ in alice.operator.sent] == [
        (BOB, f"one bob MSG {BOB}".encode()),
        (BOB, f"two bob MSG {BOB}".encode()),
    ]


def test_the_message_id_is_in_the_environment(ironmesh, alice, publish, tmp_path):
    publish(message(number=7))
    ironmesh("listen", "--exec", "printenv IRONMESH_MESSAGE_ID", "--count", 1, "--home", tmp_path)
    assert alice.operator.sent[0][1] == b"00000000-0000-0000-0000-000000000007\n"


def test_a_request_is_answered_by_a_response(ironmesh, alice, publish, tmp_path):
    from msgspec.structs import replace

    publish(replace(message(), type="REQ"))
    ironmesh("listen", "--exec", "echo ok", "--count", "1", "--home", tmp_path)
    assert alice.operator.sent[0][2] == "RESP"


@pytest.mark.parametrize("command", ["true", "echo no; exit 3", "/nonexistent/command"])
def test_a_command_that_prints_nothing_or_fails_sends_no_reply(
    ironmesh, alice, publish, tmp_path, command
):
    publish(message())
    result = ironmesh("listen", "--exec", command, "--count", "1", "--home", tmp_path)
    assert result.code == 0
    assert not alice.operator.sent
    assert ("exit code" in result.err) is (command != "true")


def test_a_reply_that_is_not_accepted_does_not_end_listening(
    ironmesh, alice, publish, tmp_path, monkeypatch
):
    from ironmesh.errors import QueueFullError

    async def send(*_, **_options):
        raise QueueFullError("the queue is full", "wait")

    monkeypatch.setattr(alice.operator, "send", send)
    publish(message())
    result = ironmesh("listen", "--exec", "echo x", "--count", "1", "--home", tmp_path)
    assert result.code == 0
    assert "the queue is full" in result.err


def test_what_a_peer_wrote_never_becomes_part_of_the_command(ironmesh, alice, publish, tmp_path):
    publish(message(b"$(touch injected)", source_name="$(touch injected)\n`id`\x00"))
    command = 'printf "%s" "$IRONMESH_FROM_NAME"'
    ironmesh("listen", "--exec", command, "--count", "1", "--home", tmp_path)
    assert alice.operator.sent[0][1] == b"$(touch injected)\\x0a`id`\\x00"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (message(b""), "bob: "),
        (message(b"\x00\xff"), "bob: (2 bytes, not text)"),
        (message(b"a\nmallory: b"), "bob: a\n    mallory: b"),
        (message(b"\x1b[2J"), "bob: \\x1b[2J"),
        (message(b"x", source_name=""), "8f3c2a1b: x"),
        (message(b"x", source_name="b\x1bob"), "b\\x1bob: x"),
    ],
)
def test_a_message_cannot_forge_lines_or_move_the_cursor(event, line):
    assert as_line(event) == line
