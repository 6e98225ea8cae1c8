import io
import threading
from types import SimpleNamespace

import pytest

from ironmesh.cli import progress
from ironmesh.cli.progress import working


class Terminal(io.StringIO):
    def __init__(self):
        super().__init__()
        self.is_written = threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        super().write(text)
        self.is_written.set()


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=terminal))
    return terminal


def test_what_is_quick_shows_nothing(terminal):
    with working("opening the key file"):
        pass
    assert terminal.getvalue() == ""


def test_what_takes_long_shows_itself_and_leaves_an_empty_line(terminal):
    with working("opening the key file", patience_s=0):
        assert terminal.is_written.wait(10)
    assert "opening the key file ..." in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_without_a_terminal_nothing_is_shown(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream))
    with working("opening the key file", patience_s=0):
        pass
    assert stream.getvalue() == ""


def test_an_error_passes_through(terminal):
    with pytest.raises(ValueError), working("x", patience_s=0):
        raise ValueError
