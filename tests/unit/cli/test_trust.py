import base64
import json

import pytest
from tests.support.fake_operator import BOB

from ironmesh.config import MINIMAL_KDF
from ironmesh.crypto.identity import Identity
from ironmesh.trust.fingerprint import words_of

PASSPHRASE = "correct horse battery staple"
CAROL = Identity.from_seed(b"c" * 32)
CAROL_KEY = base64.b64encode(CAROL.public).decode()


@pytest.fixture
def stopped(ironmesh, tmp_path, monkeypatch):
    """The home of a node, `dave`, that does not run."""
    monkeypatch.setattr("ironmesh.cli.keys.MODERATE_KDF", MINIMAL_KDF)
    monkeypatch.setenv("IRONMESH_PASSPHRASE", PASSPHRASE)
    assert ironmesh("keys", "generate", "--name", "dave", "--home", tmp_path).code == 0
    return tmp_path


# --- Through the running node ---


def test_the_list_has_whole_ids_and_fits_80_columns(ironmesh, alice, tmp_path):
    from msgspec.structs import replace

    pin = alice.operator.pins["bob"]
    alice.operator.pins["long"] = replace(
        pin, name="n" * 60, state="pending-cap-change", capabilities=("llm:x", "tool:y")
    )
    for arguments in ([], ["--show-caps"]):
        result = ironmesh("trust", "list", "--home", tmp_path, *arguments)
        assert result.code == 0
        assert result.out.count(BOB) == 2
        assert "pending-cap-change" in result.out
        assert max(map(len, result.out.splitlines())) <= (80 if not arguments else 84)
    assert "llm:" in result.out


def test_the_list_as_json(ironmesh, alice, tmp_path):
    [pin] = json.loads(ironmesh("trust", "list", "--json", "--home", tmp_path).out)
    assert (pin["node_id"], pin["state"]) == (BOB, "trusted")


@pytest.mark.parametrize("who", ["bob", BOB])
def test_show_tells_all_of_one_peer(ironmesh, alice, tmp_path, who):
    result = ironmesh("trust", "show", who, "--home", tmp_path)
    assert BOB in result.out
    assert "Verified:     no (ironmesh trust verify 8f3c2a1b)" in result.out
    assert f"Words:        {words_of(BOB)}" in result.out
    assert "Wire:         native" in result.out
    assert json.loads(ironmesh("trust", "show", who, "--json", "--home", tmp_path).out)


def test_pin_revoke_and_forget_reach_the_node(ironmesh, alice, tmp_path):
    home = ("--home", tmp_path)
    assert ironmesh("trust", "pin", "carol", CAROL_KEY, *home).out.startswith("pinned carol")
    assert alice.operator.pins["carol"].is_verified
    ironmesh("trust", "pin", "carol", CAROL_KEY, "--unverified", *home)
    assert not alice.operator.pins["carol"].is_verified
    revoked = ironmesh("trust", "revoke", "bob", "--reason", "lost", *home)
    assert revoked.out == "revoked bob (8f3c2a1b...)\n"
    assert alice.operator.pins["bob"].reason == "lost"
    assert "Reason:       lost" in ironmesh("trust", "show", "bob", *home).out
    assert ironmesh("trust", "forget", "bob", *home).code == 0
    assert ironmesh("trust", "forget", "bob", *home).code == 1


@pytest.mark.parametrize("fingerprint", [words_of(BOB).split(), [words_of(BOB)], [BOB.upper()]])
def test_a_fingerprint_is_compared_without_a_terminal(ironmesh, alice, tmp_path, fingerprint):
    result = ironmesh("trust", "verify", "bob", *fingerprint, "--home", tmp_path)
    assert result.out == "verified bob (8f3c2a1b...)\n"
    assert alice.operator.pins["bob"].is_verified
    shown = ironmesh("trust", "list", "--home", tmp_path).out
    assert shown.splitlines()[-1] == "* the fingerprint is verified"


def test_the_wrong_fingerprint_verifies_nothing(ironmesh, alice, tmp_path):
    for wrong in (words_of(CAROL.node_id), "ocean ocean", CAROL.node_id):
        result = ironmesh("trust", "verify", "bob", wrong, "--home", tmp_path)
        assert (result.code, result.out) == (1, "")
    assert not alice.operator.pins["bob"].is_verified


@pytest.mark.parametrize("is_same", [True, False])
def test_a_person_compares_both_fingerprints(ironmesh, alice, tmp_path, monkeypatch, is_same):
    shown = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.echo", lambda text, **_: shown.append(text))
    monkeypatch.setattr("click.confirm", lambda question, **_: is_same)
    code = ironmesh("trust", "verify", "bob", "--home", tmp_path).code
    own = alice.operator.state().node_id
    assert words_of(BOB) in shown[0]
    assert words_of(own) in shown[1]
    assert (code == 0) == is_same == alice.operator.pins["bob"].is_verified


def test_without_a_terminal_there_is_nobody_to_compare(ironmesh, alice, tmp_path):
    result = ironmesh("trust", "verify", "bob", "--home", tmp_path)
    assert result.code == 1
    assert "trust verify 8f3c2a1b WORD WORD" in result.err


def test_somebody_unknown_is_one_line(ironmesh, alice, tmp_path):
    result = ironmesh("trust", "show", "nobody", "--home", tmp_path)
    assert (result.code, len(result.err.splitlines())) == (1, 1)


# --- On the files of a node that does not run ---


def test_without_a_running_node_the_file_is_used(ironmesh, stopped):
    home = ("--home", stopped)
    assert ironmesh("trust", "list", *home).out == "nobody is pinned yet\n"
    assert ironmesh("trust", "pin", "carol", CAROL_KEY, *home).code == 0
    [pin] = json.loads(ironmesh("trust", "list", "--json", *home).out)
    assert (pin["name"], pin["node_id"], pin["is_verified"]) == ("carol", CAROL.node_id, True)
    assert f"{CAROL.node_id}  carol  trusted*" in ironmesh("trust", "list", *home).out
    verified = ironmesh("trust", "verify", "carol", words_of(CAROL.node_id), *home)
    assert verified.out.startswith("verified carol")
    assert ironmesh("trust", "revoke", "carol", *home).out.startswith("revoked carol")
    assert "revoked" in ironmesh("trust", "show", CAROL.node_id, *home).out
    assert ironmesh("trust", "forget", "carol", *home).code == 1


@pytest.mark.parametrize("key", ["!!!", "AAAA"])
def test_what_is_no_key_is_not_pinned(ironmesh, stopped, key):
    result = ironmesh("trust", "pin", "carol", key, "--home", stopped)
    assert (result.code, result.out) == (1, "")
    assert "error: " in result.err


def test_the_wrong_passphrase_opens_nothing(ironmesh, stopped, monkeypatch):
    monkeypatch.setenv("IRONMESH_PASSPHRASE", "another passphrase")
    result = ironmesh("trust", "list", "--json", "--home", stopped)
    assert result.code == 1
    assert json.loads(result.out)["error"]["code"] == "wrong_passphrase"


def test_a_node_that_does_not_exist_is_not_made(ironmesh, stopped):
    result = ironmesh("trust", "list", "--name", "erin", "--home", stopped)
    assert result.code == 1
    assert "no key file" in result.err
    assert not (stopped / "nodes" / "erin").exists()
