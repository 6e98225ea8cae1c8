"""`outbox`, `history` and what `send --wait` makes of an end, against a served operator."""

import json
import time

import pytest
from msgspec.structs import replace
from tests.support.fake_operator import BOB, queued

from ironmesh.config import MINIMAL_KDF
from ironmesh.control.api import HistoryView
from ironmesh.types import MessagePriority

PASSPHRASE = "correct horse battery staple"
EVIL = "bo\x1b[2Jb"


@pytest.fixture
def waiting(alice):
    """Two messages that wait for bob."""
    found = [queued(b"one\x1b[2J\ntwo", number=1), queued(b"\xff" * 2048, number=2)]
    alice.operator.outbox = {one.id: one for one in found}
    return found


def past(**changes):
    entry = HistoryView(
        direction="sent",
        id=queued().id,
        node_id=BOB,
        name="bob",
        type="MSG",
        priority=MessagePriority.NORMAL,
        size_bytes=5,
        at=time.time() - 7200.0,
        state="delivered",
    )
    return replace(entry, **changes)


# --- send ---


def test_wait_says_that_it_was_delivered(ironmesh, alice, tmp_path):
    alice.operator.send_ends = ("delivered", "")
    result = ironmesh("send", "bob", "x", "--wait", "--timeout", "2m", "--home", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert result.out == "delivered 00000000-0000-0000-0000-000000000001 to bob (8f3c2a1b...)\n"
    assert alice.operator.send_options[0]["wait_s"] == 120.0


def test_wait_says_that_a_published_node_cannot_confirm(ironmesh, alice, tmp_path):
    result = ironmesh("send", "bob", "x", "--wait", "--home", tmp_path)
    assert result.code == 0
    assert result.out.startswith("sent ")
    assert "cannot confirm" in result.err


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("refused", "too\x1blarge", "refused (too\\x1blarge)"),
        ("expired", "", "was not delivered: expired"),
        ("queued", "", "is queued after 0.5 s and goes on"),
        ("held", "", "is held after 0.5 s and goes on"),
    ],
)
def test_wait_tells_any_other_end_in_one_line(ironmesh, alice, tmp_path, state, reason, told):
    alice.operator.send_ends = (state, reason)
    command = ["send", "bob", "x", "--wait", "--timeout", "0.5", "--home", tmp_path]
    result = ironmesh(*command)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert told in result.err
    result = ironmesh(*command, "--json")
    assert (result.code, json.loads(result.out)["state"]) == (1, state)


def test_without_wait_nobody_waits(ironmesh, alice, tmp_path):
    alice.operator.send_ends = ("queued", "")
    assert ironmesh("send", "bob", "x", "--ttl", "1h", "--home", tmp_path).code == 0
    assert ironmesh("send", "bob", "x", "--live", "--home", tmp_path).code == 0
    assert alice.operator.send_options == [
        {"ttl_s": 3600.0, "is_durable": True, "wait_s": None},
        {"ttl_s": 86400.0, "is_durable": False, "wait_s": None},
    ]


@pytest.mark.parametrize(
    "flags",
    [["--live", "--wait"], ["--live", "--ttl", "5"], ["--ttl", "soon"], ["--timeout", "-1"]],
)
def test_flags_that_make_no_sense_are_wrong_usage(ironmesh, alice, tmp_path, flags):
    assert ironmesh("send", "bob", "x", *flags, "--home", tmp_path).code == 2
    assert not alice.operator.sent


# --- outbox ---


def test_what_waits_is_listed_at_80_columns_with_whole_ids(ironmesh, alice, waiting, tmp_path):
    hostile = queued(name=EVIL * 12, number=3)
    alice.operator.outbox[hostile.id] = hostile
    result = ironmesh("outbox", "list", "--home", tmp_path)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    lines = result.out.splitlines()
    assert lines[0].split() == ["ID", "TO", "STATE", "SIZE", "AGE", "LEFT"]
    assert lines[1].split() == [waiting[0].id, "bob", "queued", "11B", "2m", "3h"]
    assert lines[2].split()[3] == "2.0K"


def test_the_list_can_be_of_one_peer_and_as_json(ironmesh, alice, waiting, tmp_path):
    listed = json.loads(ironmesh("outbox", "list", "bob", "--json", "--home", tmp_path).out)
    assert [one["id"] for one in listed] == [one.id for one in waiting]
    result = ironmesh("outbox", "list", "carol", "--home", tmp_path)
    assert (result.code, "no peer is named" in result.err) == (1, True)


def test_nothing_waits(ironmesh, alice, tmp_path):
    assert ironmesh("outbox", "list", "--home", tmp_path).out == "nothing waits\n"


def test_a_message_is_shown_with_its_text(ironmesh, alice, waiting, tmp_path):
    result = ironmesh("outbox", "show", waiting[0].id, "--home", tmp_path)
    assert f"To:       bob {BOB}" in result.out
    assert result.out.endswith("\none\\x1b[2J\ntwo\n")
    shown = json.loads(ironmesh("outbox", "show", waiting[0].id, "--json", "--home", tmp_path).out)
    assert shown["text"] == "one\x1b[2J\ntwo"
    assert "not text" in ironmesh("outbox", "show", waiting[1].id, "--home", tmp_path).out


def test_an_unknown_id_is_a_named_error(ironmesh, alice, waiting, tmp_path):
    result = ironmesh("outbox", "show", "ffff", "--json", "--home", tmp_path)
    assert (result.code, json.loads(result.out)["error"]["code"]) == (1, "unknown_message")


def test_messages_are_tried_again_and_cancelled(ironmesh, alice, waiting, tmp_path):
    ids = [one.id for one in waiting]
    result = ironmesh("outbox", "retry", *ids, "--home", tmp_path)
    assert result.out.splitlines()[0] == f"trying {ids[0]} to bob (8f3c2a1b...)"
    assert alice.operator.retried == ids
    assert ironmesh("outbox", "cancel", ids[0], "--home", tmp_path).out.startswith("cancelled ")
    result = ironmesh("outbox", "cancel", ids[0], "--home", tmp_path)
    assert (result.code, "has ended: cancelled" in result.err) == (1, True)
    shown = ironmesh("outbox", "show", ids[0], "--home", tmp_path)
    assert ("Ended:" in shown.out, "Expires:" in shown.out) == (True, False)


# --- history ---


def test_history_is_shown_at_80_columns(ironmesh, alice, tmp_path):
    alice.operator.past = [
        past(direction="received", type="REQ", state="handled", size_bytes=20_000_000),
        past(),
        past(name=EVIL * 12),
    ]
    result = ironmesh("history", "--home", tmp_path)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    _title, first, second, _hostile = result.out.splitlines()
    assert first.split() == ["2h", "from", "bob", "[REQ]", "19M", "handled", queued().id]
    assert second.split() == ["2h", "to", "bob", "5B", "delivered", queued().id]


def test_history_is_asked_for_a_peer_a_time_and_a_direction(ironmesh, alice, tmp_path):
    command = ["history", "bob", "--since", "1h", "--direction", "sent", "--limit", "3"]
    assert ironmesh(*command, "--home", tmp_path).out == "no messages\n"
    [(peer, direction, since, limit)] = alice.operator.history_asked
    assert (peer, direction, limit) == ("bob", "sent", 3)
    assert since == pytest.approx(time.time() - 3600, abs=60)
    assert json.loads(ironmesh("history", "--json", "--home", tmp_path).out) == []
    assert alice.operator.history_asked[1] == (None, None, 0.0, 50)


# --- While the node is down ---


@pytest.fixture
def stopped(ironmesh, tmp_path, monkeypatch):
    """The home of a node, `dave`, that does not run and never did."""
    monkeypatch.setattr("ironmesh.cli.keys.MODERATE_KDF", MINIMAL_KDF)
    monkeypatch.setenv("IRONMESH_PASSPHRASE", PASSPHRASE)
    assert ironmesh("keys", "generate", "--name", "dave", "--home", tmp_path).code == 0
    return tmp_path


@pytest.mark.parametrize("command", [["outbox", "list"], ["history"]])
def test_without_a_store_it_says_so(ironmesh, stopped, command):
    result = ironmesh(*command, "--name", "dave", "--home", stopped)
    assert result.code == 1
    assert "there is no message store" in result.err.splitlines()[-1]


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_changes_need_a_running_node(ironmesh, stopped, command):
    result = ironmesh("outbox", command, "aa", "--name", "dave", "--home", stopped)
    assert result.code == 1
    assert "only a running node can do that: start it with: ironmesh run" in result.err
