"""What the node asks of the trust room, also while other processes do the same."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from tests.support.trust import DATA_KEY, VECTORS, at, claim, identity

from ironmesh.errors import TrustError, TrustFileError, UnknownPeerError
from ironmesh.trust.book import Standing
from ironmesh.trust.pins import TrustState
from ironmesh.trust.store import FLUSH_S, TrustStore
from ironmesh.types import Refusal, Secret

ALICE = claim(1, "alice")
A = identity(1).node_id
B = identity(2).node_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_peers.json"


@pytest.fixture
def store(path: Path) -> TrustStore:
    return TrustStore(path, DATA_KEY)


def test_a_peer_is_new_once(store: TrustStore) -> None:  # F080
    assert store.judge(ALICE).standing is Standing.NEW
    first = store.admit(ALICE, at(0))
    assert first.standing is Standing.NEW
    assert first.pin == store.get("alice")
    assert store.admit(ALICE, at(1)).standing is Standing.KNOWN


def test_an_impostor_is_not_admitted_and_changes_nothing(store: TrustStore, path: Path) -> None:
    store.admit(ALICE, at(0))
    before = path.read_bytes()
    verdict = store.admit(claim(2, "alice"), at(1))  # F081
    assert verdict.refusal is Refusal.IDENTITY_CHANGED
    assert verdict.holder == A
    assert path.read_bytes() == before


def test_a_new_peer_may_start_pending(store: TrustStore) -> None:
    verdict = store.admit(ALICE, at(0), state=TrustState.PENDING)
    assert verdict.pin is not None
    assert verdict.pin.state is TrustState.PENDING


def test_a_renamed_peer_is_admitted_and_found_by_its_new_name(store: TrustStore) -> None:
    store.admit(ALICE, at(0))
    verdict = store.admit(claim(1, "carol"), at(1))
    assert (verdict.standing, verdict.previous_name) == (Standing.RENAMED, "alice")
    assert store.get("carol").node_id == A


def test_the_key_of_a_source_is_at_hand(store: TrustStore) -> None:
    store.admit(ALICE, at(0))
    assert store.public_key(A) == identity(1).public
    assert store.public_key(B) is None


def test_seeing_a_known_peer_writes_seldom_but_is_never_lost(store: TrustStore, path: Path) -> None:
    store.admit(ALICE, at(0))
    written = path.stat()
    for second in range(1, 50):
        store.admit(ALICE, at(second))
    assert path.stat() == written
    assert store.get("alice").last_seen == at(49).wall
    assert store.list_pins()[0].last_seen == at(49).wall
    store.admit(ALICE, at(1 + FLUSH_S))
    assert path.stat() != written
    store.admit(ALICE, at(70))
    store.close()
    assert TrustStore(path, DATA_KEY).get("alice").last_seen == at(70).wall


def test_a_pin_that_was_forgotten_elsewhere_stays_forgotten(store: TrustStore, path: Path) -> None:
    store.admit(ALICE, at(0))
    store.admit(ALICE, at(1))
    TrustStore(path, DATA_KEY).forget("alice")
    store.close()
    assert TrustStore(path, DATA_KEY).list_pins() == []


def test_a_revocation_binds_a_running_node_at_once(store: TrustStore, path: Path) -> None:  # F085
    store.admit(ALICE, at(0))
    assert TrustStore(path, DATA_KEY).revoke("alice", B, at(1), "lost")
    assert store.is_revoked(A)
    assert store.admit(ALICE, at(2)).refusal is Refusal.REVOKED
    assert [record.reason for record in store.list_revoked()] == ["lost"]
    assert not store.revoke(A, B, at(3))
    store.unrevoke(A)
    assert store.admit(ALICE, at(4)).standing is Standing.NEW


def test_the_operator_pins_confirms_blocks_and_forgets(store: TrustStore) -> None:
    pin = store.pin(identity(1).public, "alice", at(0))
    assert pin.verified
    assert store.set_verified("alice", verified=False)
    assert store.set_state("alice", TrustState.BLOCKED)
    assert not store.set_state("alice", TrustState.BLOCKED)
    assert store.judge(ALICE).refusal is Refusal.BLOCKED
    assert store.forget("Alice").node_id == A
    with pytest.raises(UnknownPeerError):
        store.forget("alice")
    with pytest.raises(TrustError):
        store.pin(b"", "alice", at(0))


def test_a_certificate_is_remembered_once(store: TrustStore) -> None:
    store.admit(ALICE, at(0))
    assert store.remember_tls(A, "ab" * 32)
    assert not store.remember_tls(A, "ab" * 32)
    assert store.get(A).tls_fingerprint == "ab" * 32
    with pytest.raises(UnknownPeerError):
        store.remember_tls(B, "ab" * 32)


def test_an_edited_file_means_that_nobody_is_trusted(store: TrustStore, path: Path) -> None:  # F082
    store.admit(ALICE, at(0))
    path.write_bytes(path.read_bytes().replace(b"alice", b"mlice"))
    edited = path.read_bytes()
    for call in (
        store.check,
        store.list_pins,
        store.list_revoked,
        lambda: store.judge(ALICE),
        lambda: store.admit(ALICE, at(1)),
        lambda: store.public_key(A),
        lambda: store.forget(A),
        lambda: store.pin(identity(3).public, "carol", at(1)),
        lambda: store.revoke(A, B, at(1)),
    ):
        with pytest.raises(TrustFileError, match="nobody is trusted"):
            call()
    assert path.read_bytes() == edited


def test_pins_of_a_published_file_elsewhere_are_taken_over(store: TrustStore, tmp_path) -> None:
    vector = json.loads((VECTORS / "trust_store.json").read_text())
    original = tmp_path / "published.json"
    original.write_text(json.dumps(vector["file"]))
    before = original.read_bytes()
    seed = Secret(bytes.fromhex(vector["identity_seed_hex"]))
    ours = TrustStore(tmp_path / "ours.json", DATA_KEY, seed)
    assert ours.adopt(original)
    assert len(ours.list_pins()) == 1
    assert len(ours.list_revoked()) == 1
    assert original.read_bytes() == before
    with pytest.raises(TrustFileError):
        store.adopt(original)
    with pytest.raises(TrustFileError):
        store.adopt(tmp_path / "missing.json")


def test_notices_are_taken_once(path: Path) -> None:
    path.write_text('{"peers": {}}')
    store = TrustStore(path, DATA_KEY)
    store.check()
    assert store.take_notices()
    assert not store.take_notices()


# --- Several processes ----------------------------------------------------------------------------


def _promote_all(path: Path, peers: int, rounds: int) -> int:
    store = TrustStore(path, DATA_KEY)
    wins = 0
    for _ in range(rounds):
        for number in range(1, peers + 1):
            wins += store.set_state(identity(number).node_id, TrustState.TRUSTED)
    return wins


def _claim_name(path: Path, number: int) -> bool:
    verdict = TrustStore(path, DATA_KEY).admit(claim(number, "alice"), at(number))
    return verdict.refusal is None


def test_of_2000_concurrent_promotions_each_peer_sees_one_winner(path: Path) -> None:  # F083
    peers, processes = 50, 4
    store = TrustStore(path, DATA_KEY)
    for number in range(1, peers + 1):
        store.admit(claim(number, f"peer-{number}"), at(number), state=TrustState.PENDING)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        wins = pool.starmap(_promote_all, [(path, peers, 10)] * processes)
        # Workers that are left to end by themselves are not killed while they write coverage.
        pool.close()
        pool.join()
    assert sum(wins) == peers
    assert {pin.state for pin in store.list_pins()} == {TrustState.TRUSTED}


def test_of_many_keys_that_claim_one_name_at_once_one_gets_it(path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        admitted = pool.starmap(_claim_name, [(path, number) for number in range(1, 41)])
        pool.close()
        pool.join()
    assert sum(admitted) == 1
    assert [pin.name for pin in TrustStore(path, DATA_KEY).list_pins()] == ["alice"]


def test_a_confirmed_fingerprint_is_kept(store: TrustStore, path: Path) -> None:
    store.admit(ALICE, at(0), state=TrustState.PENDING)
    with pytest.raises(TrustError):
        store.confirm("alice", B)
    assert not store.get("alice").verified
    pin = store.confirm("alice", A)
    assert (pin.verified, pin.state) == (True, TrustState.TRUSTED)
    assert TrustStore(path, DATA_KEY).get("alice") == pin


def test_that_a_peer_spoke_the_native_wire_is_kept(store: TrustStore, path: Path) -> None:
    legacy = claim(1, "alice", is_ours=False)
    store.admit(legacy, at(0))
    store.admit(ALICE, at(1))
    again = TrustStore(path, DATA_KEY)
    assert again.get("alice").seen_native
    assert again.admit(legacy, at(2)).refusal is Refusal.DOWNGRADED
