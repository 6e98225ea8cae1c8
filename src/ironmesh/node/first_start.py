"""Work of a first start that would stay in memory for good, done in a process of its own.

Making a certificate and rating a passphrase load code and word lists of some 20 MB that a running
node never needs again. `python -m ironmesh.node.first_start` takes one `Wanted` as JSON on standard
input (a pipe that only parent and child hold) and prints one `Made`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from ironmesh.types import Secret

LIMIT_S: Final = 30.0


class Wanted(msgspec.Struct, frozen=True):
    """What a start lacks."""

    needs_certificate: bool = False
    passphrase: bytes | None = None
    """To be rated; None = its rating is known."""

    def __bool__(self) -> bool:
        return self.needs_certificate or self.passphrase is not None


class Made(msgspec.Struct, frozen=True):
    """What was made for it."""

    certificate_pem: bytes | None = None
    key_pem: bytes | None = None
    strength_bits: float | None = None


Maker = Callable[[Wanted], Made]


def make_here(wanted: Wanted) -> Made:
    """Make it in this process."""
    from ironmesh.crypto.passphrase import estimate_bits
    from ironmesh.transport.tls import make_self_signed

    certificate, key = make_self_signed() if wanted.needs_certificate else (None, None)
    passphrase = wanted.passphrase
    bits = estimate_bits(Secret(passphrase)) if passphrase is not None else None
    return Made(certificate, key, bits)


def make_apart(wanted: Wanted) -> Made:
    """Make it in a process of its own; where that cannot be started, in this one."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ironmesh.node.first_start"],
            input=msgspec.json.encode(wanted),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            check=True,
        )
        return msgspec.json.decode(done.stdout, type=Made)
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return make_here(wanted)


def main() -> None:
    """Serve one request on standard input and output."""
    wanted = msgspec.json.decode(sys.stdin.buffer.read(), type=Wanted)
    sys.stdout.buffer.write(msgspec.json.encode(make_here(wanted)))


if __name__ == "__main__":
    main()
