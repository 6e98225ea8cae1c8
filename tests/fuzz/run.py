"""Fuzz every target for a while, each in a process of its own.

    python -m tests.fuzz.run [--seconds N] [--only NAME]

An input that breaks a decoder is written to `tests/fuzz/corpus/TARGET/`: mend the decoder and keep
the file, and the unit tests hold it for ever.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.targets import CORPUS, TARGETS, corpus, seeds

LIMITS = ("-max_len=16384", "-timeout=5", "-rss_limit_mb=1024")


def fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target in another process; return whether it held."""
    broken = CORPUS / name
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate([*seeds(), *corpus(name)]):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        broken.mkdir(parents=True, exist_ok=True)
        finished = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.one", name, folder),
                *(f"-max_total_time={seconds}", *LIMITS, f"-artifact_prefix={broken}/"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    runs = [line for line in finished.stderr.splitlines() if line.startswith("Done ")]
    did = runs[-1] if runs else ""
    held = finished.returncode == 0
    print(f"{name:<22} {'held' if held else 'BROKEN':<7} {time.monotonic() - start:5.1f} s  {did}")
    if not held:
        print(finished.stdout[-2000:], finished.stderr[-4000:], sep="\n")
    if not any(broken.iterdir()):
        broken.rmdir()
    return held


def main() -> int:
    """Fuzz the wanted targets; return 1 if one broke."""
    parser = argparse.ArgumentParser(description="fuzz every decoder of foreign bytes")
    parser.add_argument("--seconds", type=int, default=5, help="for each target")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    args = parser.parse_args()
    held = [fuzz(name, args.seconds) for name in args.only or TARGETS]
    if CORPUS.exists() and not any(CORPUS.iterdir()):
        CORPUS.rmdir()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
