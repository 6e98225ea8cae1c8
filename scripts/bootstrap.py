"""Make a virtual environment from hash-pinned locks, with nothing but a bare Python.

    python3 scripts/bootstrap.py .venv requirements-build.lock requirements.lock --project

Runs before anything is installed and on whatever Python there is, so its syntax is old
enough for any Python 3 to say plainly what is missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

MIN_PYTHON = (3, 11)
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def require_python() -> None:
    """Stop with the fix if this Python is too old."""
    if sys.version_info < MIN_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"error: Python 3.11 or newer is needed, {sys.executable} is {found}: install "
            "python3.11 and python3.11-venv, or run make PYTHON=/path/to/python3.11"
        )


def has_ensurepip() -> bool:
    """Tell whether `venv` can put pip into an environment (Debian ships that part on its own)."""
    probe = subprocess.run(
        [sys.executable, "-c", "import ensurepip, venv"], stderr=subprocess.DEVNULL, check=False
    )
    return probe.returncode == 0


def require_venv() -> None:
    """Install Debian's venv package if it is missing and we may; stop with the fix if not."""
    if has_ensurepip():
        return
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    is_root = getattr(os, "geteuid", lambda: 1)() == 0
    if is_root and shutil.which("apt-get"):
        print("installing " + package, flush=True)
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "-qq", "update"], env=quiet, check=False)
        subprocess.run(
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", package],
            env=quiet,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    if not has_ensurepip():
        sys.exit(
            f"error: this Python cannot make virtual environments: install {package} "
            f"(Debian: sudo apt-get install {package})"
        )


def venv_python(folder: Path) -> Path:
    """Return the path of the environment's interpreter."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(*argv: str) -> None:
    """Run a step; end with its exit code when it fails."""
    code = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        sys.exit(code)


def main() -> None:
    """Create the environment unless it is there, then install the locks and the project."""
    parser = argparse.ArgumentParser(description="make a virtual environment from locks")
    parser.add_argument("folder", type=Path)
    parser.add_argument("locks", nargs="*")
    parser.add_argument("--clear", action="store_true", help="start from an empty environment")
    parser.add_argument("--project", action="store_true", help="install this checkout, editable")
    args = parser.parse_args()
    require_python()
    python = str(venv_python(args.folder))
    if args.clear or not Path(python).exists():
        require_venv()
        print(f"creating {args.folder}", flush=True)
        run(sys.executable, "-m", "venv", "--clear", str(args.folder))
    for lock in args.locks:
        print(f"installing {lock}", flush=True)
        run(python, *PIP, "install", "--require-hashes", "--no-deps", "-r", lock)
    if args.project:
        print("installing this checkout", flush=True)
        run(python, *PIP, "install", "--no-build-isolation", "--no-deps", "-e", ".")


if __name__ == "__main__":
    main()
