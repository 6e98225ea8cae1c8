"""The whole table: each setting, from each source, reaches what a node is told."""

from pathlib import Path

import pytest

from ironmesh.config import NodeConfig
from ironmesh.errors import ConfigError, NotBuiltError
from ironmesh.settings.kinds import Choice, FilePath, Listing, Seconds, Switch, Text, Whole
from ironmesh.settings.node import Passphrases, node_config
from ironmesh.settings.resolve import resolve
from ironmesh.settings.sources import Found, Level, Origin
from ironmesh.settings.table import BUILT, BY_NAME, SETTINGS, Place, Stage
from ironmesh.types import Secret

PASSPHRASE = Secret("correct horse battery staple")
TEXTS = {
    "name": "zoe",
    "bind": "127.0.0.9",
    "min_protocol_version": "ironmesh/0.5",
    "peers": "10.0.0.1:9",
    "revocation_authorities": "0123456789abcdef0123456789abcdef",
    "capabilities": "llm:x",
    "legacy": "named",
    "previous_passphrase_until": "2027-01-31",
    "log_level": "DEBUG",
    "log_format": "json",
    "profile": "dev",
}
BESIDE = {
    "tls_cert": {"tls_key": "/key"},
    "tls_key": {"tls_cert": "/cert"},
    "legacy": {"legacy_names": "bob"},
    "legacy_names": {"legacy": "named"},
}
"""What a setting does not go without."""
NOT_OF_THE_NODE = {
    "passphrase_file",
    "keys_passphrase_file",
    "legacy_passphrase_file",
    "previous_passphrase_file",
    "previous_passphrase_until",
    "log_level",
    "log_file",
    "log_format",
    "force",
}
"""Settings that act before the node is made: their own tests are beside those who use them."""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    (folder / "nodes" / "alice").mkdir(parents=True, mode=0o700)
    (folder / "nodes" / "zoe").mkdir(mode=0o700)
    return folder


def text_of(setting):
    """Return a value other than the default, as text."""
    if setting.name in TEXTS:
        return TEXTS[setting.name]
    match setting.kind:
        case Switch():
            return "0" if setting.default else "1"
        case Whole() | Seconds():
            return "13"
        case FilePath():
            return f"/somewhere/{setting.name}"
        case Choice(words):
            return words[0]
        case Listing() | Text():
            return "bob"
    raise AssertionError(setting)


def toml_of(setting, text):
    match setting.kind:
        case Switch():
            return "true" if text == "1" else "false"
        case Whole() | Seconds():
            return text
        case Listing():
            return f'["{text}"]'
        case _:
            return f'"{text}"'


def write(path, lines):
    path.write_text("\n".join(lines))
    path.chmod(0o600)


def flag(name, text):
    setting = BY_NAME[name]
    return {name: Found(setting.kind.from_text(text), Origin(Level.FLAG, setting.flag_name))}


def settings_from(level, name, home):
    """Return the settings when `name`, and what it needs, is set at one level only."""
    wanted = {name: text_of(BY_NAME[name]), **BESIDE.get(name, {})}
    flags, environ = flag("home", str(home)), {}
    if name != "name":
        flags |= flag("name", "alice")
    match level:
        case Level.FLAG:
            for key, text in wanted.items():
                flags |= flag(key, text)
        case Level.ENVIRONMENT:
            environ = {BY_NAME[key].variable_name: text for key, text in wanted.items()}
            if name == "home":
                flags.pop("home")
        case Level.NODE_FILE | Level.HOME_FILE:
            folder = home if level is Level.HOME_FILE else home / "nodes" / "alice"
            lines = [f"{key} = {toml_of(BY_NAME[key], text)}" for key, text in wanted.items()]
            write(folder / "config.toml", lines)
    return resolve(flags, environ)


def levels_of(setting):
    yield from (Level.FLAG, Level.ENVIRONMENT)
    if setting.place is not Place.NONE:
        yield Level.HOME_FILE
    if setting.place is Place.ANY:
        yield Level.NODE_FILE


CASES = [
    pytest.param(setting, level, id=f"{setting.name}-{level.value.replace(' ', '-')}")
    for setting in SETTINGS
    for level in levels_of(setting)
]


@pytest.mark.parametrize(("setting", "level"), CASES)
def test_each_setting_acts_from_each_source(setting, level, home):
    if setting.stage is Stage.LATER_SWITCH:
        with pytest.raises(NotBuiltError, match="not in this version"):
            settings_from(level, setting.name, home)
        return
    settings = settings_from(level, setting.name, home)
    assert settings[setting.name] == setting.kind.from_text(text_of(setting))
    assert settings.origin(setting.name).level is level
    if setting.stage is Stage.BUILT and setting.name not in NOT_OF_THE_NODE:
        plain = resolve(flag("name", "alice") | flag("home", str(home / "other")), {})
        changed = _comparable(node_config(settings, Passphrases(PASSPHRASE)))
        other = _comparable(node_config(plain, Passphrases(PASSPHRASE)))
        if setting.name == "home":
            assert changed["home"] == settings["home"]
        else:
            changed.pop("home")
            other.pop("home")
        assert changed != other


def _comparable(config: NodeConfig):
    return {name: getattr(config, name) for name in config.__slots__}


@pytest.mark.parametrize(
    "setting",
    [setting for setting in BUILT if setting.place is Place.ANY],
    ids=lambda setting: setting.name,
)
def test_the_sources_win_in_their_order(setting, home):
    levels = [Level.HOME_FILE, Level.NODE_FILE, Level.ENVIRONMENT, Level.FLAG]
    text = text_of(setting)
    line = [f"{setting.name} = {toml_of(setting, text)}"]
    flags, environ = flag("name", "alice") | flag("home", str(home)), {}
    for level in levels:
        match level:
            case Level.HOME_FILE:
                write(home / "config.toml", line)
            case Level.NODE_FILE:
                write(home / "nodes" / "alice" / "config.toml", line)
            case Level.ENVIRONMENT:
                environ[setting.variable_name] = text
            case Level.FLAG:
                flags |= flag(setting.name, text)
        assert resolve(flags, environ).origin(setting.name).level is level


def test_names_flags_and_variables_are_used_once():
    for what in ("name", "flag_name", "variable_name"):
        used = [getattr(setting, what) for setting in SETTINGS]
        assert len(set(used)) == len(used)


def test_every_default_is_a_value_of_its_setting():
    for setting in SETTINGS:
        if isinstance(setting.default, tuple):
            assert setting.kind.checked(setting.default) == setting.default
        elif isinstance(setting.default, bool):
            assert setting.is_switch
        elif setting.default is not None:
            assert setting.kind.from_text(str(setting.default)) == setting.default


def test_what_nobody_sets_is_what_a_node_config_has_by_itself(home):
    settings = resolve(flag("name", "alice") | flag("home", str(home)), {})
    made = node_config(settings, Passphrases(PASSPHRASE))
    assert made == NodeConfig(name="alice", passphrase=PASSPHRASE, home=home)


def test_every_field_of_a_node_config_can_be_set():
    fields = set(NodeConfig.__slots__) - {"passphrase", "kdf"}
    renamed = {
        "allow_plaintext": "allow_plaintext_ws",
        "keys_passphrase": "keys_passphrase_file",
        "legacy_passphrase": "legacy_passphrase_file",
        "previous_passphrase": "previous_passphrase_file",
        "rekey_interval_s": "rekey_interval",
        "route_announce_interval_s": "route_announce_interval",
        "route_ttl_s": "route_ttl",
    }
    assert {renamed.get(field, field) for field in fields} <= set(BY_NAME)


def test_the_name_in_the_home_file_chooses_the_node_file(home):
    write(home / "config.toml", ['name = "alice"', "port = 1"])
    write(home / "nodes" / "alice" / "config.toml", ["port = 2"])
    settings = resolve(flag("home", str(home)), {})
    assert (settings.name, settings["port"]) == ("alice", 2)
    assert resolve(flag("home", str(home)) | flag("name", "zoe"), {})["port"] == 1


def test_without_a_name_the_fallback_is_asked(home):
    write(home / "nodes" / "alice" / "config.toml", ["port = 2"])
    settings = resolve(flag("home", str(home)), {}, lambda folder: "alice")
    assert (settings.name, settings["port"]) == ("alice", 2)
    nameless = resolve(flag("home", str(home)), {})
    with pytest.raises(ConfigError, match="--name NAME"):
        _ = nameless.name


def test_a_relative_path_starts_at_its_file(home):
    write(home / "nodes" / "alice" / "config.toml", ['tls_cert = "c.pem"', 'tls_key = "k.pem"'])
    settings = resolve(flag("home", str(home)) | flag("name", "alice"), {})
    assert settings["tls_cert"] == home / "nodes" / "alice" / "c.pem"


def test_a_profile_changes_defaults_and_nothing_else(home):
    write(home / "config.toml", ['bind = "10.0.0.1"', 'profile = "dev"'])
    settings = resolve(flag("home", str(home)) | flag("name", "alice"), {})
    assert settings["open_discovery"] is True
    assert settings.origin("open_discovery") == Origin(Level.PROFILE, "dev")
    assert settings["bind"] == "10.0.0.1"
    assert settings.warnings == (f"{home / 'config.toml'}:1 overrides the profile dev",)


def test_profile_secure_refuses_what_a_file_allows(home):
    write(home / "config.toml", ["open_discovery = true"])
    flags = flag("home", str(home)) | flag("name", "alice") | flag("profile", "secure")
    with pytest.raises(ConfigError, match=r"config\.toml:1"):
        resolve(flags, {})
    assert resolve(flags | flag("force", "1"), {})["open_discovery"] is True


@pytest.mark.parametrize("line", ['legacy = "all"', "legacy_same_passphrase = true"])
def test_profile_secure_refuses_the_0_8_wire(home, line):
    flags = flag("home", str(home)) | flag("name", "alice") | flag("profile", "secure")
    write(home / "config.toml", ['legacy = "off"', "legacy_same_passphrase = false"])
    assert resolve(flags, {})["legacy"] == "off"
    write(home / "config.toml", [line])
    with pytest.raises(ConfigError, match=r"config\.toml:1"):
        resolve(flags, {})


def test_the_previous_passphrase_has_an_end(home):
    flags = flag("home", str(home)) | flag("name", "alice")
    secrets = Passphrases(PASSPHRASE, previous=Secret("what we had before"))
    with pytest.raises(ConfigError, match="has no end"):
        node_config(resolve(flags, {}), secrets)
    settings = resolve(flags | flag("previous_passphrase_until", "2027-01-31"), {})
    with pytest.raises(ConfigError, match="the present one"):
        node_config(settings, Passphrases(PASSPHRASE, previous=PASSPHRASE))
    made = node_config(
        resolve(flags | flag("previous_passphrase_until", "1970-01-02T00:00+01:00"), {}), secrets
    )
    assert made.previous_passphrase == Secret("what we had before")
    assert made.previous_passphrase_until == 23 * 3600.0


def test_an_origin_reads_as_people_say_it():
    assert str(Origin(Level.DEFAULT, "")) == "default"
    assert str(Origin(Level.PROFILE, "dev")) == "profile dev"
    assert str(Origin(Level.ENVIRONMENT, "IRONMESH_PORT")) == "IRONMESH_PORT"


def test_the_default_home_is_in_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve({}, {}).home == Path(tmp_path) / ".ironmesh"
