"""The one place where it is decided whether a peer may stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.trust import DATA_KEY, at, claim, identity

from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.discovery.policy import DialPolicy
from ironmesh.node.welcome import Turned, Welcome
from ironmesh.transport.interface import ConnectionInfo
from ironmesh.trust.book import Verdict
from ironmesh.trust.store import TrustStore
from ironmesh.types import Refusal, Secret

OWN, BOB, CAROL = 1, 2, 3
DIALLED = ConnectionInfo("memory", "memory", 1, is_encrypted=True, is_outgoing=True)


@pytest.fixture
def trust(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "known_peers.json", DATA_KEY)


def welcome(trust: TrustStore, **settings: Any) -> Welcome:
    config = NodeConfig(name="alice", passphrase=Secret("twelve chars"), **settings)
    policy = DialPolicy(config.name, config.allowed_peers, config.open_discovery)
    return Welcome(config, identity(OWN).node_id, policy, trust)


def reason(judged: Verdict | Turned) -> Refusal | None:
    return judged.reason if isinstance(judged, Turned) else None


def test_a_stranger_is_welcome_by_default(trust: TrustStore) -> None:
    assert reason(welcome(trust).judge(claim(BOB, "bob"), DIALLED, None)) is None


def test_our_own_key_is_turned_away(trust: TrustStore) -> None:
    assert reason(welcome(trust).judge(claim(OWN, "alice"), DIALLED, None)) is Refusal.SELF


def test_another_node_than_the_one_dialled_for_is_turned_away(trust: TrustStore) -> None:
    expected = identity(CAROL).node_id
    judged = welcome(trust).judge(claim(BOB, "bob"), DIALLED, expected)
    assert reason(judged) is Refusal.UNEXPECTED_IDENTITY


@pytest.mark.parametrize(
    ("mode", "name", "is_ours", "is_welcome"),
    [
        (LegacyMode.ALL, "bob", False, True),
        (LegacyMode.NAMED, "bob", False, True),
        (LegacyMode.NAMED, "carol", False, False),
        (LegacyMode.NAMED, "carol", True, True),
        (LegacyMode.OFF, "bob", True, True),
    ],
)
def test_who_may_speak_the_old_wire(
    trust: TrustStore, mode: LegacyMode, name: str, is_ours: bool, is_welcome: bool
) -> None:
    names = frozenset({"bob"}) if mode is LegacyMode.NAMED else frozenset()
    judge = welcome(trust, legacy=mode, legacy_names=names).judge
    judged = judge(claim(BOB, name, is_ours=is_ours), DIALLED, None)
    assert reason(judged) is (None if is_welcome else Refusal.LEGACY_REFUSED)


def test_who_speaks_the_native_wire_and_comes_on_the_old_one_is_turned_away(
    trust: TrustStore,
) -> None:
    talked_down = replace(claim(BOB, "bob", is_ours=False), protocol_version="ironmesh/0.6.5")
    assert reason(welcome(trust).judge(talked_down, DIALLED, None)) is Refusal.DOWNGRADED


def test_a_name_of_another_key_is_turned_away(trust: TrustStore) -> None:
    trust.admit(claim(BOB, "bob"), at(0))
    judged = welcome(trust).judge(claim(CAROL, "bob"), DIALLED, None)
    assert reason(judged) is Refusal.IDENTITY_CHANGED


def test_a_known_key_with_another_certificate_is_turned_away(trust: TrustStore) -> None:
    bob = claim(BOB, "bob", is_ours=False)
    trust.admit(bob, at(0))
    trust.remember_tls(bob.node_id, "aa" * 32)
    judge = welcome(trust).judge
    same = replace(DIALLED, tls_fingerprint=bytes.fromhex("aa" * 32))
    other = replace(DIALLED, tls_fingerprint=bytes.fromhex("bb" * 32))
    assert reason(judge(bob, same, None)) is None
    assert reason(judge(bob, other, None)) is Refusal.CERTIFICATE_CHANGED
    assert reason(judge(bob, DIALLED, None)) is None, "it shows none where it dialled us"
