import json

import click
import pytest

from ironmesh import cli
from ironmesh.cli import app
from ironmesh.cli.commands import COMMANDS
from ironmesh.errors import ControlError, KeyFileError


@pytest.fixture
def failing(monkeypatch):
    """Let `peers` raise what the test wants."""

    def arrange(error):
        @click.command("peers")
        @click.option("--json", "as_json", is_flag=True)
        def peers_command(*, as_json):
            raise error

        monkeypatch.setattr("ironmesh.cli.peers.peers_command", peers_command)

    return arrange


def test_without_arguments_the_commands_are_listed(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ironmesh"])
    assert cli.main() == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "--help"]])
def test_the_version_is_shown(monkeypatch, capsys, arguments):
    monkeypatch.setattr("sys.argv", ["ironmesh", *arguments])
    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("ironmesh ")


def test_help_lists_the_commands(ironmesh):
    result = ironmesh("--help")
    assert result.code == 0
    assert "send" in result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_shows_its_help_at_80_columns(ironmesh, name):
    result = ironmesh(name, "--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80


def test_every_command_has_json():
    with click.Context(app.cli) as ctx:
        leaves = list(_leaves(app.cli, ctx))
    assert len(leaves) > len(COMMANDS)
    for command in leaves:
        assert "--json" in {option for param in command.params for option in param.opts}


def _leaves(group, ctx):
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _leaves(command, ctx)
        else:
            yield command


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["peers", "--nonsense"],
        ["send", "bob"],
        ["send", "bob", "text", "more"],
        ["send", "bob", "text", "--priority", "extreme"],
        ["listen", "--count", "0"],
        ["run"],
        ["run", "--name", "a", "--port", "99999"],
        ["--nonsense"],
        ["trust"],
        ["trust", "nonsense"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(ironmesh, arguments):
    result = ironmesh(*arguments)
    assert result.code == 2
    assert result.out == ""
    if arguments != ["trust"]:
        assert result.err.startswith("error: ")
        assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--passphrase", "--keys-passphrase", "--legacy-passphrase"])
@pytest.mark.parametrize("form", ["{} hunter2hunter2", "{}=hunter2hunter2"])
def test_secrets_on_the_command_line_are_refused_and_not_repeated(ironmesh, option, form):
    result = ironmesh("run", "--name", "a", *form.format(option).split())
    assert result.code == 2
    assert f"use {option}-file FILE" in result.err
    assert "hunter2" not in result.err


def test_options_without_a_command_mean_run(ironmesh):
    result = ironmesh("--name", "a", "--gui")
    assert result.code == 1
    assert "--gui is not in this version" in result.err


def test_an_error_is_one_line_with_its_fix(ironmesh, failing):
    failing(KeyFileError("the key file\nis damaged", "restore it"))
    result = ironmesh("peers")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: the key file is damaged: restore it\n"


def test_an_error_is_an_object_with_json(ironmesh, failing):
    failing(ControlError("no peer is named 'x'", "known: bob", remote_code="unknown_peer"))
    result = ironmesh("peers", "--json")
    assert (result.code, result.err) == (1, "")
    assert json.loads(result.out) == {
        "error": {"code": "unknown_peer", "message": "no peer is named 'x'", "fix": "known: bob"}
    }


def test_wrong_usage_is_an_object_with_json(ironmesh):
    result = ironmesh("peers", "--nonsense", "--json")
    assert result.code == 2
    assert json.loads(result.out)["error"]["code"] == "usage"


def test_json_after_two_dashes_is_text(ironmesh, tmp_path):
    result = ironmesh("send", "--home", tmp_path, "bob", "--", "--json")
    assert result.code == 1
    assert result.err.startswith("error: ")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_exit_130(ironmesh, failing, error):
    failing(error)
    result = ironmesh("peers")
    assert (result.code, result.out) == (130, "")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/x"), "error: /x: Permission denied\n"),
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (OSError("odd"), "error: odd\n"),
    ],
)
def test_an_error_of_the_system_is_one_line(ironmesh, failing, error, line):
    failing(error)
    result = ironmesh("peers")
    assert (result.code, result.err) == (1, line)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(ironmesh, shell):
    result = ironmesh("completion", shell)
    assert result.code == 0
    assert "_IRONMESH_COMPLETE" in result.out
    script = json.loads(ironmesh("completion", shell, "--json").out)["script"]
    assert script.strip() == result.out.strip()
