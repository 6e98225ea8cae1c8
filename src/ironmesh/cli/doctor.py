"""`ironmesh doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

import click

from ironmesh.cli import passphrase as sources
from ironmesh.cli.nodes import node_names
from ironmesh.cli.options import json_option
from ironmesh.cli.output import clean, level_word, print_json
from ironmesh.cli.passphrase import Sources, first_source, other_passphrase
from ironmesh.cli.progress import working
from ironmesh.cli.setting_flags import asked_name, setting_flags, settings_of
from ironmesh.cli.setup_answers import SETUP_VARIABLE
from ironmesh.control.health import Level
from ironmesh.doctor.finding import Finding
from ironmesh.doctor.identity import KnownPassphrase
from ironmesh.errors import ConfigError, PassphraseError
from ironmesh.settings.resolve import Settings
from ironmesh.settings.sources import default_home
from ironmesh.settings.table import BY_NAME
from ironmesh.types import Secret

EXIT_UNWELL: Final = 1

_KNOWN_VARIABLES: Final = frozenset(
    {
        sources.VARIABLE,
        sources.KEYCHAIN_VARIABLE,
        sources.KEYS_VARIABLE,
        sources.LEGACY_VARIABLE,
        sources.PREVIOUS_VARIABLE,
        SETUP_VARIABLE,
        "IRONMESH_PASSPHRASE_NEW",
        "IRONMESH_FROM",
        "IRONMESH_FROM_NAME",
        "IRONMESH_MESSAGE_ID",
        "IRONMESH_MESSAGE_TYPE",
    }
)


@click.command("doctor")
@setting_flags(
    "name",
    "home",
    "port",
    "bind",
    "passphrase_file",
    "keys_path",
    "keys_passphrase_file",
    "trust_path",
    "audit_path",
)
@json_option
def doctor_command(*, as_json: bool, **flags: Any) -> int:
    """Look for what is wrong with this machine and its nodes, and say how to mend it.

    Works with the nodes down, changes nothing, and asks nobody. Ends with exit code 1 if something
    is wrong; warnings do not count.
    """
    findings = []
    for finding in _examined(flags):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    failures = sum(finding.level is Level.FAIL for finding in findings)
    warnings = sum(finding.level is Level.WARN for finding in findings)
    if as_json:
        print_json({"ok": not failures, "findings": findings})
    else:
        click.echo(f"\n{failures} wrong, {warnings} to think about, {len(findings)} looked at")
    return EXIT_UNWELL if failures else 0


def _examined(flags: dict[str, Any]) -> Iterator[Finding]:
    from ironmesh.doctor.checkup import Patient, examine

    home = flags["home"] or _environment_home()
    patient = Patient(
        home,
        _names(flags, home),
        os.environ,
        _KNOWN_VARIABLES,
        lambda name: settings_of({**flags, "name": name, "home": home}),
        _known_passphrase,
        _keys_passphrase,
    )
    findings = examine(patient)
    while True:
        with working("looking"):
            finding = next(findings, None)
        if finding is None:
            return
        yield finding


def _environment_home() -> Any:
    text = os.environ.get("IRONMESH_HOME")
    return BY_NAME["home"].kind.from_text(text) if text else default_home()


def _names(flags: dict[str, Any], home: Any) -> tuple[str, ...]:
    """Return the node that is named, else every one that has files."""
    try:
        settings = settings_of({"name": flags["name"], "home": home})
    except ConfigError:
        # A file that cannot be read is a finding.
        return (flags["name"],) if flags["name"] else tuple(node_names(home))
    name = asked_name(settings)
    if name is not None:
        return (name,)
    return tuple(node_names(home))


def _known_passphrase(settings: Settings) -> KnownPassphrase:
    where = ""
    try:
        source = first_source(Sources.of(settings), os.environ)
        if source is None:
            return KnownPassphrase()
        where = source.where
        found = source.load()
    except PassphraseError as error:
        return KnownPassphrase(where, None, error.what, error.fix)
    return KnownPassphrase(where, found.passphrase, warnings=found.warnings)


def _keys_passphrase(settings: Settings) -> Secret | None:
    found = other_passphrase(settings["keys_passphrase_file"], os.environ, sources.KEYS_VARIABLE)
    return None if found is None else found.passphrase


def _tell(finding: Finding) -> None:
    node = f"{finding.node}: " if finding.node else ""
    click.echo(f"{level_word(finding.level)} {finding.check:<11} {clean(node + finding.text)}")
    if finding.fix and finding.level in {Level.WARN, Level.FAIL}:
        click.echo(f"     {'':<11} -> {clean(finding.fix)}")
