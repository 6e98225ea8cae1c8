"""A node's passphrase, and the files that it opens: keys, pins, audit log."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from ironmesh.audit.verify import verify_file
from ironmesh.config import LegacyMode, NodeConfig
from ironmesh.crypto.identity import Identity
from ironmesh.crypto.keyfile import OpenedKeys
from ironmesh.crypto.passphrase import WEAK_BITS, check_length, estimate_bits
from ironmesh.doctor.finding import Finding, fail, ok, skip, warn
from ironmesh.errors import AuditError, KeyFileError, PassphraseError, TrustFileError
from ironmesh.store import keyfiles
from ironmesh.trust.store import TrustStore
from ironmesh.types import Secret


@dataclass(frozen=True, slots=True)
class KnownPassphrase:
    """The mesh passphrase of a node, as far as it could be had without asking."""

    where: str = ""
    """Its source, for people; empty = there is none."""
    secret: Secret | None = None
    problem: str = ""
    """Why its source cannot be used."""
    fix: str = ""
    warnings: tuple[str, ...] = ()


def check_passphrase(name: str, known: KnownPassphrase) -> Iterator[Finding]:
    """Look where the passphrase comes from, and how good it is."""
    if known.problem:
        yield fail("passphrase", known.problem, known.fix)
        return
    if known.secret is None:
        yield warn(
            "passphrase",
            "no source: a start asks for it, and needs a terminal",
            f"ironmesh setup --name {shlex.quote(name)}",
        )
        return
    for text in known.warnings:
        said, _, fix = text.partition(": run ")
        yield warn("passphrase", said, fix or "use a file that only you can read")
    try:
        check_length(known.secret)
    except PassphraseError as error:
        yield fail("passphrase", f"{known.where}: {error.what}", error.fix)
        return
    bits = estimate_bits(known.secret)
    text = f"from {known.where}, about {bits:.0f} bits"
    if bits < WEAK_BITS:
        better = "choose five random words, on every machine of the mesh"
        yield warn("passphrase", f"{text}: easy to guess", better)
    else:
        yield ok("passphrase", text)


def check_wires(config: NodeConfig) -> Iterator[Finding]:
    """Tell of the published 0.8 wire, where an operator let it in."""
    if config.legacy is not LegacyMode.OFF:
        whom = ", ".join(sorted(config.legacy_names)) or "everybody"
        yield warn(
            "wires",
            f"the published 0.8 wire is on for {whom}: names show, and first contacts are not safe",
            "leave out --allow-legacy once no published node is left",
        )


def check_identity(config: NodeConfig, *, has_passphrase: bool) -> Iterator[Finding]:
    """Open the key file and what is sealed under it. Takes one Argon2id.

    Args:
        config: the node's files and passphrases.
        has_passphrase: what opens the key file is known; otherwise that of `config` is a stand-in.
    """
    finding, keys = _check_keys(config, has_passphrase=has_passphrase)
    yield finding
    if keys is None or keys.data_key is None:
        for check in ("pins", "audit"):
            yield skip(check, "not looked at: it is sealed under the keys")
        return
    yield check_pins(config, keys.data_key, keys.identity)
    yield check_audit(config, keys.data_key)


def _check_keys(config: NodeConfig, *, has_passphrase: bool) -> tuple[Finding, OpenedKeys | None]:
    path = config.keys_file
    try:
        stored = keyfiles.find(path)
        if stored is None:
            return skip("keys", "no key file yet: the first start makes it"), None
        if stored.is_encrypted and not has_passphrase:
            text = f"{path} is well-formed, but not opened: its passphrase is not known"
            return skip("keys", text), None
        keys = stored.open(config.keys_passphrase or config.passphrase)
    except KeyFileError as error:
        what = error.what if str(path) in error.what else f"{path}: {error.what}"
        return fail("keys", what, error.fix), None
    if keys.data_key is None:
        text = f"{path} is of the published package; the next start rewrites it"
        return warn("keys", text, f"ironmesh run --name {shlex.quote(config.name)}"), keys
    return ok("keys", f"{path} opens; node id {stored.node_id}"), keys


def check_pins(config: NodeConfig, data_key: Secret, identity: Identity) -> Finding:
    """Look whether the pin file is as we left it."""
    trust = TrustStore(config.trust_file, data_key, identity.seed)
    if not config.trust_file.exists():
        return skip("pins", "no pin file yet: the first contact makes it")
    try:
        trust.check()
        count = len(trust.list_pins())
    except TrustFileError as error:
        return fail("pins", error.what, error.fix)
    return ok("pins", f"{config.trust_file} is as we left it; {count} pinned")


def check_audit(config: NodeConfig, data_key: Secret) -> Finding:
    """Look whether the audit log is whole."""
    path = config.audit_file
    if not path.exists():
        return skip("audit", "no audit log yet: the first start makes it")
    try:
        report = verify_file(path, data_key)
    except AuditError as error:
        return fail("audit", error.what, error.fix)
    if not report.ok:
        keep = f"cp -p {shlex.quote(str(path))} somewhere safe, and find out who was there"
        return fail("audit", f"{path} was changed at record {report.first_bad}: {report.why}", keep)
    return ok("audit", f"{path} is whole; {report.count} records")
