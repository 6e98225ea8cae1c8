import pytest
from tests.support.fake_operator import BOB

from ironmesh.cli.lines import Line, line_of
from ironmesh.node.events import (
    MessagesReceived,
    NodeListening,
    Notice,
    PeerDiscovered,
    PeerOffline,
    PeerOnline,
    RouteFound,
)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            NodeListening(("0.0.0.0:8765", "[::]:8765"), is_tls=True),
            "Listening on wss://0.0.0.0:8765, wss://[::]:8765",
        ),
        (NodeListening(("127.0.0.1:1",), is_tls=False), "Listening on ws://127.0.0.1:1"),
        (PeerDiscovered("bob", "127.0.0.1:8766"), "Discovered agent: bob @ 127.0.0.1:8766"),
        (
            PeerOnline(BOB, "bob", "127.0.0.1:1", "websocket", is_outgoing=True, is_new=True),
            "Peer bob (8f3c2a1b...) online -- ephemeral ECDH complete",
        ),
        (
            PeerOffline(BOB, "b\x1bb", "gone\x1b", link=None),
            "Peer b\\x1bb (8f3c2a1b...) offline -- gone\\x1b",
        ),
        (RouteFound(BOB, "bob", 2), "Node bob (8f3c2a1b...) can be reached, 2 hops away"),
        (Notice("adopted"), "adopted"),
    ],
)
def test_people_read_the_lines_that_they_know(event, text):
    line = line_of(event)
    assert line.text == text
    assert not line.is_warning
    assert line.facts["event"]


def test_a_warning_stays_one():
    assert line_of(Notice("INSECURE: x", is_warning=True)) == Line(
        "INSECURE: x",
        {"event": "notice", "text": "INSECURE: x", "is_warning": True},
        is_warning=True,
    )


def test_messages_are_not_printed_by_the_node():
    assert line_of(MessagesReceived(())) is None
