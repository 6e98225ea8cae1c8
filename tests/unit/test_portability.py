"""The package can be imported where there is no POSIX, and costs little to import."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tests.support.pace import assert_takes_less_than

MAX_IMPORT_S = 1.0

IMPORT_ALL_TWICE = """
import importlib, os, pkgutil, signal, socket, sys

def import_all():
    import ironmesh
    for module in pkgutil.walk_packages(ironmesh.__path__, "ironmesh."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

# The first time for what others ship, which has its own ways on every system.
import_all()
ours = [name for name in sys.modules if name.partition(".")[0] == "ironmesh"]
for name in ours:
    del sys.modules[name]
for name in ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
for module, names in (
    (os, ("fchmod", "fork", "geteuid", "getuid", "killpg", "O_DIRECTORY", "O_NOFOLLOW",
          "O_NONBLOCK", "O_CLOEXEC", "register_at_fork", "uname")),
    (signal, ("SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask", "set_wakeup_fd")),
    (socket, ("AF_UNIX", "SO_PEERCRED", "SO_REUSEPORT", "SCM_RIGHTS")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
import_all()
print(len([name for name in sys.modules if name.partition(".")[0] == "ironmesh"]), len(ours))
"""


def run(program: str) -> str:
    # Without the coverage hook that a measured environment starts in every process.
    environment = os.environ | {"COVERAGE_PROCESS_START": "", "COVERAGE_PROCESS_CONFIG": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_module_needs_posix_to_be_imported() -> None:
    again, ours = map(int, run(IMPORT_ALL_TWICE).split())
    assert again >= ours > 100


def test_the_package_is_imported_in_less_than_a_second() -> None:
    def once() -> float:
        start = time.monotonic()
        run("import ironmesh; ironmesh.Agent, ironmesh.BridgeDaemon")
        return time.monotonic() - start

    assert_takes_less_than(MAX_IMPORT_S, once)
