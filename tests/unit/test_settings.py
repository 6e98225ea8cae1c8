"""The keyword arguments of `Agent` and `BridgeDaemon`: all published ones, and none misread."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from ironmesh import Agent, BridgeDaemon
from ironmesh.config import MINIMAL_KDF, LegacyMode, NodeConfig, PeerAddress
from ironmesh.daemon_settings import DaemonSettings
from ironmesh.errors import ConfigError, NotBuiltError, PassphraseError
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple"

PUBLISHED = {
    "keys_path": "~/.ironmesh/keys.json",
    "db_path": "~/.ironmesh/data.db",
    "keys_passphrase": None,
    "tls_cert": None,
    "tls_key": None,
    "max_message_size": 1048576,
    "bind_address": "0.0.0.0",
    "log_level": "INFO",
    "gui": False,
    "allowed_peers": None,
    "open_discovery": False,
    "allow_plaintext_ws": False,
    "mesh_routing": "relay",
    "max_hops": 5,
    "route_announce_interval": 30.0,
    "route_ttl": 90.0,
    "routes_path": "~/.ironmesh/routes.json",
    "capabilities": None,
    "capabilities_path": "~/.ironmesh/capabilities.json",
    "capability_announce_interval": 60.0,
    "metrics_format": "prometheus",
    "log_format": "text",
    "audit_log_max_bytes": 10485760,
    "rns_enabled": False,
    "rns_configdir": None,
    "rns_announce_interval": 300.0,
    "rns_connect": None,
    "lora_max_payload": 128,
    "rekey_interval": 1800.0,
    "min_protocol_version": "ironmesh/0.3",
    "require_message_promotion": False,
    "pending_trust_queue_cap": 100,
    "trust_path": None,
    "gui_bind": "127.0.0.1",
}
"""The published constructor's arguments with their defaults."""
PUBLISHED_OF_AGENT = {
    "bind": "0.0.0.0",
    "capabilities": None,
    "open_discovery": True,
    "allow_plaintext": True,
    "gui": False,
    "mesh_routing": "relay",
    "reticulum": False,
    "passphrase_env": "IRONMESH_PASSPHRASE",
}


def config(**settings: Any) -> NodeConfig:
    return BridgeDaemon("alice", 8765, PASSPHRASE, **settings).config


# --- The published names -------------------------------------------------------------------------


def test_every_published_argument_is_accepted_with_its_default() -> None:
    daemon = BridgeDaemon(name="agent", port=8765, passphrase=PASSPHRASE, **PUBLISHED)  # type: ignore[arg-type]
    assert daemon.config.keys_path == Path.home() / ".ironmesh" / "keys.json"
    Agent("agent", 8765, PASSPHRASE, **PUBLISHED_OF_AGENT)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_each_published_argument_is_accepted_alone(name: str) -> None:
    BridgeDaemon(passphrase=PASSPHRASE, **{name: PUBLISHED[name]})  # type: ignore[arg-type]
    Agent("a", passphrase=PASSPHRASE, **{name: PUBLISHED[name]})  # type: ignore[arg-type]


def test_the_leading_parameters_are_the_published_ones() -> None:
    assert list(inspect.signature(BridgeDaemon).parameters)[:3] == ["name", "port", "passphrase"]
    agent = inspect.signature(Agent).parameters
    assert list(agent)[:3] == ["name", "port", "passphrase"]
    assert agent["bind"].kind is inspect.Parameter.KEYWORD_ONLY


def test_our_defaults_are_the_safe_ones() -> None:
    ours = config()
    assert not ours.open_discovery
    assert not ours.allow_plaintext
    assert ours.keys_file == Path.home() / ".ironmesh" / "nodes" / "alice" / "keys.json"
    agent = Agent("alice", passphrase=PASSPHRASE).daemon.config
    assert agent.open_discovery
    assert not agent.allow_plaintext
    assert (agent.bind, agent.port) == ("0.0.0.0", 8765)


# --- What settings mean --------------------------------------------------------------------------


def test_settings_reach_the_configuration(tmp_path: Path) -> None:
    made = config(
        home=tmp_path,
        trust_path=str(tmp_path / "pins.json"),
        bind_address="::1",
        mdns=False,
        allowed_peers={"bob"},
        peers=["host:1", "[::1]:2", "plain"],
        capabilities=("llm:x",),
        rekey_interval=0,
        legacy_passphrase="another long passphrase",
        legacy_same_passphrase=True,
        mesh="kitchen",
        passphrase_generation=3,
        previous_passphrase="what we had before",
        previous_passphrase_until=2e9,
        require_pq=True,
        keys_passphrase="the key file's",
        kdf=MINIMAL_KDF,
    )
    assert made.home == tmp_path
    assert made.trust_file == tmp_path / "pins.json"
    assert (made.bind, made.mdns, made.rekey_interval_s) == ("::1", False, 0.0)
    assert made.allowed_peers == frozenset({"bob"})
    assert made.peers == (
        PeerAddress("host", 1),
        PeerAddress("::1", 2),
        PeerAddress("plain", 8765),
    )
    assert made.capabilities == ("llm:x",)
    assert made.legacy_passphrase == Secret("another long passphrase")
    assert made.keys_passphrase == Secret("the key file's")
    assert made.legacy_same_passphrase
    assert (made.mesh, made.passphrase_generation, made.require_pq) == ("kitchen", 3, True)
    assert made.previous_passphrase == Secret("what we had before")
    assert made.previous_passphrase_until == 2e9
    assert made.kdf is MINIMAL_KDF


@pytest.mark.parametrize(
    ("given", "mode", "names"),
    [
        ({}, LegacyMode.OFF, set()),
        ({"allow_legacy": True}, LegacyMode.ALL, set()),
        ({"allow_legacy": False}, LegacyMode.OFF, set()),
        ({"allow_legacy": ["bob", "carol"]}, LegacyMode.NAMED, {"bob", "carol"}),
    ],
)
def test_the_old_wire_is_for_all_for_none_or_for_some(
    given: dict[str, Any], mode: LegacyMode, names: set[str]
) -> None:
    made = config(**given)
    assert (made.legacy, made.legacy_names) == (mode, frozenset(names))


def test_a_relative_path_does_not_follow_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = config(home="here", keys_path=Path("id.json"))
    assert (made.home, made.keys_file) == (tmp_path / "here", tmp_path / "id.json")


def test_an_empty_list_of_allowed_peers_allows_nobody() -> None:
    assert config(allowed_peers=[]).allowed_peers == frozenset()


def test_the_agents_own_names_mean_the_daemons() -> None:
    made = Agent("a", passphrase=PASSPHRASE, bind="127.0.0.1", allow_plaintext=True).daemon.config
    assert (made.bind, made.allow_plaintext) == ("127.0.0.1", True)
    made = Agent("a", passphrase=PASSPHRASE, bind_address="127.0.0.1").daemon.config
    assert made.bind == "127.0.0.1"
    with pytest.raises(ConfigError, match="bind_address is given twice"):
        Agent("a", passphrase=PASSPHRASE, bind="127.0.0.1", bind_address="::1")


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["gui", "rns_enabled", "require_message_promotion"])
def test_a_switch_for_what_is_not_built_is_an_error_by_name(switch: str) -> None:
    with pytest.raises(NotBuiltError, match=switch):
        config(**{switch: True})
    config(**{switch: False})


def test_reticulum_is_not_built() -> None:
    with pytest.raises(NotBuiltError):
        Agent("a", passphrase=PASSPHRASE, reticulum=True)


def test_an_unknown_setting_is_refused_and_the_nearest_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean allowed_peers"):
        config(allowed_peer=["bob"])
    with pytest.raises(ConfigError, match=r"docs/python\.md"):
        Agent("a", passphrase=PASSPHRASE, xyzzy=1)  # type: ignore[call-arg]


BAD: dict[str, list[Any]] = {
    "port": ["8765", 1.5, True, -1, 65536, None],
    "name": ["", "a/b", ".hidden", 7, None, "x" * 65],
    "keys_path": ["", 7],
    "trust_path": [b"x"],
    "home": [7],
    "bind_address": [7, None],
    "open_discovery": ["no", 1, None],
    "allow_plaintext_ws": ["false", 0],
    "mdns": [None, 1],
    "gui": ["yes", None],
    "allowed_peers": ["bob", 7, [7], b"bob"],
    "capabilities": ["llm:x", [""], [7]],
    "peers": ["host:1", None, ["host:0"], ["host:99999"], [("host", 1)], ["a b"]],
    "allow_legacy": ["bob", None, 1, [], [7]],
    "rekey_interval": [-1, "1800", float("nan"), float("inf"), True, None],
    "min_protocol_version": ["0.3", "", 3],
    "mesh_routing": ["both", None],
    "metrics_format": ["xml"],
    "log_format": ["xml"],
    "log_level": ["LOUD"],
    "max_hops": [0, "5", True],
    "max_message_size": [-1],
    "lora_max_payload": [0],
    "route_ttl": [0.0, float("nan")],
    "tls_cert": ["/only/one.pem"],
    "legacy_passphrase": ["short", 7],
    "keys_passphrase": [7],
    "previous_passphrase": ["short", 7, PASSPHRASE, "another long passphrase"],
    "previous_passphrase_until": ["2027-01-31", 0, 2e9],
    "passphrase_generation": [-1, 256, "1", 1.5, None],
    "mesh": ["", "a mesh", "x" * 65, 7, None],
    "require_pq": ["yes", None],
    "kdf": ["cheap"],
    "rns_connect": ["abcdef"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_a_bad_value_is_refused_by_name(name: str, value: Any) -> None:
    arguments: dict[str, Any] = {"name": "alice", "passphrase": PASSPHRASE, name: value}
    with pytest.raises(ValueError, match=r"\w") as caught:
        BridgeDaemon(**arguments)
    assert isinstance(caught.value, ConfigError | PassphraseError)


def test_every_setting_is_checked() -> None:
    from ironmesh import daemon_settings as room

    checked = {
        *room._FLAGS,
        *room._PATHS,
        *room._TEXTS,
        *room._LISTS,
        *room._CHOICES,
        *room._POSITIVE,
        *room._KINDS,
        *room._OTHER_SECRETS,
        "allow_legacy",
        "rekey_interval",
    }
    assert checked == set(DaemonSettings.__annotations__)


# --- Passphrases ---------------------------------------------------------------------------------


def test_the_passphrase_comes_from_the_argument_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IRONMESH_PASSPHRASE", "from the environment")
    monkeypatch.setenv("OTHER", "from another variable")
    given = Agent("a", passphrase=PASSPHRASE).daemon.config.passphrase
    found = Agent("a").daemon.config.passphrase
    other = Agent("a", passphrase_env="OTHER").daemon.config.passphrase
    assert given == Secret(PASSPHRASE)
    assert found == Secret("from the environment")
    assert other == Secret("from another variable")


def test_a_secret_is_a_passphrase_too() -> None:
    assert Agent("a", passphrase=Secret(PASSPHRASE)).daemon.config.passphrase == Secret(PASSPHRASE)


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_passphrase_the_error_says_how_to_give_one(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("MY_PASSPHRASE", value)
    with pytest.raises(ValueError, match=r"passphrase=\.\.\., or set MY_PASSPHRASE"):
        Agent("a", passphrase=value, passphrase_env="MY_PASSPHRASE")
    with pytest.raises(PassphraseError, match=r"give passphrase=\.\.\."):
        BridgeDaemon("a", passphrase=value)


@pytest.mark.parametrize("make", [Agent, BridgeDaemon])
def test_a_short_passphrase_is_refused_and_not_shown(make: Any) -> None:
    with pytest.raises(ValueError, match="12 characters") as caught:
        make("a", passphrase="elevenchars")
    assert isinstance(caught.value, PassphraseError)
    assert "elevenchars" not in str(caught.value)
    make("a", passphrase="twelve chars")


@pytest.mark.parametrize("passphrase", [123456789012, b"correct horse battery", ["x"] * 12])
def test_a_passphrase_is_text(passphrase: Any) -> None:
    with pytest.raises(ConfigError, match="passphrase is not text"):
        Agent("a", passphrase=passphrase)
    with pytest.raises(ConfigError, match="passphrase is not text"):
        BridgeDaemon("a", passphrase=passphrase)
