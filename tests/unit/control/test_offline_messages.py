"""The messages of a node that does not run, read from its store."""

import base64
import os

import pytest

from ironmesh.config import MINIMAL_KDF, NodeConfig
from ironmesh.control.offline import OfflineMessages, OfflineTrust
from ironmesh.crypto.identity import Identity
from ironmesh.delivery.records import (
    InboxRow,
    MarkHandled,
    OutboxRow,
    OutboxState,
    PutInbox,
    PutOutbox,
    UpdateOutbox,
)
from ironmesh.errors import (
    KeyFileError,
    NodeAlreadyRunningError,
    UnknownMessageError,
    UnknownPeerError,
)
from ironmesh.store import keyfiles
from ironmesh.store.database import SqliteStore
from ironmesh.store.node_lock import NodeLock
from ironmesh.types import Message, MessageId, MessagePriority, Secret, message_id_text
from ironmesh.wire.receipts import join_id

BOB = Identity.from_seed(b"b" * 32)
EPOCH = b"\xab\xcd" + b"e" * 6
IDS = [join_id(EPOCH, number) for number in (1, 2)]
NOW = 1_700_000_000.0


@pytest.fixture
async def config(tmp_path):
    config = NodeConfig(
        name="alice", passphrase=Secret("correct horse"), home=tmp_path, kdf=MINIMAL_KDF
    )
    keys = keyfiles.load_or_create(config, os.urandom).keys
    with OfflineTrust(config) as trust:
        trust.trust_pin(base64.b64encode(BOB.public).decode(), "bob", is_verified=True)
    store = SqliteStore(config.store_dir, keys.data_key)
    await store.load()
    rows = [
        OutboxRow(
            id=message_id,
            destination=BOB.node_id,
            type="MSG",
            priority=MessagePriority.NORMAL,
            size_bytes=3,
            accepted_wall=NOW + number,
            lifetime_s=60.0,
            as_of_wall=NOW + number,
        )
        for number, message_id in enumerate(IDS)
    ]
    await store.commit([PutOutbox(tuple((row, b"out") for row in rows))])
    ended = UpdateOutbox(
        IDS[0], BOB.node_id, OutboxState.REFUSED, ended_wall=NOW + 9, reason="too large"
    )
    arrived = Message(
        MessageId(bytes(15) + b"\x07"),
        "REQ",
        b"in",
        BOB.node_id,
        keys.identity.node_id,
        MessagePriority.HIGH,
        0,
    )
    row = InboxRow(
        sequence=1, message=arrived, via=BOB.node_id, arrived_wall=NOW + 5, is_foreign=True
    )
    await store.commit([ended, PutInbox((row,)), MarkHandled((1,))])
    await store.close()
    return config


def test_what_waits_is_listed_with_the_names_of_the_pins(config):
    with OfflineMessages(config) as messages:
        [view] = messages.outbox_list("bob")
        assert (view.id, view.name, view.state) == (message_id_text(IDS[1]), "bob", "queued")
        assert view.expires_at == NOW + 61
        assert messages.outbox_list(BOB.node_id) == messages.outbox_list(None) == [view]
        assert messages.outbox_list("c" * 32) == []
        with pytest.raises(UnknownPeerError):
            messages.outbox_list("carol")


def test_a_message_is_found_by_as_much_of_its_id_as_is_unique(config):
    with OfflineMessages(config) as messages:
        shown = messages.outbox_show(message_id_text(IDS[0]))
        assert (shown.text, shown.state, shown.reason) == ("out", "refused", "too large")
        for wrong in ("abcd", message_id_text(IDS[0])[:-1], "ffff", "0" * 33, "x"):
            with pytest.raises(UnknownMessageError):
                messages.outbox_show(wrong)


def test_history_has_both_directions(config):
    with OfflineMessages(config) as messages:
        found = messages.history("bob", None, 0.0, 10)
        assert [(one.direction, one.state) for one in found] == [
            ("received", "handled"),
            ("sent", "queued"),
            ("sent", "refused"),
        ]
        assert messages.history(None, "received", 0.0, 10) == found[:1]
        assert messages.history(None, "sent", NOW + 1, 10) == found[1:2]
        assert messages.history(None, None, 0.0, 1) == found[:1]


def test_a_running_node_is_not_looked_into(config):
    lock = NodeLock.acquire(config.node_dir)
    with pytest.raises(NodeAlreadyRunningError):
        OfflineMessages(config)
    lock.release()


def test_a_node_that_never_was_is_not_made(config, tmp_path):
    nobody = NodeConfig(name="zoe", passphrase=Secret("correct horse"), home=tmp_path)
    with pytest.raises(KeyFileError):
        OfflineMessages(nobody)
    assert not (tmp_path / "nodes" / "zoe").exists()
