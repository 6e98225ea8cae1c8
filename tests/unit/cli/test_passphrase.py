import os
import sys
from types import SimpleNamespace

import pytest
from tests.support import fake_keyring

from ironmesh.cli import passphrase as sources
from ironmesh.cli.passphrase import Sources, other_passphrase, prompt_new
from ironmesh.errors import PassphraseError
from ironmesh.settings.resolve import resolve
from ironmesh.settings.sources import Found, Level, Origin
from ironmesh.types import Secret

ASKED = "from the prompt, long"


def mesh_passphrase(name, file, environ):
    """Return the passphrase of a node that is told its name and, perhaps, a file by flags."""
    flags = {"name": Found(name, Origin(Level.FLAG, "--name"))}
    if file is not None:
        flags["passphrase_file"] = Found(file, Origin(Level.FLAG, "--passphrase-file"))
    return sources.mesh_passphrase(Sources.of(resolve(flags, environ)), environ)


@pytest.fixture
def terminal(monkeypatch):
    """Answers to prompts, on a terminal."""
    answers = []
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sources.click, "prompt", lambda *_, **__: answers.pop(0))
    return answers


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", SimpleNamespace(isatty=lambda: False))


def secret_file(path, text="from the first file"):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a passphrase in it, and another one that a configuration file names."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ironmesh"
    folder.mkdir(mode=0o700)
    secret_file(folder / "passphrase", "from the home folder")
    secret_file(folder / "configured", "from the configured file")
    (folder / "config.toml").write_text('passphrase_file = "configured"')
    (folder / "config.toml").chmod(0o600)
    return folder


@pytest.fixture
def everything(home, tmp_path, monkeypatch):
    """Every source at once: in the order in which they count."""
    backend = fake_keyring.install(monkeypatch, fake_keyring.Backend())
    backend.entries["ironmesh", "alice"] = "from the keychain"
    flag = secret_file(tmp_path / "flag", "from the flag's file")
    environ = {
        "IRONMESH_PASSPHRASE_FILE": str(secret_file(tmp_path / "env", "from the env's file")),
        "IRONMESH_PASSPHRASE_KEYCHAIN": "yes",
        "IRONMESH_PASSPHRASE": "from the environment",
    }
    return flag, environ


def test_the_sources_count_in_their_order(everything, home, terminal):
    flag, environ = everything
    terminal.append(ASKED)
    found = []
    for taken_away in (None, "FLAG", *list(environ), "config.toml", "passphrase"):
        if taken_away == "FLAG":
            flag = None
        elif taken_away in {"config.toml", "passphrase"}:
            (home / taken_away).unlink()
        environ.pop(taken_away, None)
        found.append(mesh_passphrase("alice", flag, environ).passphrase.reveal().decode())
    assert found == [
        "from the flag's file",
        "from the env's file",
        "from the keychain",
        "from the environment",
        "from the configured file",
        "from the home folder",
        ASKED,
    ]


def test_a_configured_file_that_is_missing_is_an_error_and_not_the_next_source(home):
    (home / "configured").unlink()
    with pytest.raises(PassphraseError, match="there is no passphrase file"):
        mesh_passphrase("alice", None, {})


def test_a_dangling_link_in_the_home_folder_is_an_error(home):
    (home / "config.toml").unlink()
    (home / "passphrase").unlink()
    (home / "passphrase").symlink_to("nowhere")
    with pytest.raises(PassphraseError):
        mesh_passphrase("alice", None, {})


def test_without_any_source_the_error_lists_them():
    with pytest.raises(PassphraseError) as caught:
        mesh_passphrase("alice", None, {})
    for source in ("--passphrase-file", "_FILE", "_KEYCHAIN", "IRONMESH_PASSPHRASE", "terminal"):
        assert source in caught.value.fix


def test_the_prompt_needs_a_terminal(monkeypatch):
    monkeypatch.setattr(sources.sys, "stdin", None)
    with pytest.raises(PassphraseError):
        mesh_passphrase("alice", None, {})


@pytest.mark.parametrize("text", ["short", "elevenchars"])
def test_a_short_passphrase_is_refused_from_every_source(tmp_path, text, terminal):
    terminal.append(text)
    file = secret_file(tmp_path / "file", text)
    for flag, environ in ((file, {}), (None, {"IRONMESH_PASSPHRASE": text}), (None, {})):
        with pytest.raises(PassphraseError, match="12 characters"):
            mesh_passphrase("alice", flag, environ)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "missing",
        lambda folder: folder,
        lambda folder: secret_file(folder / "empty", " \n"),
        lambda folder: secret_file(folder / "large", "x" * 5000),
        lambda folder: secret_file(folder / "lines", "one line here\ntwo lines here"),
        lambda _: __import__("pathlib").Path("/dev/zero"),
    ],
    ids=["missing", "folder", "empty", "large", "lines", "device"],
)
def test_a_hostile_file_is_refused_and_no_other_source_is_tried(tmp_path, make):
    with pytest.raises(PassphraseError):
        mesh_passphrase("alice", make(tmp_path), {"IRONMESH_PASSPHRASE": "from the environment"})


def test_a_file_that_others_can_read_draws_a_warning(tmp_path):
    file = secret_file(tmp_path / "file")
    assert mesh_passphrase("alice", file, {}).warnings == ()
    file.chmod(0o644)
    [warning] = mesh_passphrase("alice", file, {}).warnings
    assert "chmod 600" in warning


def test_the_environment_draws_a_warning_without_the_passphrase():
    [warning] = mesh_passphrase("a", None, {"IRONMESH_PASSPHRASE": "from the environment"}).warnings
    assert "from the environment" not in warning


def test_a_file_in_the_environment_may_start_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    secret_file(tmp_path / "passphrase")
    found = mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_FILE": "~/passphrase"})
    assert found.passphrase == Secret("from the first file")


def test_bytes_that_are_no_text_in_the_environment_are_refused_without_repeating_them():
    value = os.fsdecode(b"hunter2 \xff\xff\xff\xff hunter2")
    with pytest.raises(PassphraseError, match="not UTF-8") as caught:
        mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE": value})
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "0", "false", "No"])
def test_the_keychain_can_be_switched_off(value):
    environ = {"IRONMESH_PASSPHRASE_KEYCHAIN": value, "IRONMESH_PASSPHRASE": "x" * 12}
    assert mesh_passphrase("alice", None, environ).passphrase == Secret("x" * 12)


def test_an_unclear_switch_is_an_error():
    with pytest.raises(PassphraseError, match="neither yes nor no"):
        mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_KEYCHAIN": "maybe"})


def test_a_missing_keychain_entry_is_fatal(monkeypatch):
    fake_keyring.install(monkeypatch, fake_keyring.Backend())
    environ = {"IRONMESH_PASSPHRASE_KEYCHAIN": "1", "IRONMESH_PASSPHRASE": "x" * 12}
    with pytest.raises(PassphraseError, match="keychain-store --name alice"):
        mesh_passphrase("alice", None, environ)


def test_a_missing_extra_is_told_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(PassphraseError, match="extra `keychain`"):
        mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_KEYCHAIN": "1"})


@pytest.mark.parametrize(
    "module",
    [
        "keyring.backends.null",
        "keyring.backends.fail",
        "keyrings.alt.file",
        "sitepackage.custom",
    ],
)
def test_a_keychain_that_does_not_protect_is_refused(monkeypatch, module):
    fake_keyring.install(monkeypatch, fake_keyring.Backend(module))
    with pytest.raises(PassphraseError, match="no keychain"):
        mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_KEYCHAIN": "1"})


def test_of_several_keychains_only_a_safe_one_is_used(monkeypatch):
    safe, plain = fake_keyring.Backend(), fake_keyring.Backend("keyrings.alt.file")
    plain.entries["ironmesh", "alice"] = "from the plain file"
    safe.entries["ironmesh", "alice"] = "from the safe one"
    fake_keyring.install(monkeypatch, fake_keyring.Chain(plain, safe))
    found = mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_KEYCHAIN": "true"})
    assert found.passphrase == Secret("from the safe one")


def test_what_a_keychain_says_is_not_repeated(monkeypatch):
    fake_keyring.install(monkeypatch, fake_keyring.Backend()).is_locked = True
    with pytest.raises(PassphraseError, match="KeyringError") as caught:
        mesh_passphrase("alice", None, {"IRONMESH_PASSPHRASE_KEYCHAIN": "1"})
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


def test_other_passphrases_are_optional_and_may_be_short(tmp_path):
    assert other_passphrase(None, {}, "X") is None
    assert other_passphrase(None, {"X": "short"}, "X").passphrase == Secret("short")
    file = secret_file(tmp_path / "file")
    assert other_passphrase(file, {"X": "short"}, "X").passphrase == Secret("from the first file")


def test_a_new_passphrase_is_asked_for_twice(terminal):
    terminal += ["long enough to be one"] * 2
    assert prompt_new("Mesh passphrase") == Secret("long enough to be one")
    terminal += ["long enough to be one", "another that is long"]
    with pytest.raises(PassphraseError, match="differ"):
        prompt_new("Mesh passphrase")
    terminal += ["short", "short"]
    with pytest.raises(PassphraseError, match="12 characters"):
        prompt_new("Mesh passphrase")


def test_a_new_passphrase_needs_a_terminal():
    with pytest.raises(PassphraseError, match="no terminal"):
        prompt_new("Mesh passphrase")
