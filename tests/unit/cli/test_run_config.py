import click
import pytest

from ironmesh.cli import run as run_module
from ironmesh.cli.run_config import run_config
from ironmesh.config import LegacyMode, PeerAddress
from ironmesh.errors import ConfigError, NotBuiltError, PassphraseError
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple lamp"


@pytest.fixture(autouse=True)
def passphrase_file(tmp_path, monkeypatch):
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE)
    path.chmod(0o600)
    monkeypatch.setenv("IRONMESH_PASSPHRASE_FILE", str(path))
    return path


@pytest.fixture
def parse(monkeypatch):
    """Return what `ironmesh run --name alice ARGUMENTS` would start."""

    def call(*arguments, name=("--name", "alice")):
        made = []

        def note(settings, environ):
            made.append(run_config(settings, environ))
            raise click.Abort

        monkeypatch.setattr(run_module, "run_config", note)
        with pytest.raises(click.Abort):
            run_module.run_command.main([*name, *arguments], standalone_mode=False)
        return made[0]

    return call


def test_the_defaults_are_those_that_the_manual_states(parse):
    config = parse().node
    assert (config.name, config.port, config.bind) == ("alice", 8765, "0.0.0.0")
    assert config.passphrase == Secret(PASSPHRASE)
    assert config.allowed_peers is None
    assert not config.open_discovery
    assert not config.allow_plaintext
    assert config.mdns
    assert config.legacy is LegacyMode.OFF
    assert config.rekey_interval_s == 1800
    assert config.home.name == ".ironmesh"


def test_every_flag_reaches_the_node(parse, tmp_path):
    config = parse(
        "--home", str(tmp_path), "--port", "0", "--bind", "127.0.0.1", "--no-mdns",
        "--allowed-peers", "bob, carol,,", "--peer", "10.0.0.1", "--peer", "[::1]:9",
        "--tls-cert", "c.pem", "--tls-key", "k.pem", "--capability", "llm:x",
        "--capability", "tool:y", "--min-protocol-version", "ironmesh/0.5",
        "--rekey-interval", "0", "--keys-path", "k.json", "--trust-path", "t.json",
        "--open-discovery", "--allow-plaintext-ws",
    ).node  # fmt: skip
    assert config.home == tmp_path
    assert (config.port, config.bind, config.mdns) == (0, "127.0.0.1", False)
    assert config.allowed_peers == {"bob", "carol"}
    assert config.peers == (PeerAddress("10.0.0.1", 8765), PeerAddress("::1", 9))
    assert config.capabilities == ("llm:x", "tool:y")
    assert config.min_protocol_version == "ironmesh/0.5"
    assert config.rekey_interval_s == 0
    assert config.keys_file.name == "k.json"
    assert config.trust_file.name == "t.json"
    assert config.tls_cert.name == "c.pem"
    assert config.open_discovery
    assert config.allow_plaintext


def test_an_empty_list_allows_nobody(parse):
    assert parse("--allowed-peers", "").node.allowed_peers == frozenset()


def test_the_environment_is_read(parse, monkeypatch, tmp_path):
    for name, value in {
        "NAME": "carol",
        "PORT": "9000",
        "HOME": str(tmp_path),
        "KEYS_PATH": "/k",
        "TRUST_PATH": "/t",
        "TLS_CERT": "/c",
        "TLS_KEY": "/key",
    }.items():
        monkeypatch.setenv(f"IRONMESH_{name}", value)
    config = parse(name=()).node
    assert (config.name, config.port, config.home) == ("carol", 9000, tmp_path)
    assert str(config.keys_file) == "/k"
    assert str(config.trust_file) == "/t"
    assert parse("--port", "1").node.port == 1


@pytest.mark.parametrize(
    ("arguments", "mode", "names"),
    [
        (["--allow-legacy"], LegacyMode.ALL, set()),
        (["--allow-legacy=bob,carol"], LegacyMode.NAMED, {"bob", "carol"}),
        (["--allow-legacy", "--no-mdns"], LegacyMode.ALL, set()),
        (["--legacy", "off"], LegacyMode.OFF, set()),
        (["--legacy", "named", "--legacy-names", "bob"], LegacyMode.NAMED, {"bob"}),
        (["--allow-legacy=bob", "--legacy-names", "zoe"], LegacyMode.NAMED, {"zoe"}),
    ],
)
def test_who_may_speak_the_old_wire(parse, arguments, mode, names):
    config = parse(*arguments).node
    assert (config.legacy, config.legacy_names) == (mode, names)


def test_further_passphrases_come_from_files(parse, tmp_path):
    (tmp_path / "legacy").write_text("another passphrase")
    (tmp_path / "keys").write_text("short")
    config = parse(
        "--legacy-passphrase-file", str(tmp_path / "legacy"),
        "--keys-passphrase-file", str(tmp_path / "keys"), "--legacy-same-passphrase",
    ).node  # fmt: skip
    assert config.legacy_passphrase == Secret("another passphrase")
    assert config.keys_passphrase == Secret("short")
    assert config.legacy_same_passphrase


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gui"],
        ["--reticulum"],
        ["--require-message-promotion"],
        ["--rotate-keys"],
        ["--profile", "offline"],
    ],
)
def test_a_switch_for_what_does_not_exist_is_an_error_that_says_so(ironmesh, arguments):
    result = ironmesh("run", "--name", "alice", *arguments)
    assert result.code == 1
    assert "not in this version" in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("variable", ["REQUIRE_MSG_PROMOTION", "RNS_ENABLED", "ROTATE_KEYS"])
def test_such_a_switch_in_the_environment_is_not_ignored(ironmesh, monkeypatch, variable):
    monkeypatch.setenv(f"IRONMESH_{variable}", "1")
    result = ironmesh("run", "--name", "alice")
    assert result.code == 1
    assert "not in this version" in result.err


def test_settings_of_later_features_are_accepted_and_unused(parse):
    parse(
        "--db-path", "d", "--gui-bind", "::1", "--no-gui", "--mesh-routing", "off",
        "--max-hops", "3", "--route-announce-interval", "10", "--route-ttl", "60",
        "--routes-path", "r", "--capabilities-path", "c", "--capability-announce-interval", "5",
        "--rns-configdir", "x", "--rns-announce-interval", "60", "--rns-connect", "aa,bb",
        "--lora-max-payload", "0", "--metrics-format", "json", "--pending-trust-queue-cap", "7",
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mesh-routing", "loud"],
        ["--max-hops", "0"],
        ["--route-announce-interval", "0"],
        ["--metrics-format", "xml"],
        ["--lora-max-payload", "-1"],
        ["--rekey-interval", "-1"],
        ["--pending-trust-queue-cap", "0"],
        ["--log-level", "loud"],
        ["--port", "http"],
    ],
)
def test_values_that_make_no_sense_are_wrong_usage(ironmesh, arguments):
    assert ironmesh("run", "--name", "alice", *arguments).code == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--peer", "a:b:c"], ConfigError),
        (["--tls-cert", "only"], ConfigError),
        (["--min-protocol-version", "1"], ConfigError),
        (["--allow-legacy=,"], ConfigError),
        (["--legacy-passphrase-file", "/dev/null"], PassphraseError),
        (["--previous-passphrase-file", "/dev/null"], PassphraseError),
        (["--previous-passphrase-until", "2027-01-31"], ConfigError),
        (["--previous-passphrase-until", "soon"], ConfigError),
        (["--mesh", "our mesh"], ConfigError),
    ],
)
def test_values_that_contradict_are_named_errors(ironmesh, arguments, error):
    result = ironmesh("run", "--name", "alice", *arguments)
    assert result.code == 1
    assert result.err.startswith("error: ")


def test_profile_dev_is_open_on_this_machine_only(parse):
    config = parse("--profile", "dev").node
    assert (config.open_discovery, config.allow_plaintext, config.bind) == (True, True, "127.0.0.1")


def test_a_flag_overrides_profile_dev_with_a_warning(parse):
    made = parse("--profile", "dev", "--bind", "10.0.0.1")
    assert made.node.bind == "10.0.0.1"
    assert "--bind overrides the profile dev" in made.warnings


@pytest.mark.parametrize("flag", ["--open-discovery", "--allow-plaintext-ws"])
def test_profile_secure_refuses_insecure_flags_unless_forced(parse, ironmesh, flag):
    result = ironmesh("run", "--name", "alice", "--profile", "secure", flag)
    assert result.code == 1
    assert "--force" in result.err
    made = parse("--profile", "secure", flag, "--force")
    assert f"{flag} overrides the profile secure" in made.warnings


def test_profile_secure_keeps_tls_and_says_what_it_lacks(parse):
    made = parse("--profile", "secure")
    assert not made.node.allow_plaintext
    assert any("no gate yet" in warning for warning in made.warnings)


def test_a_not_built_error_is_a_configuration_error():
    assert issubclass(NotBuiltError, ConfigError)
