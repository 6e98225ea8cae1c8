"""The page on configuration: its table is the one of the code, its file is one that works."""

from __future__ import annotations

from pathlib import Path

from scripts.docs_examples import SETTINGS, settings_table
from tests.support.readme import ROOT, block

from ironmesh.config import LegacyMode
from ironmesh.settings.node import Passphrases, node_config
from ironmesh.settings.resolve import resolve
from ironmesh.settings.sources import Found, Level, Origin
from ironmesh.settings.table import BUILT
from ironmesh.types import Secret

PAGE = ROOT / "docs" / "configuration.md"


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    [found] = SETTINGS.finditer(PAGE.read_text(encoding="utf-8"))
    assert found["body"] == settings_table(), "run `make docs`"
    for setting in BUILT:
        assert f"`{setting.variable_name}`" in found["body"]


def test_the_file_of_the_page_can_be_loaded(tmp_path: Path) -> None:
    node_dir = tmp_path / "nodes" / "alice"
    node_dir.mkdir(parents=True)
    (node_dir / "config.toml").write_text(block("example", PAGE).text)
    (node_dir / "config.toml").chmod(0o600)
    origin = Origin(Level.FLAG, "")
    flags = {"name": Found("alice", origin), "home": Found(tmp_path, origin)}
    settings = resolve(flags, {})
    config = node_config(settings, Passphrases(Secret("correct horse battery staple")))
    assert config.allowed_peers == {"bob", "pi-kitchen"}
    assert config.peers[0].host == "192.168.1.20"
    assert config.legacy is LegacyMode.NAMED
    assert settings["legacy_passphrase_file"] == node_dir / "legacy-passphrase"
    assert settings["log_level"] == "WARNING"
