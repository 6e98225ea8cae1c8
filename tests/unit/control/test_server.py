import asyncio
import contextlib
import json
import os
import socket
import stat

import pytest
from tests.support.fake_operator import BOB, FakeOperator, message, queued

from ironmesh.control import local, protocol
from ironmesh.control import server as server_module
from ironmesh.control.server import ControlServer
from ironmesh.errors import ControlError, FileRefusedError, NodeAlreadyRunningError
from ironmesh.types import MessagePriority


@pytest.fixture
def path(tmp_path):
    return tmp_path / "nodes" / "alice" / "control.sock"


@pytest.fixture
async def operator():
    return FakeOperator()


@pytest.fixture
async def server(operator, path):
    server = ControlServer(lambda: operator, path, max_clients=4)
    await server.start()
    yield server
    await server.close()


class Client:
    """Speaks the protocol line by line."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, path):
        return cls(*await asyncio.open_unix_connection(path, limit=1 << 25))

    async def write(self, line):
        self.writer.write(line)
        await self.writer.drain()

    async def read(self):
        line = await asyncio.wait_for(self.reader.readline(), 10)
        return json.loads(line) if line else None

    async def call(self, call, **params):
        await self.write(protocol.encode_request(1, call, protocol.CALLS[call][0](**params)))
        return await self.read()

    async def is_closed(self):
        """Wait for the other side to end the connection."""
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(self.reader.read(1), 10) == b""
        self.writer.transport.abort()
        return True

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@pytest.fixture
async def client(server, path):
    client = await Client.connect(path)
    yield client
    await client.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_socket_and_its_folder_are_private(server, path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_calls_are_answered_in_order_by_their_ids(client):
    for number, call in enumerate(("state", "peers", "trust_list"), start=1):
        await client.write(protocol.encode_request(number, call, protocol.CALLS[call][0]()))
    answers = [await client.read() for _ in range(3)]
    assert [answer["id"] for answer in answers] == [1, 2, 3]
    assert answers[0]["result"]["name"] == "alice"
    assert answers[1]["result"][0]["node_id"] == BOB
    assert answers[2]["result"][0]["state"] == "trusted"


async def test_every_call_reaches_the_operator(client, operator):
    sent = await client.call("send", target="bob", payload=b"hi", priority="HIGH")
    assert sent["result"]["state"] == "sent"
    assert operator.sent == [("bob", b"hi", "MSG", MessagePriority.HIGH)]
    key = "A" * 43 + "="
    pinned = await client.call("trust_pin", public_key_b64=key, name="carol", is_verified=True)
    assert pinned["result"]["is_verified"]
    assert (await client.call("trust_show", who="carol"))["result"]["name"] == "carol"
    revoked = await client.call("trust_revoke", who="carol", reason="lost")
    assert revoked["result"]["reason"] == "lost"
    assert (await client.call("trust_forget", who="carol"))["result"]["state"] == "revoked"
    assert (await client.call("connect", host="::1", port=1))["result"] == BOB
    assert operator.connected_to == ("::1", 1)
    assert "result" in await client.call("stop")
    assert operator.is_stopped


async def test_how_long_a_message_lives_and_is_waited_for_reaches_the_operator(client, operator):
    operator.send_ends = ("refused", "too large")
    answer = await client.call(
        "send", target="bob", payload=b"hi", ttl_s=60.0, is_durable=False, wait_s=2.5
    )
    assert (answer["result"]["state"], answer["result"]["reason"]) == ("refused", "too large")
    assert operator.send_options == [{"ttl_s": 60.0, "is_durable": False, "wait_s": 2.5}]
    await client.call("send", target="bob", payload=b"hi")
    assert operator.send_options[1] == {"ttl_s": 86400.0, "is_durable": True, "wait_s": None}


async def test_every_call_about_messages_reaches_the_operator(client, operator):
    waiting = queued(b"\xff")
    operator.outbox[waiting.id] = waiting
    [listed] = (await client.call("outbox_list", peer="bob", limit=5))["result"]
    assert (listed["id"], listed["state"]) == (waiting.id, "queued")
    shown = (await client.call("outbox_show", message=waiting.id[:8]))["result"]
    assert shown["payload_b64"] == "/w=="
    assert (await client.call("outbox_retry", message=waiting.id))["result"]["attempts"] == 2
    assert operator.retried == [waiting.id]
    cancelled = await client.call("outbox_cancel", message=waiting.id)
    assert cancelled["result"]["state"] == "cancelled"
    again = await client.call("outbox_cancel", message=waiting.id)
    assert again["error"]["code"] == "message_ended"
    unknown = await client.call("outbox_show", message="ffff")
    assert unknown["error"]["code"] == "unknown_message"
    asked = await client.call("history", peer="bob", direction="sent", since=5.0, limit=7)
    assert asked["result"] == []
    assert operator.history_asked == [("bob", "sent", 5.0, 7)]


@pytest.mark.parametrize(
    ("call", "params"),
    [
        ("history", {"limit": 0}),
        ("outbox_list", {"limit": 10_001}),
        ("history", {"direction": "up"}),
    ],
)
async def test_what_no_answer_can_hold_is_refused(client, call, params):
    assert (await client.call(call, **params))["error"]["code"] == "bad_params"


async def test_an_error_of_the_operator_is_answered_and_the_client_goes_on(client):
    answer = await client.call("send", target="nobody", payload=b"hi")
    assert answer["error"]["code"] == "unknown_peer"
    assert answer["error"]["fix"] == "known: bob"
    assert "result" in await client.call("state")


async def test_garbage_is_answered_by_name_and_the_client_goes_on(client):
    await client.write(b"garbage\n")
    assert (await client.read())["error"]["code"] == "malformed"
    assert "result" in await client.call("state")


async def test_a_line_over_the_limit_ends_the_client(client, monkeypatch):
    chunk = b"x" * (1 << 20)
    for _ in range(protocol.MAX_LINE_BYTES // len(chunk) + 1):
        client.writer.write(chunk)
    answer = await client.read()
    assert answer["error"]["code"] == "malformed"
    assert await client.is_closed()


async def test_events_follow_a_subscription_until_the_client_closes(client, operator):
    assert await client.call("subscribe") == {"id": 1, "result": None}
    operator.publish(message())
    event = (await client.read())["event"]
    assert (event["kind"], event["payload_b64"]) == ("message", "aGk=")
    assert "result" in await client.call("state")
    await client.close()
    await until(lambda: not operator.subscriptions)


async def test_the_stream_ends_when_the_node_ends_it(client, operator):
    await client.call("subscribe")
    for subscription in operator.subscriptions:
        subscription.close()
    assert await client.read() is None


async def test_subscriptions_of_one_client_are_bounded(client):
    for _ in range(4):
        assert "result" in await client.call("subscribe")
    assert (await client.call("subscribe"))["error"]["code"] == "control"


async def test_a_client_that_does_not_read_misses_events_and_holds_up_nobody(
    client, path, operator
):
    with socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(10)
        slow.connect(os.fspath(path))
        slow.sendall(protocol.encode_request(1, "subscribe", protocol.SubscribeParams()))
        await until(lambda: operator.subscriptions)
        for number in range(40):
            operator.publish(message(bytes(300_000), number=number))
            assert "result" in await client.call("state")
        events = await asyncio.to_thread(read_until_missed, slow)
    assert events[-1]["kind"] == "missed"
    assert len(events) - 1 + events[-1]["count"] == 40


def read_until_missed(end):
    events = []
    with end.makefile("rb") as lines:
        lines.readline()
        while not events or events[-1]["kind"] != "missed":
            events.append(json.loads(lines.readline())["event"])
    return events


async def test_one_client_too_many_is_told_so(server, path):
    clients = [await Client.connect(path) for _ in range(4)]
    for client in clients:
        await client.call("state")
    late = await Client.connect(path)
    assert (await late.read())["error"]["code"] == "busy"
    assert await late.read() is None
    for client in [*clients, late]:
        await client.close()


async def test_a_process_of_another_user_is_refused(server, path, monkeypatch):
    monkeypatch.setattr(local, "is_same_user", lambda end: False)
    client = await Client.connect(path)
    assert await client.is_closed()


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_the_user_at_the_other_end_is_known(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert local.is_same_user(ours)
        uid = os.getuid()
        monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
        assert local.is_same_user(ours) is (uid == 0)


async def test_a_second_server_of_the_same_node_is_refused(server, operator, path):
    with pytest.raises(NodeAlreadyRunningError, match="alice"):
        await ControlServer(lambda: operator, path).start()
    client = await Client.connect(path)
    assert "result" in await client.call("state")
    await client.close()


async def test_the_socket_of_a_dead_node_is_replaced(operator, path):
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    server = ControlServer(lambda: operator, path)
    await server.start()
    client = await Client.connect(path)
    assert "result" in await client.call("state")
    await client.close()
    await server.close()


async def test_a_file_in_the_sockets_place_is_left_alone(operator, path):
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(FileRefusedError, match="not a socket"):
        await ControlServer(lambda: operator, path).start()
    assert path.read_text() == "mine"


async def test_a_socket_that_cannot_be_made_is_a_named_error(operator, tmp_path):
    with pytest.raises(ControlError, match="cannot be made"):
        await ControlServer(lambda: operator, tmp_path / ("x" * 200)).start()


async def test_closing_ends_clients_and_removes_the_socket(operator, path):
    server = ControlServer(lambda: operator, path)
    await server.start()
    client, silent = await Client.connect(path), await Client.connect(path)
    await client.call("subscribe")
    operator.publish(*(message(bytes(300_000)) for _ in range(8)))
    await asyncio.wait_for(server.close(), 5)
    await server.close()
    assert not path.exists()
    assert not operator.subscriptions
    assert await silent.read() is None
    client.writer.transport.abort()
    await silent.close()


async def test_closing_leaves_the_socket_of_a_successor(operator, path):
    first = ControlServer(lambda: operator, path)
    await first.start()
    path.unlink()
    second = ControlServer(lambda: operator, path)
    await second.start()
    await first.close()
    assert path.exists()
    await second.close()


async def test_without_file_handles_it_pauses_and_goes_on(server, path, monkeypatch, caplog):
    class Exhausted:
        def accept(self):
            raise OSError(24, "Too many open files")

        def fileno(self):
            return server._listener.fileno()

    monkeypatch.setattr(server_module, "ACCEPT_PAUSE_S", 0.01)
    server._accept(Exhausted())
    assert "pauses" in caplog.text
    client = await Client.connect(path)
    assert "result" in await client.call("state")
    await client.close()


async def test_a_bug_in_a_call_is_logged_and_ends_one_client_only(
    client, path, operator, monkeypatch, caplog
):
    other = await Client.connect(path)
    monkeypatch.setattr(operator, "peers", lambda: 1 / 0)
    await other.write(protocol.encode_request(1, "peers", protocol.PeersParams()))
    assert await other.is_closed()
    await until(lambda: "ended in an error" in caplog.text)
    assert "result" in await client.call("state")


async def test_a_connection_in_the_queue_is_not_lost_when_the_server_closes(operator, path):
    server = ControlServer(lambda: operator, path)
    await server.start()
    waiting = [await Client.connect(path) for _ in range(3)]
    await server.close()
    for client in waiting:
        assert await client.is_closed()
