import json

import pytest

from ironmesh.settings.table import BUILT, SETTINGS

SECRET = "hunter2 hunter2 hunter2"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "mesh"
    (folder / "nodes" / "alice").mkdir(parents=True, mode=0o700)
    write(folder / "config.toml", 'name = "alice"\nport = 1')
    write(folder / "nodes" / "alice" / "config.toml", 'port = 2\nallowed_peers = ["bob"]')
    return folder


def write(path, text):
    path.write_text(text)
    path.chmod(0o600)


def shown(ironmesh, home, *arguments):
    result = ironmesh("config", "show", "--home", home, "--json", *arguments)
    assert result.code == 0, result.err + result.out
    return {view["name"]: view for view in json.loads(result.out)}


def test_each_setting_is_shown_with_its_origin(ironmesh, home, monkeypatch):
    monkeypatch.setenv("IRONMESH_LOG_LEVEL", "debug")
    views = shown(ironmesh, home, "--bind", "::1", "--profile", "dev")
    assert {setting.name for setting in BUILT} < set(views)
    assert (views["bind"]["value"], views["bind"]["where"]) == ("::1", "--bind")
    assert (views["log_level"]["value"], views["log_level"]["where"]) == (
        "DEBUG",
        "IRONMESH_LOG_LEVEL",
    )
    assert views["port"] == {
        "name": "port",
        "value": 2,
        "level": "node file",
        "where": f"{home}/nodes/alice/config.toml:1",
    }
    assert views["name"]["where"] == f"{home}/config.toml:1"
    assert (views["open_discovery"]["level"], views["mdns"]["level"]) == ("profile", "default")


def test_it_is_a_table_for_people(ironmesh, home):
    result = ironmesh("config", "show", "--home", home)
    assert result.code == 0
    lines = {line.split()[0]: line for line in result.out.splitlines()}
    assert lines["allowed_peers"].split()[1] == "bob"
    assert lines["mdns"].split()[1:] == ["on", "default"]


def test_passphrases_are_never_shown(ironmesh, home, monkeypatch):
    write(home / "passphrase", SECRET)
    monkeypatch.setenv("IRONMESH_LEGACY_PASSPHRASE", SECRET)
    for arguments in ((), ("--json",)):
        result = ironmesh("config", "show", "--home", home, *arguments)
        assert "hunter2" not in result.out + result.err
    views = shown(ironmesh, home)
    assert views["passphrase"]["where"] == str(home / "passphrase")
    assert views["legacy_passphrase"]["where"] == "IRONMESH_LEGACY_PASSPHRASE"
    assert views["keys_passphrase"]["value"] is None


def test_a_setting_of_a_later_feature_is_shown_only_where_it_is_set(ironmesh, home):
    assert "lora_max_payload" not in shown(ironmesh, home)
    assert shown(ironmesh, home, "--lora-max-payload", "3")["lora_max_payload"]["value"] == 3


def test_a_mistake_in_a_file_is_one_line_and_exit_1(ironmesh, home):
    write(home / "config.toml", "\nprot = 1")
    result = ironmesh("config", "show", "--home", home)
    assert result.code == 1
    assert "config.toml:2: there is no setting 'prot': did you mean port?" in result.err


def test_the_paths_are_shown_whether_they_exist_or_not(ironmesh, home):
    result = ironmesh("config", "path", "--home", home, "--name", "zoe")
    assert result.out.splitlines() == [
        f"{home}/config.toml",
        f"{home}/nodes/zoe/config.toml  (does not exist)",
    ]
    found = json.loads(ironmesh("config", "path", "--home", home, "--json").out)
    assert [each["exists"] for each in found] == [True, True]


def test_a_published_file_is_pointed_out_and_taken_over_once(ironmesh, tmp_path):
    write(tmp_path / "config.json", '{"agent_name": "zoe", "port": 9000}')
    assert "ironmesh config import" in ironmesh("config", "show", "--home", tmp_path).err
    result = ironmesh("config", "import", "--home", tmp_path, "--json")
    assert json.loads(result.out)["imported"] is True
    assert "nothing to take over" in ironmesh("config", "import", "--home", tmp_path).out
    assert shown(ironmesh, tmp_path)["port"]["value"] == 9000


def test_flags_are_named_as_settings_are_unless_the_table_says_otherwise(ironmesh):
    text = ironmesh("run", "--help").out
    for setting in SETTINGS:
        assert (setting.flag_name in text) is (setting in BUILT)
