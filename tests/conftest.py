"""What all tests share: in CI a skipped test is a failed run, and every test has its own HOME."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.support import netns

settings.register_profile("ironmesh", deadline=None)
settings.load_profile("ironmesh")
# Whoever starts the tests in the background may ignore it, and what they start would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture(autouse=True)
def private_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME to an empty folder, so that no test reads or leaves anything of the user's."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in [name for name in os.environ if name.startswith("IRONMESH_PASSPHRASE")]:
        monkeypatch.delenv(name)
    return home


@pytest.fixture(scope="session")
def namespaces_work() -> None:
    """Skip, with the reason, where network namespaces cannot be made."""
    if reason := netns.why_not():
        pytest.skip(reason)


@pytest.fixture
def two_hosts(namespaces_work: None) -> Iterator[tuple[netns.Host, netns.Host]]:
    """Two hosts with a cable between them."""
    with netns.cabled_hosts() as hosts:
        yield hosts


@pytest.fixture
def five_hosts(namespaces_work: None) -> Iterator[list[netns.Host]]:
    """Five hosts in a line, each of which sees its neighbours only."""
    with netns.hosts_in_line(5) as hosts:
        yield hosts


@pytest.fixture
def one_host(namespaces_work: None) -> Iterator[netns.Host]:
    """A host with nothing but a loopback, so that its mDNS is its own."""
    with netns.namespace() as name:
        yield netns.Host(name)


def _skipped(config: pytest.Config) -> list[pytest.TestReport]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return list(reporter.stats.get("skipped", [])) if reporter else []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail a run in which a test was skipped."""
    is_worker = hasattr(session.config, "workerinput")
    if CI and not is_worker and session.exitstatus == 0 and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which skips failed the run."""
    if CI and (skipped := _skipped(config)):
        terminalreporter.section("skipped in CI, where every test must run", red=True)
        for report in skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            terminalreporter.line(f"{report.nodeid}: {reason}")
