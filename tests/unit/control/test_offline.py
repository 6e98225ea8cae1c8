import json
import os

import msgspec
import pytest

from ironmesh.audit.verify import verify_file
from ironmesh.config import MINIMAL_KDF, NodeConfig
from ironmesh.control.offline import OfflineTrust
from ironmesh.control.views import decode_key
from ironmesh.crypto.identity import Identity
from ironmesh.errors import KeyFileError, NodeAlreadyRunningError, TrustError, UnknownPeerError
from ironmesh.mesh.revocations import check_revocation
from ironmesh.store import keyfiles
from ironmesh.store.node_lock import NodeLock
from ironmesh.trust.fingerprint import words_of
from ironmesh.types import Secret
from ironmesh.wire.native.revocations import decode_revocations

BOB = Identity.from_seed(b"b" * 32)


@pytest.fixture
def config(tmp_path):
    config = NodeConfig(
        name="alice", passphrase=Secret("correct horse"), home=tmp_path, kdf=MINIMAL_KDF
    )
    keyfiles.load_or_create(config, os.urandom)
    return config


def key_of(identity):
    import base64

    return base64.b64encode(identity.public).decode()


def test_pins_are_changed_and_kept(config):
    with OfflineTrust(config) as trust:
        assert trust.trust_list() == []
        pinned = trust.trust_pin(key_of(BOB), "bob", is_verified=True)
        assert (pinned.node_id, pinned.state, pinned.is_online) == (BOB.node_id, "trusted", False)
    with OfflineTrust(config) as trust:
        assert trust.trust_list() == [trust.trust_show("bob")]
        assert trust.trust_forget("bob").node_id == BOB.node_id
        with pytest.raises(UnknownPeerError):
            trust.trust_show("bob")


def test_a_revoked_key_stays_in_the_list(config):
    with OfflineTrust(config) as trust:
        trust.trust_pin(key_of(BOB), "bob", is_verified=False)
        revoked = trust.trust_revoke("bob", "stolen")
        assert (revoked.state, revoked.reason) == ("revoked", "stolen")
        assert trust.trust_list() == [revoked]
        assert trust.trust_show(BOB.node_id) == revoked
        with pytest.raises(TrustError):
            trust.trust_pin(key_of(BOB), "bob", is_verified=True)


def test_a_revoked_key_is_signed_for_the_mesh_unless_it_is_not_known(config):
    with OfflineTrust(config) as trust:
        trust.trust_revoke("f" * 32, "nobody knows its key")
        trust.trust_pin(key_of(BOB), "bob", is_verified=False)
        trust.trust_revoke("bob", "stolen")
        trust.trust_revoke(BOB.node_id, "said twice")
        own_id = trust.own_id()
        trust.trust_revoke(own_id, "leaked")
        signed = decode_revocations(trust._mesh_state.load_revocations())
    assert [(each.node_id, each.signer_id) for each in signed] == [
        (BOB.node_id, own_id),
        (own_id, own_id),
    ]
    assert all(map(check_revocation, signed))


def test_a_confirmed_fingerprint_is_noted(config):
    with OfflineTrust(config) as trust:
        trust.trust_pin(key_of(BOB), "bob", is_verified=False)
        with pytest.raises(TrustError):
            trust.trust_verify("bob", words_of(trust.own_id()))
        for text in (words_of(BOB.node_id), BOB.node_id):
            assert trust.trust_verify("bob", text).is_verified
    assert "PIN_VERIFIED" in config.audit_file.read_text()


def test_every_change_is_audited(config):
    with OfflineTrust(config) as trust:
        trust.trust_pin(key_of(BOB), "bob", is_verified=True)
        trust.trust_forget("bob")
        trust.trust_revoke(BOB.node_id, "stolen")
    lines = config.audit_file.read_text().splitlines()
    events = [json.loads(line).get("event") for line in lines]
    assert [event for event in events if event][-3:] == [
        "PIN_ADDED",
        "PIN_FORGOTTEN",
        "PEER_REVOKED",
    ]
    data_key = keyfiles.load_or_create(config, os.urandom).keys.data_key
    assert verify_file(config.audit_file, data_key).ok


def test_a_running_node_is_not_worked_around(config):
    with NodeLock.acquire(config.node_dir), pytest.raises(NodeAlreadyRunningError):
        OfflineTrust(config)


def test_the_node_can_start_again_afterwards(config):
    with OfflineTrust(config):
        pass
    NodeLock.acquire(config.node_dir).release()


def test_no_node_is_made_by_looking(tmp_path):
    config = NodeConfig(name="nobody", passphrase=Secret("correct horse"), home=tmp_path)
    with pytest.raises(KeyFileError, match="no key file"):
        OfflineTrust(config)
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_passphrase_leaves_no_lock(config):
    with pytest.raises(KeyFileError):
        OfflineTrust(msgspec.structs.replace(config, passphrase=Secret("something else")))
    NodeLock.acquire(config.node_dir).release()


@pytest.mark.parametrize("text", ["", "AAAA\n", "é", "A"])
def test_a_key_is_base64_or_a_named_error(text):
    if text:
        with pytest.raises(TrustError):
            decode_key(text)
    else:
        assert decode_key(text) == b""
