import pytest

from ironmesh.errors import ConfigError
from ironmesh.settings.sources import Level, from_environment, from_file, unknown_variables
from ironmesh.settings.table import SECRETS


@pytest.fixture
def write(tmp_path):
    def call(text, mode=0o600):
        path = tmp_path / "config.toml"
        path.write_text(text) if isinstance(text, str) else path.write_bytes(text)
        path.chmod(mode)
        return path

    return call


def refused(path, level=Level.HOME_FILE):
    with pytest.raises(ConfigError) as caught:
        from_file(path, level)
    assert caught.value.fix
    return str(caught.value)


def test_a_file_that_does_not_exist_says_nothing(tmp_path):
    assert from_file(tmp_path / "config.toml", Level.HOME_FILE) == {}


def test_each_value_knows_its_line(write):
    path = write('# a node\nname = "alice"\n\nport = 9000\nallowed_peers = ["bob",\n  "zoe"]\n')
    found = from_file(path, Level.HOME_FILE)
    assert {name: each.value for name, each in found.items()} == {
        "name": "alice",
        "port": 9000,
        "allowed_peers": ("bob", "zoe"),
    }
    assert found["port"].origin == (Level.HOME_FILE, f"{path}:4")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "config.toml:1: there is no setting 'prot': did you mean port?"),
        ("\n\n[node]\nport = 1", "config.toml:3: there is no setting 'node'"),
        ("\nzzzzzz = 1", "config.toml:2: there is no setting 'zzzzzz': see ironmesh config show"),
        ('port = "http"', "config.toml:1: port: 'http' is not a whole number"),
        ("port = 1\nmdns = 1", "config.toml:2: mdns: 1 is neither true nor false"),
        ('peers = ["a:b:c"]', "config.toml:1: peers: 'a:b:c' is not an address"),
        ("port = ", "config.toml is no TOML"),
        ("a = 1\nport = x", "config.toml:2 is no TOML"),
        ("port = 1\nport = 2", "is no TOML"),
        ('home = "/x"', "home cannot be set in a file"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(write, text, said):
    assert said in refused(write(text))


@pytest.mark.parametrize("key", sorted(SECRETS))
def test_a_secret_is_refused_and_not_repeated(write, key):
    said = refused(write(f'{key} = "hunter2hunter2"'))
    assert f"{key}_file = FILE" in said
    assert "hunter2" not in said


def test_the_file_of_one_node_does_not_name_it(write):
    assert "not for the file of one node" in refused(write('name = "alice"'), Level.NODE_FILE)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_change_is_refused(write, mode):
    assert "chmod 600" in refused(write("port = 1", mode))


def test_a_file_that_others_may_read_is_used(write):
    assert from_file(write("port = 1", 0o644), Level.HOME_FILE)["port"].value == 1


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"#" * 70_000, b"a = [" + b"[" * 5000], ids=["bytes", "large", "deep"]
)
def test_what_is_no_configuration_is_refused(write, text):
    refused(write(text))


def test_a_folder_and_a_device_are_refused(tmp_path):
    from pathlib import Path

    refused(tmp_path)
    refused(Path("/dev/zero"))


def test_an_empty_variable_counts_as_unset_but_for_a_list():
    found = from_environment(
        {"IRONMESH_PORT": "", "IRONMESH_NAME": "", "IRONMESH_ALLOWED_PEERS": ""}
    )
    assert {name: each.value for name, each in found.items()} == {"allowed_peers": ()}


def test_a_bad_variable_is_told_by_its_name():
    with pytest.raises(ConfigError, match="IRONMESH_PORT: 'http' is not a whole number"):
        from_environment({"IRONMESH_PORT": "http"})


def test_variables_that_mean_nothing_are_found_with_what_may_be_meant():
    environ = {"IRONMESH_PROT": "1", "IRONMESH_PORT": "1", "IRONMESH_MINE": "1", "PATH": "x"}
    assert unknown_variables(environ, {"IRONMESH_MINE"}) == {"IRONMESH_PROT": "IRONMESH_PORT"}
