import json

import pytest

from ironmesh.errors import ConfigError
from ironmesh.settings.published import _DEFAULTS, import_published, is_import_due, translate
from ironmesh.settings.sources import Level, from_file


@pytest.fixture
def published(tmp_path):
    def write(document):
        path = tmp_path / "config.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        path.chmod(0o600)
        return path

    return write


def test_known_keys_are_taken_over_and_the_rest_is_told(published, tmp_path):
    path = published(
        _DEFAULTS
        | {
            "agent_name": "zoë",
            "port": 9000,
            "capabilities": ["llm:x"],
            "tls_cert": "~/cert.pem",
            "max_hops": 3,
            "require_message_promotion": True,
            "prune_days": 7,
            "log_file": None,
            "passphrase": "hunter2hunter2",
            "mystery": 1,
        }
    )
    before = path.read_bytes()
    notice = import_published(tmp_path)
    found = from_file(tmp_path / "config.toml", Level.HOME_FILE)
    assert found["name"].value == "zoë"
    assert found["port"].value == 9000
    assert found["capabilities"].value == ("llm:x",)
    assert set(found) == {"name", "port", "capabilities", "tls_cert", "max_hops"}
    left_out = "left out: prune_days, require_message_promotion, mystery"
    assert all(name in notice for name in left_out.split(": ")[1].split(", "))
    assert "hunter2" not in notice + (tmp_path / "config.toml").read_text()
    assert "passphrase" in notice
    assert path.read_bytes() == before
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600


def test_it_is_taken_over_once(published, tmp_path):
    published({"port": 9000})
    assert is_import_due(tmp_path)
    assert import_published(tmp_path) is not None
    published({"port": 9001})
    assert not is_import_due(tmp_path)
    assert import_published(tmp_path) is None
    assert "9000" in (tmp_path / "config.toml").read_text()


def test_without_a_published_file_nothing_happens(tmp_path):
    assert import_published(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_what_the_published_package_left_at_its_default_stays_a_default(published, tmp_path):
    published(_DEFAULTS)
    assert import_published(tmp_path) is not None
    assert from_file(tmp_path / "config.toml", Level.HOME_FILE) == {}


def test_a_value_of_a_wrong_type_is_left_out(tmp_path):
    done = translate(
        {"port": "many", "agent_name": 5, "tls_key": "k\x7f\N{GRINNING FACE}"}, tmp_path
    )
    assert done.left_out == ("port", "agent_name")
    assert done.values == {"tls_key": "k\x7f\N{GRINNING FACE}"}


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"port": 1', "[" * 5000, "#" * 70_000])
def test_a_damaged_file_is_an_error_and_nothing_is_written(published, tmp_path, text):
    published(text)
    with pytest.raises(ConfigError) as caught:
        import_published(tmp_path)
    assert "move it away" in caught.value.fix
    assert not (tmp_path / "config.toml").exists()


def test_a_file_that_others_may_change_is_refused(published, tmp_path):
    published({}).chmod(0o622)
    with pytest.raises(ConfigError, match="chmod 600"):
        import_published(tmp_path)
