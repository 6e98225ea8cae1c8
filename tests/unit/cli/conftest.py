import os

import pytest
from tests.support.fake_operator import ServedOperator

from ironmesh.cli.app import run


class Result:
    """What a command did."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path_factory):
    for name in list(os.environ):
        if name.startswith("IRONMESH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture
def ironmesh(capfd):
    """Run a command line in this process."""

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def alice(tmp_path):
    """A running node, as far as the command line can tell."""
    with ServedOperator(tmp_path) as served:
        yield served
