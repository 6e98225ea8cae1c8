"""`doctor` on files and folders that are damaged one by one."""

import json
import os
import socket
import sqlite3

import pytest
from tests.support.fake_operator import ServedOperator

from ironmesh.audit.events import AuditEvent
from ironmesh.audit.log import AuditLog
from ironmesh.config import MINIMAL_KDF, NodeConfig
from ironmesh.node.clock import SystemClock
from ironmesh.store import keyfiles
from ironmesh.store.database.schema import migrate
from ironmesh.store.node_lock import NodeLock
from ironmesh.trust.store import TrustStore
from ironmesh.types import Secret

PASSPHRASE = "correct horse battery staple lamp"
STRANGER = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture
def home(tmp_path):
    """A home with a node that ran once: keys, a pin, an audit log, a message store."""
    folder = tmp_path / "mesh"
    config = NodeConfig(name="alice", passphrase=Secret(PASSPHRASE), home=folder, kdf=MINIMAL_KDF)
    keys = keyfiles.load_or_create(config, os.urandom).keys
    private(folder / "passphrase", PASSPHRASE)
    private(folder / "config.toml", 'name = "alice"')
    private(config.node_dir / "config.toml", "port = 0")
    now = SystemClock().now()
    trust = TrustStore(config.trust_file, keys.data_key, keys.identity.seed)
    trust.pin(STRANGER, "bob", now)
    audit = AuditLog(config.audit_file, keys.data_key)
    for _ in range(3):
        audit.log(AuditEvent.NODE_STARTED, now)
    audit.close(now)
    config.store_dir.mkdir(mode=0o700)
    database = sqlite3.connect(config.store_dir / "messages.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    migrate(database)
    database.close()
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return folder


@pytest.fixture
def examine(ironmesh, home):
    """Run the doctor; return its exit code and its findings by check."""

    def call(*arguments):
        result = ironmesh("doctor", "--home", home, "--json", *arguments)
        assert result.err == ""
        found = json.loads(result.out)
        assert found["ok"] is (result.code == 0)
        return result.code, found["findings"]

    return call


def of(findings, check):
    return [finding for finding in findings if finding["check"] == check]


def test_a_node_that_is_well_is_told_so(examine, home):
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    code, findings = examine()
    assert code == 0
    assert {finding["level"] for finding in findings} <= {"ok", "warn"}
    assert [of(findings, check)[0]["level"] for check in ("keys", "pins", "audit", "store")] == [
        "ok"
    ] * 4
    after = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert {path for path in before if before[path] != after[path]} == set()
    assert {path.name for path in set(after) - set(before)} <= {"node.lock", "audit.log.lock"}


def damage(name, change):
    def work(home):
        path = home / name
        path.write_bytes(change(path.read_bytes()))

    return work


def middle(data):
    """Change a digit or letter in the middle."""
    at = len(data) // 2
    while not chr(data[at]).isalnum():
        at += 1
    return data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "check", "fix"),
    [
        (damage("nodes/alice/keys.json", lambda _: b""), "keys", "backup"),
        (damage("nodes/alice/keys.json", lambda data: data[:-20]), "keys", "backup"),
        (damage("nodes/alice/keys.json", middle), "keys", ""),
        (damage("nodes/alice/known_peers.json", lambda _: b"{}"), "pins", ""),
        (damage("nodes/alice/known_peers.json", middle), "pins", ""),
        (damage("nodes/alice/audit.log", middle), "audit", "cp -p"),
        (damage("nodes/alice/audit.log", lambda data: data[:-40]), "audit", "cp -p"),
        (damage("nodes/alice/audit.log.head", lambda _: b""), "audit", "cp -p"),
        (damage("nodes/alice/store/messages.db", lambda _: b"x" * 5000), "store", "copy"),
        (damage("nodes/alice/store/messages.db", lambda _: b""), "store", ""),
        (damage("config.toml", lambda _: b"prot = 1"), "config", "did you mean port?"),
        (damage("nodes/alice/config.toml", lambda _: b"port = x"), "config", "write lines"),
        (damage("passphrase", lambda _: b"short"), "passphrase", "longer"),
        (damage("passphrase", lambda _: b""), "passphrase", "write the passphrase"),
        (damage("passphrase", lambda _: b"not the one it was"), "keys", ""),
        (lambda home: home.chmod(0o755), "home", "chmod 700"),
        (lambda home: (home / "passphrase").chmod(0o644), "modes", "chmod 600"),
        (lambda home: (home / "nodes" / "alice").chmod(0o750), "modes", "chmod 700"),
        (lambda home: (home / "config.toml").chmod(0o622), "config", "chmod 600"),
    ],
)
def test_each_damage_is_found_with_what_to_do(examine, home, spoil, check, fix):
    spoil(home)
    code, findings = examine("--name", "alice")
    assert code == 1
    [found] = [each for each in of(findings, check) if each["level"] == "fail"]
    assert found["fix"]
    assert fix in found["fix"] or fix == ""


def test_many_open_files_are_summed_up(examine, home):
    for number in range(40):
        (home / "nodes" / "alice" / f"file{number}").touch(mode=0o644)
        (home / "nodes" / "alice" / f"file{number}").chmod(0o644)
    _, findings = examine()
    assert len(of(findings, "modes")) == 21
    assert of(findings, "modes")[-1]["fix"].startswith("chmod -R")


def test_a_configuration_that_others_can_read_is_a_warning(examine, home):
    (home / "config.toml").chmod(0o644)
    code, findings = examine()
    assert code == 0
    assert [found["level"] for found in of(findings, "modes")] == ["warn"]


def test_without_a_passphrase_what_is_sealed_is_skipped(examine, home):
    (home / "passphrase").unlink()
    code, findings = examine()
    assert code == 0
    assert of(findings, "passphrase")[0]["fix"] == "ironmesh setup --name alice"
    assert {of(findings, check)[0]["level"] for check in ("keys", "pins", "audit")} == {"skip"}


def test_a_passphrase_that_others_can_read_or_guess_is_a_warning(examine, home, monkeypatch):
    monkeypatch.setenv("IRONMESH_PASSPHRASE", "password12345")
    _, findings = examine()
    assert [found["level"] for found in of(findings, "passphrase")] == ["warn", "warn"]


def test_a_missing_file_of_a_passphrase_is_found(examine, home):
    code, findings = examine("--passphrase-file", home / "nowhere")
    assert code == 1
    assert "there is no passphrase file" in of(findings, "passphrase")[0]["text"]


def test_a_port_that_somebody_else_has_is_found_with_a_free_one(examine, home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, findings = examine("--port", port, "--bind", "127.0.0.1")
    assert code == 1
    [found] = of(findings, "port")
    assert found["fix"].startswith("ironmesh run --name alice --port ")
    assert of(examine("--port", port, "--bind", "127.0.0.1")[1], "port")[0]["level"] == "ok"


def test_an_address_that_this_machine_does_not_have_is_found(examine, home):
    code, findings = examine("--port", "9999", "--bind", "203.0.113.1")
    assert code == 1
    assert "--bind" in of(findings, "port")[0]["fix"]


def test_the_port_of_a_running_node_is_ours(examine, home):
    with ServedOperator(home):
        code, findings = examine()
    assert code == 0
    assert "process 1" in of(findings, "running")[0]["text"]
    assert "ours" in of(findings, "port")[0]["text"]


def test_a_node_that_hangs_is_found(examine, home):
    with NodeLock.acquire(home / "nodes" / "alice"):
        code, findings = examine()
    assert code == 1
    assert "does not answer" in of(findings, "running")[0]["text"]


def test_settings_that_do_not_go_together_are_found(examine, home):
    private(home / "config.toml", 'tls_cert = "cert.pem"')
    code, findings = examine()
    assert code == 1
    assert "certificate" in of(findings, "settings")[0]["text"]


def test_every_node_is_looked_at_unless_one_is_named(examine, home):
    (home / "nodes" / "zoe").mkdir(mode=0o700)
    _, findings = examine()
    assert {finding.get("node") for finding in findings} == {"", "alice", "zoe"}
    _, findings = examine("--name", "zoe")
    assert {finding.get("node") for finding in findings} == {"", "zoe"}


def test_without_any_node_it_says_how_to_make_one(ironmesh, tmp_path):
    result = ironmesh("doctor", "--home", tmp_path / "nowhere")
    assert result.code == 0
    assert "-> ironmesh setup" in result.out
    assert not (tmp_path / "nowhere").exists()


def test_a_published_configuration_is_pointed_out(examine, home):
    (home / "config.toml").unlink()
    private(home / "config.json", "{}")
    _, findings = examine()
    assert "ironmesh config import" in [found["fix"] for found in of(findings, "config")]


def test_nothing_secret_is_shown(ironmesh, home, monkeypatch):
    monkeypatch.setenv("IRONMESH_LEGACY_PASSPHRASE", "hunter2 hunter2")
    result = ironmesh("doctor", "--home", home)
    assert PASSPHRASE not in result.out + result.err
    assert "hunter2" not in result.out + result.err


def test_it_reads_as_a_list_with_what_to_do_below(ironmesh, home):
    (home / "passphrase").chmod(0o644)
    result = ironmesh("doctor", "--home", home)
    assert result.code == 1
    lines = result.out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAIL modes"))
    assert lines[at + 1].strip() == f"-> chmod 600 {home}/passphrase"
    assert lines[-1].startswith("1 wrong, ")


def test_the_0_8_wire_is_told_of_where_somebody_chose_it(examine, monkeypatch):
    assert of(examine()[1], "wires") == []
    monkeypatch.setenv("IRONMESH_LEGACY", "named")
    monkeypatch.setenv("IRONMESH_LEGACY_NAMES", "old-printer")
    [finding] = of(examine()[1], "wires")
    assert finding["level"] == "warn"
    assert "old-printer" in finding["text"]
    monkeypatch.setenv("IRONMESH_LEGACY", "off")
    assert of(examine()[1], "wires") == []
