"""`status`, `ping` and `stop` against a served operator."""

import json
import threading

import msgspec
import pytest
from tests.support.fake_operator import BOB, ServedOperator

from ironmesh.store.node_lock import NodeLock


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("ironmesh.cli.ping.time.sleep", lambda _: None)


# --- status ---


def test_status_says_first_how_the_node_is_and_then_shows_its_peers(ironmesh, alice, tmp_path):
    result = ironmesh("status", "--home", tmp_path)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "alice is running for 12s (process 1, version 1.0)"
    assert lines[2] == "OK   listening on wss://127.0.0.1:8765"
    assert any(line.startswith("bob ") and BOB in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_status_as_json_has_everything(ironmesh, alice, tmp_path):
    found = json.loads(ironmesh("status", "--home", tmp_path, "--json").out)
    assert found["is_running"] is True
    assert found["state"]["name"] == "alice"
    assert found["peers"][0]["node_id"] == BOB
    assert {line["level"] for line in found["health"]} == {"ok"}


def test_what_waits_is_told(ironmesh, alice, tmp_path, monkeypatch):
    state = msgspec.structs.replace(alice.operator.state(), counters={"refused.clock_skew": 2})
    monkeypatch.setattr(alice.operator, "state", lambda: state)
    assert (
        "WARN 2 refused since the start (clock_skew)" in ironmesh("status", "--home", tmp_path).out
    )


def test_status_of_a_node_that_is_down_says_so_and_ends_with_1(ironmesh, tmp_path):
    result = ironmesh("status", "--home", tmp_path, "--name", "alice")
    assert result.code == 1
    assert "FAIL the node 'alice' is not running" in result.out
    assert "ironmesh run --name alice" in result.out
    result = ironmesh("status", "--home", tmp_path, "--json")
    assert result.code == 1
    assert json.loads(result.out)["is_running"] is False


# --- ping ---


def test_ping_shows_each_answer_and_what_they_took(ironmesh, alice, tmp_path, quick):
    alice.operator.rtts = [1.0, 3.0]
    result = ironmesh("ping", "bob", "--count", "2", "--home", tmp_path)
    assert result.code == 0
    assert result.out.splitlines() == [
        "bob (8f3c2a1b...) at 127.0.0.1:8766: 1.00 ms",
        "bob (8f3c2a1b...) at 127.0.0.1:8766: 3.00 ms",
        "2 sent, 2 answered; min/avg/max 1.00/2.00/3.00 ms",
    ]


def test_ping_as_json(ironmesh, alice, tmp_path, quick):
    alice.operator.rtts = [1.0, None, 3.0]
    result = ironmesh("ping", BOB, "--count", "3", "--home", tmp_path, "--json")
    assert json.loads(result.out) == {
        "peer": BOB,
        "sent": 3,
        "answered": 2,
        "min_ms": 1.0,
        "avg_ms": 2.0,
        "max_ms": 3.0,
        "rtt_ms": [1.0, None, 3.0],
    }


def test_without_an_answer_ping_ends_with_1(ironmesh, alice, tmp_path, quick):
    alice.operator.rtts = [None, None]
    result = ironmesh("ping", "bob", "--count", "2", "--home", tmp_path)
    assert result.code == 1
    assert result.out.splitlines()[-1] == "2 sent, 0 answered"


def test_ping_of_somebody_who_is_not_online_is_an_error(ironmesh, alice, tmp_path):
    result = ironmesh("ping", "zoe", "--home", tmp_path)
    assert (result.code, result.err) == (
        1,
        "error: no peer called 'zoe' is online: online now: bob\n",
    )


@pytest.mark.parametrize("option", ["--count=0", "--interval=0", "--timeout=60"])
def test_values_that_make_no_sense_are_wrong_usage(ironmesh, tmp_path, option):
    assert ironmesh("ping", "bob", option, "--home", tmp_path).code == 2


# --- stop ---


def test_stop_waits_until_the_node_has_ended(ironmesh, alice, tmp_path):
    lock = NodeLock.acquire(tmp_path / "nodes" / "alice")
    is_released = threading.Event()

    def end():
        while not alice.operator.is_stopped:
            is_released.wait(0.01)
        is_released.set()
        lock.release()

    ending = threading.Thread(target=end)
    ending.start()
    result = ironmesh("stop", "--home", tmp_path, "--json")
    assert is_released.is_set()
    ending.join()
    assert json.loads(result.out) == {"name": "alice", "stopped": True}


def test_stop_of_a_node_that_does_not_end_is_an_error(ironmesh, alice, tmp_path):
    with NodeLock.acquire(tmp_path / "nodes" / "alice"):
        result = ironmesh("stop", "--home", tmp_path, "--timeout", "0.05")
    assert result.code == 1
    assert "already run by" in result.err


def test_stop_of_a_node_that_is_down_is_an_error(ironmesh, tmp_path):
    result = ironmesh("stop", "--home", tmp_path, "--name", "alice")
    assert result.code == 1
    assert "is not running" in result.err


# --- which node ---


def test_of_several_nodes_the_configured_one_is_meant(ironmesh, alice, tmp_path):
    with ServedOperator(tmp_path, "zoe"):
        assert "choose one with --name" in ironmesh("status", "--home", tmp_path).err
        (tmp_path / "config.toml").write_text('name = "zoe"')
        (tmp_path / "config.toml").chmod(0o600)
        assert "zoe is running" in ironmesh("status", "--home", tmp_path).out
        (tmp_path / "config.toml").write_text('name = "dave"')
        assert "choose one with --name" in ironmesh("status", "--home", tmp_path).err
