"""The message bus: who is called, in which order, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.stores import ALICE, BOB, CAROL

from ironmesh.bus import HISTORY, HISTORY_BYTES, BusCall, BusEvent, MessageBus, MessageEvent
from ironmesh.node.events import MessageReceived
from ironmesh.protocol import MessageType
from ironmesh.types import Message, MessageId


def give(calls: Iterable[BusCall]) -> None:
    for callback, said in calls:
        callback(said)


def event(kind: str = "MSG", payload: bytes = b"") -> MessageEvent:
    message = Message(MessageId(bytes(range(16))), kind, payload, BOB, ALICE)
    return MessageEvent(MessageReceived(message, "bob", CAROL))


def test_an_event_is_a_mapping_of_what_is_known_of_its_message() -> None:
    text = "00010203-0405-0607-0809-0a0b0c0d0e0f"
    said = event(payload=b"hello")
    assert dict(said) == {
        "peer_id": BOB,
        "msg_id": text,
        "type": "MSG",
        "payload": b"hello",
        "id": text,
        "source": BOB,
        "source_name": "bob",
        "via": CAROL,
        "redelivered": False,
        "is_legacy": False,
    }
    assert (len(said), said.get("nothing"), said["payload"]) == (10, None, b"hello")
    assert repr(said).startswith("MessageEvent({'peer_id': ")


def test_callbacks_run_in_the_order_of_their_registration() -> None:
    bus, calls = MessageBus(), list[str]()
    bus.subscribe("MSG", lambda _: calls.append("first"))
    bus.on_any(lambda _: calls.append("any"))
    bus.subscribe(MessageType.MSG, lambda _: calls.append("last"))
    bus.subscribe("CONV", lambda _: calls.append("never"))
    give(bus.publish(event(), 0.0))
    assert calls == ["first", "any", "last"]


def test_a_callback_that_was_taken_away_is_not_called() -> None:
    bus, calls = MessageBus(), list[str]()
    ends = [
        bus.subscribe("MSG", lambda _: calls.append("typed")),
        bus.on_any(lambda _: calls.append("any")),
    ]
    for end in (*ends, *ends):
        end()
    give(bus.publish(event(), 0.0))
    assert calls == []


def test_one_callback_twice_is_called_twice_until_one_is_taken_away() -> None:
    bus, calls = MessageBus(), list[BusEvent]()
    end = bus.subscribe("MSG", calls.append)
    bus.subscribe("MSG", calls.append)
    give(bus.publish(event(), 0.0))
    end()
    give(bus.publish(event(), 0.0))
    assert len(calls) == 3


def test_a_callback_may_subscribe_another() -> None:
    bus, calls = MessageBus(), list[BusEvent]()
    bus.subscribe("MSG", lambda _: bus.subscribe("MSG", calls.append))
    give(bus.publish(event(), 0.0))
    assert calls == []
    give(bus.publish(event(), 0.0))
    assert len(calls) == 1


def test_an_event_cannot_be_changed() -> None:
    bus, seen = MessageBus(), list[Any]()
    bus.on_any(seen.append)
    give(bus.publish(event(), 0.0))
    with pytest.raises(TypeError):
        seen[0]["payload"] = b"other"


def test_the_history_keeps_the_last_hundred() -> None:
    bus = MessageBus()
    assert bus.history() == []
    for number in range(HISTORY + 5):
        give(bus.publish(event(payload=b"%d" % number), float(number)))
    history = bus.history()
    assert len(history) == HISTORY
    assert (history[0]["timestamp"], history[-1]["timestamp"]) == (5.0, 104.0)
    assert history[-1]["type"] == "MSG"
    assert history[-1]["data"]["payload"] == b"104"
    assert [entry["timestamp"] for entry in bus.history(2)] == [103.0, 104.0]
    assert bus.history(0) == bus.history(-1) == []


def test_the_history_keeps_no_more_bytes_than_it_may() -> None:
    bus = MessageBus()
    half = bytes(HISTORY_BYTES // 2)
    for number in range(3):
        give(bus.publish(event(payload=half), float(number)))
    assert [entry["timestamp"] for entry in bus.history()] == [1.0, 2.0]
    give(bus.publish(event(payload=bytes(HISTORY_BYTES + 1)), 3.0))
    assert bus.history() == []
