from pathlib import Path

import pytest

from ironmesh.control.paths import MAX_SOCKET_PATH_BYTES, socket_path
from ironmesh.errors import ConfigError


def test_the_socket_lies_in_the_nodes_folder():
    assert socket_path(Path("/srv/u/.ironmesh/nodes/a")) == Path(
        "/srv/u/.ironmesh/nodes/a/control.sock"
    )


def test_a_relative_folder_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    assert socket_path(Path("nodes/a")) == Path("/nodes/a/control.sock")


def test_a_path_that_is_too_long_goes_to_the_runtime_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    long = [Path("/x" * 60) / name for name in "ab"]
    paths = [socket_path(node_dir) for node_dir in long]
    assert paths[0].parent == Path("/run/user/7/ironmesh")
    assert paths[0] != paths[1]
    assert paths[0] == socket_path(long[0])
    assert len(str(paths[0])) <= MAX_SOCKET_PATH_BYTES


@pytest.mark.parametrize("runtime", ["", "relative", "/r" * 60])
def test_without_a_usable_runtime_folder_it_goes_to_the_temporary_one(monkeypatch, runtime):
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    path = socket_path(Path("/x" * 60))
    assert path.parent.parent == Path("/tmp")
    assert path.parent.name.startswith("ironmesh-")


def test_where_every_path_is_too_long_the_error_says_what_to_set(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/r" * 60)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/t" * 60)
    with pytest.raises(ConfigError, match="XDG_RUNTIME_DIR"):
        socket_path(Path("/x" * 60))


def test_the_limit_counts_bytes_not_characters(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert socket_path(Path("/" + "é" * 45)).parent == Path("/run/user/7/ironmesh")
